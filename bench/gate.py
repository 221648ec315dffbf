"""Compare what the compiled half gains over its plain twins with what it gained when the ratios were saved.

Reads the JSON of pytest-benchmark. In each group a benchmark with "compiled" in its name has a partner of the
same name with "twin" in that place; the figure is the shortest time of the one to that of the other. A
machine that is slow today is slow for both.

    python bench/gate.py build/benchmarks.json            exits 1 when a ratio grew by more than a tenth
    python bench/gate.py build/benchmarks.json --save     writes bench/ratios.json
"""

import argparse
import json
import re
import sys
from pathlib import Path

SAVED = Path(__file__).with_name("ratios.json")
MAY_GROW = 1.10
SIDE = re.compile(r"[-_]?compiled|\[compiled\]")


def ratios_of(benchmarks: list[dict]) -> dict[str, float]:
    """Return compiled to twin by "group: name". Raises SystemExit for a compiled one without a twin."""
    shortest = {(found["group"], found["name"]): found["stats"]["min"] for found in benchmarks}
    ratios = {}
    for (group, name), seconds in shortest.items():
        if "compiled" in name:
            twin = shortest.get((group, name.replace("compiled", "twin")))
            if twin is None:
                raise SystemExit(f"gate: {group}: {name} has no partner {name.replace('compiled', 'twin')}")
            ratios[f"{group}: {SIDE.sub('', name).removeprefix('test_')}"] = seconds / twin
    return ratios


def judged(now: dict[str, float], saved: dict[str, float]) -> tuple[list[str], bool]:
    """Return a line for each ratio, and whether all are good; one that was saved must be measured."""
    lines, good = [], True
    for name in sorted(now.keys() | saved.keys()):
        if name not in now:
            lines.append(f"GONE  {name}: saved, but not measured; take it out of {SAVED.name} if so meant")
            good = False
        elif name not in saved:
            lines.append(f"NEW   {name}: {now[name]:.4g} of the twin; --save keeps it")
        else:
            grown = now[name] / saved[name]
            word = "PASS" if grown <= MAY_GROW else "FAIL"
            found = f"{now[name]:.4g} of the twin, saved {saved[name]:.4g}: {grown:.2f}x"
            lines.append(f"{word}  {name}: {found}")
            good = good and grown <= MAY_GROW
    return lines, good


def main() -> int:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("benchmarks", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--save", action="store_true", help=f"keep these ratios in {SAVED.name}")
    given = parser.parse_args()
    now = ratios_of(json.loads(given.benchmarks.read_text())["benchmarks"])
    if not now:
        raise SystemExit(f"gate: {given.benchmarks} has no benchmark with \"compiled\" in its name")
    if given.save:
        rounded = {name: float(f"{ratio:.4g}") for name, ratio in sorted(now.items())}
        SAVED.write_text(json.dumps(rounded, indent=2) + "\n")
    lines, good = judged(now, json.loads(SAVED.read_text()) if SAVED.exists() else {})
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
