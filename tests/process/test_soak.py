"""Changes without end: neither memory nor descriptors grow, and each costs what it changes."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def promised(program, *arguments):
    """Run one of the programs that measure promises; fail with what it says when one is missed."""
    command = [sys.executable, str(BENCH / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout and "MISS" not in done.stdout


@pytest.mark.timeout(180)
def test_hundreds_of_reloads_leave_nothing_behind():
    promised("reload_soak.py", "--reloads", "300")


@pytest.mark.timeout(180)
def test_a_change_of_one_router_among_thousands_costs_little_and_blocks_nobody():
    promised("reload_cost.py", "--routers", "3000", "--changes", "6")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["https", "tcp", "udp", "certificates"])
def test_so_it_is_with_everything_else_of_which_there_may_be_thousands(kind):
    promised("reload_cost.py", "--only", kind, "--routers", "500", "--changes", "4")
