"""Reload again and again: what the supervisor and the workers hold afterwards.

A file with 100 routers is replaced by rename, one router changed, as often as asked; each change is waited
for in the log. Memory and descriptors of every process are looked at after 500 changes (or half of them, if
that is fewer) and at the end.

    python bench/reload_soak.py --reloads 10000

Exits 1 when a process holds more than 5 % more memory at the end, or one descriptor more.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rig import configs, machine
from rig.processes import end_on_signal, free_ports, server
from rig.promises import judge

MAY_GROW = 0.05
ROUTERS = 100
GIVE_UP = 20.0      # seconds after which a change counts as never live

STATIC = """
entryPoints:
  web:
    address: "127.0.0.1:{port}"
providers:
  providersThrottleDuration: 0
  file:
    filename: {folder}/dynamic.yml
core:
  workers: 2
"""


class Log:
    """The log of the proxy as it grows."""

    def __init__(self, path: Path) -> None:
        self.stream = path.open()
        self.begun = ""        # of a line that was being written when it was read
        self.served = 0

    def wait(self, until: int) -> None:
        """Wait until that many configurations serve. Raises SystemExit when they do not."""
        end = time.monotonic() + GIVE_UP
        while self.served < until:
            *lines, self.begun = (self.begun + self.stream.read()).split("\n")
            self.served += sum("configuration serves" in line for line in lines)
            if time.monotonic() > end:
                raise SystemExit(f"bench: change {until} is not live after {GIVE_UP:.0f} s")
            time.sleep(0.001)


def held(root: int) -> dict[int, tuple[int, int]]:
    """Return bytes of its own memory and open descriptors of each process."""
    return {
        pid: (private_of(pid), len(os.listdir(f"/proc/{pid}/fd")))
        for pid in machine.tree(root)
    }


def private_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def soak(folder: Path, reloads: int) -> Iterator[tuple[bool, str]]:
    """Yield (kept, what was found) for each process."""
    [port] = free_ports(1)
    site = configs.Site(folder, port, (9, 9), configs.host_names(ROUTERS))
    (folder / "static.yml").write_text(STATIC.format(folder=folder, port=port))
    configs.fastproxy_routers(site)
    log = folder / "log"
    command = [sys.executable, "-m", "fastproxy", f"--configFile={folder}/static.yml"]
    ready = lambda: "fastproxy is ready" in log.read_text()         # noqa: E731
    with server(command, cores=os.sched_getaffinity(0), log=log, ready=ready) as process:
        lines = Log(log)
        lines.wait(1)
        settled = min(500, reloads // 2)
        before: dict[int, tuple[int, int]] = {}
        for number in range(reloads):
            if number == settled:
                before = held(process.pid)
            configs.fastproxy_routers(site, site.names[number // 2 % ROUTERS] if number % 2 == 0 else "")
            lines.wait(number + 2)
        after = held(process.pid)
    for pid, (memory, descriptors) in after.items():
        was, had = before[pid]
        name = "supervisor" if pid == process.pid else f"worker {pid}"
        grown = memory / was - 1
        found = f"{name}: {was / 2**20:.2f} MiB after {settled} reloads, {memory / 2**20:.2f} after {reloads}"
        yield grown <= MAY_GROW, f"{found}: {grown:+.1%} (<= {MAY_GROW:.0%})"
        yield descriptors <= had, f"{name}: {had} descriptors, then {descriptors}"


def main() -> int:
    end_on_signal()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reloads", type=int, default=10_000, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fastproxy-soak-") as folder:
        return judge(soak(Path(folder), given.reloads))


if __name__ == "__main__":
    sys.exit(main())
