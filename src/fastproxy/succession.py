"""Sessions of UDP pass from the workers of one program to those of the program that follows it in place.

The datagrams of all clients come to the same sockets, so a program that follows would get those of sessions
that it does not know. Hence each old worker hands its sessions to the new worker of the same slot, over a
socket pair: a message for each, with the socket that is connected to the server (SCM_RIGHTS).

    new: here                when it has the clients' sockets, and reads nothing from them yet
    old: a `Told`, and the session's descriptor
    old: ...
    old: its end             when it reads nothing from the clients' sockets any more

Meanwhile the old one passes on what clients send, and the new one what servers answer: nothing waits, and
nothing is lost. If one of them is not there, or silent for PATIENCE seconds, what was not handed over yet
ends with the old one.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import msgspec

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds in which the other side has to do the next thing."""

START_PATIENCE = 60.0
"""Seconds that a new worker waits for the first word: the rest of its program has to be ready too."""

HERE = b"here"
A_TURN = 64
"""Sessions that are handed over between two turns of the loop."""

_LARGEST = 1024
_INT = 4


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What a new worker has to know of a session."""

    entry_point: str
    client: bytes
    """Its address, as the system has it."""

    control: bytes
    """The control message by which answers come from the address that the client sends to; may be empty."""

    url: str
    """The server, as configured; its host and port."""

    host: str
    port: int


class Old(Protocol):
    """An entry point whose sessions are handed over."""

    def handing_over(self) -> Iterator[tuple[Told, int, Callable[[], None]]]:
        """Yield what there is to tell of each session, its descriptor, and what to call when it has gone."""

    def let_go(self) -> None:
        """Read nothing more from clients, and forget the sessions that are handed over."""


class New(Protocol):
    """An entry point that gets sessions."""

    def adopt(self, told: Told, descriptor: int) -> None:
        """Go on with a session; the descriptor is its own."""


async def bequeath(link: socket.socket, entries: Mapping[str, Old]) -> int:
    """Hand all sessions over, and let go of the sockets; returns how many have gone. The link is closed."""
    link.setblocking(False)
    count = 0
    with link:
        with contextlib.suppress(OSError, TimeoutError):
            await _readable(link, PATIENCE)
            if link.recv(len(HERE)) == HERE:
                for entry in entries.values():
                    count += await _hand_over(link, entry)
        for entry in entries.values():
            entry.let_go()
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)  # others may have a copy
    return count


async def _hand_over(link: socket.socket, entry: Old) -> int:
    count = 0
    for told, number, gone in entry.handing_over():
        message, copy = msgspec.msgpack.encode(told), os.dup(number)  # the session may end while we wait
        try:
            while not _sent(link, message, copy):
                await _writable(link, PATIENCE)
        finally:
            os.close(copy)
        gone()
        count += 1
        if count % A_TURN == 0:
            await asyncio.sleep(0)
    return count


def _sent(link: socket.socket, message: bytes, descriptor: int) -> bool:
    try:
        socket.send_fds(link, [message], [descriptor], socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return False
    return True


async def inherit(link: socket.socket, entries: Mapping[str, New]) -> int:
    """Take over what comes until the other side's end; returns how many sessions. The link is closed."""
    link.setblocking(False)
    patience, count = START_PATIENCE, 0
    with link:
        try:
            link.send(HERE)
            while True:
                await _readable(link, patience)
                patience = PATIENCE
                for _ in range(A_TURN):
                    said = _received(link)
                    if said is None:
                        break
                    told, descriptor = said
                    count += 1
                    if told.entry_point in entries:
                        entries[told.entry_point].adopt(told, descriptor)
                    else:
                        os.close(descriptor)
        except (EOFError, BrokenPipeError):
            pass  # that was all, or the slot had no worker
        except (OSError, TimeoutError, msgspec.MsgspecError) as error:
            reason = str(error) or type(error).__name__
            log.error("sessions of the program before this one cannot be taken over: %s", reason)
    return count


def _received(link: socket.socket) -> tuple[Told, int] | None:
    """Return what one message tells, and its descriptor; None if there is none yet. EOFError."""
    try:
        data, beside, _, _ = link.recvmsg(_LARGEST, socket.CMSG_SPACE(_INT), socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    if not data:
        raise EOFError
    came = [int.from_bytes(sent[:_INT], sys.byteorder) for _, _, sent in beside]
    try:
        if len(came) != 1:
            raise OSError("no more files may be open")
        return msgspec.msgpack.decode(data, type=Told), came.pop()
    finally:
        for each in came:
            os.close(each)


async def _readable(link: socket.socket, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    await _ready(link, seconds, loop.add_reader, loop.remove_reader)


async def _writable(link: socket.socket, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    await _ready(link, seconds, loop.add_writer, loop.remove_writer)


async def _ready(
    link: socket.socket, seconds: float, add: Callable[..., object], remove: Callable[[int], object]
) -> None:
    """Wait until something can be read or written. TimeoutError."""
    number, is_ready = link.fileno(), asyncio.Event()
    add(number, is_ready.set)
    try:
        async with asyncio.timeout(seconds):
            await is_ready.wait()
    finally:
        remove(number)
