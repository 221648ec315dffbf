"""Reload under load: what requests feel while one router changes every second, and how soon it is live.

64 connections ask for hosts of a file with 10 000 routers. First the file rests, then it is replaced by
rename once a second with one router changed, then it rests again. A probe asks for that router all the time.

    python bench/reload.py --seconds 30 --routers 10000

Exits 1 when a request failed, the p99 is more than twice the quiet one, or a change took longer than 2 s.
"""

import argparse
import http.client
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from rig import cases, configs, fleet, machine
from rig.change import change
from rig.load import Load, Outcome, hosts_script, run_wrk
from rig.processes import end_on_signal, raise_open_files
from rig.promises import judge

P99_TIMES = 2.0     # of the quiet run, at most
LIVE_WITHIN = 2.0   # seconds from the rename to the first answer of the new service
GIVE_UP = 20.0      # seconds after which a change counts as never live
PROBE_EVERY = 0.005


class Probe:
    """Asks for the router that changes, on a connection of its own, and says which backend answered."""

    def __init__(self, running: fleet.Running) -> None:
        self.host = running.site.names[-1]
        self.connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        self.failures: list[str] = []

    def backend(self) -> int:
        """Return the port of the backend that answers, 0 when none does."""
        try:
            self.connection.request("GET", "/port", headers={"Host": self.host})
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            self.connection.close()
            return 0
        if answer.status != 200:
            self.failures.append(f"status {answer.status}")
            return 0
        return int(body)

    def time_until(self, port: int, since: float) -> float:
        """Return the seconds from *since* until the backend on *port* answers; infinite when it does not."""
        while time.monotonic() < since + GIVE_UP:
            if self.backend() == port:
                return time.monotonic() - since
            time.sleep(PROBE_EVERY)
        return float("inf")


def change_for(running: fleet.Running, probe: Probe, seconds: float) -> list[float]:
    """Change the probed router once a second for *seconds*; return how long each change took to be live."""
    took = []
    over = time.monotonic() + seconds
    to_other = True
    while (began := time.monotonic()) < over:
        change(running, probe.host, to_other)       # ends with the rename
        took.append(probe.time_until(running.site.backends[to_other], time.monotonic()))
        to_other = not to_other
        time.sleep(max(0.0, began + 1.0 - time.monotonic()))
    return took


def verdict(quiet: list[Outcome], busy: Outcome, took: list[float], probe: Probe) -> list[tuple[bool, str]]:
    """Return (reached, what was found) for each promise."""
    calm = median(outcome.p99 for outcome in quiet)
    failed = sum(outcome.failed for outcome in (*quiet, busy)) + len(probe.failures)
    asked = sum(outcome.requests for outcome in (*quiet, busy))
    complaints = [line for outcome in (*quiet, busy) for line in outcome.failures] + probe.failures[:3]
    times = f"{busy.p99:.2f} ms while reloading, {calm:.2f} ms quiet: {busy.p99 / calm:.2f}x"
    live = f"median {median(took):.2f} s, worst {max(took):.2f} s of {len(took)} changes"
    return [
        (failed == 0, f"failed requests: {failed} of {asked} {'; '.join(complaints)}".strip()),
        (busy.p99 <= P99_TIMES * calm, f"p99: {times} (<= {P99_TIMES:.0f}x)"),
        (max(took) <= LIVE_WITHIN, f"live after: {live} (<= {LIVE_WITHIN:.0f} s)"),
    ]


def measure(given: argparse.Namespace, folder: Path) -> list[tuple[bool, str]]:
    _, load_core = machine.two_cores()
    load = Load(connections=given.connections, script=hosts_script(cases.asked_hosts(given.routers)))

    def put_load(seconds: float) -> Outcome:
        return run_wrk(load, running.port, seconds, load_core, folder)

    # The proxy is not pinned: a supervisor that reads a large file may do so beside its worker.
    cores = os.sched_getaffinity(0)
    with (
        fleet.backend(folder / "backend", load_core) as backends,
        fleet.proxy(given.proxy, folder / "proxy", cores, backends, given.routers) as running,
        ThreadPoolExecutor(1) as pool,
    ):
        probe = Probe(running)
        quiet_seconds = max(2.0, given.seconds / 3)
        put_load(2.0)
        before = put_load(quiet_seconds)
        loading = pool.submit(put_load, given.seconds)
        took = change_for(running, probe, given.seconds)
        busy = loading.result()
        return verdict([before, put_load(quiet_seconds)], busy, took, probe)


def options() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--routers", type=int, default=10_000, metavar="N")
    parser.add_argument("--connections", type=int, default=64, metavar="N")
    parser.add_argument("--seconds", type=float, default=30.0, help="of changes, default 30")
    parser.add_argument("--proxy", choices=list(configs.COMMANDS), default="fastproxy")
    return parser.parse_args()


def main() -> int:
    end_on_signal()
    given = options()
    machine.need("nginx", "wrk", given.proxy)
    raise_open_files(configs.OPEN_FILES)
    with tempfile.TemporaryDirectory(prefix="fastproxy-reload-") as folder:
        return judge(measure(given, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
