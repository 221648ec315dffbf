"""Proxies and their backend, running: started with a block, checked once, stopped with it."""

import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from . import configs, streams
from .processes import free_ports, server


@dataclass
class Running:
    """One proxy that runs."""

    kind: str               # fastproxy, nginx or haproxy
    site: configs.Site
    process: Popen

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self.process.pid

    @property
    def port(self) -> int:
        return self.site.port


@contextmanager
def backend(folder: Path, core: int) -> Iterator[tuple[int, int]]:
    """Run the backend; yields its two ports."""
    ports = free_ports(2)
    folder.mkdir(parents=True)
    command = configs.backend(folder, ports)
    ready = lambda: status_of(ports[1], "/small") == 200        # noqa: E731
    with server(command, cores={core}, log=folder / "log", ready=ready):
        yield ports


@contextmanager
def proxy(
    kind: str, folder: Path, cores: set[int], backends: tuple[int, int], hosts: int = 0, checked: bool = True,
    log: str = "", is_secure: bool = False,
) -> Iterator[Running]:
    """Run a proxy of *kind* that tells *hosts* names apart (0: none); yields it when it serves.

    log: format of its access log, "" for none.
    """
    folder.mkdir(parents=True)
    [port] = free_ports(1)
    site = configs.Site(folder, port, backends, configs.host_names(hosts), log, is_secure)
    command = configs.COMMANDS[kind](site)
    host = site.names[-1] if site.names else ""
    ready = lambda: status_of(site.port, "/small", host, is_secure) == 200     # noqa: E731
    with server(command, cores=cores, log=folder / "log", ready=ready, within=180) as process:
        running = Running(kind, site, process)
        if checked:
            check(running, host)
        yield running


@contextmanager
def stream_servers(program: Path, folder: Path, core: int) -> Iterator[dict[str, int]]:
    """Run the servers of TCP and UDP; yields the port of each by name. program: see `streams.compiled`."""
    ports = dict(zip(streams.SERVERS, free_ports(len(streams.SERVERS)), strict=True))
    folder.mkdir(parents=True)
    command = [str(program), "serve", *map(str, ports.values())]
    ready = lambda: all(streams.answers(ports[name], name) for name in ports)       # noqa: E731
    with server(command, cores={core}, log=folder / "log", ready=ready):
        yield ports


@contextmanager
def stream_proxy(
    kind: str, folder: Path, cores: set[int], backend: int, load: streams.Stream
) -> Iterator[Running]:
    """Run a proxy of *kind* that passes a load on to the port *backend*, where its server is."""
    folder.mkdir(parents=True)
    [port] = free_ports(1)
    site = configs.Site(folder, port, (backend, backend), [])
    command = streams.COMMANDS[kind](site, load)
    ready = lambda: streams.answers(port, load.server)      # noqa: E731
    with server(command, cores=cores, log=folder / "log", ready=ready) as process:
        yield Running(kind, site, process)


def ask(
    port: int, path: str, host: str = "", timeout: float = 5.0, is_secure: bool = False
) -> tuple[int, str]:
    """GET *path* from 127.0.0.1:*port*; returns status and body. Raises OSError when there is no answer."""
    url = f"http{'s' * is_secure}://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    context = ssl._create_unverified_context() if is_secure else None
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def status_of(port: int, path: str, host: str = "", is_secure: bool = False) -> int:
    """Return the status of the answer, 0 when there is none."""
    try:
        return ask(port, path, host, is_secure=is_secure)[0]
    except OSError:
        return 0


def check(running: Running, host: str = "") -> None:
    """See that the backend got the six forwarded fields, over a connection used before; SystemExit if not."""
    expected = {
        "X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1",
        "X-Forwarded-Proto": "https" if running.site.is_secure else "http",
        "X-Forwarded-Host": host or f"127.0.0.1:{running.port}", "X-Forwarded-Server": socket.gethostname(),
        # Of a Host without port, Traefik tells the scheme's, the others the socket's.
        "X-Forwarded-Port": "80" if host and running.kind == "fastproxy" else str(running.port),
    }
    status, body = ask(running.port, "/seen", host, is_secure=running.site.is_secure)
    served, *values = body.splitlines() or [""]
    found = dict(zip(configs.SEEN, values, strict=False))
    if status != 200 or found != expected:
        who = f"bench: behind {running.kind} the backend"
        raise SystemExit(f"{who} saw {found} ({status}), expected {expected}")
    if int(served) < 2:
        raise SystemExit(f"bench: {running.kind} does not keep its connection to the backend")
