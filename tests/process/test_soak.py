"""Changes without end: neither memory nor descriptors grow."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench" / "reload_soak.py"


@pytest.mark.timeout(180)
def test_hundreds_of_reloads_leave_nothing_behind():
    done = subprocess.run(
        [sys.executable, str(BENCH), "--reloads", "300"], capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISS" not in done.stdout
