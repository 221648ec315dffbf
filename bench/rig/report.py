"""Figures into a table, and a verdict."""

from dataclasses import asdict, dataclass, field
from statistics import median

from .cases import IDLE, IDLE_TARGET, IDLE_TLS, Case
from .load import Outcome
from .machine import Cpu, Memory

OURS = "fastproxy"


@dataclass(frozen=True)
class Round:
    """What one round of load on one proxy gave."""

    outcome: Outcome
    used: Cpu               # by the proxy's process tree
    memory: Memory          # of that tree, after it
    disturbed: float        # time that others had on our two cores, in cores


@dataclass
class Figure:
    """One proxy in one case, over all rounds. Times in microseconds of CPU per request."""

    case: str
    proxy: str
    totals: list[float] = field(default_factory=list)
    users: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)      # requests per second
    p99s: list[float] = field(default_factory=list)       # milliseconds
    disturbed: list[float] = field(default_factory=list)  # cores that others had meanwhile
    pss: int = 0                                          # bytes, of the tree, after the last round
    failures: list[str] = field(default_factory=list)

    def add(self, found: Round) -> None:
        outcome, requests = found.outcome, max(found.outcome.requests, 1)
        self.totals.append(found.used.total / requests * 1e6)
        self.users.append(found.used.user / requests * 1e6)
        self.rates.append(outcome.requests / outcome.seconds)
        self.p99s.append(outcome.p99)
        self.disturbed.append(found.disturbed)
        self.pss = found.memory.pss
        self.failures += outcome.failures

    @property
    def total(self) -> float:
        return median(self.totals)

    def row(self, ratios: list[str]) -> list[str]:
        spread = f"{min(self.totals):.2f}-{max(self.totals):.2f}"
        return [
            self.proxy, f"{self.total:.2f}", f"{median(self.users):.2f}", spread, *ratios,
            f"{median(self.rates):.0f}", f"{median(self.p99s):.2f}", f"{self.pss / 2**20:.1f}",
            f"{median(self.disturbed):.0%}",
        ]


@dataclass
class Results:
    """All figures of a run."""

    proxies: list[str]
    figures: dict[tuple[str, str], Figure] = field(default_factory=dict)      # by case and proxy
    idle: dict[str, dict[str, float]] = field(default_factory=dict)           # bytes per connection, likewise

    def figure(self, case: str, proxy: str) -> Figure:
        return self.figures.setdefault((case, proxy), Figure(case, proxy))

    def measured(self, case: str) -> list[str]:
        """Return the proxies that have a figure in a case."""
        return [proxy for name, proxy in self.figures if name == case]

    def ratio(self, case: str, proxy: str, peer: str) -> float | None:
        """Return CPU per request of *proxy* to that of *peer*, which may also be another case of *proxy*."""
        ours = self.figures.get((case, proxy))
        theirs = self.figures.get((case, peer)) or self.figures.get((peer, proxy))
        return ours.total / theirs.total if ours and theirs else None

    def has_failed(self, case: str, proxy: str) -> bool:
        return (case, proxy) in self.figures and bool(self.figures[case, proxy].failures)

    def failures(self) -> list[str]:
        figures = self.figures.values()
        return [f"{figure.case}, {figure.proxy}: {line}" for figure in figures for line in figure.failures]

    def as_json(self) -> dict:
        return {"figures": [asdict(figure) | {"total": figure.total} for figure in self.figures.values()],
                "idle_bytes_per_connection": self.idle, "failures": self.failures()}


def table(results: Results, cases: list[Case]) -> str:
    """Return the figures, a block for each case.

    `user` is part of the CPU, `rounds` its lowest and highest; `others` is what other processes took of the
    two cores meanwhile, in cores: where it is not near 0 %, measure again when the machine is quiet.
    """
    lines = []
    for case in cases:
        proxies = results.measured(case.name)       # none if the run ended before
        peers = [proxy for proxy in proxies if proxy != OURS]
        to_peers = [f"to {peer}" for peer in peers]
        rows = [["", "CPU us/req", "user", "rounds", *to_peers, "req/s", "p99 ms", "PSS MiB", "others"]]
        for proxy in proxies:
            ratios = [results.ratio(case.name, proxy, peer) for peer in peers]
            shown = [f"{ratio:.3f}" if ratio else "-" for ratio in ratios]
            rows.append(results.figure(case.name, proxy).row(shown))
        lines += ["", case.title, *_aligned(rows)]
    for name, found in results.idle.items():
        rows = [["", "bytes"], *([proxy, f"{size:.0f}"] for proxy, size in found.items())]
        over = " over TLS" if name == IDLE_TLS else ""
        lines += ["", f"memory of its own per idle connection{over}", *_aligned(rows)]
    return "\n".join(lines)


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(
        cell.ljust(width) if place == 0 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ) for row in rows]


def verdicts(results: Results, cases: list[Case]) -> list[str]:
    """Return a line for each target that this run can speak of: PASS or MISS, the figure, the target."""
    lines = []
    for case in cases:
        for peer, highest in case.targets.items():
            ratio = results.ratio(case.name, OURS, peer)
            if results.has_failed(case.name, peer):
                lines.append(f"NONE  {case.title}: {peer} failed")
            elif ratio is not None:
                found = f"{case.title}: {ratio:.3f}x {peer} (<= {highest:.2f}x)"
                lines.append(f"{_word(ratio <= highest)}  {found}")
    if OURS in results.idle.get(IDLE, {}):
        size = results.idle[IDLE][OURS]
        lines.append(f"{_word(size <= IDLE_TARGET)}  idle connection: {size:.0f} bytes (<= {IDLE_TARGET})")
    return lines


def _word(good: bool) -> str:
    return "PASS" if good else "MISS"
