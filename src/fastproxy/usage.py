"""What a process uses of the machine."""

import mmap
from pathlib import Path


def held_by(pid: int) -> int:
    """Return the memory of a process's own in bytes, without what it shares; 0 if it is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * mmap.PAGESIZE


def mebibytes(count: int) -> str:
    """Say how many bytes there are: `64.0 MiB`."""
    return f"{count / (1 << 20):.1f} MiB"
