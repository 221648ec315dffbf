"""Listening sockets: one for each slot, on the address that was asked for, or an error that says why not."""

import os
import socket

import pytest

from fastproxy.config.static import EntryPoint
from fastproxy.sockets import BindError, bind_all, close_all, shown_address


@pytest.fixture
def bound():
    """Return a function that binds and is cleaned up after."""
    all_of_them = []

    def bind(slots=1, **addresses):
        points = {name: EntryPoint(address=address) for name, address in addresses.items()}
        all_of_them.append(bind_all(points, slots))
        return all_of_them[-1]

    yield bind
    for each in all_of_them:
        close_all(each)


def test_all_slots_share_the_port_that_the_system_chose(bound):
    sockets = bound(3, web="127.0.0.1:0")["web"]
    assert len({each.getsockname() for each in sockets}) == 1
    assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in sockets)
    assert not any(each.getblocking() for each in sockets)


def test_connections_are_spread_over_the_slots(bound):
    sockets = bound(2, web="127.0.0.1:0")["web"]
    clients = [socket.create_connection(sockets[0].getsockname()) for _ in range(40)]
    accepted = []
    for each in sockets:
        try:
            while True:
                accepted.append((each, each.accept()[0]))
        except BlockingIOError:
            pass
    assert len(accepted) == 40
    assert {each for each, _ in accepted} == set(sockets)
    for each in (*clients, *(connection for _, connection in accepted)):
        each.close()


@pytest.mark.parametrize(
    ("address", "reached_by"),
    [
        ("127.0.0.1:0", ["127.0.0.1"]),
        ("0.0.0.0:0", ["127.0.0.1"]),
        ("localhost:0", ["127.0.0.1"]),
        (":0", ["127.0.0.1", "::1"]),
        ("[::]:0", ["127.0.0.1", "::1"]),
        ("[::1]:0", ["::1"]),
    ],
)
def test_addresses(bound, address, reached_by):
    if ":" in "".join(reached_by) and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    (listener,) = bound(web=address)["web"]
    for host in reached_by:
        socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()


def test_shown_addresses(bound):
    (listener,) = bound(web="127.0.0.1:0")["web"]
    assert shown_address(listener) == f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("option", [None, socket.SO_REUSEPORT])
def test_an_address_in_use_is_refused(bound, option):
    """Also when whoever has it would share it, as a second fastproxy would."""
    with socket.socket() as other:
        if option:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError) as caught:
            bound(2, free="127.0.0.1:0", web=address)
    assert str(caught.value) == (
        f"entryPoints.web.address: cannot listen on {address}: the address is in use; "
        "stop who has it, choose another port, or set reusePort in both"
    )


def test_reuse_port_shares(bound):
    (listener,) = bound(web="127.0.0.1:0")["web"]
    address = shown_address(listener)
    shared = bind_all({"web": EntryPoint(address=address, reuse_port=True)}, 1)
    assert shared["web"][0].getsockname() == listener.getsockname()
    close_all(shared)


def test_a_failure_leaves_nothing_open(bound):
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(BindError):
        bound(4, web="127.0.0.1:0", other="192.0.2.1:0")
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.0.2.1:0", "cannot assign requested address"),
        ("no-such-host.invalid:0", "the host cannot be resolved"),
    ],
)
def test_reasons(bound, address, reason):
    with pytest.raises(BindError, match=f"entryPoints.web.address: cannot listen on {address}: {reason}"):
        bound(web=address)
