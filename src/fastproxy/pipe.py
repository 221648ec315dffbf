"""What supervisor and workers say to each other, and how: frames of msgpack over a socket pair.

A frame is its length (4 bytes, little-endian) and one message. The pipe is also each one's sign of the
other's life: a process that ends, in whatever way, closes its end.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from .config.delta import Delta
from .config.dynamic import Configuration
from .config.static import StaticConfiguration


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """The base of all messages; the tag is the name of the class."""


# --- to a worker -------------------------------------------------------------------------------------------


class Setup(Message, frozen=True):
    """The first message: who the worker is, and which descriptors it has been given."""

    slot: int
    """From 0. It is also the number of the worker's block in the shared memory."""

    static: StaticConfiguration
    listeners: dict[str, int]
    """Entry point -> descriptor of the worker's listening socket."""

    shared: int
    """Descriptor of the shared memory."""


class State(Message, frozen=True):
    """The whole configuration: what a worker gets first."""

    generation: int
    configuration: Configuration


class Change(Message, frozen=True):
    """What is different from the state that the worker was sent last."""

    generation: int
    delta: Delta


class Drain(Message, frozen=True):
    """Stop: accept for the grace time still, finish what runs, exit 0."""


class Abort(Message, frozen=True):
    """Close every connection now and exit 0."""


class Reopen(Message, frozen=True):
    """Open the log file again."""


ToWorker = Setup | State | Change | Drain | Abort | Reopen


# --- to the supervisor --------------------------------------------------------------------------------------


class Trouble(Message, frozen=True):
    """What is wrong with an object since this configuration: why it is disabled, or a warning."""

    kind: str
    """`router`, `service`, `middleware`, `serversTransport`."""

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

    warned: dict[str, tuple[str, ...]] = {}
    """Every router that something is to be warned of, as the runtime view has it."""


class Ready(Message, frozen=True):
    """The first configuration is applied and connections are accepted."""

    counters: tuple[str, ...] = ()
    """Names of the words of the worker's block in the shared memory, in order."""


class Closed(Message, frozen=True):
    """The worker no longer accepts on this entry point, as told by Drain."""

    entry_point: str


class Drained(Message, frozen=True):
    """Nothing runs any more, or the grace time is over; the worker ends."""

    aborted: int = 0
    """Connections that were cut because the time was over."""


ToSupervisor = Ready | Applied | Closed | Drained

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


class Pipe(asyncio.Protocol, Generic[Received]):
    """One end of the pipe in an event loop."""

    def __init__(
        self, expected: Any, on_message: Callable[[Received], None], on_end: Callable[[], None]
    ) -> None:
        """on_end: called once, when the other side has closed or what it says makes no sense."""
        self._frames: Frames[Received] = Frames(expected)
        self._on_message = on_message
        self._on_end = on_end
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()

    def send(self, message: Message) -> None:
        """Send a message; it is dropped if the other side has gone."""
        self.send_frame(frame(message))

    def send_frame(self, data: bytes) -> None:
        """Send a message that is a frame already, the same to many."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
