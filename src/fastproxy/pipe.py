"""What supervisor and workers say to each other, and how: frames of msgpack over a socket pair.

A frame is its length (4 bytes, little-endian) and one message. Descriptors that belong to a message go with
its first byte (SCM_RIGHTS). The pipe is also each one's sign of the other's life: a process that ends, in
whatever way, closes its end.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from .config.delta import Delta
from .config.dynamic import Configuration
from .config.static import StaticConfiguration

log = logging.getLogger(__name__)

MOST_DESCRIPTORS = 253
"""That may go with one message: as many as Linux takes."""

_PIECE = 1 << 16
_INT = 4
_BESIDE = socket.CMSG_SPACE(MOST_DESCRIPTORS * _INT)


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """The base of all messages; the tag is the name of the class."""


# --- to a worker -------------------------------------------------------------------------------------------


class Setup(Message, frozen=True):
    """The first message: who the worker is, and which descriptors it has been given."""

    slot: int
    """From 0. It is also the number of the worker's block in the shared memory."""

    static: StaticConfiguration
    listeners: dict[str, int]
    """Entry point -> descriptor of the worker's listening socket, if it has one there."""

    shared: int
    """Descriptor of the shared memory."""

    secret: bytes = b""
    """What all workers of the instance know and nobody else: session tickets of TLS come of it."""

    link: int = -1
    """Descriptor by which sessions of UDP come from the program before (`succession`); -1: none do."""


class State(Message, frozen=True):
    """The whole configuration: what a worker gets first."""

    generation: int
    configuration: Configuration


class Change(Message, frozen=True):
    """What is different from the state that the worker was sent last."""

    generation: int
    delta: Delta


class Lend(Message, frozen=True):
    """Accept on the sockets of another slot too, until they are taken back; their descriptors come along."""

    slot: int
    entry_points: tuple[str, ...]
    """One for each descriptor, in order."""


class TakeBack(Message, frozen=True):
    """Accept no more on the sockets of that slot: its own worker does."""

    slot: int


class Drain(Message, frozen=True):
    """Stop: accept for the grace time still, finish what runs, exit 0."""

    handed_over: tuple[str, ...] = ()
    """Entry points on whose sockets somebody else accepts: here accepting ends at once."""

    has_link: bool = False
    """A descriptor comes along by which the sessions of UDP are handed over; see `succession`."""


class Abort(Message, frozen=True):
    """Close every connection now and exit 0."""


class Reopen(Message, frozen=True):
    """Open the log file again."""


class Ping(Message, frozen=True):
    """Say that you are there: your loop turns."""


ToWorker = Setup | State | Change | Lend | TakeBack | Drain | Abort | Reopen | Ping


# --- to the supervisor --------------------------------------------------------------------------------------


class Trouble(Message, frozen=True):
    """What is wrong with an object since this configuration: why it is disabled, or a warning."""

    kind: str
    """What one of its kind is called: `router`, `service`, `TCP router` and so on."""

    name: str
    """With its provider: `shop@file`."""

    reason: str


class Applied(Message, frozen=True):
    """A configuration serves, or, if `error` is set, could not be built at all and the one before goes on."""

    generation: int
    milliseconds: float
    added: int = 0
    changed: int = 0
    removed: int = 0
    disabled: int = 0
    """Objects that are disabled now, also those that were before."""

    failures: tuple[Trouble, ...] = ()
    """Objects that are disabled and were not, or for another reason."""

    warnings: tuple[Trouble, ...] = ()
    """Objects that serve, but not quite as they are written."""

    error: str = ""

    broken: dict[str, dict[str, str]] = {}
    """Everything that is disabled, as the runtime view has it: `http.routers` -> name -> reason."""

    warned: dict[str, dict[str, tuple[str, ...]]] = {}
    """Everything that is to be warned of, as the runtime view has it."""


class Ready(Message, frozen=True):
    """The first configuration is applied and connections are accepted."""

    counters: tuple[str, ...] = ()
    """Names of the words of the worker's block in the shared memory, in order."""


class Asked(Message, frozen=True):
    """Somebody asked the worker itself to end (SIGTERM). It goes on until it is told how."""


class Closed(Message, frozen=True):
    """The worker no longer accepts on this entry point, as told by Drain."""

    entry_point: str


class Drained(Message, frozen=True):
    """Nothing runs any more, or the grace time is over; the worker ends."""

    aborted: int = 0
    """Connections that were cut because the time was over."""


class Pong(Message, frozen=True):
    """The answer to Ping."""


class CannotBorrow(Message, frozen=True):
    """The sockets that were lent have not come: this process may open no more descriptors."""

    slot: int
    """Whose they are."""


ToSupervisor = Ready | Applied | Asked | Closed | Drained | Pong | CannotBorrow

_encoder = msgspec.msgpack.Encoder()
Received = TypeVar("Received")


