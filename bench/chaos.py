"""Chaos: what requests feel while the proxy is reloaded, killed, upgraded and scaled, all at random.

64 connections ask all the time while, at moments that the seed decides, the configuration is reloaded, a
worker is killed (-9), the program is upgraded in place (USR2), and there is one worker more or fewer (TTIN,
TTOU). A request may fail for one reason only: its connection was in a worker when that was killed. To know
which were, the worker is stopped first, its sockets are looked up in the system's table of connections, and
only then it is killed.

In a second phase echo connections behind an upgrade talk over reloads; none of them may end.

    python bench/chaos.py --seed 1

Exits 1 when any other request failed, or when an event did not come about.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop

from rig.clients import Clients, Echoes, Failure
from rig.processes import end_on_signal, free_ports, raise_open_files
from rig.promises import judge

WITHIN = 60.0           # seconds in which anything has to come about
SHOWN = 10              # failures that are told one by one
ECHO = Path(__file__).parent / "rig" / "echo.py"

STATIC = """\
entryPoints:
  web:
    address: "127.0.0.1:{port}"
    transport:
      lifeCycle: {{graceTimeOut: 5s}}
providers:
  providersThrottleDuration: 0
  file: {{filename: {folder}/dynamic.yml}}
core: {{workers: {workers}}}
"""

DYNAMIC = """\
http:
  routers:
    all: {{rule: "PathPrefix(`/`)", service: all}}
    changes: {{rule: "Path(`/{generation}`)", service: all}}
  services:
    all: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{backend}"}}]}}}}
