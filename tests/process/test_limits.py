"""Limits of a whole instance: at each of them serving goes on, and it recovers by itself."""

import contextlib
import os
import re
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.process.harness import Fastproxy, routes

STATIC = """\
entryPoints:
  web: {{address: 127.0.0.1:0}}
providers:
  file: {{filename: dynamic.yml, watch: false}}
core: {{workers: {workers}, limits: {{connections: {connections}, connectionsPerEntryPoint: {here}}}}}
"""

@pytest.fixture
def start(launch, backend):
    """Return a function that starts a fastproxy with limits; files: how many it may have open."""

    def start(*, connections=0, here=0, workers=2, files=0):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        made = launch(STATIC.format(connections=connections, here=here, workers=workers), routes(backend))
        if files:
            # Before it asks: the interpreter has yet to start.
            resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (min(files, before[0]), files))
        return made.ready()

    return start


class Client:
    """A connection that is kept."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)

    def ask(self, path="/"):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
        return self

    def status(self):
        """Return the status of the answer, 0 if there is none."""
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while not answer.endswith(b"ok"):
                data = self.socket.recv(65536)
                if not data:
                    return 0
                answer += data
        return int(answer.split()[1]) if answer else 0

    def has_answer(self, within=0.0):
        self.socket.settimeout(within)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except (BlockingIOError, TimeoutError):
            return False
        finally:
            self.socket.settimeout(30)

    def is_closed(self):
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()


def status_then_close(client):
    status = client.status()
    client.close()
    return status


def silent(port, many):
    """Connect and say nothing."""
    return [Client(port) for _ in range(many)]


# --- connections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [{"connections": 5}, {"here": 5}])
def test_no_more_are_served_than_the_limit_in_all_workers_and_none_is_refused(start, backend, limit):
    proxy = start(**limit)
    clients = [Client(proxy.port).ask("/slow") for _ in range(12)]
    for _ in range(5):
        assert backend.asked.get(timeout=10) == "/slow"
    assert backend.asked.empty()
    proxy.until(r"connections have to wait on entry point web until others end: core.limits.\w+ is 5")
    backend.release.set()
    # A place is free when a client leaves, so each has to before the last can come.
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(status_then_close, clients)) == [200] * 12


def test_a_client_that_leaves_makes_room(start, backend):
    proxy = start(connections=1)
    first, second = Client(proxy.port).ask("/slow"), None
    assert backend.asked.get(timeout=10) == "/slow"
    second = Client(proxy.port).ask("/")
    assert not second.has_answer(0.1)
    first.close()
    assert second.status() == 200


def test_a_killed_worker_leaves_no_count_behind(start, backend):
    proxy = start(connections=3)
    clients = [Client(proxy.port).ask("/slow") for _ in range(3)]
    for _ in clients:
        assert backend.asked.get(timeout=10) == "/slow"
    for worker in proxy.workers():
        os.kill(worker, signal.SIGKILL)
    proxy.until("serves in place", 2)
    again = [Client(proxy.port).ask("/slow") for _ in range(3)]
    for _ in again:
        assert backend.asked.get(timeout=10) == "/slow"
    backend.release.set()
    assert [client.status() for client in again] == [200] * 3
    assert [client.status() for client in clients] == [0] * 3


def test_silent_clients_give_way_to_those_that_ask(start, backend):
    proxy = start(connections=50, workers=1)
    flood = silent(proxy.port, 50)
    assert [proxy.get() for _ in range(20)] == [200] * 20
    assert sum(client.is_closed() for client in flood) >= 1
    proxy.until("connections that did nothing were closed to make room on entry point web: ")
    for client in flood:
        client.close()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0


def test_a_flood_is_told_once_a_second(start):
    proxy = start(connections=10, workers=1)
    began = time.monotonic()
    flood = silent(proxy.port, 60)
    proxy.until("connections have to wait")
    time.sleep(2.2)  # more lines than there may be would come at once; and fewer only in time
    lines = len(proxy.matches("have to wait")) + len(proxy.matches("to make room"))
    assert 1 <= lines <= 2 * (time.monotonic() - began + 1)
    for client in flood:
        client.close()


def test_slow_clients_beyond_a_limit_cost_good_ones_nothing(start, backend):
    """Clients that dribble heads, five times as many as may be there, beside some that ask all the time."""
    proxy = start(connections=100, workers=2)
    good = [Client(proxy.port) for _ in range(8)]
    assert [client.ask().has_answer(10) for client in good] == [True] * 8
    over = threading.Event()
    slow = []

    def dribble():
        while not over.is_set():
            while len(slow) < 500:
                slow.append(Client(proxy.port))
            for each in slow:
                with contextlib.suppress(OSError):
                    each.socket.send(b"G")
            over.wait(0.2)

    flood = threading.Thread(target=dribble, daemon=True)
    flood.start()
    proxy.until("connections (have to wait|that did nothing)")
    answers = []
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for client in good:
            answers.append(client.status())
            client.ask()
    over.set()
    flood.join()
    assert len(answers) > 100
    assert set(answers) == {200}


# --- descriptors --------------------------------------------------------------------------------------------


FILES = 100


def test_the_limit_of_open_files_is_raised_and_told(start):
    proxy = start(files=400)
    assert re.search(r"open_files=400\b", proxy.until("fastproxy starts").string)
    limits = Path(f"/proc/{proxy.workers()[0]}/limits").read_text()
    assert re.search(r"Max open files +400 +400 ", limits)


def test_without_descriptors_serving_goes_on_and_recovers(start, backend):
    proxy = start(files=FILES, workers=1)
    good = Client(proxy.port).ask()
    assert good.status() == 200
    flood = silent(proxy.port, 2 * FILES)
    for _ in range(10):
        assert good.ask().status() == 200
        assert proxy.get() == 200
    proxy.until("descriptors for clients is")
    for client in flood:
        client.close()
    assert [proxy.get() for _ in range(20)] == [200] * 20
    assert not proxy.matches("Traceback|died")


def test_a_worker_without_descriptors_to_accept_with_ends_and_says_so(tmp_path):
    """Else a start that cannot come to an end would wait for it."""
    points = "".join(f"  e{number}: {{address: '127.0.0.1:0'}}\n" for number in range(32))
    (tmp_path / "fastproxy.yml").write_text(f"entryPoints:\n{points}core: {{workers: 1}}\n")
    shell = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    with contextlib.closing(Fastproxy(["--configFile=fastproxy.yml"], tmp_path, before=shell)) as proxy:
        assert proxy.wait() == 1
        proxy.until("FTL the worker cannot go on: .*Too many open files")
        proxy.until("worker 1 .* ended before it was ready: exit status 1")


def test_without_descriptors_for_servers_requests_wait_for_one(start, backend):
    proxy = start(files=FILES, workers=1)
    clients = [Client(proxy.port).ask("/slow") for _ in range(FILES)]
    proxy.until("no descriptor was free for a connection to a server|descriptors for clients is")
    backend.release.set()
    with ThreadPoolExecutor(FILES) as pool:
        assert list(pool.map(status_then_close, clients)) == [200] * FILES
    assert proxy.get() == 200
