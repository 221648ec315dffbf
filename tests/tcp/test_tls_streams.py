"""TCP routers of TLS connections beside HTTPS and everything else on one port: who takes which, and how."""

import asyncio
import ssl

import pytest
import trustme

from tests.tcp.peers import PATIENCE, STATIC, Client, address_of, servers


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def pair(authority, *names):
    leaf = authority.issue_cert(*names)
    chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
    return {"certFile": chain.decode(), "keyFile": leaf.private_key_pem.bytes().decode()}


def server_context(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
async def ask(authority):
    """Connect with TLS: `await ask(proxy, "a.test")`."""
    clients = []

    async def ask(proxy, name, protocols=(), check=True, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
        context.check_hostname = check and bool(name)
        if not check:
            context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        async with asyncio.timeout(PATIENCE):
            streams = await asyncio.open_connection(
                *proxy.address("db"), ssl=context, server_hostname=name, **options
            )
        clients.append(Client(*streams))
        return clients[-1]

    yield ask
    for each in clients:
        each.close()


@pytest.fixture
async def web():
    """A server of HTTP that says what it is."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nweb")
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://{address_of(made)}"
    made.close()


async def is_http(client, status=b"200"):
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    return (await client.rest()).startswith(b"HTTP/1.1 " + status)


def tcp(routers, services, **more):
    return {
        "routers": {
            name: {"rule": rule, "service": service, "tls": tls or {}, **others}
            for name, (rule, service, tls, *rest) in routers.items()
            for others in [rest[0] if rest else {}]
        },
        "services": {name: servers(each.address) for name, each in services.items()},
        **more,
    }


def certificates(authority, *names):
    return {"certificates": [pair(authority, name) for name in names]}


async def test_tls_that_ends_here(proxy, server, ask, authority):
    one = await server("one")
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {})}, {"one": one}),
        "tls": certificates(authority, "a.test"),
    }
    client = await ask(await proxy(document), "a.test")
    assert await client.line() == b"one\n"
    client.send(b"abc\n")
    assert await client.line() == b"ABC\n"
    client.close()
    async with asyncio.timeout(PATIENCE):
        await one.closed.wait()


async def test_tls_that_ends_here_without_any_certificate(proxy, server, ask, authority):
    """As with HTTPS there is one that nobody believes."""
    document = {"tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {})}, {"one": await server("one")})}
    client = await ask(await proxy(document), "a.test", check=False)
    assert await client.line() == b"one\n"


async def test_tls_that_passes_through(proxy, server, ask, authority):
    """The certificate is the server's, and the proxy has none."""
    inner = await server("inner", ssl=server_context(authority, "a.test"))
    document = {"tcp": tcp({"a": ("HostSNI(`a.test`)", "in", {"passthrough": True})}, {"in": inner})}
    client = await ask(await proxy(document), "a.test")
    assert await client.line() == b"inner\n"
    client.send(b"abc\n")
    assert await client.line() == b"ABC\n"


async def test_where_tls_only_passes_through_other_names_are_not_found(proxy, server, ask):
    """Row 9e: whoever no router takes is told so by HTTPS, with a certificate that nobody believes."""
    document = {"tcp": tcp({"a": ("HostSNI(`a.test`)", "in", {"passthrough": True})}, {"in": await server()})}
    client = await ask(await proxy(document), "b.test", check=False)
    client.send(b"GET / HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n")
    assert (await client.line()).startswith(b"HTTP/1.1 404 ")


def everything(authority, made, url, *, rest=True, catch_all=True):
    """Return a document with a router of every kind on one entry point."""
    routers = {
        "named": ("HostSNI(`tcp.test`)", "named", {}),
        "below": ("HostSNI(`*.tcp.test`)", "below", {}),
        "through": ("HostSNI(`through.test`)", "through", {"passthrough": True}),
        "both": ("HostSNI(`both.test`)", "named", {}),
        "protocol": ("HostSNI(`tcp.test`) && ALPN(`h2`)", "protocol", {}),
        "far": ("HostSNI(`tcp.test`) && ClientIP(`127.0.0.9`)", "far", {}),
        **({"all": ("HostSNI(`*`)", "all", {})} if catch_all else {}),
    }
    section = tcp(routers, made)
    section["routers"]["plain"] = {"rule": "ClientIP(`127.0.0.8`)", "service": "plain"}
    web = {"loadBalancer": {"servers": [{"url": url}]}}
    http = {
        "routers": {
            "web": {"rule": "Host(`web.test`) || Host(`both.test`)", "service": "web", "tls": {}},
            "plain": {"rule": "PathPrefix(`/`)", "service": "web"},
            **({"rest": {"rule": "PathPrefix(`/`)", "service": "web", "tls": {}}} if rest else {}),
        },
        "services": {"web": web},
    }
    names = ("tcp.test", "x.tcp.test", "web.test", "both.test", "other.test")
    return {"tcp": section, "http": http, "tls": certificates(authority, *names)}


@pytest.fixture
async def made(server, authority):
    names = ("named", "below", "protocol", "far", "all", "plain")
    inner = await server("through", ssl=server_context(authority, "through.test"))
    return {**{name: await server(name) for name in names}, "through": inner}


async def test_every_row_on_one_port(proxy, made, web, ask, connect, authority):
    house = await proxy(everything(authority, made, web))
    for _ in range(2):
        # (a) a name of HTTPS goes before TCP
        assert await is_http(await ask(house, "web.test"))
        assert await is_http(await ask(house, "both.test"))
        # (b) a TCP router by name
        assert await (await ask(house, "tcp.test")).line() == b"named\n"
        assert await (await ask(house, "TCP.test")).line() == b"named\n"
        assert await (await ask(house, "x.tcp.test")).line() == b"below\n"
        assert await (await ask(house, "through.test")).line() == b"through\n"
        assert await (await ask(house, "tcp.test", ["h2"])).line() == b"protocol\n"
        assert await (await ask(house, "tcp.test", local_addr=("127.0.0.9", 0))).line() == b"far\n"
        # (c) HTTPS without a name goes before HostSNI(`*`)
        assert await is_http(await ask(house, "other.test"))
        # (7) without TLS: plain TCP routers, then HTTP
        client = await connect(house, local_addr=("127.0.0.8", 0))
        client.send(b"abc\n")
        assert await client.line() == b"plain\n"
        assert await is_http(await connect(house))
        await house.apply(everything(authority, made, web))  # in the middle of it


async def test_without_https_for_any_name_the_rest_is_tcp(proxy, made, web, ask, authority):
    house = await proxy(everything(authority, made, web, rest=False))
    assert await (await ask(house, "other.test")).line() == b"all\n"
    assert await (await ask(house, "", check=False)).line() == b"all\n"
    await house.apply(everything(authority, made, web, rest=False, catch_all=False))
    assert await is_http(await ask(house, "other.test"), b"404")  # (e)


async def test_a_change_leaves_connections_as_they_are(proxy, made, web, ask, authority):
    house = await proxy(everything(authority, made, web))
    clients = [await ask(house, name) for name in ("tcp.test", "through.test")]
    for client, said in zip(clients, (b"named\n", b"through\n"), strict=True):
        assert await client.line() == said
    await house.apply({})
    for client in clients:
        client.send(b"still\n")
        assert await client.line() == b"STILL\n"


# --- who is refused ----------------------------------------------------------------------------------------


async def test_middlewares_decide_before_the_handshake(proxy, server, ask, authority):
    one = await server("one")
    inside = {"in": {"ipAllowList": {"sourceRange": ["127.0.0.2"]}}}
    router = ("HostSNI(`a.test`)", "one", {}, {"middlewares": ["in"]})
    document = {
        "tcp": tcp({"a": router}, {"one": one}, middlewares=inside),
        "tls": certificates(authority, "a.test"),
    }
    house = await proxy(document)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await ask(house, "a.test")
    assert await (await ask(house, "a.test", local_addr=("127.0.0.2", 0))).line() == b"one\n"


async def test_options_hold_for_tcp(proxy, server, ask, authority):
    one = await server("one")
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {"options": "sure"})}, {"one": one}),
        "tls": {
            **certificates(authority, "a.test"),
            "options": {
                "sure": {
                    "clientAuth": {
                        "caFiles": [authority.cert_pem.bytes().decode()],
                        "clientAuthType": "RequireAndVerifyClientCert",
                    },
                    "alpnProtocols": ["postgresql"],
                    "maxVersion": "VersionTLS12",
                }
            },
        },
    }
    house = await proxy(document)
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await ask(house, "a.test")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        await ask(house, "a.test", ["h2"])
    assert one.open == 0


