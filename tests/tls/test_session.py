"""TLS of connections: records as they come, and the ends of it, with clients and with servers."""

import asyncio
import gc
import re
import ssl

import pytest
import trustme

from fastproxy._core.arrival import ServeHTTP
from fastproxy._core.session import living
from fastproxy.build.certificates import Settings, _context
from fastproxy.build.transports import TLS, make_context
from tests.tls.byhand import ByHand, CutShort, serving
from tests.tls.rig import PATIENCE, Server
from tests.tls.test_https import only_safe, pair
from tests.waiting import eventually, stands_still

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
LAST = GET[:-2] + b"Connection: close\r\n\r\n"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request):
    return {"minimum_version": request.param, "maximum_version": request.param}


@pytest.fixture
async def here(house, issue):
    return await house(lambda url: only_safe(url, issue))


async def answer(client):
    """Read an answer of the rig's backend, which tells the head that it was asked with."""
    head = (await client.until(b"\r\n\r\n")).partition(b"\r\n\r\n")
    return int(head[0].split()[1])


# --- records ------------------------------------------------------------------------------------------------


async def test_records_in_single_bytes(here, version):
    client = await ByHand.to(here.address, here.context(**version))
    for _ in range(3):
        for byte in client.seal(GET):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await answer(client) == 200
    client.close()


async def test_records_cut_at_every_place(here, version):
    """Two records, cut once, at each place in turn."""
    client = await ByHand.to(here.address, here.context(**version))
    entry = here.proxy._listeners["web"].entry
    size = len(client.seal(GET[:20])) + len(client.seal(GET[20:]))
    client.close()
    client = await ByHand.to(here.address, here.context(**version))
    for cut in range(1, size):
        data = client.seal(GET[:20]) + client.seal(GET[20:])
        client.send(data[:cut])
        await asyncio.sleep(0.001)
        client.send(data[cut:])
        assert await answer(client) == 200
    assert entry.connections >= 1
    client.close()


async def test_many_records_at_once(here, version):
    """A record for each byte, of a pipeline of requests, in one segment."""
    client = await ByHand.to(here.address, here.context(**version))
    client.send(b"".join(client.seal(bytes([byte])) for byte in GET * 10))
    answers = b""
    while answers.count(b"HTTP/1.1 200 OK") < 10:
        answers += await client.read()
    client.close()


async def test_the_request_comes_with_the_end_of_the_handshake(here, version):
    streams = await asyncio.open_connection(*here.address)
    client = ByHand(*streams, here.context(**version), server_hostname="a.example")
    flight = await client.shake(last=False)
    if version["minimum_version"] == ssl.TLSVersion.TLSv1_3:
        flight += client.seal(GET)
    client.send(flight)
    if version["minimum_version"] == ssl.TLSVersion.TLSv1_2:
        client.send(client.seal(GET))
    assert await answer(client) == 200
    client.close()


@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 32768, 49152, 400_000])
async def test_bodies_of_all_sizes(here, version, size):
    client = await ByHand.to(here.address, here.context(**version))
    body = bytes(at * 7 % 251 for at in range(size))
    client.send(client.seal(LAST.replace(b"GET", b"PUT", 1)[:-2] + b"Content-Length: %d\r\n\r\n" % size))
    client.send(client.seal(body))
    assert (await client.rest()).endswith(body)
    client.close()


# --- the end of a client ------------------------------------------------------------------------------------


async def test_the_end_of_an_answer_is_told(here, version):
    """By close_notify, without one of the client's."""
    client = await ByHand.to(here.address, here.context(**version))
    client.send(client.seal(LAST))
    assert (await client.rest()).startswith(b"HTTP/1.1 200")
    assert await client.closed() == b""
    client.close()


async def test_what_comes_behind_a_farewell_is_nothing(here, version):
    """RFC 8446, 6.1: data behind a closure alert is ignored."""
    client = await ByHand.to(here.address, here.context(**version))
    other = await ByHand.to(here.address, here.context(**version))
    client.send(client.farewell() + other.seal(GET) + b"garbage" * 100)
    assert await client.rest() == b""
    client.close()
    other.send(other.seal(b""))
    other.close()


async def test_a_request_and_a_farewell_at_once(here, version):
    """Who says that nothing more comes is gone, as one of a plain connection is."""
    client = await ByHand.to(here.address, here.context(**version))
    client.send(client.seal(LAST) + client.farewell())
    await client.closed()
    client.close()
    await here.there_are(0)


