"""TCP and UDP that is passed on whole: what it is loaded with, and what each proxy is told for it.

All of them: one worker, everything on the port to one server, no log, both directions open until both have
ended. HAProxy comes twice where bytes come in bulk: as it copies, and with `option splice-auto`; it passes no
datagrams on.

The load is a small C program, `streams.c`, for Python takes longer for a message than the proxies do. It is
compiled when it is first needed, with the compiler that the build needs anyway.
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from .configs import OPEN_FILES, Site
from .load import Outcome
from .processes import on_cores

PROGRAM = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class Stream:
    """One kind of load: a mode of `streams.c`, which explains them."""

    mode: str
    connections: int = 64
    is_secure = False

    @property
    def server(self) -> str:
        """Which of the servers it talks to."""
        return {"ping": "echo", "bulk": "sink", "new": "once"}.get(self.mode, "udp")

    @property
    def silence(self) -> str:
        """After how long without a datagram a session of UDP is over; "" for TCP.

        Where each session is for one datagram it is short, or they would be too many.
        """
        return {"datagrams": "3s", "sessions": "100ms"}.get(self.mode, "")


SERVERS = ("echo", "sink", "once", "udp")


def compiled(folder: Path) -> Path:
    """Return the program, compiled into *folder* if it is not there. SystemExit if that fails."""
    made = folder / "streams"
    if not made.exists():
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
        if not shutil.which(compiler):
            raise SystemExit(f"bench: no C compiler {compiler} found; on Debian: apt install gcc libc6-dev")
        command = [compiler, "-O2", "-o", str(made), str(PROGRAM)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"bench: {' '.join(command)} failed:\n{done.stderr}")
    return made


def run(program: Path, load: Stream, port: int, seconds: float, core: int) -> Outcome:
    """Put *load* on 127.0.0.1:*port* for *seconds*, from *core*.

    `requests` of the outcome are messages there and back, MiB, or connections.
    """
    command = [str(program), load.mode, str(port), str(load.connections), str(seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, preexec_fn=on_cores({core})
    )
    if done.returncode:
        return Outcome(0, seconds, 0.0, (done.stderr.strip(),), 1)
    counted, lasted, p99 = done.stdout.split()
    return Outcome(int(counted), float(lasted), float(p99))


def answers(port: int, server: str) -> bool:
    """Say whether one of the servers can be reached behind *port*."""
    if server == "udp":
        return answers_datagrams(port)
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(b"x")
            if server != "sink":
                return client.recv(1) == b"x"
            client.shutdown(socket.SHUT_WR)
            return client.recv(8) == (1).to_bytes(8, sys.byteorder)
    except OSError:
        return False


def answers_datagrams(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        try:
            client.connect(("127.0.0.1", port))
            client.send(b"x")
            return client.recv(1) == b"x"
        except OSError:
            return False


# -- what the proxies are told -----------------------------------------------------------------------------

NGINX = """
{module}
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
stream {{
    server {{
        listen 127.0.0.1:{port} {how};
        proxy_pass 127.0.0.1:{backend};
        {more};
    }}
}}
"""


def nginx_module() -> str:
    """Return the line that loads nginx's stream module, "" if it is built in. SystemExit without one."""
    done = subprocess.run(["nginx", "-V"], capture_output=True, text=True)
    if re.search(r"--with-stream(\s|$)", done.stderr):
        return ""
    found = re.search(r"--modules-path=(\S+)", done.stderr)
    module = Path(found[1] if found else "/usr/lib/nginx/modules") / "ngx_stream_module.so"
    if not module.exists():
        raise SystemExit(
            "bench: nginx's stream module not found; on Debian: apt install libnginx-mod-stream"
        )
    return f"load_module {module};"


def nginx(site: Site, load: Stream) -> list[str]:
    """Write nginx's configuration; return its command."""
    how, more = "backlog=4096", "proxy_half_close on"
    if load.silence:
        how, more = "udp", f"proxy_timeout {load.silence}"
    text = NGINX.format(
        how=how, more=more,
        module=nginx_module(), user="user root;" if os.geteuid() == 0 else "", files=OPEN_FILES,
        connections=OPEN_FILES // 2, folder=site.folder, port=site.port, backend=site.backends[0],
    )
    (site.folder / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(site.folder), "-c", str(site.folder / "nginx.conf"), "-e", "stderr"]


HAPROXY = """
global
    nbthread 1
    maxconn {connections}
defaults
    mode tcp
    {splice}
    timeout connect 10s
    timeout client 600s
    timeout server 600s
listen all
    bind 127.0.0.1:{port} backlog 4096
    server one 127.0.0.1:{backend}
"""


def haproxy(site: Site, load: Stream, splice: str = "") -> list[str]:
    """Write HAProxy's configuration; return its command."""
    text = HAPROXY.format(
        connections=OPEN_FILES // 3, splice=splice, port=site.port, backend=site.backends[0]
    )
    (site.folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(site.folder / "haproxy.cfg")]


def haproxy_splice(site: Site, load: Stream) -> list[str]:
    return haproxy(site, load, "option splice-auto")


STATIC = """
entryPoints:
  all: {{address: "127.0.0.1:{port}{how}}}
providers: {{file: {{filename: {folder}/dynamic.yml}}}}
tcpServersTransport: {{terminationDelay: -1s}}
core: {{workers: 1}}
"""
DYNAMIC = """
tcp:
  services: {{one: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{backend}"}}]}}}}}}
  routers: {{all: {{rule: "HostSNI(`*`)", service: one}}}}
"""
DYNAMIC_UDP = """
udp:
  services: {{one: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{backend}"}}]}}}}}}
  routers: {{all: {{service: one}}}}
"""


def fastproxy(site: Site, load: Stream) -> list[str]:
    """Write fastproxy's two files; return the command that starts it, with this interpreter."""
    how = f'/udp", udp: {{timeout: {load.silence}}}' if load.silence else '"'
    (site.folder / "static.yml").write_text(STATIC.format(port=site.port, folder=site.folder, how=how))
    dynamic = DYNAMIC_UDP if load.silence else DYNAMIC
    (site.folder / "dynamic.yml").write_text(dynamic.format(backend=site.backends[0]))
    return [sys.executable, "-m", "fastproxy", f"--configFile={site.folder}/static.yml"]


COMMANDS = {"fastproxy": fastproxy, "nginx": nginx, "haproxy": haproxy, "haproxy-splice": haproxy_splice}


def kinds(load: Stream, proxies: list[str]) -> list[str]:
    """Return what of *proxies* is measured under a load, each by the name of its configuration."""
    chosen = [kind for kind in COMMANDS if kind.partition("-")[0] in proxies]
    if load.silence:
        return [kind for kind in chosen if kind in proxies and kind != "haproxy"]
    return [kind for kind in chosen if load.mode == "bulk" or kind in proxies]
