"""Hostile first flights against a proxy in this process: random, mutated, cut, slow, all of them at once.

    python bench/fuzz.py --minutes 10 --seed 1
    make asan ARGS="bench/fuzz.py --minutes 10"

What must hold is told in rig/siege.py. Exits 1 when something does not, and says seed and batch: given as
`--seed` and `--first` they say the same again. Under AddressSanitizer leaks are looked for at the end.
"""

import argparse
import sys
import time

import uvloop

from rig.flights import Flights
from rig.siege import Broken, Siege, has_leaks


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the clock's")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the batch to begin with")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="draw these kinds only")
    given = parser.parse_args()
    siege = Siege(given.seed, Flights(given.only))
    print(f"seed {given.seed}", flush=True)
    try:
        told = uvloop.run(siege.run(given.minutes * 60, given.first))
    except Broken as broken:
        print(f"MISS  {broken}")
        return 1
    for reason, times in told.most_common(40):
        print(f"{times:8}  {reason}")
    said = ", ".join(f"{times} {kind}" for kind, times in sorted(siege.said.items()))
    longest = f"longest turn of the loop {siege.beat.longest:.1f} s"
    print(f"PASS  {siege.batch - given.first} batches: {said}; {longest}", flush=True)
    if has_leaks():
        print("MISS  memory was leaked")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
