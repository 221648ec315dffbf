"""Programs of ours, each a process of its own: how they are started, and how they ended."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""What the supervisor handles. A program starts with them blocked, until it has said what they mean to it."""


def start_program(
    command: Sequence[str],
    descriptors: Sequence[int],
    environment: Mapping[str, str],
    stdin: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that inherits these descriptors, under their numbers. OSError if that cannot be.

    stdin: as for Popen; None: it has ours.
    """
    with _blocked_signals():
        return subprocess.Popen(command, stdin=stdin, pass_fds=tuple(descriptors), env=environment)


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Let what is started meanwhile have our signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ending_of(status: int) -> str:
    """Say how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
