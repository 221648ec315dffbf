"""What the kernel says: processor time and memory of a tree of processes, and the machine they ran on."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """Processor time of a process tree, in seconds. `user` is part of `total`."""

    user: float
    total: float

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.user - before.user, self.total - before.total)


class Memory(NamedTuple):
    """Memory of a process tree, in bytes."""

    pss: int
    """Its share: what it has for itself, and of each shared page the part that falls to it."""
    uss: int
    """What only it has: what would come free if it ended."""


def two_cores() -> tuple[int, int]:
    """Return the core of the proxy and that of everything else. Raises SystemExit on a machine with one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("bench: one usable core found, two are needed: for the proxy, for load and backend")
    return cores[0], cores[1]


def need(*programs: str) -> None:
    """See that *programs* are installed, in /usr/sbin too. Raises SystemExit with the packages if not."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    packages = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk"}
    missing = [program for program in programs if program in packages and not shutil.which(program)]
    if missing:
        cure = " ".join(packages[program] for program in missing)
        raise SystemExit(f"bench: {', '.join(missing)} not found; on Debian: apt install {cure}")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on: state, parent, ... (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """Return the process *root* and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue        # ended while we looked
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_of(root: int) -> Cpu:
    """Return what the tree under *root* has used so far, children that ended and were waited for included."""
    user = total = 0
    for pid in tree(root):
        try:
            utime, stime, cutime, cstime = map(int, _stat(pid)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            continue
        user += utime + cutime
        total += utime + stime + cutime + cstime
    return Cpu(user / TICKS, total / TICKS)


def memory_of(root: int) -> Memory:
    """Return what the tree under *root* holds now."""
    pss = uss = 0
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
        pss += sizes["Pss"]
        uss += sizes["Private_Clean"] + sizes["Private_Dirty"]
    return Memory(pss, uss)


class Strangers:
    """Counts, from its making on, what processes that do not descend from this one did on *cores*."""

    def __init__(self, cores: tuple[int, ...]) -> None:
        self._cores = cores
        self._began = time.monotonic()
        self._before = self._foreign()

    def share(self) -> float:
        """Return the time others had on the cores since, in cores: 0.25 is a quarter of one."""
        return max(0.0, self._foreign() - self._before) / (time.monotonic() - self._began)

    def _foreign(self) -> float:
        """Return the seconds that the cores were busy and not with us, stolen time included."""
        busy = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name in {f"cpu{core}" for core in self._cores}:
                user, nice, system, _, _, _, _, steal = map(int, ticks[:8])
                busy += user + nice + system + steal
        return busy / TICKS - cpu_of(os.getpid()).total


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def describe() -> dict[str, str]:
    """Return machine and versions: what a table of figures is worth nothing without."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "machine": f"{os.cpu_count()} x {model[0].split(':')[1].strip() if model else platform.machine()}",
        "kernel": platform.release(),
        "nginx": _first_line("nginx", "-v").removeprefix("nginx version: nginx/"),
        "haproxy": _first_line("haproxy", "-v").removeprefix("HAProxy version ").split(" ")[0],
        "wrk": _first_line("wrk", "-v").removeprefix("wrk ").split(" ")[0],
        "python": platform.python_version(),
        "uvloop": _version("uvloop"),
        "cython": _version("cython"),
        "fastproxy": _version("fastproxy"),
    }