@pytest.mark.parametrize("how", ["changed", "plain", "another's"])
async def test_a_record_that_is_none(here, version, how):
    """An alert is sent, and can be read: no reset overtakes it."""
    client = await ByHand.to(here.address, here.context(**version))
    record = bytearray(client.seal(GET))
    if how == "changed":
        record[-1] ^= 1
    elif how == "plain":
        record = GET
    else:
        other = await ByHand.to(here.address, here.context(**version))
        record = other.seal(GET)
        other.close()
    client.send(record)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        await client.rest()
    client.close()
    await here.there_are(0)


async def test_an_alert_can_be_read_while_more_is_sent(here):
    """As long as the client goes on sending, within the limit of what is thrown away."""
    client = await ByHand.to(here.address, here.context())
    client.send(b"\x17\x03\x03\x00\x05hello" + b"x" * 200_000)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        await client.rest()
    client.close()


# --- what belongs to TLS itself -----------------------------------------------------------------------------


THIRTEEN = {"minimum_version": ssl.TLSVersion.TLSv1_3}


async def test_a_flood_of_key_updates_ends_the_connection(here, caplog):
    client = await ByHand.to(here.address, here.context(**THIRTEEN))
    caplog.set_level("DEBUG")
    client.send(b"".join(client.renewal() for _ in range(40)) + client.seal(GET))
    with pytest.raises(CutShort):
        await client.rest()
    assert "records in a row that say nothing" in caplog.text
    client.close()
    await here.there_are(0)


async def test_a_few_key_updates_are_nothing(here):
    """Each is answered with one, before what is written next."""
    client = await ByHand.to(here.address, here.context(**THIRTEEN))
    for _ in range(3):
        client.send(b"".join(client.renewal() for _ in range(10)) + client.seal(GET))
        assert await answer(client) == 200
    client.close()


OWED = 16384
"""Bytes of its own answers that TLS may have waiting for a client that takes nothing."""

ANSWER = 5 + 4 + 1 + 1 + 16
"""Bytes of a key update on the wire: a record's head, a message's head, what it says, its type, its tag."""


