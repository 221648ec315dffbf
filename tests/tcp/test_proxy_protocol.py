"""The PROXY protocol: read from trusted peers only, before everything else, and spoken to servers."""

import asyncio
import ssl

import pytest
import trustme

from fastproxy._core.proxyline import parsed, written
from tests.tcp.peers import PATIENCE, address_of, document, servers
from tests.tls.byhand import ByHand

SOURCE, PORT = "192.0.2.7", 4711


def static(proxy_protocol, **transport):
    point = {"address": "127.0.0.1:0", "transport": transport}
    return {"entryPoints": {"db": {**point, **({"proxyProtocol": proxy_protocol} if proxy_protocol else {})}}}


TRUSTING = static({"trustedIPs": ["127.0.0.1"]})
HEADERS = [written(version, SOURCE, PORT, "198.51.100.1", 443) for version in (1, 2)]


def by_client(one, two):
    """Return a document in which the client's address decides."""
    return {
        "tcp": {
            "routers": {
                "known": {"rule": f"ClientIP(`{SOURCE}`)", "service": "two"},
                "rest": {"rule": "HostSNI(`*`)", "service": "one"},
            },
            "services": {"one": servers(one.address), "two": servers(two.address)},
        }
    }


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("pieces", [1, 2, 1000])
async def test_the_client_is_who_a_trusted_proxy_says(proxy, server, connect, header, pieces):
    house = await proxy(by_client(await server("one"), await server("two")), TRUSTING)
    client = await connect(house)
    data = header + b"abc\n"
    size = max(len(data) // pieces, 1)
    for at in range(0, len(data), size):
        client.send(data[at : at + size])
        await asyncio.sleep(0)
    assert [await client.line(), await client.line()] == [b"two\n", b"ABC\n"]


@pytest.mark.parametrize("header", HEADERS)
async def test_the_bytes_of_others_are_payload(proxy, server, connect, header):
    one = await server("one")
    house = await proxy(by_client(one, await server("two")), static({"trustedIPs": ["127.0.0.9"]}))
    client = await connect(house)
    client.send(header + b"\n")
    assert await client.line() == b"one\n"
    first = header.partition(b"\n")[0] + b"\n"
    assert await client.line() == first.upper()


async def test_insecure_trusts_everybody(proxy, server, connect):
    house = await proxy(by_client(await server("one"), await server("two")), static({"insecure": True}))
    client = await connect(house, local_addr=("127.0.0.3", 0))
    client.send(HEADERS[0])
    assert await client.line() == b"two\n"


async def test_a_trusted_peer_need_not_send_a_header(proxy, server, connect):
    house = await proxy(by_client(await server("one"), await server("two")), TRUSTING)
    client = await connect(house)
    client.send(b"abc\n")
    assert [await client.line(), await client.line()] == [b"one\n", b"ABC\n"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", written(2, "", 0, "", 0)])
async def test_a_proxy_that_speaks_for_itself(proxy, server, connect, header):
    house = await proxy(by_client(await server("one"), await server("two")), TRUSTING)
    client = await connect(house)
    client.send(header)
    assert await client.line() == b"one\n"


@pytest.mark.parametrize(
    "header",
    [b"PROXY TCP4 here there 1 2\r\n", HEADERS[1][:12] + b"\x31\x11\x00\x0c", b"PROXY " + b"x" * 200],
)
async def test_a_malformed_header_closes_the_connection(proxy, server, connect, header):
    made = await server("one")
    client = await connect(await proxy(document(made.address), TRUSTING))
    client.send(header)
    assert await client.rest() == b""
    assert made.open == 0


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 "])
async def test_a_header_that_does_not_come_closes_the_connection(proxy, server, connect, sent):
    made = await server("one")
    patient = static({"trustedIPs": ["127.0.0.1"]}, respondingTimeouts={"readTimeout": "200ms"})
    client = await connect(await proxy(document(made.address), patient))
    client.send(sent)
    assert await client.rest() == b""
    assert made.open == 0


async def test_the_time_of_reading_ends_with_the_header(proxy, server, connect):
    """Who is passed on may be silent for longer than a header may take."""
    soon = static({"insecure": True}, respondingTimeouts={"readTimeout": "200ms"})
    house = await proxy(document((await server("one")).address), soon)
    client = await connect(house)
    client.send(HEADERS[0])
    assert await client.line() == b"one\n"
    assert await (await connect(house)).rest() == b"", "who came later, without a header, has had his time"
    client.send(b"abc\n")
    assert await client.line() == b"ABC\n"


# --- HTTP ---------------------------------------------------------------------------------------------------


async def test_requests_are_of_the_client_that_the_header_names(proxy, connect):
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    web = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://{address_of(web)}"
    house = await proxy(
        {
            "http": {
                "routers": {"a": {"rule": f"ClientIP(`{SOURCE}`)", "service": "a"}},
                "services": {"a": {"loadBalancer": {"servers": [{"url": url}]}}},
            }
        },
        TRUSTING,
    )
    client = await connect(house)
    client.send(HEADERS[0] + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await client.rest()).endswith(b"\r\n\r\nok")
    assert f"X-Forwarded-For: {SOURCE}\r\n".encode() in heads[0]
    web.close()


async def test_without_the_option_a_header_is_no_request(proxy, connect):
    client = await connect(await proxy({}, static(None)))
    client.send(HEADERS[0])
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")


# --- to servers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("told", [False, True])
async def test_servers_are_told_who_the_client_is(proxy, connect, version, told):
    got = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        got.set_result(await reader.read())
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    tcp = document(address_of(listening))["tcp"]
    tcp["services"]["db"]["loadBalancer"]["serversTransport"] = "own"
    tcp["serversTransports"] = {"own": {"proxyProtocol": {"version": version}}}
    house = await proxy({"tcp": tcp}, TRUSTING)
    client = await connect(house)
    client.send((HEADERS[0] if told else b"") + b"abc")
    client.end()
    async with asyncio.timeout(PATIENCE):
        data = await got
    used, ends = parsed(data)
    assert data[used:] == b"abc"
    if told:
        assert ends == (SOURCE, PORT, "198.51.100.1", 443)
    else:
        own = client.writer.get_extra_info("sockname")
        assert ends == (*own, *house.address("db"))
    listening.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(("version", "size"), [(1, len(HEADERS[0])), (2, 28)])
async def test_servers_of_tls_are_told_before_tls_begins(proxy, connect, host, version, size):
    """As by HAProxy, and by Traefik since 3.5.2: what reads the header is in front of what speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("db.test").configure_cert(context)
    got = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        header = await reader.readexactly(size)
        peer = ByHand(reader, writer, context, server_side=True)
        await peer.shake()
        got.set_result((header, await peer.until(b"c")))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    tcp = document(address_of(listening).replace("127.0.0.1", host))["tcp"]
    balancer = tcp["services"]["db"]["loadBalancer"]
    balancer["servers"][0]["tls"] = True
    balancer["serversTransport"] = "own"
    own = {"proxyProtocol": {"version": version}, "tls": {"insecureSkipVerify": True}}
    client = await connect(await proxy({"tcp": {**tcp, "serversTransports": {"own": own}}}, TRUSTING))
    client.send(HEADERS[0] + b"abc")
    async with asyncio.timeout(PATIENCE):
        header, said = await got
    assert parsed(header) == (size, (SOURCE, PORT, "198.51.100.1", 443))
    assert said == b"abc"
    listening.close()
