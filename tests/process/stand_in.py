"""A stand-in for a worker: speaks the pipe and does what the names of the routers say. Started as a program.

A router called `die` ends it with status 3 before it reports, `wait-<path>` makes it wait until that file
exists, `break` makes it report that the configuration cannot be built, `ask-<path>` makes worker 2 ask to end
unless that file exists, and make it; `cannot-<path>` likewise makes one refuse sockets that are lent to it.
What it is sent is noted in the file named by the environment variable NOTES: slot, pid, kind of message, and
of a configuration its routers.
"""

import os
import signal
import socket
import sys
import time

from fastproxy.config import delta
from fastproxy.config.dynamic import Configuration
from fastproxy.pipe import (
    Abort,
    Applied,
    Asked,
    CannotBorrow,
    Change,
    Closed,
    Drain,
    Drained,
    Frames,
    Lend,
    Message,
    Ping,
    Pong,
    Ready,
    Reopen,
    Setup,
    State,
    TakeBack,
    ToWorker,
    Trouble,
    frame,
)


def open_descriptors() -> set[int]:
    found = os.listdir("/proc/self/fd")  # and the one that it was read through, closed by now
    return {int(name) for name in found if os.path.exists(f"/proc/self/fd/{name}")}


class StandIn:
    def __init__(self, descriptor: int) -> None:
        self.pipe = socket.socket(fileno=descriptor)
        self.setup = Setup(0, None, {}, 0)  # type: ignore[arg-type]
        self.configuration = Configuration()
        self.generation = 0
        self.is_ready = False

    def send(self, message: Message) -> None:
        self.pipe.sendall(frame(message))

    def note(self, *words: object) -> None:
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(" ".join(map(str, (self.setup.slot, os.getpid(), *words))) + "\n")

    def run(self) -> None:
        frames: Frames[ToWorker] = Frames(ToWorker)
        while data := self.pipe.recv(1 << 16):
            for message in frames.feed(data):
                self.take(message)
        self.note("orphaned")

    def take(self, message: ToWorker) -> None:
        match message:
            case Setup():
                self.setup = message
                expected = {0, 1, 2, self.pipe.fileno(), message.shared, *message.listeners.values()}
                self.note("setup", *sorted(open_descriptors() - expected))
            case State():
                self.apply("state", message.generation, message.configuration)
            case Change():
                self.apply("change", message.generation, delta.apply(self.configuration, message.delta))
            case Reopen():
                self.note("reopen")
            case Lend():
                self.note("lent", message.slot, *message.entry_points)
                for name in self.configuration.http.routers:
                    path = name.removeprefix("cannot-")
                    if name != path and not os.path.exists(path):
                        open(path, "w").close()
                        self.send(CannotBorrow(message.slot))
            case TakeBack():
                self.note("back", message.slot)
            case Ping():
                self.send(Pong())
            case Drain():
                self.note("drain", *message.handed_over)
                for name in self.setup.listeners:
                    self.send(Closed(name))
                self.send(Drained(aborted=2))
                os._exit(0)
            case Abort():
                self.note("abort")
                os._exit(0)

    def apply(self, kind: str, generation: int, configuration: Configuration) -> None:
        routers = configuration.http.routers
        self.note(kind, generation, *routers)
        for name in routers:
            if name == "die":
                sys.exit(3)
            while name.startswith("wait-") and not os.path.exists(name.removeprefix("wait-")):
                time.sleep(0.001)
        disabled = [name for name in routers if name.startswith("disabled")]
        failures = tuple(Trouble("router", name, "no service") for name in disabled)
        error = "no memory" if "break" in routers else ""
        self.configuration, self.generation = configuration, generation
        self.send(Applied(generation, 1.5, len(routers), 0, 0, len(disabled), failures, error=error))
        if not self.is_ready:
            self.is_ready = True
            self.send(Ready(counters=("requests",)))
        for name in routers:
            path = name.removeprefix("ask-")
            if name != path and self.setup.slot == 1 and not os.path.exists(path):
                open(path, "w").close()
                self.send(Asked())


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    StandIn(int(sys.argv[1])).run()
