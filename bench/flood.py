"""Slow clients against a limit of connections: what those who ask at once feel of them.

64 connections ask all the time; beside them thousands dribble heads that never end, five times as many as
the limit lets in.

    python bench/flood.py --slow 5000 --limit 1000 --seconds 15

Exits 1 when a request of the good clients failed, or their p99 is more than three times what it is without
the others.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from rig import configs, fleet, machine
from rig.load import Load, Outcome, run_wrk
from rig.processes import end_on_signal, free_ports, on_cores, raise_open_files, server
from rig.promises import judge

P99_TIMES = 3.0     # of the quiet run, at most
ROUNDS = 3          # of each, in turn

LORIS = str(Path(__file__).parent / "rig" / "loris.py")


def command(folder: Path, port: int, backends: tuple[int, int], limit: int) -> list[str]:
    """Write a fastproxy with a limit of connections; return what starts it."""
    made = configs.fastproxy(configs.Site(folder, port, backends, []))
    static = folder / "static.yml"
    static.write_text(static.read_text() + f"  limits: {{connections: {limit}}}\n")     # under core
    return made


def measure(given: argparse.Namespace, folder: Path) -> Iterator[tuple[bool, str]]:
    """Yield (kept, what was found)."""
    proxy_core, load_core = machine.two_cores()
    quiet: list[Outcome] = []
    busy: list[Outcome] = []
    with fleet.backend(folder / "backend", load_core) as backends:
        [port] = free_ports(1)
        (folder / "proxy").mkdir()
        start = command(folder / "proxy", port, backends, given.limit)
        ready = lambda: fleet.status_of(port, "/small") == 200          # noqa: E731
        with server(start, cores={proxy_core}, log=folder / "proxy" / "log", ready=ready):
            load = Load(connections=given.connections)
            run_wrk(load, port, 2.0, load_core, folder)
            for _ in range(ROUNDS):
                quiet.append(run_wrk(load, port, given.seconds / 3, load_core, folder))
                with flood(port, given.slow, given.seconds + 3, load_core) as slow:
                    busy.append(run_wrk(load, port, given.seconds, load_core, folder))
                    told = slow.communicate(timeout=given.seconds + 30)[0].strip()
                print(f"      slow clients: {told}", flush=True)
    failed = sum(outcome.failed for outcome in busy)
    complaints = "; ".join(line for outcome in busy for line in outcome.failures)
    asked = sum(outcome.requests for outcome in busy)
    yield failed == 0, f"failed requests: {failed} of {asked} {complaints}".strip()
    calm, under = (median(each.p99 for each in outcomes) for outcomes in (quiet, busy))
    found = f"p99: {under:.2f} ms among slow clients, {calm:.2f} ms without: {under / calm:.2f}x"
    yield under <= P99_TIMES * calm, f"{found} (<= {P99_TIMES:.0f}x)"


def flood(port: int, slow: int, seconds: float, core: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, LORIS, str(port), str(slow), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, preexec_fn=on_cores({core}))


def main() -> int:
    end_on_signal()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slow", type=int, default=5000, metavar="N", help="clients that dribble")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="core.limits.connections")
    parser.add_argument("--connections", type=int, default=64, metavar="N", help="of good clients")
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    machine.need("nginx", "wrk")
    raise_open_files(configs.OPEN_FILES)
    with tempfile.TemporaryDirectory(prefix="fastproxy-flood-") as folder:
        return judge(measure(given, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
