"""inFlightConn: so many connections of a client at the same time, however they come and however they end."""

import ssl

import pytest
import trustme

from tests.tcp.peers import document, free_port, there_are

HELLO = b"one\n"
OTHER = "127.0.0.2"
"""A client with another address."""


def limited(*addresses, amount=2, **sections):
    """Return a document whose router lets each client have so many connections."""
    middlewares = {"few": {"inFlightConn": {"amount": amount}}}
    return document(*addresses, router={"middlewares": ["few"]}, middlewares=middlewares, **sections)



async def is_let_in(client):
    return await client.line() == HELLO


async def is_closed(client):
    return await client.rest() == b""


async def test_one_more_is_closed_and_others_are_not_touched(proxy, server, connect):
    house = await proxy(limited((await server()).address))
    first, second = await connect(house), await connect(house)
    assert await is_let_in(first)
    assert await is_let_in(second)
    assert await is_closed(await connect(house))
    first.send(b"abc\n")
    assert await first.line() == b"ABC\n"


async def test_each_address_counts_for_itself(proxy, server, connect):
    house = await proxy(limited((await server()).address, amount=1))
    assert await is_let_in(await connect(house))
    assert await is_closed(await connect(house))
    assert await is_let_in(await connect(house, local_addr=(OTHER, 0)))
    assert await is_closed(await connect(house, local_addr=(OTHER, 0)))


async def test_nobody_is_let_in_with_amount_0(proxy, server, connect):
    house = await proxy(limited((await server()).address, amount=0))
    assert await is_closed(await connect(house))


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_makes_room(proxy, server, connect, how):
    house = await proxy(limited((await server()).address, amount=1))
    for _ in range(3):
        client = await connect(house)
        assert await is_let_in(client)
        getattr(client, how)()
        await there_are(house, 0)


async def test_a_server_that_goes_makes_room(proxy, server, connect):
    made = await server()
    house = await proxy(limited(made.address, amount=1))
    for _ in range(3):
        client = await connect(house)
        assert await is_let_in(client)
        client.end()
        assert await client.rest() == b"bye"
        await there_are(house, 0)


async def test_a_server_that_cannot_be_reached_makes_room(proxy, connect):
    house = await proxy(limited(f"127.0.0.1:{free_port()}", amount=1))
    for _ in range(3):
        assert await is_closed(await connect(house))
        await there_are(house, 0)
    assert counted(house) == 0


async def test_a_service_without_servers_makes_room(proxy, connect):
    house = await proxy(limited(amount=1))
    for _ in range(3):
        assert await is_closed(await connect(house))
        await there_are(house, 0)
    assert counted(house) == 0


async def test_a_middleware_that_refuses_later_makes_room(proxy, server, connect):
    made = await server()
    middlewares = {
        "few": {"inFlightConn": {"amount": 1}},
        "none": {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}},
    }
    router = {"middlewares": ["few", "none"]}
    house = await proxy(document(made.address, router=router, middlewares=middlewares))
    assert await is_closed(await connect(house))
    assert counted(house) == 0


def counted(house):
    """Return how many are counted under any name."""
    return house._switcher._builder.ledger.under_way()


async def test_counts_survive_a_reload_and_a_change_of_the_amount(proxy, server, connect):
    made, other = await server(), await server()
    house = await proxy(limited(made.address, amount=1))
    assert await is_let_in(await connect(house))
    await house.apply(limited(made.address, other.address, amount=1))
    assert await is_closed(await connect(house))
    await house.apply(limited(made.address, amount=2))
    assert await is_let_in(await connect(house))
    assert await is_closed(await connect(house))


async def test_routers_of_one_middleware_share_its_counts_and_others_do_not(proxy, server, connect):
    made = await server()
    few, own = {"inFlightConn": {"amount": 1}}, {"inFlightConn": {"amount": 1}}
    both = document(made.address, middlewares={"few": few, "own": own})
    both["tcp"]["routers"] = {
        "a": {"rule": "HostSNI(`*`)", "service": "db", "middlewares": ["few"], "entryPoints": ["a"]},
        "b": {"rule": "HostSNI(`*`)", "service": "db", "middlewares": ["few"], "entryPoints": ["b"]},
        "c": {"rule": "HostSNI(`*`)", "service": "db", "middlewares": ["own"], "entryPoints": ["c"]},
    }
    static = {"entryPoints": {name: {"address": "127.0.0.1:0"} for name in "abc"}}
    house = await proxy(both, static)
    assert await is_let_in(await connect(house, "a"))
    assert await is_closed(await connect(house, "b"))
    assert await is_let_in(await connect(house, "c"))


# --- with the PROXY protocol, and with TLS ------------------------------------------------------------------


async def test_the_client_is_whom_the_proxy_protocol_names(proxy, server, connect):
    static = {"entryPoints": {"db": {"address": "127.0.0.1:0", "proxyProtocol": {"insecure": True}}}}
    house = await proxy(limited((await server(greets=False)).address, amount=1), static)
    for source, expected in (("10.0.0.1", b"ABC\n"), ("10.0.0.2", b"ABC\n"), ("10.0.0.1", b"")):
        client = await connect(house)
        client.send(f"PROXY TCP4 {source} 10.9.9.9 1 2\r\nabc\n".encode())
        assert await client.line() == expected


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def with_tls(authority, address, tls, amount=1):
    leaf = authority.issue_cert("a.test")
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    pair = {"certFile": chain.decode(), "keyFile": leaf.private_key_pem.bytes().decode()}
    made = limited(address, amount=amount)
    made["tcp"]["routers"]["db"] |= {"rule": "HostSNI(`a.test`)", "tls": tls}
    return {**made, "tls": {"certificates": [pair]}}


def trusting(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


async def test_tls_that_ends_here(proxy, server, connect, authority):
    house = await proxy(with_tls(authority, (await server()).address, {}))
    options = {"ssl": trusting(authority), "server_hostname": "a.test"}
    client = await connect(house, **options)
    assert await is_let_in(client)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await connect(house, **options)
    client.close()
    await there_are(house, 0)
    assert await is_let_in(await connect(house, **options))


async def test_a_handshake_that_fails_makes_room(proxy, server, connect, authority):
    house = await proxy(with_tls(authority, (await server()).address, {}))
    for _ in range(3):
        with pytest.raises(ssl.SSLError):  # the client does not trust it
            await connect(house, ssl=ssl.create_default_context(), server_hostname="a.test")
        await there_are(house, 0)
    assert counted(house) == 0
    assert await is_let_in(await connect(house, ssl=trusting(authority), server_hostname="a.test"))
