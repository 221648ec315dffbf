"""inFlightConn over all workers: exact, and what a killed worker had makes room for others."""

import os
import select
import signal
import socket

import pytest

from tests.process.harness import PATIENCE, wait_for

AMOUNT, WORKERS, CLIENTS = 6, 3, 40

STATIC = f"""\
entryPoints: {{db: {{address: "127.0.0.1:0"}}}}
providers: {{file: {{filename: dynamic.yml}}, providersThrottleDuration: 0}}
core: {{workers: {WORKERS}}}
"""

DYNAMIC = """\
tcp:
  routers: {{db: {{rule: HostSNI(`*`), service: db, middlewares: [few]}}}}
  middlewares: {{few: {{inFlightConn: {{amount: {amount}}}}}}}
  services: {{db: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{port}"}}]}}}}}}
"""


@pytest.fixture
def instance(launch):
    """Start a fastproxy in front of a socket on which nobody says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as server:
        running = launch(STATIC, DYNAMIC.format(amount=AMOUNT, port=server.getsockname()[1]))
        running.until("fastproxy is ready")
        yield running, server


class Clients:
    """Connections through the proxy; those that are refused are closed by it."""

    def __init__(self, running):
        self.address, self.open = ("127.0.0.1", running.port_of("db")), []

    def come(self, count):
        self.open += [socket.create_connection(self.address, timeout=PATIENCE) for _ in range(count)]

    def left(self):
        """Return how many are there, those that were closed left out."""
        for each in self.open[:]:
            if select.select([each], [], [], 0)[0]:
                self.open.remove(each)
                each.close()
        return len(self.open)

    def close(self):
        for each in self.open:
            each.close()


def test_a_limit_holds_for_all_workers_and_a_dead_one_makes_room(instance):
    running, _ = instance
    clients = Clients(running)
    clients.come(CLIENTS)
    wait_for(lambda: clients.left() == AMOUNT)

    victim = worker_of(running, clients.open[0])
    os.kill(victim, signal.SIGKILL)
    running.until("in place of the one that died")
    wait_for(lambda: clients.left() < AMOUNT)
    lived = clients.left()
    clients.come(CLIENTS)
    wait_for(lambda: clients.left() == AMOUNT)
    assert lived < AMOUNT
    clients.close()


def worker_of(running, client):
    """Return the process that has the other end of a connection."""
    local, remote = (f"0100007F:{end[1]:04X}" for end in (client.getsockname(), client.getpeername()))
    with open("/proc/net/tcp") as table:
        [inode] = [row[9] for line in table if (row := line.split())[1:3] == [remote, local]]
    for pid in running.workers():
        for number in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{number}") == f"socket:[{inode}]":
                return pid
    raise AssertionError("nobody has it")


def test_a_limit_is_passed_in_no_moment(instance):
    """Whoever is let in makes a connection to the server: there are never more of them than there may be."""
    running, server = instance
    clients = Clients(running)
    clients.come(CLIENTS)
    wait_for(lambda: clients.left() == AMOUNT)
    server.settimeout(0)
    for _ in range(AMOUNT):
        server.accept()
    with pytest.raises(BlockingIOError):
        server.accept()
    clients.close()
