"""What one changed router among many costs: processor time of a worker, and for how long its loop is blocked.

First a whole fastproxy follows a file of which one router changes, again and again: what each process used
for a change is read from the kernel. Then a worker's own work on such a change (read the message, build,
swap, settle) is done in this process, between the turns of a loop that counts the processor time of each
turn: what it waits for the processor is nobody's fault and does not count.

    python bench/reload_cost.py --routers 10000 --changes 50

Exits 1 when a change costs a worker more than 150 ms in the median, or a turn of the loop takes more than
20 ms.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from fastproxy import loops
from fastproxy.config import delta
from fastproxy.config.document import decode
from fastproxy.config.dynamic import Configuration
from fastproxy.config.findings import Findings
from fastproxy.config.merge import Merger
from fastproxy.config.static import StaticConfiguration
from fastproxy.pipe import Change, Frames, State, ToWorker, frame
from fastproxy.switcher import Switcher
from reload_soak import Log
from rig import configs, machine
from rig.processes import end_on_signal, free_ports, server
from rig.promises import judge

WORKER_SECONDS = 0.150
TURN_SECONDS = 0.020


# -- processes -----------------------------------------------------------------------------------------------


def used_by(pid: int) -> float:
    """Return the processor time of all threads of a process, in seconds (schedstat counts nanoseconds)."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9


def costs_of_processes(folder: Path, routers: int, changes: int) -> tuple[list[float], list[float]]:
    """Return what each change cost the supervisor and its one worker, in seconds."""
    [port] = free_ports(1)
    site = configs.Site(folder, port, (9, 9), configs.host_names(routers))
    command = configs.fastproxy(site)
    static = folder / "static.yml"
    static.write_text(static.read_text().replace("500ms", "0"))
    log = folder / "log"
    ready = lambda: "fastproxy is ready" in log.read_text()         # noqa: E731
    supervisor, worker = [], []
    with server(command, cores=os.sched_getaffinity(0), log=log, ready=ready, within=60) as process:
        lines = Log(log)
        lines.wait(1)
        [child] = [pid for pid in machine.tree(process.pid) if pid != process.pid]
        for number in range(changes):
            before = used_by(process.pid), used_by(child)
            configs.fastproxy_routers(site, site.names[number % routers] if number % 2 == 0 else "")
            lines.wait(number + 2)
            time.sleep(0.05)        # what is settled after the swap belongs to it
            supervisor.append(used_by(process.pid) - before[0])
            worker.append(used_by(child) - before[1])
    return supervisor, worker


# -- turns of the loop ---------------------------------------------------------------------------------------


def merged(folder: Path, routers: int, other: str) -> Configuration:
    """Return the configuration of the file that *other* is the changed router of, as workers get it."""
    site = configs.Site(folder, 1, (9, 9), configs.host_names(routers))
    document = {
        "http": {
            "services": {
                name: {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}
                for name, port in zip(("backend", "other"), site.backends, strict=True)
            },
            "routers": {
                f"r{number}": {"rule": f"Host(`{name}`)", "service": "other" if name == other else "backend"}
                for number, name in enumerate(site.names)
            },
        }
    }
    made = decode(document, Findings())
    assert made is not None
    return Merger(StaticConfiguration().with_implicit_entries()).merge({"file": made}).configuration


async def longest_turns(folder: Path, routers: int, changes: int) -> tuple[float, list[float]]:
    """Return the longest turn while all routers are new, and of each change, in seconds of processor time."""
    base, changed = (merged(folder, routers, other) for other in ("", "host-1.bench.example"))
    switcher = Switcher(StaticConfiguration().with_implicit_entries(), owns_process=True)
    frames: Frames[ToWorker] = Frames(ToWorker)

    async def longest_turn(data: bytes) -> float:
        turns = asyncio.create_task(watch_turns())
        await asyncio.sleep(0)
        [message] = frames.feed(data)
        assert isinstance(message, State | Change)
        news = message.configuration if isinstance(message, State) else message.delta
        await switcher.apply(news, message.generation)
        for _ in range(5):
            await asyncio.sleep(0)
        turns.cancel()
        return await turns

    first = await longest_turn(frame(State(1, base)))
    pairs = ((base, changed) if number % 2 == 0 else (changed, base) for number in range(changes))
    changes_of = [delta.difference(*pair) for pair in pairs]
    return first, [await longest_turn(frame(Change(at, each))) for at, each in enumerate(changes_of, 2)]


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


def measure(folder: Path, routers: int, changes: int) -> Iterator[tuple[bool, str]]:
    """Yield (kept, what was found)."""
    supervisor, worker = costs_of_processes(folder, routers, changes)
    told = f"median {median(worker) * 1000:.1f} ms, worst {max(worker) * 1000:.1f} ms of {changes} changes"
    yield median(worker) <= WORKER_SECONDS, f"worker: {told} (median <= {WORKER_SECONDS * 1000:.0f} ms)"
    told = f"median {median(supervisor) * 1000:.1f} ms, worst {max(supervisor) * 1000:.1f} ms"
    print(f"      supervisor: {told}")
    first, turns = loops.run(longest_turns(folder, routers, changes))
    told = f"median {median(turns) * 1000:.2f} ms, longest {max(turns) * 1000:.2f} ms"
    yield max(turns) <= TURN_SECONDS, f"longest turn of its loop: {told} (<= {TURN_SECONDS * 1000:.0f} ms)"
    print(f"      longest turn while all {routers} routers are new: {first * 1000:.1f} ms")


def main() -> int:
    end_on_signal()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routers", type=int, default=10_000, metavar="N")
    parser.add_argument("--changes", type=int, default=50, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fastproxy-cost-") as folder:
        return judge(measure(Path(folder), given.routers, given.changes))


if __name__ == "__main__":
    sys.exit(main())
