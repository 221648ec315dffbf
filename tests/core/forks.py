"""Processes that share the memory of a test with it."""

import contextlib
import multiprocessing
import time

_FORK = multiprocessing.get_context("fork")
_PATIENCE = 60.0


def run(*calls):
    """Run each, a function and its arguments, in a process of its own and wait for all."""
    processes = [_FORK.Process(target=call, args=args) for call, *args in calls]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
        assert each.exitcode == 0


@contextlib.contextmanager
def hanging(*calls):
    """Give a process for each, which has come to its end and still holds what it returned."""
    told = _FORK.Semaphore(0)
    processes = [_FORK.Process(target=_hang, args=(told, call, *args)) for call, *args in calls]
    for each in processes:
        each.start()
    try:
        for _ in processes:
            assert told.acquire(timeout=_PATIENCE)
        yield processes
    finally:
        for each in processes:
            each.kill()
            each.join()


def _hang(told, call, *args):
    held = call(*args)
    told.release()
    time.sleep(_PATIENCE)
    del held
