"""What one change among many objects costs: processor time of a worker, and for how long its loop is blocked.

First a whole fastproxy follows a file in which one router changes, comes or goes, again and again: what each
process used for a change is read from the kernel, and how long an answer took at the most is measured
meanwhile. Then a worker runs in this process: it is sent the same changes, and in its loop the processor time
of each turn is counted: what it waits for the processor is nobody's fault and does not count.

    python bench/reload_cost.py --routers 10000 --changes 50
    python bench/reload_cost.py --only https,tcp,udp,certificates

http, https: routers by Host, with `tls` or without; tcp: by HostSNI, passed through; udp: services, each with
a router; certificates: in files, of which one is renewed, as many as there are routers.

Exits 1 when a change costs a worker more than 150 ms in the median, or a turn of the loop takes more than
20 ms.
"""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from fastproxy import loops
from fastproxy.config import delta
from fastproxy.config.dynamic import Configuration
from fastproxy.config.merge import Merger
from fastproxy.config.static import EntryPoint, FileProvider, StaticConfiguration
from fastproxy.config.static import Log as LogSettings
from fastproxy.conflicts import Conflicts
from fastproxy.pipe import Abort, Applied, Change, Frames, Setup, State, ToSupervisor, frame
from fastproxy.providers import file
from fastproxy.selfsigned import Fallback
from fastproxy.shared import Shared
from fastproxy.worker import Worker
from reload_soak import Log
from rig import machine
from rig.estates import ESTATES
from rig.processes import end_on_signal, free_ports, server
from rig.promises import judge

WORKER_SECONDS = 0.150
TURN_SECONDS = 0.020
ASK_EVERY = 0.002       # seconds between two questions while changes are made

STATIC = """
entryPoints:
  web:
    address: "127.0.0.1:{ports[0]}"
  dns:
    address: "127.0.0.1:{ports[1]}/udp"
providers:
  providersThrottleDuration: 0
  file:
    filename: {folder}/dynamic.yml
core:
  workers: 1
"""


# -- processes -----------------------------------------------------------------------------------------------


