"""Promises that a program measures: told one by one, as soon as each is known."""

from collections.abc import Iterable


def judge(found: Iterable[tuple[bool, str]]) -> int:
    """Print PASS or MISS and what was found of each promise; return the exit status: 1 if one was missed."""
    good = True
    for kept, told in found:
        print(f"{'PASS' if kept else 'MISS'}  {told}", flush=True)
        good = good and kept
    return 0 if good else 1
