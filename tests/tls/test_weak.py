"""Nothing weak in the default options: what a server accepts is asked of it byte by byte, as scanners do.

A library that is there today neither says the hellos of SSL 2 nor offers a cipher suite that it does not have
itself; test_scanned.py has one from another day.
"""

import asyncio
import subprocess

import pytest
import trustme

from tests.core.test_hello import message, named, records, sized, speaking
from tests.tls.rig import PATIENCE
from tests.tls.test_https import document, pair

ALERT, HANDSHAKE, CHANGE_CIPHER_SPEC, SERVER_HELLO = 21, 22, 20, 2
HANDSHAKE_FAILURE, PROTOCOL_VERSION = 40, 70
HEARTBEAT, RENEGOTIATION_INFO = 15, 0xFF01

# Every number that was ever given to a suite for TLS 1.2 and older, and those around them.
ALL = [high << 8 | low for high in (0x00, 0x13, 0x16, 0xC0, 0xCC, 0xFE, 0xFF) for low in range(256)]
ALL = [suite for suite in ALL if suite not in (0x00FF, 0x5600)]  # two that are signals

SECURE = {  # of Go: ECDHE with AES-GCM, ChaCha20-Poly1305 and AES-CBC-SHA
    "RSA": {0xC02F, 0xC030, 0xCCA8, 0xC013, 0xC014},
    "ECDSA": {0xC02B, 0xC02C, 0xCCA9, 0xC009, 0xC00A},
}


def hello(suites, version=0x0303, compressions=b"\0"):
    listed = b"".join(
        kind.to_bytes(2) + sized(content)
        for kind, content in (
            named(b"a.example"),
            speaking(b"http/1.1"),
            (10, sized(b"\0\x1d\0\x17\0\x18\0\x19")),
            (11, b"\1\0"),
            (13, sized(bytes.fromhex("0403050306030804080508060401050106010201020302020101"))),
            (HEARTBEAT, b"\1"),
            (RENEGOTIATION_INFO, b"\0"),
        )
    )
    offered = sized(b"".join(suite.to_bytes(2) for suite in suites))
    return records(
        message(version.to_bytes(2) + bytes(32) + b"\0" + offered + sized(compressions, 1) + sized(listed))
    )


class ServerHello:
    def __init__(self, data):
        self.version = int.from_bytes(data[:2])
        at = 35 + data[34]
        self.suite = int.from_bytes(data[at : at + 2])
        self.compression = data[at + 2]
        self.extensions, rest = {}, data[at + 5 :]
        while rest:
            size = int.from_bytes(rest[2:4])
            self.extensions[int.from_bytes(rest[:2])] = rest[4 : 4 + size]
            rest = rest[4 + size :]


class Wire:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def record(self):
        """Return type and content of a record; (0, b"") at the end."""
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self.reader.readexactly(5)
                return head[0], await self.reader.readexactly(int.from_bytes(head[3:]))
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return 0, b""

    async def answer(self):
        """Return what a hello is answered: a ServerHello, the number of an alert, or None."""
        kind, data = await self.record()
        if kind == HANDSHAKE:
            assert data[0] == SERVER_HELLO
            return ServerHello(data[4 : 4 + int.from_bytes(data[1:4])])
        return data[1] if kind == ALERT else None


@pytest.fixture(params=["RSA", "ECDSA"])
async def scanned(house, issue, request):
    """Start a proxy with a certificate of a kind: `connect()` says something to it."""
    wires = []

    async def start(**options):
        certificate = issue("a.example", key_type=trustme.KeyType[request.param])
        tls = {"certificates": [pair(certificate)]}
        if options:
            tls["options"] = {"default": options}
        here = await house(lambda url: document(url, {"r": {"rule": "Host(`a.example`)", "tls": {}}}, tls))

        async def connect(said):
            wires.append(Wire(*await asyncio.open_connection(*here.address)))
            wires[-1].writer.write(said)
            return wires[-1]

        connect.address, connect.key = here.address, request.param
        return connect

    yield start
    for wire in wires:
        wire.writer.close()


async def test_suites(scanned):
    connect = await scanned()
    accepted, left = set(), list(ALL)
    while isinstance(answer := await (await connect(hello(left))).answer(), ServerHello):
        accepted.add(answer.suite)
        left.remove(answer.suite)
    assert answer == HANDSHAKE_FAILURE
    # Without RSA key exchange there is nothing that ROBOT could ask either.
    assert accepted == SECURE[connect.key]


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302])
async def test_versions(scanned, version):
    connect = await scanned()
    assert await (await connect(hello(ALL, version))).answer() in (PROTOCOL_VERSION, HANDSHAKE_FAILURE)


async def test_ssl_2(scanned):
    connect = await scanned()
    said = b"\1\0\2\0\x09\0\0\0\x10" + b"\1\0\x80\7\0\xc0\3\0\x80" + bytes(16)
    wire = await connect((0x8000 | len(said)).to_bytes(2) + said)
    assert not isinstance(await wire.answer(), ServerHello)


async def test_version_1_3_only(scanned):
    connect = await scanned(minVersion="VersionTLS13")
    assert await (await connect(hello(ALL))).answer() == PROTOCOL_VERSION


async def test_what_a_server_hello_says(scanned):
    """No compression (CRIME), no heartbeat (Heartbleed), secure renegotiation (RFC 5746)."""
    connect = await scanned()
    answer = await (await connect(hello(ALL, compressions=b"\1\0"))).answer()
    assert (answer.version, answer.compression) == (0x0303, 0)
    assert answer.extensions[RENEGOTIATION_INFO] == b"\0"
    assert HEARTBEAT not in answer.extensions


async def test_an_early_change_cipher_spec_is_refused(scanned):
    """CVE-2014-0224."""
    connect = await scanned()
    wire = await connect(hello(ALL))
    assert isinstance(await wire.answer(), ServerHello)
    wire.writer.write(bytes([CHANGE_CIPHER_SPEC]) + b"\3\3\0\1\1")
    while (came := await wire.record())[0] == HANDSHAKE:
        pass
    assert came[0] in (ALERT, 0)


async def test_a_client_cannot_renegotiate(scanned):
    connect = await scanned()
    host, port = connect.address

    def renegotiate():
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-servername", "a.example"]
        return subprocess.run(command, input=b"R\n", capture_output=True, timeout=PATIENCE)

    done = await asyncio.to_thread(renegotiate)
    assert b"RENEGOTIATING" in done.stdout + done.stderr
    assert b"no renegotiation" in done.stderr