def used_by(pid: int) -> float:
    """Return the processor time of all threads of a process, in seconds (schedstat counts nanoseconds)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


class Asking(threading.Thread):
    """Asks for a host that no router has, over and over, and notes how long the answers take."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._is_over = threading.Event()
        self.longest: list[float] = [0.0]
        """In seconds, for each change; the last one is under way."""

    def run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.settimeout(10)
            while not self._is_over.wait(ASK_EVERY):
                begun = time.perf_counter()
                connection.sendall(b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n")
                if not connection.recv(4096):
                    raise SystemExit("bench: the connection of questions has ended")
                self.longest[-1] = max(self.longest[-1], time.perf_counter() - begun)

    def end(self) -> None:
        self._is_over.set()
        self.join()


def costs_of_processes(
    folder: Path, write: Callable[[int], None], changes: int
) -> tuple[list[float], list[float], list[float]]:
    """Return what each change cost the supervisor and its one worker, and the longest answer; in seconds."""
    ports = free_ports(2)
    (folder / "static.yml").write_text(STATIC.format(folder=folder, ports=ports))
    write(0)
    command = [sys.executable, "-m", "fastproxy", f"--configFile={folder}/static.yml"]
    log = folder / "log"
    ready = lambda: "fastproxy is ready" in log.read_text()         # noqa: E731
    supervisor, worker = [], []
    with server(command, cores=os.sched_getaffinity(0), log=log, ready=ready, within=60) as process:
        lines = Log(log)
        lines.wait(1)
        [child] = [pid for pid in machine.tree(process.pid) if pid != process.pid]
        asking = Asking(ports[0])
        asking.start()
        for number in range(1, changes + 1):
            before = used_by(process.pid), used_by(child)
            asking.longest.append(0.0)
            write(number)
            lines.wait(number + 1)
            time.sleep(0.05)        # what is settled after the swap belongs to it
            supervisor.append(used_by(process.pid) - before[0])
            worker.append(used_by(child) - before[1])
        asking.end()
    return supervisor, worker, asking.longest[1:]


# -- turns of the loop ---------------------------------------------------------------------------------------


class Supervisor:
    """Makes of the file what a supervisor makes of it."""

    def __init__(self, static: StaticConfiguration, folder: Path) -> None:
        self._provider = file.FileProvider(FileProvider(filename=str(folder / "dynamic.yml")))
        self._merger, self._conflicts, self._fallback = Merger(static), Conflicts(), Fallback(static)

    def read(self) -> Configuration:
        read = self._provider.read()
        assert read.configuration is not None, read.problems
        merged = self._conflicts.settle(self._merger.merge({"file": read.configuration}))
        return self._fallback.added(merged.configuration)


class Link:
    """The other end of a worker's pipe."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._frames: Frames[ToSupervisor] = Frames(ToSupervisor)

    def send(self, message: bytes) -> None:
        self._socket.sendall(message)

    def applied(self, message: bytes) -> Applied:
        """Send a configuration, and wait until it serves."""
        self.send(message)
        while True:
            for each in self._frames.feed(self._socket.recv(1 << 16)):
                if isinstance(each, Applied):
                    assert not each.error, each.error
                    return each


async def longest_turns(
    folder: Path, write: Callable[[int], None], changes: int
) -> tuple[float, list[float], int]:
    """Return the longest turn while all is new, and of each change, in seconds of processor time; and how
    many objects are disabled."""
    points = {"web": EntryPoint(address="127.0.0.1:0"), "dns": EntryPoint(address="127.0.0.1:0/udp")}
    static = StaticConfiguration(entry_points=points, log=LogSettings(level="ERROR"))
    supervisor, shared = Supervisor(static, folder), Shared.make(1)
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        receiving = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiving.bind(("127.0.0.1", 0))
        ours, theirs = socket.socketpair()
        link = Link(stack.enter_context(ours))
        worker = Worker()
        worker.pipe.start(theirs)
        given = {name: os.dup(each.fileno()) for name, each in (("web", listening), ("dns", receiving))}
        link.send(frame(Setup(0, static, given, os.dup(shared.descriptor), b"s" * 32)))

        async def longest_turn(message: bytes) -> float:
            turns = asyncio.create_task(watch_turns())
            await asyncio.sleep(0)
            applied = await asyncio.to_thread(link.applied, message)
            disabled.add(applied.disabled)
            for _ in range(5):
                await asyncio.sleep(0)
            turns.cancel()
            return await turns

        disabled: set[int] = set()
        write(0)
        last = supervisor.read()
        first, turns = await longest_turn(frame(State(1, last))), []
        for number in range(1, changes + 1):
            write(number)
            now = supervisor.read()
            turns.append(await longest_turn(frame(Change(number + 1, delta.difference(last, now)))))
            last = now
        link.send(frame(Abort()))
        await worker.ended
        return first, turns, max(disabled)


async def watch_turns() -> float:
    """Until cancelled, look at each turn of the loop; returns the longest."""
    longest, last = 0.0, time.thread_time()
    try:
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now
    except asyncio.CancelledError:
        return longest


# -- the verdict ---------------------------------------------------------------------------------------------


def measure(folder: Path, name: str, routers: int, changes: int) -> Iterator[tuple[bool, str]]:
    """Yield (kept, what was found)."""
    estate = ESTATES[name]
    count = routers or estate.count
    write = estate.prepare(folder, count)
    supervisor, worker, answers = costs_of_processes(folder, write, changes)
    told = f"median {median(worker) * 1000:.1f} ms, worst {max(worker) * 1000:.1f} ms of {changes} changes"
    promise = f"(median <= {WORKER_SECONDS * 1000:.0f} ms)"
    yield median(worker) <= WORKER_SECONDS, f"{name}, {count}: worker: {told} {promise}"
    told = f"median {median(supervisor) * 1000:.1f} ms, worst {max(supervisor) * 1000:.1f} ms"
    print(f"      supervisor: {told}")
    told = f"median {median(answers) * 1000:.1f} ms, worst {max(answers) * 1000:.1f} ms"
    print(f"      longest answer meanwhile: {told}")
    first, turns, disabled = loops.run(longest_turns(folder, write, changes))
    told = f"median {median(turns) * 1000:.2f} ms, longest {max(turns) * 1000:.2f} ms"
    yield max(turns) <= TURN_SECONDS, f"longest turn of its loop: {told} (<= {TURN_SECONDS * 1000:.0f} ms)"
    yield disabled == 0, f"{disabled} objects are disabled"
    print(f"      longest turn while all is new: {first * 1000:.1f} ms")


def all_measured(given: argparse.Namespace) -> Iterator[tuple[bool, str]]:
    for name in given.only.split(","):
        with tempfile.TemporaryDirectory(prefix="fastproxy-cost-") as folder:
            yield from measure(Path(folder), name, given.routers, given.changes)


def main() -> int:
    end_on_signal()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ",".join(ESTATES)
    parser.add_argument("--only", default="http", metavar="NAMES", help=f"of {names}; default http")
    parser.add_argument("--routers", type=int, default=0, metavar="N", help="default 10000 or 2000")
    parser.add_argument("--changes", type=int, default=50, metavar="N")
    given = parser.parse_args()
    if unknown := set(given.only.split(",")) - ESTATES.keys():
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(ESTATES)}")
    return judge(all_measured(given))


if __name__ == "__main__":
    sys.exit(main())
