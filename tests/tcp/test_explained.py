"""What is explained of a connection is what happens to one: server, certificate, or that it is closed."""

import asyncio
import socket
import ssl

import pytest
import trustme

from fastproxy import x509
from fastproxy.explain import connections, datagrams
from fastproxy.explain.connections import DECIDED
from fastproxy.explain.questions import ConnectionQuestion, DatagramQuestion, Question
from fastproxy.explain.requests import explain as explain_request
from tests.tcp.peers import PATIENCE, address_of, document, servers
from tests.tcp.test_tls_streams import certificates, everything, server_context, tcp

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
CLOSED, HTTP = "closed", "http"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
async def web():
    """A server of HTTP."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://{address_of(made)}"
    made.close()


@pytest.fixture
async def made(server, authority):
    names = ("named", "below", "protocol", "far", "all", "plain")
    inner = await server("through", ssl=server_context(authority, "through.test"))
    return {**{name: await server(name) for name in names}, "through": inner}


def reach(address, question):
    """Connect as is asked about. Returns which server greets, HTTP or CLOSED, and the certificate's names."""
    names = None
    try:
        with socket.create_connection(address, PATIENCE, (question.client, 0)) as plain:
            if question.is_postgres:
                plain.sendall(SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return CLOSED, names
            made = plain
            if question.contact.is_tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                if question.alpn:
                    context.set_alpn_protocols(list(question.alpn))
                made = context.wrap_socket(plain, server_hostname=question.sni or None)
                names = x509.read(made.getpeercert(True)).names
            with made:
                made.sendall(b"GET / HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n")
                first = made.makefile("rb").readline()
    except (ssl.SSLError, ConnectionError):
        return CLOSED, None
    if first.startswith(b"HTTP/"):
        return HTTP, names
    return first.decode().strip() or CLOSED, names


async def agree(house, question, entry="db"):
    """Explain a connection and make it; returns what was explained."""
    made = connections.explain(question._replace(entry_point=entry), house.static, house.runtime)
    [way] = made.ways
    reached, names = await asyncio.to_thread(reach, house.address(entry), question)
    if way.closed:
        assert reached == CLOSED, way
        return way
    if way.is_http:
        assert reached == HTTP, way
    else:
        assert f"{reached}@file" == way.service.name, way
    if way.tls is not None and not way.tls.passes:
        shown = way.tls.certificate
        assert shown.names == names if shown.names else "fastproxy default cert" in names
    return way


NAMES = (
    "",
    "tcp.test",
    "TCP.test",
    "x.tcp.test",
    "x.x.tcp.test",
    "web.test",
    "both.test",
    "other.test",
    "other",
)
CLIENTS = ("127.0.0.1", "127.0.0.8", "127.0.0.9")


@pytest.mark.parametrize(
    ("rest", "catch_all", "rows"),
    [(True, True, "abc"), (True, False, "abc"), (False, True, "abd"), (False, False, "abe")],
)
async def test_every_row_of_tls(proxy, made, web, authority, rest, catch_all, rows):
    house = await proxy(everything(authority, made, web, rest=rest, catch_all=catch_all))
    seen = set()
    for name in NAMES:
        for client in CLIENTS[::2]:
            for alpn in ((), ("h2",), ("http/1.1", "h2"), ("other",)):
                way = await agree(house, ConnectionQuestion(name, alpn, True, client=client))
                seen.add(way.row)
    assert seen == {f"9{row}" for row in rows}
    way = await agree(house, ConnectionQuestion("through.test"))
    assert (way.row, way.tls.passes) == ("9b", True)


async def test_connections_without_tls_and_of_postgres(proxy, made, web, authority):
    house = await proxy(everything(authority, made, web))
    for client in CLIENTS:
        way = await agree(house, ConnectionQuestion(client=client))
        assert (way.row, way.router) == ("7", "plain@file" if client == CLIENTS[1] else "")
        for name in NAMES:
            question = ConnectionQuestion(name, (), True, True, client=client)
            assert (await agree(house, question)).row == "4"
    house = await proxy(everything(authority, made, web, catch_all=False))
    way = await agree(house, ConnectionQuestion("other.test", (), True, True))
    assert way.closed == "PostgreSQL with TLS for other.test: no TCP router takes it"


async def test_where_nobody_has_tls(proxy, made, web):
    section = tcp({}, made)
    section["routers"] = {"far": {"rule": "ClientIP(`127.0.0.9`)", "service": "far"}}
    services = {"web": {"loadBalancer": {"servers": [{"url": web}]}}}
    http = {"routers": {"web": {"rule": "PathPrefix(`/`)", "service": "web"}}, "services": services}
    house = await proxy({"tcp": section, "http": http})
    assert [
        ((way := await agree(house, ConnectionQuestion(client=client))).row, way.router)
        for client in CLIENTS[::2]
    ] == [("3", ""), ("3", "far@file")]
    way = await agree(house, ConnectionQuestion("tcp.test"))
    assert way.closed == "nobody speaks TLS here: HTTP reads the handshake, and answers 400"
    port = house.address("db")[1]
    asked = explain_request(
        Question("GET", f"https://tcp.test:{port}/", entry_point="db"), house.static, house.runtime
    )
    assert asked.ways[0].status == 400
    with socket.create_connection(house.address("db"), PATIENCE) as plain:
        plain.sendall(b"\x16\x03\x01\x00\x05hello\r\n\r\n")
        answer = await asyncio.to_thread(plain.recv, 100)
    assert answer.startswith(b"HTTP/1.1 400 ")


TERMS = {
    "strict": {"sniStrict": True},
    "h2": {"alpnProtocols": ["h2"]},
    "broken": {"clientAuth": {"clientAuthType": "RequireAndVerifyClientCert", "caFiles": ["nowhere.pem"]}},
}


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_terms(proxy, made, web, authority, terms, kind):
    """Options that refuse some clients, or all: whoever has the name has them, and nobody less strict."""
    streams = {"a": ("HostSNI(`a.test`)", "named", {"options": terms} if kind == "tcp" else {})}
    router = {"rule": "Host(`a.test`)", "service": "web", "tls": {"options": terms}}
    http = {
        "routers": {"a": router} if kind == "http" else {},
        "services": {"web": {"loadBalancer": {"servers": [{"url": web}]}}},
    }
    for names in ((), ("a.test",)):
        tls = {**certificates(authority, *names), "options": {terms: TERMS[terms]}}
        house = await proxy({"tcp": tcp(streams, made), "http": http, "tls": tls})
        for name in ("a.test", "b.test"):
            for alpn in ((), ("h2",), ("http/1.1",)):
                way = await agree(house, ConnectionQuestion(name, alpn, True))
        assert way.row == "9e"


async def test_middlewares(proxy, made, authority):
    section = tcp({"a": ("HostSNI(`a.test`)", "named", {}, {"middlewares": ["in", "out"]})}, made)
    section["routers"]["p"] = {"rule": "HostSNI(`*`)", "service": "plain", "middlewares": ["in", "out"]}
    section["middlewares"] = {
        "in": {"ipAllowList": {"sourceRange": ["127.0.0.0/8"]}},
        "out": {"ipWhiteList": {"sourceRange": ["127.0.0.1"]}},
    }
    house = await proxy({"tcp": section, "tls": certificates(authority, "a.test")})
    for name in ("a.test", ""):
        for client in CLIENTS[:2]:
            way = await agree(house, ConnectionQuestion(name, client=client))
            assert way.closed == ("" if client == CLIENTS[0] else "the middleware out@file closes it")
            assert [each.does[0][:6] for each in way.middlewares] == [
                "lets i",
                "closes" if way.closed else "lets i",
            ]


async def test_a_middleware_that_counts_is_named_and_not_tried(proxy, made):
    section = tcp({}, made)
    section["routers"] = {"p": {"rule": "HostSNI(`*`)", "service": "plain", "middlewares": ["few", "out"]}}
    section["middlewares"] = {
        "few": {"inFlightConn": {"amount": 2}},
        "out": {"ipAllowList": {"sourceRange": ["127.0.0.1"]}},
    }
    house = await proxy({"tcp": section})
    for client, does in ((CLIENTS[0], "lets it pass"), (CLIENTS[1], "closes it")):
        way = await agree(house, ConnectionQuestion(client=client))
        assert [(each.type, each.does[0].split(":")[0]) for each in way.middlewares] == [
            ("inFlightConn", "what it does hangs on more than this connection; not tried here"),
            ("ipAllowList", does),
        ]


async def test_a_service_without_servers(proxy):
    house = await proxy(document())
    assert (await agree(house, ConnectionQuestion())).closed == "the service db@file has no server"


async def test_a_misdirected_request(proxy, made, web, authority):
    """Name in TLS and Host with different options."""
    routers = {
        name: {"rule": f"Host(`{name}.test`)", "service": "web", "tls": {"options": options}}
        for name, options in (("web", ""), ("new", "new"))
    }
    services = {"web": {"loadBalancer": {"servers": [{"url": web}]}}}
    document = {
        "http": {"routers": routers, "services": services},
        "tls": {**certificates(authority, "*.test"), "options": {"new": {"minVersion": "VersionTLS13"}}},
    }
    house = await proxy(document)
    for sni, host in (
        ("web", "web"),
        ("web", "new"),
        ("new", "new"),
        ("new", "web"),
        ("x", "web"),
        ("x", "new"),
    ):
        question = Question("GET", f"https://{sni}.test/", (("Host", f"{host}.test"),), "db")
        [way] = explain_request(question, house.static, house.runtime).ways
        assert way.router == f"{host}@file"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        streams = await asyncio.open_connection(
            *house.address("db"), ssl=context, server_hostname=f"{sni}.test"
        )
        streams[1].write(f"GET / HTTP/1.1\r\nHost: {host}.test\r\nConnection: close\r\n\r\n".encode())
        status = int((await asyncio.wait_for(streams[0].readline(), PATIENCE)).split()[1])
        streams[1].close()
        assert (way.status or 200) == status


def test_all_rows_have_words():
    assert {*DECIDED, "9a", "9c"} == {"3", "4", "7", "9a", "9b", "9c", "9d", "9e"}


# --- datagrams ----------------------------------------------------------------------------------------------


class Named(asyncio.DatagramProtocol):
    """Answers every datagram with a name."""

    def __init__(self, name):
        self.name = name

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(self.name.encode(), address)


@pytest.fixture
async def named():
    """Servers of UDP by name: service name -> section."""
    loop = asyncio.get_running_loop()
    made = {}
    for name in ("one", "two"):
        made[name], _ = await loop.create_datagram_endpoint(
            lambda name=name: Named(name), local_addr=("127.0.0.1", 0)
        )
    yield {
        name: servers("127.0.0.1:{}".format(each.get_extra_info("sockname")[1]))
        for name, each in made.items()
    }
    for each in made.values():
        each.close()


def asked_by_udp(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE)
        client.sendto(b"?", address)
        return client.recv(100).decode()


POINTS = {"entryPoints": {name: {"address": "127.0.0.1:0/udp"} for name in ("dns", "ntp")}}


@pytest.mark.parametrize(
    ("routers", "told", "why"),
    [
        ({"a": ("one", []), "b": ("two", [])}, "b@file", {"a@file": "its name comes before b@file"}),
        ({"b": ("one", ["dns"]), "c": ("two", ["ntp"])}, "b@file", {"c@file": "it is on ntp, not on dns"}),
        (
            {"a": ("one", []), "b": ("gone", [])},
            "a@file",
            {"b@file": 'the service "gone@file" does not exist'},
        ),
        ({"a": ("w", [])}, "a@file", {}),
    ],
)
async def test_datagrams(proxy, named, routers, told, why):
    section = {
        name: {"service": service, "entryPoints": points} for name, (service, points) in routers.items()
    }
    weighted = {"weighted": {"services": [{"name": "two", "weight": 3}, {"name": "one", "weight": 0}]}}
    house = await proxy({"udp": {"routers": section, "services": {**named, "w": weighted}}}, POINTS)
    made = datagrams.explain(DatagramQuestion("dns"), house.static, house.runtime)
    [way] = made.ways
    assert (made.is_taken, way.router, way.dropped) == (True, told, "")
    assert {each.name: each.why[0] for each in (*way.beaten, *way.disabled, *way.near)} == why
    service = way.service.services[0] if way.service.services else way.service
    assert f"{await asyncio.to_thread(asked_by_udp, house.address('dns'))}@file" == service.name


async def test_datagrams_that_nobody_takes(proxy, named):
    document = {
        "udp": {"routers": {"a": {"service": "e", "entryPoints": ["dns"]}}, "services": {"e": servers()}}
    }
    house = await proxy(document, POINTS)
    made = datagrams.explain(DatagramQuestion(), house.static, house.runtime)
    assert not made.is_taken
    assert [(way.entry_point, way.router, way.dropped) for way in made.ways] == [
        ("dns", "a@file", "the service e@file has no server"),
        ("ntp", "", "no router takes them"),
    ]
