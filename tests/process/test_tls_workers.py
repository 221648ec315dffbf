"""TLS with several workers: one certificate, one set of tickets, an end that answers what is on its way."""

import contextlib
import os
import signal
import socket
import ssl

import pytest
import trustme

from tests.process.harness import PATIENCE, static_of, wait_for

DYNAMIC = """
http:
  routers: {{all: {{rule: "PathPrefix(`/`)", service: all, tls: {{}}}}}}
  services: {{all: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{port}"}}]}}}}}}
"""
CERTIFICATES = "tls: {certificates: [{certFile: c.pem, keyFile: k.pem}]}\n"


@pytest.fixture
def proxy(tmp_path, launch, backend):
    authority = trustme.CA()
    leaf = authority.issue_cert("a.example")
    leaf.private_key_pem.write_to_path(tmp_path / "k.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "c.pem")
    started = launch(static_of(), DYNAMIC.format(port=backend.port) + CERTIFICATES).ready()
    started.backend, started.authority, started.folder = backend, authority, tmp_path
    return started


def connect(proxy, context, session=None):
    plain = socket.create_connection(("127.0.0.1", proxy.port), PATIENCE)
    return context.wrap_socket(plain, server_hostname="a.example", session=session)


def ask(connection, path="/"):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())


def answer(connection):
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    return int(data.split()[1]) if data else 0


def believing(proxy, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    proxy.authority.configure_trust(context)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_every_worker_takes_the_tickets_of_all(proxy, version):
    context = believing(proxy, version)
    with connect(proxy, context) as first:
        ask(first)
        assert answer(first) == 200
        session = first.session
    resumed = []
    for _ in range(16):  # the kernel chooses a worker by the client's port
        with connect(proxy, context, session) as client:
            ask(client)
            assert answer(client) == 200
            resumed.append(client.session_reused)
    assert all(resumed)


def test_the_certificate_of_last_resort_is_that_of_all_workers(proxy):
    (proxy.folder / "dynamic.yml").write_text(DYNAMIC.format(port=proxy.backend.port))
    proxy.until("configuration serves|generation 2", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def shown():
        with connect(proxy, context) as client:
            return client.getpeercert(binary_form=True)

    leaf = ssl.PEM_cert_to_DER_cert((proxy.folder / "c.pem").read_text())
    wait_for(lambda: shown() != leaf)
    assert len({shown() for _ in range(16)} - {leaf}) == 1


def test_the_end_answers_what_is_on_its_way(proxy):
    context = believing(proxy)
    with connect(proxy, context) as busy, connect(proxy, context) as idle:
        ask(busy, "/slow")
        assert proxy.backend.asked.get(timeout=PATIENCE) == "/slow"
        proxy.signal(signal.SIGTERM)
        proxy.until("stopping")
        wait_for(proxy.is_refused)
        assert answer(idle) == 0
        proxy.backend.release.set()
        assert answer(busy) == 200
    assert proxy.wait() == 0


def test_a_worker_that_dies_is_replaced_by_one_that_knows_its_tickets(proxy):
    context = believing(proxy)
    with connect(proxy, context) as first:
        ask(first)
        answer(first)
        session = first.session
    for pid in proxy.workers():
        os.kill(pid, signal.SIGKILL)
    proxy.until("serves in place", 2)
    wait_for(lambda: len(proxy.workers()) == 2)
    with connect(proxy, context, session) as client:
        ask(client)
        assert answer(client) == 200
        assert client.session_reused
