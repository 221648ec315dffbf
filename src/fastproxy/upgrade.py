"""Upgrade in place: a new program takes the listening sockets over, and the old one ends when it has.

They talk in lines of JSON over a socket pair, because they may be of different versions:

    old: {"version": 1, "pid": 4711, "listeners": {"web": {"sockets": [5, 6], "one": false}}, "links": [7, 8]}
    new: {"ready": 4712, "taken": ["web"]}          or {"failed": "why"}, or it just ends
    old: {"go": true}

The sockets are inherited under the numbers that the first line names. Until the last line the old program may
still change its mind, and nobody shuts a socket down; from then on they belong to the new one.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .launch import ending_of, start_program
from .sockets import Bound, Listeners

VARIABLE = "_FASTPROXY_PREDECESSOR"
"""The environment variable with the number of the new program's end; nothing of the configuration."""

VERSION = 1
PATIENCE = 60.0
"""Seconds in which the new program has to become ready."""

END_PATIENCE = 15.0
"""Seconds in which a new program that is not wanted any more has to end."""

LINE_LIMIT = 1 << 20


class UpgradeError(Exception):
    """A new program that did not become ready. The message says why."""


class Successor(NamedTuple):
    """A program that is ready to take over."""

    process: subprocess.Popen[bytes]
    pid: int
    taken: frozenset[str]
    """Entry points of ours whose sockets it has taken."""

    writer: asyncio.StreamWriter
    links: tuple[socket.socket, ...] = ()
    """By which our workers hand their sessions of UDP over, one for each slot; see `succession`."""

    def go(self) -> None:
        """Give it the sockets for good."""
        self.writer.write(_line({"go": True}))
        self.writer.close()


# --- the old program ----------------------------------------------------------------------------------------


async def start_successor(listeners: Listeners) -> Successor:
    """Start this program anew and wait until it serves. UpgradeError if it does not; then it is gone.

    The command is that with which this program was started, so whatever lies there now: another version,
    other files. Cancelled: the new program is ended.
    """
    pairs = [
        socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(_datagram_slots(listeners))
    ]
    try:
        successor = await _start_successor(listeners, [theirs for _, theirs in pairs])
    except BaseException:
        for ours, _ in pairs:
            ours.close()
        raise
    finally:
        for _, theirs in pairs:
            theirs.close()
    return successor._replace(links=tuple(ours for ours, _ in pairs))


def _datagram_slots(listeners: Listeners) -> int:
    """Return how many slots have a socket for datagrams."""
    return max((len(each) for each in listeners.values() if each[0].type == socket.SOCK_DGRAM), default=0)


async def _start_successor(listeners: Listeners, links: Sequence[socket.socket]) -> Successor:
    """links: the new program's ends of those over which sessions of UDP are handed over."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = _start(theirs.fileno(), listeners, links)
        except OSError as error:
            ours.close()
            raise UpgradeError(f"it cannot be started: {(error.strerror or str(error)).lower()}") from None
    ours.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_LIMIT)
    try:
        writer.write(_line(_introduction(listeners, links)))
        async with asyncio.timeout(PATIENCE):
            said = _read(await reader.readline())
        if "ready" in said:
            taken = frozenset(listeners).intersection(said.get("taken", ()))
            return Successor(process, int(said["ready"]), taken, writer)
    except ConnectionError:
        said = {}  # it has ended already
    except BaseException as error:
        writer.close()
        await _end(process)
        if isinstance(error, TimeoutError):
            raise UpgradeError(f"it was not ready in {PATIENCE:.0f} s") from None
        if isinstance(error, (ValueError, TypeError)):
            raise UpgradeError("what it says makes no sense") from None
        raise
    writer.close()
    raise UpgradeError(await _reason(process, said))


def _start(
    descriptor: int, listeners: Listeners, links: Sequence[socket.socket]
) -> subprocess.Popen[bytes]:
    given = [each.fileno() for sockets in (*listeners.values(), links) for each in sockets]
    # WATCHDOG_PID names us; without it the watchdog is whose main process it will be.
    environment = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
    command = [sys.executable, *sys.orig_argv[1:]]
    return start_program(command, (descriptor, *given), {**environment, VARIABLE: str(descriptor)})


def _introduction(listeners: Listeners, links: Sequence[socket.socket]) -> dict[str, Any]:
    given = {
        name: {"sockets": [each.fileno() for each in sockets], "one": sockets.is_one}
        for name, sockets in listeners.items()
    }
    passed = [each.fileno() for each in links]
    return {"version": VERSION, "pid": os.getpid(), "listeners": given, "links": passed}


async def _reason(process: subprocess.Popen[bytes], said: Mapping[str, Any]) -> str:
    """Say why a new program that is not ready is not."""
    status = await _end(process)
    if "failed" in said:
        return "; ".join(str(said["failed"]).splitlines())
    return f"it ended before it was ready, with {ending_of(status)}"


async def _end(process: subprocess.Popen[bytes]) -> int:
    """End a new program that does not take over; returns its status."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        return await asyncio.shield(asyncio.to_thread(process.wait, END_PATIENCE))
    except subprocess.TimeoutExpired:
        process.kill()
        return await asyncio.shield(asyncio.to_thread(process.wait))


