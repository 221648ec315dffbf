"""An upgrade in place leaves sessions of UDP as they are: the new program goes on with them."""

import contextlib
import os
import select
import signal
import socket
import threading
import time

import pytest

from tests.process.harness import PATIENCE, Fastproxy, is_alive, wait_for

STATIC = """\
entryPoints:
  dns:
    address: "{address}"
    transport: {{lifeCycle: {{graceTimeOut: 5s}}}}
    udp: {{timeout: 60s}}
providers: {{file: {{filename: dynamic.yml, watch: false}}}}
core: {{workers: {workers}}}
"""

DYNAMIC = """\
udp:
  routers: {{dns: {{service: dns}}}}
  services: {{dns: {{loadBalancer: {{servers: [{servers}]}}}}}}
"""


class Server:
    """Answers each datagram with it and the address that it came from."""

    def __init__(self):
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                data, address = self.socket.recvfrom(65536)
                if data == b"end":
                    return
                self.socket.sendto(b"%s %d %d" % (data, self.port, address[1]), address)

    def close(self):
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"end", self.socket.getsockname())
        self.socket.close()


class Client:
    """A client with questions; `seen` is by which port of which server they were answered."""

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.connect((host, port))
        self.number = 0
        self.seen = set()

    def ask(self):
        self.number += 1
        self.socket.send(b"%d" % self.number)

    def hear(self):
        number, server, port = map(int, self.socket.recv(100).split())
        assert number == self.number
        self.seen.add((server, port))


class Instance(Fastproxy):
    """A fastproxy that is replaced by others, each of which is `pid` in its turn."""

    def __init__(self, folder, servers, workers, address):
        self.folder = folder
        self.servers = servers
        self.configure(workers, address)
        listed = ", ".join(f'{{address: "127.0.0.1:{each.port}"}}' for each in servers)
        (folder / "dynamic.yml").write_text(DYNAMIC.format(servers=listed))
        super().__init__(["--configFile=fastproxy.yml"], folder)
        self.pid = self.process.pid
        self.until("fastproxy is ready")
        self.port = self.port_of("dns")

    def configure(self, workers, address="127.0.0.1:0/udp"):
        (self.folder / "fastproxy.yml").write_text(STATIC.format(workers=workers, address=address))


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(workers=2, address="127.0.0.1:0/udp"):
            servers = [Server() for _ in range(2)]
            for each in servers:
                stack.callback(each.close)
            made = Instance(tmp_path, servers, workers, address)
            stack.callback(made.close)
            made.clients = [Client(made.port) for _ in range(30)]
            for each in made.clients:
                stack.callback(each.socket.close)
            return made

        yield start


def all_answered(clients):
    """Ask one question each, and hear the answers."""
    for each in clients:
        each.ask()
    waiting = {each.socket: each for each in clients}
    while waiting:
        readable = select.select(list(waiting), [], [], PATIENCE)[0]
        assert readable, f"{len(waiting)} of {len(clients)} are not answered"
        for each in readable:
            waiting.pop(each).hear()


def upgraded(proxy, count=1):
    """Ask for an upgrade, and ask on until it is over and the old program has ended."""
    old = proxy.pid
    os.kill(old, signal.SIGUSR2)
    while not (over := proxy.matches(r"process (\d+) has taken over")[count - 1 :]):
        all_answered(proxy.clients)
        time.sleep(0.01)  # the new program starts meanwhile, and needs the processor too
    proxy.pid = int(over[0][1])
    while is_alive(old):
        all_answered(proxy.clients)
    for _ in range(3):
        all_answered(proxy.clients)


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
def test_sessions_go_on_in_the_new_program(start, address):
    """No datagram is lost meanwhile, and servers notice nothing: the same port goes on talking to them."""
    proxy = start(address=f"{address}/udp")
    all_answered(proxy.clients)
    upgraded(proxy)
    upgraded(proxy, 2)
    assert [len(each.seen) for each in proxy.clients] == [1] * 30
    seen = {server for each in proxy.clients for server, _ in each.seen}
    assert seen == {each.port for each in proxy.servers}
    taken = sum(int(each[1]) for each in proxy.matches(r"(\d+) sessions of UDP are taken over"))
    assert taken == 60
    assert not proxy.matches(r"ERR|died|were cut|cannot be taken over")
    os.kill(proxy.pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(proxy.pid))


def test_who_comes_later_is_served_too(start):
    proxy = start()
    all_answered(proxy.clients[:10])
    os.kill(proxy.pid, signal.SIGUSR2)
    old, proxy.pid = proxy.pid, int(proxy.until(r"process (\d+) has taken over")[1])
    all_answered(proxy.clients)
    wait_for(lambda: not is_alive(old))
    all_answered(proxy.clients)
    assert [len(each.seen) for each in proxy.clients] == [1] * 30


def test_with_fewer_workers_every_client_is_answered(start):
    """Who is left out of the handing over gets another session."""
    proxy = start(workers=3)
    all_answered(proxy.clients)
    proxy.configure(1)
    old = proxy.pid
    os.kill(old, signal.SIGUSR2)
    proxy.pid = int(proxy.until(r"process (\d+) has taken over")[1])
    proxy.until("fastproxy is ready", 2)
    all_answered(proxy.clients)
    wait_for(lambda: not is_alive(old))
    all_answered(proxy.clients)
    assert max(len(each.seen) for each in proxy.clients) <= 2


def test_after_a_failed_upgrade_the_old_program_goes_on(start):
    proxy = start()
    all_answered(proxy.clients)
    (proxy.folder / "fastproxy.yml").write_text("entryPoints: {dns: {adress: ':1'}}\n")
    os.kill(proxy.pid, signal.SIGUSR2)
    proxy.until("the upgrade failed, and this program goes on")
    all_answered(proxy.clients)
    proxy.configure(2, "127.0.0.1:0/udp")
    upgraded(proxy)
    assert [len(each.seen) for each in proxy.clients] == [1] * 30
