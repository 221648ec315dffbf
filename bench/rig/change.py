"""Change one route of a running proxy every second, in the way its users do."""

import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from . import configs
from .fleet import Running


def change(running: Running, name: str, to_other: bool) -> None:
    """Send the host *name* to the other service, or back.

    fastproxy: the dynamic file is replaced. nginx: the map is replaced, then HUP. HAProxy: `set map` on its
    socket.
    """
    if running.kind == "fastproxy":
        configs.fastproxy_routers(running.site, name if to_other else "")
    elif running.kind == "nginx":
        configs.nginx_map(running.site, name if to_other else "")
        running.process.send_signal(signal.SIGHUP)
    else:
        service = "other" if to_other else "backend"
        _haproxy(running, f"set map {running.site.folder}/hosts.map {name} {service}\n")


def _haproxy(running: Running, command: str) -> None:
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(running.site.folder / "control"))
        control.sendall(command.encode())
        answer = control.recv(4096).strip()
        if answer:
            raise SystemExit(f"bench: haproxy answered {answer!r} to {command!r}")


@contextmanager
def every_second(running: Running) -> Iterator[None]:
    """Change the route of the last name once a second, the first time at once, until the block ends."""
    over = threading.Event()
    name = running.site.names[-1]

    def work() -> None:
        to_other = True
        while not over.is_set():
            change(running, name, to_other)
            to_other = not to_other
            over.wait(1.0)

    with ThreadPoolExecutor(1) as pool:
        changes = pool.submit(work)
        try:
            yield
        finally:
            over.set()
        changes.result()        # raises what went wrong there