# --- the new program ----------------------------------------------------------------------------------------


class Predecessor:
    """The program whose sockets this one is given, as long as it has not let go of them."""

    def __init__(self, link: socket.socket) -> None:
        """link: to that program; waits for its first line. UpgradeError if that makes no sense."""
        self._link = link
        link.settimeout(PATIENCE)
        with link.makefile("rb") as lines:
            said = _read(lines.readline(LINE_LIMIT))
        if said.get("version") != VERSION:
            found = said.get("version")
            raise UpgradeError(f"the program before this one speaks version {found}, not {VERSION}")
        self.pid = int(said["pid"])
        self.given = {name: _inherited(each) for name, each in said["listeners"].items()}
        """Its listening sockets, by the name of its entry points."""

        self.links = [_close_on_exec(each) for each in said.get("links", ())]
        """By which its workers hand their sessions of UDP over, one for each slot; see `succession`."""

    @classmethod
    def of_environment(cls) -> "Predecessor | None":
        """Return who started this program so that it takes over; None if nobody did. UpgradeError."""
        number = os.environ.pop(VARIABLE, "")
        if not number:
            return None
        os.set_inheritable(int(number), False)
        return cls(socket.socket(fileno=int(number)))

    def taken(self, listeners: Iterable[Bound]) -> list[str]:
        """Return which of its entry points live on among ours."""
        ours = {id(each) for each in listeners}
        return [name for name, each in self.given.items() if id(each) in ours]

    def forget(self, listeners: Iterable[Bound]) -> None:
        """Close what is given and not taken; it has it still."""
        taken = self.taken(listeners)
        for name, each in self.given.items():
            if name not in taken:
                each.close()

    def fail(self, reason: str) -> None:
        """Tell it why this program does not become ready."""
        with contextlib.suppress(OSError):
            self._link.sendall(_line({"failed": reason}))

    async def follow(self, listeners: Iterable[Bound]) -> bool:
        """Say that this program is ready, and wait until the sockets are its own. False: it has gone."""
        self._link.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=self._link, limit=LINE_LIMIT)
        try:
            writer.write(_line({"ready": os.getpid(), "taken": self.taken(listeners)}))
            async with asyncio.timeout(PATIENCE):
                return "go" in _read(await reader.readline())
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()


def tell_predecessor(reason: str) -> None:
    """Tell whoever waits for this program to take over why it ends before it began, if anybody does."""
    if os.environ.get(VARIABLE):
        with contextlib.suppress(UpgradeError, OSError):
            waiting = Predecessor.of_environment()
            assert waiting is not None
            waiting.fail(reason)


def _close_on_exec(number: int) -> socket.socket:
    """Return an inherited socket, which nobody inherits from us unless we say so."""
    made = socket.socket(fileno=number)
    made.set_inheritable(False)
    made.setblocking(False)
    return made


def _inherited(said: Mapping[str, Any]) -> Bound:
    sockets = [_close_on_exec(number) for number in said["sockets"]]
    return Bound(sockets, is_one=said["one"], is_kept=True)


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    """Read one line; nothing, or half of one, says nothing. UpgradeError for what is no message."""
    if not line.endswith(b"\n"):
        return {}
    try:
        said = json.loads(line)
    except ValueError:
        raise UpgradeError("what it says makes no sense") from None
    if not isinstance(said, dict):
        raise UpgradeError("what it says makes no sense")
    return said
