"""A set of networks contains what Go's net.IPNet would say it contains."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.netset import NetSet


@pytest.mark.parametrize(
    ("networks", "address", "expected"),
    [
        (["10.0.0.0/8"], "10.255.0.1", True),
        (["10.0.0.0/8"], "11.0.0.0", False),
        (["10.1.2.3/8"], "10.9.9.9", True),  # host bits are ignored
        (["10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.1"], "10.0.0.2", False),
        (["0.0.0.0/0"], "203.0.113.9", True),
        (["0.0.0.0/0"], "::1", False),
        (["::/0"], "2001:db8::1", True),
        (["::/0"], "10.0.0.1", False),  # an IPv6 network holds no IPv4 address
        (["::/0", "10.0.0.0/8"], "10.0.0.1", True),
        (["::ffff:10.0.0.0/104"], "10.3.0.1", True),
        (["::ffff:10.0.0.1"], "10.0.0.1", True),
        (["10.0.0.0/8"], "::ffff:10.0.0.1", True),  # how a dual-stack socket spells an IPv4 peer
        (["fd00::/8"], "fdff::1", True),
        (["fd00::/8"], "fe00::1", False),
        (["2001:DB8::1"], "2001:db8:0::1", True),
        (["10.0.0.0/9", "10.128.0.0/9", "10.0.0.0/24"], "10.200.0.1", True),
        ([], "10.0.0.1", False),
        (["10.0.0.0/8"], "", False),
        (["10.0.0.0/8"], "10.0.0.1:80", False),
        (["10.0.0.0/8"], "10.0.0.1\0.example", False),
        (["10.0.0.0/8"], "fe80::1%eth0", False),
        (["10.0.0.0/8"], "1" * 100, False),
        (["10.0.0.0/8"], "10.0.0.٣", False),
    ],
)
def test_membership(networks, address, expected):
    assert (address in NetSet(networks)) is expected


@pytest.mark.parametrize(
    "network",
    ["", "/", "x", "10.0.0", "010.0.0.1", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/255.0.0.0",
     "::/129", "fe80::1%eth0", "[::1]", "10.0.0.1:80", "10.0.0.0/8/8", " 10.0.0.1", "10.0.0.0/٨"],
)  # fmt: skip
def test_refused(network):
    with pytest.raises(ValueError, match="write"):
        NetSet(["10.0.0.0/8", network])


def test_the_set_keeps_what_it_was_given():
    assert NetSet(["10.0.0.0/8", "::1"]).networks == ("10.0.0.0/8", "::1")
    assert len(NetSet()) == 0


v4 = st.builds(lambda n: ipaddress.IPv4Address(n), st.integers(0, 2**32 - 1))
v6 = st.builds(lambda n: ipaddress.IPv6Address(n), st.integers(0, 2**128 - 1))
MAPPED = ipaddress.ip_network("::ffff:0:0/96")


def as_go_reads_it(network):
    """An IPv6 network inside the v4-mapped block is the IPv4 network it maps."""
    if network.version == 6 and network.subnet_of(MAPPED):
        return ipaddress.ip_network((int(network[0]) & 0xFFFFFFFF, network.prefixlen - 96))
    return network


networks = st.lists(
    st.one_of(
        st.tuples(v4, st.integers(0, 32)),
        st.tuples(v6, st.integers(0, 128)),
    ).map(lambda pair: ipaddress.ip_network(pair, strict=False)),
    max_size=12,
)


@given(networks, st.one_of(v4, v6), st.data())
def test_it_agrees_with_the_standard_library(chosen, address, data):
    if chosen and data.draw(st.booleans()):
        near = data.draw(st.sampled_from(chosen))
        edge = int(data.draw(st.sampled_from([near[0], near[-1]]))) + data.draw(st.sampled_from([-1, 0, 1]))
        address = type(near[0])(max(0, min(edge, 2**near.max_prefixlen - 1)))
    asked = address.ipv4_mapped or address if address.version == 6 else address
    read = [as_go_reads_it(network) for network in chosen]
    expected = any(asked in network for network in read if network.version == asked.version)
    assert (str(address) in NetSet(map(str, chosen))) is expected