"""


class Proxy:
    """The proxy under attack: whichever supervisor is in charge now, and its log."""

    def __init__(self, folder: Path, port: int, backend: int, workers: int) -> None:
        self.folder, self.port, self._backend = folder, port, backend
        self._generation = 0
        self.pid = 0
        self.done: Counter[str] = Counter()
        (folder / "fastproxy.yml").write_text(STATIC.format(port=port, folder=folder, workers=workers))
        self.reload()
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fastproxy", f"--configFile={folder}/fastproxy.yml"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        self.pid = self._process.pid

    # -- what is done to it ------------------------------------------------------------------------------

    def reload(self) -> None:
        """Change the configuration."""
        self._generation += 1
        new = self.folder / "dynamic.new"
        new.write_text(DYNAMIC.format(generation=self._generation, backend=self._backend))
        new.rename(self.folder / "dynamic.yml")
        if self.pid:
            os.kill(self.pid, signal.SIGHUP)    # the watcher takes changes within 0.1 s for one
        self.done["reload"] += 1

    async def upgrade(self) -> None:
        """Upgrade in place, and wait until the new program is in charge."""
        before = len(self.told(r"process \d+ has taken over"))
        serving = len(self.told("fastproxy is ready"))
        os.kill(self.pid, signal.SIGUSR2)
        await self.until(r"process (\d+) has taken over|the upgrade failed", before + 1)
        self.pid = int(self.told(r"process (\d+) has taken over")[-1])
        await self.until("fastproxy is ready", serving + 1)
        self.done["upgrade"] += 1

    def scale(self, more: bool) -> None:
        os.kill(self.pid, signal.SIGTTIN if more else signal.SIGTTOU)
        self.done["TTIN" if more else "TTOU"] += 1

    async def kill(self, chance: random.Random, clients: Clients) -> None:
        """Kill a worker; the clients learn which of their connections it had."""
        while not (workers := self.workers()):
            await asyncio.sleep(0.01)
        victim = chance.choice(workers)
        os.kill(victim, signal.SIGSTOP)
        while state_of(victim) not in "TZX":
            await asyncio.sleep(0)
        clients.doom(clients_of(victim, self.port))
        os.kill(victim, signal.SIGKILL)
        self.done["kill"] += 1

    # -- looking at it -----------------------------------------------------------------------------------

    def workers(self) -> list[int]:
        """Return the workers of whoever is in charge that have begun to serve."""
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [pid for pid in map(int, children) if is_worker(pid)]
        return []

    def told(self, pattern: str) -> list[str]:
        """Return what a pattern finds in the log."""
        return re.findall(pattern, self._log.read_text(errors="replace"))

    async def until(self, pattern: str, count: int = 1) -> None:
        """Wait until the log says something so often. SystemExit if it does not."""
        end = time.monotonic() + WITHIN
        while len(self.told(pattern)) < count:
            if time.monotonic() > end:
                text = self._log.read_text(errors="replace")[-3000:]
                raise SystemExit(f"chaos: waited in vain for {pattern!r}, {count} times:\n{text}")
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + 15.0
        while state_of(self.pid) not in "ZX" and time.monotonic() < end:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def state_of(pid: int) -> str:
    """Return what a process does, as /proc/PID/stat has it; X for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def is_worker(pid: int) -> bool:
    """Say whether a process is a worker that lives."""
    try:
        return b"fastproxy.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def clients_of(pid: int, port: int) -> set[int]:
    """Return the clients' ports of the connections to *port* that a process holds."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there, inode = fields[1], fields[2], fields[9]
        if int(here.rpartition(":")[2], 16) == port and f"socket:[{inode}]" in inodes:
            found.add(int(there.rpartition(":")[2], 16))
    return found


# --- what happens -----------------------------------------------------------------------------------------


def plan(given: argparse.Namespace, chance: random.Random) -> list[tuple[float, str]]:
    """Return what is to happen and when, in seconds."""
    wanted = {"reload": given.reloads, "kill": given.kills, "TTIN": given.scalings, "TTOU": given.scalings}
    kinds = [kind for kind, count in wanted.items() for _ in range(count)]
    events = [(chance.uniform(0.02, 0.95) * given.seconds, kind) for kind in kinds]
    share = given.seconds * 0.9 / max(given.upgrades, 1)    # a new program takes a second or two to be there
    events += [((at + chance.uniform(0.1, 0.6)) * share, "upgrade") for at in range(given.upgrades)]
    return sorted(events)


async def wreak(proxy: Proxy, clients: Clients, given: argparse.Namespace, chance: random.Random) -> None:
    """Let everything happen in its time."""
    began = time.monotonic()
    upgrades: list[asyncio.Task[None]] = []
    for at, kind in plan(given, chance):
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        if kind == "reload":
            proxy.reload()
        elif kind == "kill":
            await proxy.kill(chance, clients)
        elif kind == "upgrade":
            await asyncio.gather(*upgrades)
            upgrades = [asyncio.create_task(proxy.upgrade())]
        else:
            proxy.scale(kind == "TTIN")
    await asyncio.gather(*upgrades)
    await asyncio.sleep(max(0.0, began + given.seconds - time.monotonic()))


async def load(proxy: Proxy, given: argparse.Namespace, chance: random.Random) -> list[tuple[bool, str]]:
    """The first phase. Returns (reached, what was found) for each promise."""
    clients, over = Clients(proxy.port, given.connections, given.seed), asyncio.Event()
    asking = asyncio.create_task(clients.run(over))
    try:
        await wreak(proxy, clients, given, chance)
    finally:
        over.set()
        await asking
    fates = clients.fates
    missed = [each for each in fates.failures if not each.excused]
    total = fates.answered + len(fates.failures)
    found = (
        f"failed requests: {len(fates.failures)} of {total}, {fates.excused} of them in flight in a killed "
        f"worker, {len(missed)} otherwise; {fates.reconnected} idle connections had ended"
    )
    wanted = {"reload": given.reloads + 1, "kill": given.kills, "upgrade": given.upgrades,
              "TTIN": given.scalings, "TTOU": given.scalings}
    happened = ", ".join(f"{proxy.done[kind]} {kind}" for kind in wanted)
    applied = len(proxy.told("configuration serves"))
    return [
        (not missed and fates.answered > 0, "\n".join([found, *map(shown, missed[:SHOWN])])),
        (all(proxy.done[kind] >= count for kind, count in wanted.items()),
         f"events: {happened}; the log tells of {applied} configurations that serve"),
    ]


def shown(failure: Failure) -> str:
    return f"        {failure.at:.3f} s: {failure.what}"


async def talk(proxy: Proxy, given: argparse.Namespace, chance: random.Random) -> list[tuple[bool, str]]:
    """The second phase."""
    echoes, over = Echoes(proxy.port, given.connections, given.seed), asyncio.Event()
    talking = asyncio.create_task(echoes.run(over))
    try:
        for _ in range(given.connections):
            await echoes.open.acquire()
        before = len(proxy.told("configuration serves"))
        began = time.monotonic()
        for at in sorted(chance.uniform(0.0, given.echo_seconds) for _ in range(given.echo_reloads)):
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            proxy.reload()
        await asyncio.sleep(max(0.0, began + given.echo_seconds - time.monotonic()))
    finally:
        over.set()
        await talking
    applied = len(proxy.told("configuration serves")) - before
    what = "; ".join(echoes.dropped[:SHOWN])
    found = (
        f"echo connections dropped: {len(echoes.dropped)} of {given.connections} over {given.echo_reloads} "
        f"reloads ({applied} told), {echoes.echoed} echoes {what}"
    )
    return [(not echoes.dropped and echoes.echoed > 0, found.strip())]


# --- the program --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def backend() -> Iterator[int]:
    """Run the backend; yields its port."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, str(ECHO)], stdin=pipe, stdout=pipe) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def attack(given: argparse.Namespace, folder: Path) -> list[tuple[bool, str]]:
    chance = random.Random(given.seed)
    [port] = free_ports(1)
    with backend() as backend_port:
        proxy = Proxy(folder, port, backend_port, given.workers)
        try:
            await proxy.until("fastproxy is ready")
            found = await load(proxy, given, chance) + await talk(proxy, given, chance)
            crashes = [line for line in proxy.told(r".* died: .*|.*Traceback.*") if "SIGKILL" not in line]
            told = f"workers that died by themselves: {len(crashes)}"
            found.append((not crashes, "\n".join([told, *crashes])))
        finally:
            proxy.stop()
            if given.log:
                Path(given.log).write_bytes((folder / "log").read_bytes())
    return found


def options() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--seed", type=int, default=1, help="decides every moment and every victim")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=64, metavar="N")
    parser.add_argument("--workers", type=int, default=2, metavar="N")
    parser.add_argument("--reloads", type=int, default=300, metavar="N")
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--upgrades", type=int, default=5, metavar="N")
    parser.add_argument("--scalings", type=int, default=6, metavar="N", help="of each of TTIN and TTOU")
    parser.add_argument("--echo-seconds", type=float, default=20.0, metavar="S", help="of the second phase")
    parser.add_argument("--echo-reloads", type=int, default=100, metavar="N")
    parser.add_argument("--log", default="", metavar="FILE", help="where to leave the proxy's log")
    return parser.parse_args()


def main() -> int:
    end_on_signal()
    given = options()
    raise_open_files(4096)
    with tempfile.TemporaryDirectory(prefix="fastproxy-chaos-") as folder:
        found = uvloop.run(attack(given, Path(folder)))
    return judge(found)


if __name__ == "__main__":
    sys.exit(main())
