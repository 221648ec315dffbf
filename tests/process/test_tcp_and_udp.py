"""TCP and UDP entry points of a whole instance: two workers, a death, a reload, and the end."""

import os
import signal
import socket

import pytest

from tests.process.harness import wait_for

STATIC = """\
entryPoints:
  db:
    address: "127.0.0.1:0"
    transport: {lifeCycle: {graceTimeOut: 5s}}
  dns:
    address: "127.0.0.1:0/udp"
    transport: {lifeCycle: {graceTimeOut: 5s}}
    udp: {timeout: 1s}
providers: {file: {filename: dynamic.yml}, providersThrottleDuration: 0}
core: {workers: 2}
"""

DYNAMIC = """\
tcp:
  routers: {{db: {{rule: HostSNI(`*`), service: db, entryPoints: [db]}}}}
  services: {{db: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{tcp}"}}]}}}}}}
udp:
  routers: {{dns: {{service: dns}}}}
  services: {{dns: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{udp}"}}]}}}}}}
"""


@pytest.fixture
def instance(launch):
    """Start a fastproxy in front of a socket that listens and one that takes datagrams."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        for each in (tcp, udp):
            each.settimeout(10)
        running = launch(STATIC, DYNAMIC.format(tcp=tcp.getsockname()[1], udp=udp.getsockname()[1]))
        running.until("fastproxy is ready")
        yield running, tcp, udp


def connected(running, tcp):
    """Return both ends of a connection through the proxy."""
    client = socket.create_connection(("127.0.0.1", running.port_of("db")), timeout=10)
    server, _ = tcp.accept()
    server.settimeout(10)
    return client, server


def asker(running):
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.settimeout(10)
    made.connect(("127.0.0.1", running.port_of("dns")))
    return made


def answered(client, udp):
    client.send(b"?")
    data, address = udp.recvfrom(100)
    udp.sendto(b"!", address)
    return (data, client.recv(100)) == (b"?", b"!")


def test_connections_and_datagrams_pass_in_every_worker(instance):
    running, tcp, udp = instance
    pairs = [connected(running, tcp) for _ in range(20)]
    for client, server in pairs:
        client.sendall(b"abc")
        assert server.recv(100) == b"abc"
        server.sendall(b"def")
        assert client.recv(100) == b"def"
        client.close()
        assert server.recv(100) == b""
        server.close()
    askers = [asker(running) for _ in range(20)]
    assert all([answered(each, udp) for each in askers for _ in range(2)])
    for each in askers:
        each.close()


def test_datagrams_are_answered_after_a_worker_died(instance):
    running, _, udp = instance
    os.kill(running.workers()[0], signal.SIGKILL)
    running.until("in place of the one that died")
    askers = [asker(running) for _ in range(10)]
    assert all([answered(each, udp) for each in askers])
    for each in askers:
        each.close()


def test_the_end_waits_for_both(instance):
    running, tcp, udp = instance
    client, server = connected(running, tcp)
    client.sendall(b"abc")
    assert server.recv(100) == b"abc"
    with asker(running) as datagrams:
        assert answered(datagrams, udp)
        running.signal(signal.SIGTERM)
        wait_for(lambda: refused(running.port_of("db")))
        server.sendall(b"still")
        assert client.recv(100) == b"still"
        assert answered(datagrams, udp)
    client.close()
    assert server.recv(100) == b""
    server.close()
    assert running.wait() == 0
    running.until(r"fastproxy has stopped .* datagrams_in=2 datagrams_out=2 datagrams_lost=0$")


def refused(number):
    try:
        socket.create_connection(("127.0.0.1", number), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False