async def test_alpn_is_negotiated_for_the_server_behind(proxy, server, ask, authority):
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {"options": "pg"})}, {"one": await server("one")}),
        "tls": {
            **certificates(authority, "a.test"),
            "options": {"pg": {"alpnProtocols": ["postgresql", "h2"]}},
        },
    }
    client = await ask(await proxy(document), "a.test", ["h2", "postgresql"])
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "postgresql"
    assert await client.line() == b"one\n"


async def test_options_for_tcp_alone_hold_as_soon_as_they_change(proxy, server, ask, authority):
    """HTTP cannot be served on them, neither before nor after; TCP can, and asks for a certificate now."""
    options = {"alpnProtocols": ["postgresql"], "maxVersion": "VersionTLS12"}
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {"options": "pg"})}, {"one": await server("one")}),
        "tls": {**certificates(authority, "a.test"), "options": {"pg": options}},
    }
    house = await proxy(document)
    assert await (await ask(house, "a.test")).line() == b"one\n"
    sure = {"clientAuth": {"clientAuthType": "RequireAnyClientCert"}}
    await house.apply({**document, "tls": {**document["tls"], "options": {"pg": {**options, **sure}}}})
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await ask(house, "a.test")


async def test_http_1_is_let_in_where_h2_is_spoken(proxy, server, ask, authority):
    """As if it had offered nothing; whoever offers something else is not. Source: Go's negotiateALPN."""
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {"options": "two"})}, {"one": await server("one")}),
        "tls": {**certificates(authority, "a.test"), "options": {"two": {"alpnProtocols": ["h2"]}}},
    }
    running = await proxy(document)
    client = await ask(running, "a.test", ["http/1.1"])
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError, match="alert no application protocol"):
        await ask(running, "a.test", ["smtp"])


