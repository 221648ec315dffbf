"""What systemd and a service say to each other: the sockets that it passes, and how the service is.

Source: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). As in Traefik, a descriptor is named after its
entry point.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping

from .config.static import EntryPoint
from .sockets import BindError, Bound, listens_for, shown_address

FIRST = 3
"""The number of the first descriptor that is passed."""

MICROSECOND = 1e-6


def given_sockets(entry_points: Mapping[str, EntryPoint]) -> dict[str, Bound]:
    """Take the sockets that systemd passed to this process, by the name of their entry point.

    Empty if there are none. BindError for one that no entry point asks for. Only the first call sees them:
    the variables are for this process and nobody that it starts.
    """
    said = [os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")]
    if said[0] != str(os.getpid()) or not said[1].isdigit():
        return {}
    names = said[2].split(":") if said[2] else []
    given: dict[str, Bound] = {}
    for at in range(int(said[1])):
        name = names[at] if at < len(names) else "unknown"  # what sd_listen_fds_with_names says
        if name in given:
            raise BindError(f"systemd passed two sockets with the name {name}; an entry point takes one")
        given[name] = Bound([_checked(FIRST + at, name, entry_points)], is_one=True, is_kept=True)
    return given


def _checked(descriptor: int, name: str, entry_points: Mapping[str, EntryPoint]) -> socket.socket:
    """Return a passed socket if an entry point asks for it; else BindError says what was expected."""
    try:
        os.set_inheritable(descriptor, False)
        passed = socket.socket(fileno=descriptor)
    except OSError:
        raise BindError(f"systemd passed descriptor {descriptor} ({name}), which is no socket") from None
    if name not in entry_points:
        known = ", ".join(entry_points)
        raise BindError(
            f"systemd passed a socket with the name {name} (FileDescriptorName=), and there is no entry "
            f"point of that name; there are {known}"
        )
    if passed.family not in (socket.AF_INET, socket.AF_INET6) or not _fits(passed, entry_points[name]):
        kind = "UDP" if entry_points[name].is_udp else "TCP that listens"
        raise BindError(f"entryPoints.{name}: systemd passed a socket that is none of {kind}")
    if not listens_for(passed, entry_points[name]):
        raise BindError(
            f"entryPoints.{name}.address: systemd passed a socket that listens on {shown_address(passed)}, "
            f"not on {entry_points[name].address}"
        )
    passed.setblocking(False)
    return passed


def _fits(passed: socket.socket, point: EntryPoint) -> bool:
    """Say whether a socket is of the kind that an entry point needs."""
    if point.is_udp:
        return passed.type == socket.SOCK_DGRAM
    listens = passed.type == socket.SOCK_STREAM and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(listens)


def notify(*lines: str) -> None:
    """Tell systemd `NAME=value` lines; nothing happens where nobody wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.setblocking(False)
        link.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))


def reloading() -> tuple[str, str]:
    """Return what says that a reload begins; READY=1 says that it is over."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_seconds() -> float:
    """Return how often systemd wants a sign of life, in seconds; 0 if it wants none of this process."""
    wanted, of_whom = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or of_whom not in ("", str(os.getpid())):
        return 0.0
    return int(wanted) * MICROSECOND


async def give_signs_of_life() -> None:
    """Tell systemd twice in the time it allows that the loop goes round, until cancelled."""
    while seconds := watchdog_seconds():
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds / 2)
