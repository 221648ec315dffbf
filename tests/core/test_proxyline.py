"""Headers of the PROXY protocol: read as a plain twin reads them, never past their end; written ones too."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.proxyline import parsed, wanted, written
from tests.twins import proxyline as twin

SIGNATURE = twin.SIGNATURE
V4 = bytes([10, 0, 0, 1, 10, 0, 0, 2])
PORTS = bytes([0x30, 0x39, 0, 80])

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
PORT = st.integers(0, 65535)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "partial"),
        (b"PROX", "partial"),
        (b"PROXY ", "partial"),
        (b"POST / HTTP/1.1\r\n", "none"),
        (b"PROXYX", "none"),
        (b"\r\n", "partial"),
        (b"\r\nGET / HTTP/1.1\r\n", "none"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\n", (39, ("10.0.0.1", 12345, "10.0.0.2", 80))),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r\nGET /", (39, ("10.0.0.1", 12345, "10.0.0.2", 80))),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80\r", "partial"),
        (b"PROXY TCP6 ::1 fd00::2 0 65535\r\n", (32, ("::1", 0, "fd00::2", 65535))),
        (b"PROXY UNKNOWN\r\n", (15, None)),
        (b"PROXY UNKNOWN whatever it says\r\n", (32, None)),
        (b"PROXY UNKNOWNS\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 12345 80 \r\n", "bad"),
        (b"PROXY TCP4  10.0.0.1 10.0.0.2 12345 80\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 012 80\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 65536 80\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 -1 80\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.01 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY TCP4 ::1 ::2 1 80\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1\0 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY TCP4 ::ffff:10.0.0.1 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY TCP6 10.0.0.1 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY TCP6 ::1 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY TCP6 ::ffff:10.0.0.1 ::2 1 80\r\n", (37, ("10.0.0.1", 1, "::2", 80))),
        (b"PROXY TCP6 fe80::1%lo ::2 1 80\r\n", "bad"),
        (b"PROXY TCP6 ::1 ::ffff:1\0.2.3.4 1 80\r\n", "bad"),
        (b"PROXY TCP5 10.0.0.1 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY tcp4 10.0.0.1 10.0.0.2 1 80\r\n", "bad"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80\n", "bad"),
        (b"PROXY UNKNOWN" + b" " * 92 + b"\r\n", (107, None)),
        (b"PROXY UNKNOWN" + b" " * 93 + b"\r\n", "bad"),
        (b"PROXY UNKNOWN" + b" " * 94, "bad"),
        (SIGNATURE, "partial"),
        (SIGNATURE + b"\x21\x11\x00\x0c" + V4 + PORTS, (28, ("10.0.0.1", 12345, "10.0.0.2", 80))),
        (SIGNATURE + b"\x21\x11\x00\x0c" + V4 + PORTS[:3], "partial"),
        (SIGNATURE + b"\x21\x11\x00\x0f" + V4 + PORTS + b"TLV?", (31, ("10.0.0.1", 12345, "10.0.0.2", 80))),
        (SIGNATURE + b"\x21\x11\x00\x0b" + V4 + PORTS, "bad"),
        (SIGNATURE + b"\x21\x21\x00\x0c" + V4 + PORTS, "bad"),
        (SIGNATURE + b"\x20\x00\x00\x00", (16, None)),
        (SIGNATURE + b"\x20\x11\x00\x00rest", (16, None)),
        (SIGNATURE + b"\x20\x44\x00\x01x", (17, None)),
        (SIGNATURE + b"\x20\xff\x00\x00", (16, None)),
        (SIGNATURE + b"\x21\x00\x00\x00", (16, None)),
        (SIGNATURE + b"\x21\x01\x00\x00", (16, None)),
        (SIGNATURE + b"\x21\x12\x00\x0c" + V4 + PORTS, (28, None)),
        (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), (232, None)),
        (SIGNATURE + b"\x21\x11\xff\xff" + V4 + PORTS, "partial"),
        (
            SIGNATURE + b"\x21\x11\xff\xff" + V4 + PORTS + bytes(65523),
            (65551, ("10.0.0.1", 12345, "10.0.0.2", 80)),
        ),
        (SIGNATURE + b"\x21\x31\x00\x02ab", (18, None)),
        (SIGNATURE + b"\x11\x11\x00\x0c" + V4 + PORTS, "bad"),
        (SIGNATURE + b"\x22\x11\x00\x0c" + V4 + PORTS, "bad"),
        (SIGNATURE + b"\x21\x41\x00\x00", "bad"),
        (SIGNATURE + b"\x21\x13\x00\x00", "bad"),
    ],
)
def test_headers(data, found):
    assert parsed(data) == found
    assert twin.parsed(data) == found


def headers():
    """Whole headers of both versions."""
    ends = st.tuples(st.sampled_from([1, 2]), ADDRESSES, PORT, ADDRESSES, PORT)
    return ends.map(lambda each: written(*each))


@given(st.one_of(headers(), st.binary(max_size=40).map(lambda tail: SIGNATURE + tail)), st.data())
def test_mutated_headers_are_read_as_the_twin_reads_them(header, data):
    mutable = bytearray(header + data.draw(st.binary(max_size=8)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(mutable) - 1))
        mutable[at] = data.draw(st.sampled_from(list(b"\r\n 0149:.T\x00\x11\x20\x21\xff")))
    text = bytes(mutable)[: data.draw(st.integers(0, len(mutable)))]
    assert parsed(text) == twin.parsed(text)


@given(st.sampled_from([1, 2]), ADDRESSES, PORT, ADDRESSES, PORT)
def test_what_is_written_is_read(version, source, source_port, destination, destination_port):
    header = written(version, source, source_port, destination, destination_port)
    used, ends = parsed(header + b"more")
    assert used == len(header)
    assert (ends[1], ends[3]) == (source_port, destination_port)
    assert [twin._shown(ip_address(each).packed) for each in (source, destination)] == [ends[0], ends[2]]
    for at in range(len(header)):
        assert parsed(header[:at]) == "partial"
        assert at < wanted(header[:at]) <= len(header)


def test_whoever_waits_for_what_is_wanted_is_woken_seldom():
    header = SIGNATURE + b"\x21\x11\xff\xff" + V4 + PORTS + bytes(65523)
    at = woken = 0
    while at < len(header):
        at, woken = wanted(header[:at]), woken + 1
    assert woken <= 14


@pytest.mark.parametrize("version", [1, 2])
def test_ends_that_are_not_known(version):
    assert parsed(written(version, "", 0, "10.0.0.1", 80))[1] is None