async def test_an_empty_list_of_protocols_is_no_alpn(proxy, server, ask, authority):
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`)", "one", {"options": "free"})}, {"one": await server("one")}),
        "tls": {**certificates(authority, "a.test"), "options": {"free": {"alpnProtocols": []}}},
    }
    client = await ask(await proxy(document), "a.test", ["h2"])
    assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
    assert await client.line() == b"one\n"


BROKEN = {
    "gone": {},
    "broken": {"broken": {"clientAuth": {"caFiles": ["nowhere.pem"]}}},
}
"""Options that cannot be had, by the name that a router gives, and what the document has of them."""


@pytest.mark.parametrize("name", BROKEN)
async def test_who_asks_for_broken_options_is_closed_and_served_by_nobody_else(
    proxy, server, ask, connect, authority, web, name
):
    """Not by another TCP router, not by HTTPS, not by PostgreSQL's way: all of them would ask for less."""
    one, other = await server("one"), await server("other")
    routers = {
        "a": ("HostSNI(`a.test`)", "one", {"options": name}),
        "rest": ("HostSNI(`*`)", "other", {}),
    }
    http = {
        "routers": {"rest": {"rule": "PathPrefix(`/`)", "service": "web", "tls": {}}},
        "services": {"web": {"loadBalancer": {"servers": [{"url": web}]}}},
    }
    section = {**certificates(authority, "a.test", "b.test"), "options": BROKEN[name]}
    document = {"tcp": tcp(routers, {"one": one, "other": other}), "tls": section}
    house = await proxy(document)
    assert house._switcher.runtime.record("tcp.routers", "a@file").status == "disabled"
    for each in (document, {**document, "http": http}):
        await house.apply(each)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await ask(house, "a.test")
    assert await is_http(await ask(house, "b.test"))
    postgres = await connect(house)
    postgres.send(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
    assert await postgres.reader.readexactly(1) == b"S"
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await postgres.writer.start_tls(client_context(authority), server_hostname="a.test")
    await house.apply({**document, "tls": {**section, "options": {name: {}}}})
    assert await (await ask(house, "a.test")).line() == b"one\n"


async def test_options_do_not_count_where_tls_passes_through(proxy, server, ask, authority):
    inner = await server("inner", ssl=server_context(authority, "a.test"))
    tls = {"passthrough": True, "options": "gone"}
    house = await proxy({"tcp": tcp({"a": ("HostSNI(`a.test`)", "in", tls)}, {"in": inner})})
    assert house._switcher.runtime.record("tcp.routers", "a@file").status == "enabled"
    assert await (await ask(house, "a.test")).line() == b"inner\n"


def client_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


async def test_options_that_are_not_there_disable_the_router(proxy, server, ask, authority):
    routers = {"a": ("HostSNI(`a.test`)", "one", {"options": "gone"})}
    document = {"tcp": tcp(routers, {"one": await server("one")}), "tls": certificates(authority, "a.test")}
    house = await proxy(document)
    record = house._switcher.runtime.record("tcp.routers", "a@file")
    assert record.status == "disabled"
    assert record.error == ("unknown TLS options: gone@file",)
    document["tls"]["options"] = {"gone": {}}
    await house.apply(document)
    assert await (await ask(house, "a.test")).line() == b"one\n"


async def test_the_proxy_protocol_comes_before_tls(proxy, server, authority):
    one = await server("one")
    document = {
        "tcp": tcp({"a": ("HostSNI(`a.test`) && ClientIP(`192.0.2.7`)", "one", {})}, {"one": one}),
        "tls": certificates(authority, "a.test"),
    }
    point = {**STATIC["entryPoints"]["db"], "proxyProtocol": {"insecure": True}}
    house = await proxy(document, {"entryPoints": {"db": point}})
    reader, writer = await asyncio.open_connection(*house.address("db"))
    writer.write(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    await writer.start_tls(context, server_hostname="a.test")
    async with asyncio.timeout(PATIENCE):
        assert await reader.readline() == b"one\n"
    writer.close()
