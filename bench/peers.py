"""fastproxy beside nginx and HAProxy: what a request costs each of them.

One worker each on one core; wrk and an nginx backend on another. The figure is processor time of the proxy's
whole process tree per request, median of alternating rounds. All runs on 127.0.0.1 and stops by itself.

    python bench/peers.py --only small,browser --rounds 3
    python bench/peers.py --proxies nginx,haproxy --quick

Exits 1 when an answer was wrong or missing; targets that were not reached are printed, not punished.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from rig import cases, configs, fleet, idle, machine, report, streams
from rig.change import every_second
from rig.load import run_wrk
from rig.processes import end_on_signal, raise_open_files

QUICK = {"rounds": 2, "seconds": 1.0}
FULL = {"rounds": 5, "seconds": 3.0}
CALM = 0.05     # of a core: with so much work of others on the two cores, figures still say something
TRIES = 3


class Bench:
    """One run: where it stands, what it measures, what it found."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.proxy_core, self.load_core = machine.two_cores()
        self.results = report.Results(options.proxies)

    def run_and_tell(self, chosen: list[cases.Case], idle_kinds: list[str]) -> bool:
        """Run; return whether it came to its end. What was measured until then is kept."""
        try:
            self.run(chosen, idle_kinds)
        except (SystemExit, KeyboardInterrupt) as error:
            say(f"ended early: {error or 'interrupted'}")
            return False
        return True

    def run(self, chosen: list[cases.Case], idle_kinds: list[str]) -> None:
        with fleet.backend(self.folder / "backend", self.load_core) as backends:
            # Cases of one kind share their proxies. Those that differ in the number of names, or in the log,
            # run side by side, so that a slow minute of the machine hits them all.
            for kind, group in groupby(chosen, key=kind_of):
                if kind == "streams":
                    self.stream_group(list(group))
                else:
                    self.group(list(group), backends, together=kind in ("hosts", "logs"))
            for name in idle_kinds:
                self.idle(name, backends)

    def group(self, group: list[cases.Case], backends: tuple[int, int], together: bool) -> None:
        with ExitStack() as stack:
            running = {}
            is_secure = group[0].load.is_secure
            for hosts, log in sorted({(case.hosts, case.log) for case in group}):
                for kind in self.proxies(log):
                    made = self.proxy(kind, backends, hosts, log, is_secure)
                    running[hosts, log, kind] = stack.enter_context(made)
            for cases_at_once in [group] if together else [[case] for case in group]:
                for case in cases_at_once:
                    for kind in self.proxies(case.log):
                        self.load(case, running[case.hosts, case.log, kind], 1.0)       # warm, not counted
                for number in range(self.options.rounds):
                    say(f"{', '.join(case.name for case in cases_at_once)}: round {number + 1}")
                    for case in cases_at_once:
                        for kind in in_turn(self.proxies(case.log), number):
                            self.measure(case, running[case.hosts, case.log, kind])

    def stream_group(self, group: list[cases.Case]) -> None:
        program = streams.compiled(self.folder)
        with fleet.stream_servers(program, self.folder / "streams-log", self.load_core) as ports:
            for case in group:
                with ExitStack() as stack:
                    running = [stack.enter_context(self.stream_proxy(kind, case.load, ports))
                               for kind in streams.kinds(case.load, self.options.proxies)]
                    for proxy in running:
                        self.load(case, proxy, 1.0)     # warm, not counted
                    for number in range(self.options.rounds):
                        say(f"{case.name}: round {number + 1}")
                        for proxy in in_turn(running, number):
                            self.measure(case, proxy)

    def stream_proxy(self, kind: str, load: streams.Stream, ports: dict[str, int]):
        folder = self.folder / f"{kind}-{len(os.listdir(self.folder))}"
        return fleet.stream_proxy(kind, folder, {self.proxy_core}, ports[load.server], load)

    def proxies(self, log: str) -> list[str]:
        """Return those that can be measured with such a log, "" for none."""
        return [kind for kind in self.options.proxies if not (log and kind in configs.WITHOUT_LOG)]

    def proxy(self, kind: str, backends: tuple[int, int], hosts: int, log: str = "", is_secure: bool = False):
        folder = self.folder / f"{kind}-{hosts}-{len(os.listdir(self.folder))}"
        return fleet.proxy(kind, folder, {self.proxy_core}, backends, hosts, log=log, is_secure=is_secure)

    def load(self, case: cases.Case, proxy: fleet.Running, seconds: float):
        if isinstance(case.load, streams.Stream):
            program = streams.compiled(self.folder)
            return streams.run(program, case.load, proxy.port, seconds, self.load_core)
        return run_wrk(case.load, proxy.port, seconds, self.load_core, proxy.site.folder)

    def measure(self, case: cases.Case, proxy: fleet.Running) -> None:
        """Measure one round; one that others disturbed is measured again, and the calmest counts."""
        tries = []
        while len(tries) < TRIES and (not tries or tries[-1].disturbed > CALM):
            tries.append(self.one_round(case, proxy))
        self.results.figure(case.name, proxy.kind).add(min(tries, key=lambda found: found.disturbed))

    def one_round(self, case: cases.Case, proxy: fleet.Running) -> report.Round:
        with ExitStack() as stack:
            if case.changing:
                stack.enter_context(every_second(proxy))
            strangers = machine.Strangers((self.proxy_core, self.load_core))
            before = machine.cpu_of(proxy.pid)
            outcome = self.load(case, proxy, self.options.seconds)
            used = machine.cpu_of(proxy.pid).since(before)
            return report.Round(outcome, used, machine.memory_of(proxy.pid), strangers.share())

    def idle(self, name: str, backends: tuple[int, int]) -> None:
        found = self.results.idle.setdefault(name, {})
        for kind in self.options.proxies:
            say(f"{name}: {kind}")
            with self.proxy(kind, backends, 0, is_secure=name == cases.IDLE_TLS) as proxy:
                found[kind] = idle.bytes_per_connection(proxy, cases.IDLE_CONNECTIONS)