class Flood:
    """A server that changes to another protocol and then sends without end.

    sent: bytes; heard: what comes from the client.
    """

    def __init__(self):
        self.sent, self.heard = 0, b""

    async def converse(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        sending = asyncio.create_task(self.send(writer))
        try:
            while more := await reader.read(65536):
                self.heard += more
        finally:
            sending.cancel()

    async def send(self, writer):
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            self.sent += 65536


@pytest.fixture
async def flooded(house, issue):
    """A tunnel: a client of TLS 1.3 at one end, a flood at the other."""
    flood = Flood()
    async with Server(flood.converse) as server:
        here = await house(lambda _: only_safe(server.url, issue))
        client = await ByHand.to(here.address, here.context(**THIRTEEN), receive=65536)
        client.send(client.seal(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n"))
        await client.until(b"\0")
        yield client, flood
        client.close()
        await here.there_are(0)


async def test_who_asks_for_new_keys_and_takes_nothing_is_owed_a_little_and_no_more(flooded, caplog):
    """Only what TLS answers by itself has to be kept for the client; all else can wait at the server."""
    client, flood = flooded
    caplog.set_level("DEBUG")
    await stands_still(lambda: flood.sent)
    fit = OWED // ANSWER
    for _ in range(fit):
        client.send(client.renewal() + client.seal(b"."))
    await eventually(lambda: len(flood.heard) == fit)
    assert "takes no answers" not in caplog.text
    client.send(client.renewal() + client.renewal())  # OpenSSL answers one when it reads the next
    await eventually(lambda: "TLS: the peer makes TLS answer and takes no answers" in caplog.text)
    with pytest.raises((CutShort, ConnectionResetError)):
        while await client.read():
            pass


async def test_who_asks_for_new_keys_and_takes_them_gets_as_many_as_wanted(flooded):
    client, flood = flooded

    async def read():
        while await client.read():
            pass

    reading = asyncio.create_task(read())
    for asked in range(0, 3 * OWED // ANSWER, 10):
        client.send(b"".join(client.renewal() for _ in range(10)) + client.seal(b"." * 10))
        await eventually(lambda heard=asked + 10: len(flood.heard) == heard)
    assert not reading.done()
    reading.cancel()


async def test_nobody_begins_anew(here):
    """Renegotiation of TLS 1.2 is refused with an alert, and the connection goes on or ends; nothing else."""
    said = await here.openssl("-tls1_2", "-servername", "a.example", said=b"R\n")
    assert re.search(r"(?i)no renegotiation", said)
    await here.there_are(0)


def test_contexts_call_nothing_of_python(monkeypatch, tmp_path):
    """SSLKEYLOGFILE and its kin are for connections of Python's own."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for made in (_context(Settings()), make_context(TLS(insecure=True))):
        ServeHTTP(made)
    for spoilt in ("sni", "keys", "messages"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if spoilt == "sni":
            context.sni_callback = lambda *_: None
        elif spoilt == "keys":
            context.keylog_filename = str(tmp_path / "keys")
        else:
            context._msg_callback = lambda *_: None
        with pytest.raises(ValueError, match="one of its own"):
            ServeHTTP(context)


async def test_nothing_is_left_of_a_session(here):
    gc.collect()
    before = living()
    clients = [await ByHand.to(here.address, here.context()) for _ in range(20)]
    await here.there_are(20)
    assert living() == before + 20
    for at, client in enumerate(clients):
        client.send((client.farewell, lambda: b"x" * 50, lambda: b"")[at % 3]())
        client.close()
    await here.there_are(0)
    gc.collect()
    assert living() == before


# --- servers ------------------------------------------------------------------------------------------------


@pytest.fixture
def inner():
    """Return a server's context for `inner.test`, and the authority behind it."""
    authority = trustme.CA()

    def made(**settings):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("inner.test", "127.0.0.1").configure_cert(context)
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    made.authority = authority
    made.root = authority.cert_pem.bytes().decode()
    return made


def before(address, **transport):
    """A document: plain HTTP in front of an https server."""
    return {
        "http": {
            "routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s"}},
            "services": {
                "s": {
                    "loadBalancer": {
                        "servers": [{"url": "https://{}:{}".format(*address)}],
                        "serversTransport": "own",
                    }
                }
            },
            "serversTransports": {"own": transport},
        }
    }


async def ask_plainly(here):
    """Return all that comes of a request; None: the connection was cut."""
    reader, writer = await asyncio.open_connection(*here.address)
    try:
        writer.write(LAST)
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nall of it"


async def test_a_body_ends_with_tls(house, inner, version):
    async def converse(peer):
        await peer.until(b"\r\n\r\n")
        peer.send(peer.seal(UNTIL_CLOSE) + peer.farewell())

    async with serving(inner(**version), converse) as address:
        here = await house(lambda _: before(address, rootCAs=[inner.root], serverName="inner.test"))
        assert (await ask_plainly(here)).endswith(b"\r\n9\r\nall of it\r\n0\r\n\r\n")


async def test_a_body_does_not_end_with_the_connection(house, inner, version):
    """Who has no key could end it: the client must notice that it has not all."""

    async def converse(peer):
        await peer.until(b"\r\n\r\n")
        peer.send(peer.seal(UNTIL_CLOSE))

    async with serving(inner(**version), converse) as address:
        here = await house(lambda _: before(address, rootCAs=[inner.root], serverName="inner.test"))
        said = await ask_plainly(here)
        assert b"all of it" in said
        assert not said.endswith(b"0\r\n\r\n")


async def test_a_server_that_answers_in_single_bytes(house, inner, version):
    async def converse(peer):
        while True:
            await peer.until(b"\r\n\r\n")
            for byte in peer.seal(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
                peer.send(bytes([byte]))
                await asyncio.sleep(0)

    async with serving(inner(**version), converse) as address:
        here = await house(lambda _: before(address, rootCAs=[inner.root], serverName="inner.test"))
        for _ in range(3):
            assert (await ask_plainly(here)).endswith(b"ok")


@pytest.mark.parametrize(
    ("transport", "why"),
    [
        ({"serverName": "inner.test"}, "certificate verify failed: unable to get local issuer certificate"),
        ({"serverName": "other.test", "rootCAs": True}, "the certificate is not valid for other.test"),
        ({"serverName": "127.0.0.2", "rootCAs": True}, "the certificate is not valid for 127.0.0.2"),
        ({"rootCAs": True}, None),
        ({"serverName": "inner.test.", "rootCAs": True}, None),
        ({"insecureSkipVerify": True}, None),
    ],
)
async def test_who_a_server_is(house, inner, caplog, transport, why):
    """An address without serverName is verified as one."""

    async def converse(peer):
        await peer.until(b"\r\n\r\n")
        peer.send(peer.seal(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        await peer.read()

    if transport.get("rootCAs"):
        transport = {**transport, "rootCAs": [inner.root]}
    async with serving(inner(), converse) as address:
        here = await house(lambda _: before(address, **transport))
        said = await ask_plainly(here)
    assert said.split()[1] == (b"500" if why else b"200")
    assert (why or "") in caplog.text


async def test_a_server_is_told_its_name_and_no_address(house, inner):
    told = []
    context = inner()
    context.sni_callback = lambda _, name, __: told.append(name)

    async def converse(peer):
        await peer.until(b"\r\n\r\n")
        peer.send(peer.seal(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        await peer.read()

    async with serving(context, converse) as address:
        for name in ("inner.test", ""):
            here = await house(lambda _, name=name: before(address, serverName=name, rootCAs=[inner.root]))
            assert (await ask_plainly(here)).split()[1] == b"200"
    assert told == ["inner.test", None]


async def test_a_server_that_speaks_no_tls(house, caplog):
    async def serve(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    here = await house(lambda _: before(made.sockets[0].getsockname(), insecureSkipVerify=True))
    assert (await ask_plainly(here)).split()[1] == b"500"
    assert re.search(r"TLS with server .* failed: (wrong version number|http request)", caplog.text)
    made.close()


async def test_a_server_that_ends_within_the_handshake(house):
    async def serve(reader, writer):
        await reader.read(100)
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    here = await house(lambda _: before(made.sockets[0].getsockname(), insecureSkipVerify=True))
    assert (await ask_plainly(here)).split()[1] == b"502"
    made.close()


async def test_a_server_that_is_silent_within_the_handshake(house):
    async def serve(reader, writer):
        await reader.read()
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    here = await house(
        lambda _: before(
            made.sockets[0].getsockname(),
            insecureSkipVerify=True,
            forwardingTimeouts={"dialTimeout": "200ms"},
        )
    )
    assert (await ask_plainly(here)).split()[1] == b"504"
    made.close()


# --- half-close ---------------------------------------------------------------------------------------------


def tunnel(issue, address, tls):
    """TLS ends here, for a TCP service; tls: its server speaks it too."""
    server = {"address": "{}:{}".format(*address), **({"tls": True} if tls else {})}
    return {
        "tcp": {
            "routers": {"t": {"rule": "HostSNI(`a.example`)", "service": "t", "tls": {}}},
            "services": {"t": {"loadBalancer": {"servers": [server], "serversTransport": "own"}}},
            "serversTransports": {"own": {"terminationDelay": "-1s", "tls": {"insecureSkipVerify": True}}},
        },
        "tls": {"certificates": [pair(issue("a.example"))]},
    }


async def test_a_client_ends_and_is_answered(house, issue, inner, version):
    """Each side says close_notify, and hears what the other one has still to say."""

    async def converse(peer):
        said = await peer.rest()
        peer.send(peer.seal(said.upper() * 50_000) + peer.farewell())

    async with serving(inner(**version), converse) as address:
        here = await house(lambda _: tunnel(issue, address, True))
        client = await ByHand.to(here.address, here.context(**version))
        client.send(client.seal(b"abc") + client.farewell())
        assert await client.rest() == b"ABC" * 50_000
        client.close()


async def test_a_server_ends_and_is_answered(house, issue, version):
    said = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        writer.write(b"bye")
        writer.write_eof()
        said.set_result(await reader.read())
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    here = await house(lambda _: tunnel(issue, made.sockets[0].getsockname(), False))
    client = await ByHand.to(here.address, here.context(**version))
    assert await client.rest() == b"bye"
    client.send(client.seal(b"one") + client.seal(b"two") + client.farewell())
    assert await asyncio.wait_for(said, PATIENCE) == b"onetwo"
    client.close()
    made.close()


async def test_a_client_that_is_cut_off_ends_too(house, issue, inner):
    """Without close_notify, as Traefik has it: the server behind is told that nothing more comes."""
    said = asyncio.get_running_loop().create_future()

    async def converse(peer):
        said.set_result(await peer.rest())

    async with serving(inner(), converse) as address:
        here = await house(lambda _: tunnel(issue, address, True))
        client = await ByHand.to(here.address, here.context())
        client.send(client.seal(b"abc"))
        client.writer.write_eof()
        assert await asyncio.wait_for(said, PATIENCE) == b"abc"
        with pytest.raises((CutShort, AssertionError)):
            await client.until(b"never")
        client.close()
