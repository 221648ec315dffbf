"""Health checks of a whole instance: one process finds out, all workers know, also those that come later."""

import contextlib
import json
import os
import signal
import socket
import threading
import urllib.request

import pytest

from tests.process.harness import PATIENCE, wait_for, write

STATIC = """\
entryPoints: {db: {address: "127.0.0.1:0"}, traefik: {address: "127.0.0.1:0"}}
providers: {file: {filename: dynamic.yml}, providersThrottleDuration: 0}
api: {insecure: true}
core: {workers: 2}
"""

DYNAMIC = """\
tcp:
  routers: {{db: {{rule: HostSNI(`*`), service: db, entryPoints: [db]}}}}
  services:
    db:
      loadBalancer:
        healthCheck: {{interval: 20ms, send: "?", expect: one}}
        servers: [{{address: "127.0.0.1:{first}"}}, {{address: "127.0.0.1:{second}"}}]
{more}"""


class Server:
    """Answers the first byte with its word, and goes when the other one does."""

    def __init__(self, word):
        self.word = word
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            if connection.recv(1):
                connection.sendall(self.word)
                connection.recv(1)


@pytest.fixture
def instance(tmp_path, launch):
    """Start a fastproxy in front of a server that is well and one that is not."""
    well, sick = Server(b"one"), Server(b"ill")

    def dynamic(more=""):
        return DYNAMIC.format(first=well.port, second=sick.port, more=more)

    running = launch(STATIC, dynamic())
    running.write = lambda more: write(tmp_path, dynamic(more))
    running.until("fastproxy is ready")
    yield running, well, sick
    well.listener.close()
    sick.listener.close()


def words(running, count=24):
    """Return what clients of all workers are told."""
    found = set()
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", running.port_of("db")), timeout=PATIENCE) as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(b"?")
            found.add(answer_on(client))
    return found


def answer_on(client):
    """Return a word, or nothing when the connection ends without one."""
    try:
        return client.recv(3)
    except ConnectionResetError:
        return b""


def statuses(running):
    url = f"http://127.0.0.1:{running.port_of('traefik')}/api/tcp/services/db@file"
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)["serverStatus"]


def test_all_workers_know_and_the_api_tells(instance):
    running, well, sick = instance
    running.until(f"server 127.0.0.1:{sick.port} of TCP service db@file is down: it answered b'ill'")
    assert words(running) == {b"one"}
    assert statuses(running) == {f"127.0.0.1:{well.port}": "UP", f"127.0.0.1:{sick.port}": "DOWN"}

    running.write("  middlewares: {other: {inFlightConn: {amount: 1}}}\n")
    running.until("configuration serves: 1 added")
    assert words(running) == {b"one"}

    os.kill(running.workers()[0], signal.SIGKILL)
    running.until("in place of the one that died")
    assert words(running) == {b"one"}

    sick.word = b"one"
    running.until("is up again")
    wait_for(lambda: statuses(running) == {f"127.0.0.1:{each.port}": "UP" for each in (well, sick)})
    assert len(running.matches("is down")) == 1


def test_all_down_closes_everybody_in_all_workers(instance):
    running, well, sick = instance
    well.word = sick.word = b"ill"
    running.until("is down", 2)
    assert words(running) == {b""}