def frame(message: Message) -> bytes:
    """Return a message as it goes over the pipe."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "little") + body


class Frames(Generic[Received]):
    """Puts messages together from the bytes that came."""

    def __init__(self, expected: Any) -> None:
        """expected: the union of the messages that this side is sent."""
        self._decoder: msgspec.msgpack.Decoder[Received] = msgspec.msgpack.Decoder(expected)
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Received]:
        """Return the messages that are whole now. msgspec.DecodeError for bytes that are none."""
        self._bytes += data
        whole: list[Received] = []
        start = 0
        while len(self._bytes) - start >= 4:
            end = start + 4 + int.from_bytes(self._bytes[start : start + 4], "little")
            if len(self._bytes) < end:
                break
            whole.append(self._decoder.decode(memoryview(self._bytes)[start + 4 : end]))
            start = end
        del self._bytes[:start]
        return whole


class Pipe(Generic[Received]):
    """One end of the pipe in an event loop."""

    def __init__(
        self, expected: Any, on_message: Callable[[Received], None], on_end: Callable[[], None]
    ) -> None:
        """on_end: called once, when the other side has closed or what it says makes no sense."""
        self._frames: Frames[Received] = Frames(expected)
        self._on_message = on_message
        self._on_end = on_end
        self._socket: socket.socket | None = None
        self._is_closing = False
        self._out: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._came: deque[list[int]] = deque()
        """Descriptors that nobody has taken, those of one message together."""


    def start(self, ours: socket.socket) -> None:
        """Talk over this end of a socket pair from now on, in the running loop; it is ours from then."""
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_readable)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message; it is dropped if the other side has gone.

        descriptors: at most MOST_DESCRIPTORS that go with it. They have to stay open until it has gone out.
        """
        self.send_frame(frame(message), descriptors)

    def send_frame(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a message that is a frame already, the same to many."""
        if self._socket is not None and not self._is_closing:
            self._out.append((memoryview(data), descriptors))
            if len(self._out) == 1:
                self._write()

    def descriptors(self, count: int) -> list[int]:
        """Return the descriptors that came with the message in hand; they are the caller's now.

        ValueError if fewer came, because this process may open no more; those are closed.
        """
        came = self._came.popleft() if self._came else []
        if len(came) != count:
            _close(came)
            raise ValueError(f"{len(came)} of {count} descriptors have come; no more may be open")
        return came

    def close(self) -> None:
        """End it when what was sent has gone out."""
        if self._socket is not None and not self._is_closing:
            self._is_closing = True
            if not self._out:
                asyncio.get_running_loop().call_soon(self._end)

    def _on_readable(self) -> None:
        assert self._socket is not None
        try:
            # Not socket.recv_fds, which drops its flags: a plugin may start programs.
            data, beside, flags, _ = self._socket.recvmsg(_PIECE, _BESIDE, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, beside, flags = b"", [], 0
        whole = (memoryview(sent[: len(sent) // _INT * _INT]) for _, _, sent in beside)
        came = [each for part in whole for each in part.cast("i")]
        if came or flags & socket.MSG_CTRUNC:  # Linux gives those of one message at a time
            self._came.append(came)
        if not data:
            self._end()
            return
        try:
            messages = self._frames.feed(data)
        except msgspec.MsgspecError as error:
            log.error("the pipe brings what makes no sense: %s", error)
            self._end()
            return
        for message in messages:
            self._on_message(message)

    def _write(self) -> None:
        """Give the kernel what waits, as much as it takes."""
        assert self._socket is not None
        loop, number = asyncio.get_running_loop(), self._socket.fileno()
        try:
            while self._out:
                data, descriptors = self._out[0]
                if descriptors:
                    sent = socket.send_fds(self._socket, [data], descriptors, socket.MSG_NOSIGNAL)
                else:
                    sent = self._socket.send(data, socket.MSG_NOSIGNAL)
                if sent == len(data):
                    self._out.popleft()
                else:
                    self._out[0] = (data[sent:], ())
        except BlockingIOError:
            loop.add_writer(number, self._write)
            return
        except (BrokenPipeError, ConnectionError):
            self._out.clear()  # the other side has gone; reading tells
        except OSError as error:
            # What was to be said is lost, and nobody would miss it: better the other side begins anew.
            log.error("the pipe cannot be written to: %s", error.strerror)
            loop.call_soon(self._end)
        loop.remove_writer(number)
        if self._is_closing:
            loop.call_soon(self._end)

    def _end(self) -> None:
        ours, self._socket = self._socket, None
        if ours is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(ours.fileno())
        loop.remove_writer(ours.fileno())
        ours.close()
        self._out.clear()
        while self._came:
            _close(self._came.popleft())
        self._on_end()


def _close(descriptors: Iterable[int]) -> None:
    for each in descriptors:
        with contextlib.suppress(OSError):
            os.close(each)
