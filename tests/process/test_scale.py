"""One worker more or fewer, and sockets whose own worker does not accept: nobody waits for it."""

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.process.harness import Request, is_alive, routes, static_of, wait_for


@pytest.fixture
def start(launch, backend):
    """Return a function that starts a fastproxy with so many workers."""

    def start(workers, grace="10s"):
        values = static_of(workers=workers, accept="10m", grace=grace, watch="false")
        return launch(values, routes(backend)).ready()

    return start


def asked_often(proxy, count=40):
    """Say whether every one of many new connections is answered; the kernel spreads them over all sockets."""
    return [proxy.get() for _ in range(count)] == [200] * count


def one_more(proxy):
    """Send TTIN and wait for the new worker; returns its process number."""
    before = set(proxy.workers())
    proxy.signal(signal.SIGTTIN)
    wait_for(lambda: set(proxy.workers()) - before)
    (pid,) = set(proxy.workers()) - before
    proxy.until(rf"\(pid {pid}\) serves")
    return pid


def test_sockets_of_a_worker_that_is_not_there_yet_are_served_by_others(start):
    """Without that, whoever the kernel gave to its socket would wait for it."""
    proxy = start(2)
    before = proxy.workers()
    os.kill(before[1], signal.SIGKILL)
    wait_for(lambda: set(proxy.workers()) - set(before))
    (successor,) = set(proxy.workers()) - set(before)
    # Until it is a program of its own whoever started it stands still with it.
    wait_for(lambda: b"fastproxy.worker" in Path(f"/proc/{successor}/cmdline").read_bytes())
    os.kill(successor, signal.SIGSTOP)  # it will not be ready before it is told to go on
    assert asked_often(proxy)
    assert not proxy.matches("in place of the one that died")
    os.kill(successor, signal.SIGCONT)
    proxy.until("in place of the one that died")
    os.kill(before[0], signal.SIGSTOP)  # the successor has its socket back: some connections are served by it
    served = threading.Event()

    def ask():
        if proxy.get() == 200:
            served.set()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for each in threads:
        each.start()
    assert served.wait(10)
    os.kill(before[0], signal.SIGCONT)
    for each in threads:
        each.join()


def test_one_worker_more(start):
    proxy = start(1)
    pid = one_more(proxy)
    proxy.until("SIGTTIN: worker 2 starts, one of 2")
    assert len(proxy.workers()) == 2
    assert asked_often(proxy)
    os.kill(pid, signal.SIGKILL)  # it is replaced like any other
    proxy.until("worker 2 .* serves in place of the one that died")
    assert asked_often(proxy)


def test_one_worker_fewer_loses_nobody(start, backend):
    proxy = start(2)
    slow = [Request(proxy.port, "/slow") for _ in range(10)]
    for _ in slow:
        assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGTTOU)
    proxy.until("SIGTTOU: worker 2 .* ends when its connections have, 1 go on")
    assert asked_often(proxy)  # at once, although requestAcceptGraceTimeout is long
    assert len(proxy.workers()) == 2
    backend.release.set()
    assert [each.status() for each in slow] == [200] * 10
    wait_for(lambda: len(proxy.workers()) == 1)
    assert asked_often(proxy)
    assert not proxy.matches("ERR|WRN")


def test_never_fewer_than_one(start):
    proxy = start(1)
    proxy.signal(signal.SIGTTOU)
    proxy.until("WRN SIGTTOU: no worker fewer: there is one worker only")
    assert asked_often(proxy, 5)


def test_up_and_down_and_up_again(start):
    proxy = start(1)
    for _ in range(2):
        pid = one_more(proxy)
        assert asked_often(proxy)
        proxy.signal(signal.SIGTTOU)
        wait_for(lambda pid=pid: not is_alive(pid))
        assert asked_often(proxy)
    assert not proxy.matches("ERR|WRN")


def test_a_worker_that_leaves_has_no_more_than_the_grace_time(start, backend):
    proxy = start(2, grace="200ms")
    slow = [Request(proxy.port, "/slow") for _ in range(20)]
    for _ in slow:
        assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGTTOU)
    wait_for(lambda: len(proxy.workers()) == 1)
    backend.release.set()
    assert {each.status() for each in slow} == {0, 200}


def test_the_end_comes_for_those_that_leave_too(start, backend):
    proxy = start(2)
    slow = [Request(proxy.port, "/slow") for _ in range(10)]
    for _ in slow:
        assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGTTOU)
    proxy.until("SIGTTOU: ")
    proxy.signal(signal.SIGTERM)
    proxy.until("SIGTERM: stopping")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.is_refused()
    backend.release.set()
    assert {each.status() for each in slow} == {0}
