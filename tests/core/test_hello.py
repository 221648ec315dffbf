"""The first words of a TLS client: what it asks for, read out of any pieces and never past the end."""

import socket
import ssl
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastproxy._core.hello import hear
from tests.twins import hello as twin


def said(name=None, protocols=(), *, least=None, ciphers=None) -> bytes:
    """Return what Python's ssl says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if least:
        context.maximum_version = least
    if ciphers:
        context.set_ciphers(ciphers)
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def message(body: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3) + body


def records(data: bytes, *sizes: int) -> bytes:
    """Return the message in records of these sizes, the last again and again."""
    out, left = b"", list(sizes or (16384,))
    while data:
        size = left.pop(0) if len(left) > 1 else left[0]
        out += b"\x16\x03\x01" + len(data[:size]).to_bytes(2) + data[:size]
        data = data[size:]
    return out


def sized(data: bytes, width: int = 2) -> bytes:
    return len(data).to_bytes(width) + data


def body(*extensions: tuple[int, bytes]) -> bytes:
    listed = b"".join(kind.to_bytes(2) + sized(content) for kind, content in extensions)
    return b"\3\3" + bytes(32) + b"\0" + sized(b"\x13\x01") + b"\1\0" + (sized(listed) if extensions else b"")


def named(*names: bytes, kind: int = 0) -> tuple[int, bytes]:
    return 0, sized(b"".join(bytes([kind]) + sized(name) for name in names))


def speaking(*names: bytes) -> tuple[int, bytes]:
    return 16, sized(b"".join(sized(name, 1) for name in names))


PLAIN = said("shop.example", ("h2", "http/1.1"))


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        (said(), (b"", ())),
        (said("Shop.Example"), (b"Shop.Example", ())),
        (PLAIN, (b"shop.example", (b"h2", b"http/1.1"))),
        (said("a.b", ["x"] * 60), (b"a.b", (b"x",) * 60)),
        (said("old.example", least=ssl.TLSVersion.TLSv1_2), (b"old.example", ())),
        (said("x.example", ciphers="ECDHE-RSA-AES128-GCM-SHA256"), (b"x.example", ())),
        (records(message(body())), (b"", ())),
        (records(message(body(named(b"n"), (99, bytes(60000)), speaking(b"a")))), (b"n", (b"a",))),
        (records(message(body(named(b"other", kind=1)))), (b"", ())),
    ],
)
def test_what_is_read(data, meant):
    assert hear(data) == twin.read(data) == meant
    assert hear(data + b"\x17\x03\x03") == meant  # what follows is nobody's affair here


@pytest.mark.parametrize(
    "arguments", [(), ("-servername", "db.example", "-alpn", "postgresql,h2"), ("-tls1_2",)]
)
def test_openssl(arguments):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = "{}:{}".format(*server.getsockname())
        asked = ["openssl", "s_client", "-connect", address, *arguments]
        if "-servername" not in arguments:
            asked.append("-noservername")
        with subprocess.Popen(asked, stdin=-3, stdout=-3, stderr=-3) as client:
            connection, _ = server.accept()
            with connection:
                heard, data = 9, b""
                while isinstance(heard, int):
                    assert len(data) < heard
                    data += connection.recv(heard - len(data))
                    heard = hear(data)
            client.kill()
    meant = (b"db.example", (b"postgresql", b"h2")) if "-servername" in arguments else (b"", ())
    assert heard == twin.read(data) == meant


@pytest.mark.parametrize("sizes", [(1,), (2, 3, 5), (4, 16384), (3, 1, 16384), (100,), (5, 1)])
def test_every_beginning_says_how_much_must_come(sizes):
    data = records(PLAIN[5:], *sizes)
    for end in range(len(data)):
        wanted = hear(data[:end])
        assert wanted == twin.read(data[:end])
        assert end < wanted <= len(data)
    assert hear(data) == (b"shop.example", (b"h2", b"http/1.1"))


@pytest.mark.parametrize("sizes", [(1,), (6, 1), (16384,)])
def test_whoever_waits_for_what_is_wanted_is_woken_seldom(sizes):
    data = records(message(body(named(b"n"), (99, bytes(12000)))), *sizes)
    end = woken = 0
    while isinstance(heard := hear(data[:end]), int):
        end, woken = heard, woken + 1
    assert heard == (b"n", ())
    assert woken < 80


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "no handshake"),
        (b"\x80\x2e\x01\x03\x01", "no handshake"),
        (b"\x16\x02\x00\x00\x05", "unknown version"),
        (b"\x16\x03\x01\x00\x00", "empty or too long"),
        (b"\x16\x03\x01\x40\x01", "empty or too long"),
        (b"\x16\x03\x01\x00\x04\x02", "something else than a hello"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "the hello is empty"),
        (b"\x16\x03\x01\x00\x04\x01\x01\x00\x01", "the hello is too long"),
        (b"\x16\x03\x01\x00\x02\x01\x00" + b"\x15\x03", "no handshake"),
        (records(message(bytes(33))), "ends early"),
        (records(message(body() + b"x")), "extensions"),
        (records(message(body((5, b"")) + b"x")), "extensions"),
        (records(message(b"\3\3" + bytes(32) + sized(bytes(33), 1) + b"\0\2\0\1\1\0")), "session"),
        (records(message(b"\3\3" + bytes(32) + b"\0" + sized(b"\0") + b"\1\0")), "cipher suites"),
        (records(message(b"\3\3" + bytes(32) + b"\0" + sized(b"\0\1") + b"\0")), "compression"),
        (records(message(body(named(b"a"), named(b"a")))), "server name"),
        (records(message(body(named(b"a", b"b")))), "server name"),
        (records(message(body(named(b"")))), "server name"),
        (records(message(body(named(b"", kind=1)))), "server name"),
        (records(message(body(named(b"a.")))), "server name"),
        (records(message(body(named(b"a\0b")))), "server name"),
        (records(message(body(named(b"a b")))), "server name"),
        (records(message(body(named(b"\xc3\xa4")))), "server name"),
        (records(message(body(named(b"a" * 256)))), "server name"),
        (records(message(body(named()))), "server name"),
        (records(message(body((0, b"")))), "server name"),
        (records(message(body(speaking()))), "protocols"),
        (records(message(body(speaking(b"")))), "protocols"),
        (records(message(body(speaking(b"a"), speaking(b"a")))), "protocols"),
        (records(message(body((16, b"\0\2\2a")))), "protocols"),
        (records(message(body((99, bytes(20000)))), 1), "too many pieces"),
    ],
)
def test_what_is_no_hello(data, reason):
    data = data[: twin.MOST_FLIGHT]  # nobody looks at more
    with pytest.raises(ValueError, match=reason):
        hear(data)
    with pytest.raises(ValueError):
        twin.read(data)


def outcome(read, data):
    try:
        return read(data)
    except ValueError:
        return None


names = st.binary(max_size=6) | st.sampled_from([b"a.example", b"*.x", b"a" * 255, b"b" * 256])
extensions = st.one_of(
    st.builds(lambda found, kind: named(*found, kind=kind), st.lists(names, max_size=2), st.integers(0, 1)),
    st.builds(lambda found: speaking(*found), st.lists(st.binary(max_size=5), max_size=3)),
    st.tuples(st.sampled_from([0, 16, 43, 51]), st.binary(max_size=12)),
)
hellos = st.builds(
    lambda listed, sizes: records(message(body(*listed)), *sizes)[: twin.MOST_FLIGHT],
    st.lists(extensions, max_size=4),
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
)


@given(hellos)
def test_as_the_twin(data):
    assert outcome(hear, data) == outcome(twin.read, data)


@settings(max_examples=300)
@given(
    st.sampled_from(
        [PLAIN, records(PLAIN[5:], 7, 90), said(), records(message(body(named(b"n"), speaking(b"a"))))]
    ),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0, 1),
)
@example(PLAIN, [], 1.0)
def test_changed_and_cut(data, changes, kept):
    changed = bytearray(data)
    for where, byte in changes:
        changed[int(where * len(changed))] = byte
    cut = bytes(changed[: int(kept * len(changed))])
    assert outcome(hear, cut) == outcome(twin.read, cut)


@given(st.binary(max_size=80))
def test_anything(data):
    assert outcome(hear, data) == outcome(twin.read, data)
    assert outcome(hear, b"\x16\x03\x01" + data) == outcome(twin.read, b"\x16\x03\x01" + data)
