"""`fastproxy demo`: two backends, two commented files, a proxy between them, and what to try.

The proxy is a child process that is started as a user would start it; the backends live in this one.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from . import whoami

READY_WITHIN = 30.0     # seconds for the proxy to serve; then the user is told to look at its log
STOP_WITHIN = 30.0      # seconds for it to end after TERM; its own grace time is shorter
RECORD = ".demo.json"   # in the folder: the port, and a digest of each file as it was written

STATIC = """\
# What fastproxy reads once, at its start. The names are those of Traefik v3.

entryPoints:
  web:
    address: ":{port}"

providers:
  # Everything else is in this file. It is watched: save it, and the new routes serve without a restart.
  file:
    filename: {folder}/dynamic.yml

log:
  level: INFO

# Our own settings. One worker process is enough here; without this there is one per core.
core:
  workers: 1
"""

DYNAMIC = """\
# What may change while fastproxy runs: routers choose a service, middlewares change what passes on its way.
# Try `fastproxy check --configFile={folder}/fastproxy.yml` after a mistake.

http:
  routers:
    everything:
      rule: PathPrefix(`/`)
      service: both

    one:
      rule: Host(`one.localhost`)
      service: one

    api:
      rule: PathPrefix(`/api`)
      service: both
      middlewares: [api]

  middlewares:
    api:
      chain:
        middlewares: [without-api, marked]
    without-api:
      stripPrefix:
        prefixes: ["/api"]
    marked:
      headers:
        customRequestHeaders:
          X-Demo: "edit me"

  services:
    both:                       # takes turns
      loadBalancer:
        servers:
          - url: http://127.0.0.1:{one}
          - url: http://127.0.0.1:{two}
    one:
      loadBalancer:
        servers:
          - url: http://127.0.0.1:{one}
"""

GREETING = """
fastproxy serves on port {port}. Try:

  curl http://localhost:{port}/                            twice: the backends take turns
  curl -H 'Host: one.localhost' http://localhost:{port}/   always the first one
  curl http://localhost:{port}/api/users                   /api is cut, X-Demo is added

Then edit {folder}/dynamic.yml, save it, and try again.
Ctrl-C ends the demo.
"""


class DemoError(Exception):
    """The demo cannot start; the message says why and what to do."""


def run(folder: Path | str = "fastproxy-demo", port: int = 8000, program: Sequence[str] = ()) -> int:
    """Write the sample files into *folder*, serve them on *port* until INT or TERM; return the exit status.

    The backends listen on the two ports after *port*. Files that were edited stay as they are. *program* is
    the command of the proxy, by default this interpreter with `-m fastproxy`. What is wrong goes to standard
    error.
    """
    folder = Path(folder).resolve()
    try:
        kept = write_samples(folder, port)
        for name in kept:
            print(f"{folder / name} was edited and stays as it is")
        command = [*(program or (sys.executable, "-m", "fastproxy")), f"--configFile={folder}/fastproxy.yml"]
        return asyncio.run(_serve(folder, port, command))
    except (DemoError, OSError) as error:
        print(f"fastproxy demo: {error}", file=sys.stderr)
        return 1


def write_samples(folder: Path, port: int) -> list[str]:
    """Write the two files, but not over edited ones; return the names of those.

    Raises DemoError when an edited file was made for another port, OSError when *folder* cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {"folder": folder, "port": port, "one": port + 1, "two": port + 2}
    samples = {"fastproxy.yml": STATIC.format(**values), "dynamic.yml": DYNAMIC.format(**values)}
    record = _read_record(folder / RECORD)
    kept = [name for name, text in samples.items() if _is_edited(folder / name, text, record)]
    if kept and record.get("port", port) != port:
        found = f"{folder / kept[0]} was edited and is for port {record['port']}"
        raise DemoError(f"{found}; say --port {record['port']} or name another folder")
    for name in samples.keys() - kept:
        (folder / name).write_text(samples[name])
    digests = {name: record.get(name) if name in kept else _digest(text) for name, text in samples.items()}
    (folder / RECORD).write_text(json.dumps({"port": port, **digests}))
    return kept


def _is_edited(path: Path, text: str, record: dict) -> bool:
    """Say whether *path* holds neither *text* nor what we wrote there the last time."""
    if not path.exists():
        return False
    found = _digest(path.read_text(errors="replace"))
    return found not in (_digest(text), record.get(path.name))


def _read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}       # the first time, or somebody edited it: then every file counts as edited
    return record if isinstance(record, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _serve(folder: Path, port: int, command: list[str]) -> int:
    """Run backends and proxy until a signal comes or the proxy ends; return the exit status of the proxy."""
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    with ExitStack() as stack:
        for name, own_port in (("one", port + 1), ("two", port + 2)):
            stack.callback((await _backend(name, own_port)).close)
        # A group of its own: Ctrl-C reaches this process, which tells the proxy once.
        proxy = await asyncio.create_subprocess_exec(*command, process_group=0)
        ended = asyncio.create_task(proxy.wait())
        try:
            greeting = asyncio.create_task(_greet(folder, port))
            stop = asyncio.create_task(asked_to_stop.wait())
            await asyncio.wait((ended, stop), return_when=asyncio.FIRST_COMPLETED)
            greeting.cancel()
            stop.cancel()
        finally:
            status = await _stop(proxy, ended)
        return status


async def _backend(name: str, port: int) -> asyncio.Server:
    try:
        return await whoami.serve(name, port=port)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else error
        raise DemoError(f"127.0.0.1:{port}, for a backend: {reason}; choose others with --port") from None


async def _stop(proxy: asyncio.subprocess.Process, ended: asyncio.Task) -> int:
    """Ask the proxy to end if it still runs, make it after a while; return its exit status."""
    if proxy.returncode is None:
        proxy.terminate()
        done, _ = await asyncio.wait((ended,), timeout=STOP_WITHIN)
        if not done:
            proxy.kill()
    return await ended


async def _greet(folder: Path, port: int) -> None:
    """Print what to try, once the proxy answers."""
    try:
        async with asyncio.timeout(READY_WITHIN):
            while not await _answers(port):
                await asyncio.sleep(0.05)
    except TimeoutError:
        print(f"port {port} does not answer yet; the proxy's log above may say why", file=sys.stderr)
        return
    print(GREETING.format(folder=_short(folder), port=port), flush=True)


async def _answers(port: int) -> bool:
    """Say whether a request gets an answer. Before its first configuration the proxy answers 404: not yet."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        writer.close()
    except OSError:
        return False
    return b" " in line and b" 404 " not in line


def _short(folder: Path) -> Path:
    """Return *folder* as one would type it here."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
