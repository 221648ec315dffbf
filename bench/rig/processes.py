"""Start a server pinned to a core, wait until it answers, stop it whatever happens."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

STOP_WITHIN = 15.0      # seconds between asking a server to end and making it


def free_ports(count: int) -> tuple[int, ...]:
    """Return different ports of 127.0.0.1 that nobody listened on a moment ago."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return tuple(listener.getsockname()[1] for listener in listeners)


def on_cores(cores: set[int]) -> Callable[[], None]:
    """Return what a child calls before it becomes the server, so that it and its children stay on *cores*."""
    return lambda: os.sched_setaffinity(0, cores)


@contextmanager
def server(
    command: Sequence[str], *, cores: set[int], log: Path, ready: Callable[[], bool], within: float = 30.0,
):
    """Run *command* until the block ends; yields its process once *ready* says True.

    Raises SystemExit with the end of its output when it ends early or is not ready *within* seconds.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            preexec_fn=on_cores(cores), start_new_session=True,
        )
    try:
        _wait(process, command, log, ready, time.monotonic() + within)
        yield process
    finally:
        if process.poll() is not None:
            print(f"bench: {command[0]} ended by itself, with status {process.returncode}", file=sys.stderr)
        _stop(process)


def _wait(process, command, log: Path, ready: Callable[[], bool], until: float) -> None:
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            state = "is not ready" if process.poll() is None else f"ended with status {process.returncode}"
            said = log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"bench: {' '.join(command)} {state}:\n{said}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)      # what it left behind, or itself
    except ProcessLookupError:
        pass
    process.wait()


def raise_open_files(need: int) -> None:
    """Allow this process and its children *need* open files. Raises SystemExit when the machine does not."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < need:
        raise SystemExit(f"bench: {hard} open files allowed, {need} needed; raise the limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))


def end_on_signal() -> None:
    """Let TERM end the program like an exception does, so that everything started is stopped."""
    def leave(number, frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, leave)