def in_turn(proxies: list, number: int) -> list:
    """Return them in the order of one round: whoever always went first would pay for the pause before it."""
    first = number % len(proxies)
    turned = proxies[first:] + proxies[:first]
    return turned[::-1] if number // len(proxies) % 2 else turned


def kind_of(case: cases.Case) -> str:
    """Return what cases of one group have in common; what logs are compared with is the first of all."""
    if case.log or case is cases.CASES[0]:
        return "logs"
    if isinstance(case.load, streams.Stream):
        return "streams"
    if case.load.is_secure:
        return "secure"
    return "changing" if case.changing else "hosts" if case.hosts else "plain"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def listed(allowed: list[str]):
    """Return a type for argparse: names of *allowed* with commas between them."""
    def read(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in allowed]
        if unknown or not names:
            found = ", ".join(unknown) or "nothing"
            raise argparse.ArgumentTypeError(f"{found} given; known: {', '.join(allowed)}")
        return [name for name in allowed if name in names]
    return read


def options() -> argparse.Namespace:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    known = list(configs.COMMANDS)
    parser.add_argument("--only", type=listed(cases.NAMES), default=cases.NAMES, metavar="CASE,...",
                        help=f"of {', '.join(cases.NAMES)}")
    parser.add_argument("--proxies", type=listed(known), default=known, metavar="NAME,...",
                        help=f"of {', '.join(known)}")
    parser.add_argument("--rounds", type=int, help=f"default {FULL['rounds']}")
    parser.add_argument("--seconds", type=float, 
                        help=f"of load in a round, a whole number, default {FULL['seconds']:.0f}")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there too")
    given = parser.parse_args()
    for name, value in (QUICK if given.quick else FULL).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def main() -> int:
    end_on_signal()
    given = options()
    machine.need("nginx", "wrk", *given.proxies)
    raise_open_files(configs.OPEN_FILES)
    chosen = [case for case in cases.CASES if case.name in given.only]
    if "nginx" in given.proxies and any(kind_of(case) == "streams" for case in chosen):
        streams.nginx_module()
    with tempfile.TemporaryDirectory(prefix="fastproxy-bench-") as folder:
        bench = Bench(Path(folder), given)
        os.sched_setaffinity(0, {bench.load_core})
        whole = bench.run_and_tell(
            chosen, [name for name in (cases.IDLE, cases.IDLE_TLS) if name in given.only]
        )
    about = machine.describe() | {"rounds": str(given.rounds), "seconds": str(given.seconds)}
    print("\n".join(f"{name}: {value}" for name, value in about.items()))
    print(report.table(bench.results, chosen), end="\n\n")
    print("\n".join(report.verdicts(bench.results, chosen)))
    failures = bench.results.failures()
    print("".join(f"FAILED  {line}\n" for line in failures), end="")
    if given.json:
        given.json.write_text(json.dumps({"about": about} | bench.results.as_json(), indent=1))
    # nginx drops idle connections when it takes a new configuration; that is its figure, not our failure.
    good = whole and all(line.startswith("changing, nginx") for line in failures)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
