"""The decision table of an accepted connection, row by row, with the clients that people use.

A row says what a client is like and who takes its connection. Every client that can be like that is asked:
openssl s_client, Python's ssl, curl. Each begins something under one generation; the configuration changes,
and what was begun ends where it began, while who comes now finds the new servers. PostgreSQL's own client
is in test_postgres.py.

Source: "What happens to an accepted TCP connection" of Traefik v3, whose numbers the rows have.
"""

import asyncio
import contextlib
import shutil
import ssl
from typing import Any

import pytest
import trustme

from fastproxy import Proxy
from tests.tcp.clients import REFUSED, SSL_REQUEST, WAYS, Python, Row
from tests.tcp.peers import PATIENCE, address_of, servers
from tests.tcp.test_tls_streams import pair, server_context, tcp

NOT_FOUND = "404 page not found"


NEITHER = ("rest", "all")
ROWS = [
    Row("1 PROXY protocol", "plain", tls=False, source="127.0.0.8", begins="proxy", ways=("python", "curl")),
    Row("1 PROXY protocol, TLS", "https", "web.test", begins="proxy", ways=("python", "curl")),
    Row("3 server first", "first", tls=False, entry="mail", ways=("python", "curl")),
    Row("3 server first, then TLS", "smtp", "smtp.test", begins="smtp", entry="smtp", ways=("openssl",)),
    Row("4 PostgreSQL", "database", "db.test", begins="postgres", ways=("openssl", "python")),
    Row("4 PostgreSQL through", "base", "base.test", begins="postgres", ways=("openssl", "python")),
    Row("4 PostgreSQL, HTTPS is not asked", "all", "web.test", begins="postgres", ways=("openssl", "python")),
    Row("4 nobody", REFUSED, "web.test", begins="postgres", lacks=("all",), ways=("openssl", "python")),
    Row("7 plain TCP", "plain", tls=False, source="127.0.0.8", ways=("python", "curl")),
    Row("7 plain HTTP", "http", tls=False, ways=("python", "curl")),
    Row("8 no ACME here", REFUSED, "web.test", alpn="acme-tls/1", ways=("openssl", "python")),
    Row("9a Host", "https", "web.test"),
    Row("9a Host, by ALPN", "https", "web.test", alpn="http/1.1"),
    Row("9a Host before HostSNI", "https", "both.test"),
    Row("9a Host, a client certificate", "https", "sure.test", has_certificate=True),
    Row("9a Host, no client certificate", REFUSED, "sure.test"),
    Row("9b HostSNI", "named", "tcp.test"),
    Row("9b HostSNI, capitals", "named", "TCP.test"),
    Row("9b HostSNI, one label below", "below", "x.tcp.test"),
    Row("9b HostSNI, by ALPN", "protocol", "tcp.test", alpn="http/1.1"),
    Row("9b HostSNI, by ClientIP", "far", "tcp.test", source="127.0.0.9"),
    Row("9b HostSNI, a client certificate", "mutual", "pair.test", has_certificate=True),
    Row("9b HostSNI, no client certificate", REFUSED, "pair.test"),
    Row("9b HostSNI, passthrough", "through", "through.test"),
    Row("9c HTTPS for any name before HostSNI(*)", "rest", "other.test"),
    Row("9c HTTPS for any name, none asked for", "rest"),
    Row("9d HostSNI(*)", "all", "other.test", lacks=("rest",)),
    Row("9d HostSNI(*), none asked for", "all", lacks=("rest",)),
    Row("9e nobody", NOT_FOUND, "other.test", lacks=NEITHER),
    Row("9e nobody, none asked for", NOT_FOUND, lacks=NEITHER),
]

NAMES = ("web.test", "both.test", "sure.test", "tcp.test", "x.tcp.test", "pair.test", "db.test")


# --- servers ------------------------------------------------------------------------------------------------


class Server:
    """Speaks HTTP, whatever the router is: says its name when a request is whole.

    begins: what it wants or says before that: `greeting`, `smtp`, `postgres`; context: of its own TLS.
    """

    def __init__(self, name: str, begins: str = "", context: ssl.SSLContext | None = None) -> None:
        self.name, self.begins, self.context = name, begins, context
        self.begun = asyncio.Event()
        """A request has begun."""

    async def start(self) -> str:
        own = self.context if self.begins in ("", "greeting") else None
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=own)
        return address_of(self.server)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            if self.begins == "greeting":
                writer.write(f"220 {self.name}\r\n".encode())
            if self.begins == "smtp":
                writer.write(b"220 here ESMTP\r\n")
                await reader.readuntil(b"\r\n")
                writer.write(b"250-here\r\n250 STARTTLS\r\n")
                await reader.readuntil(b"STARTTLS\r\n")
                writer.write(b"220 begin\r\n")
            if self.begins == "postgres":
                assert await reader.readexactly(8) == SSL_REQUEST
                writer.write(b"S")
            if self.context is not None and self.begins in ("smtp", "postgres"):
                await writer.start_tls(self.context)
            await reader.readuntil(b"\r\n\r\n")
            self.begun.set()
            await reader.readuntil(b"0\r\n\r\n")
            body = self.name.encode()
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            await writer.drain()
        writer.close()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Write what clients are given: (authority, certificate, key)."""
    folder = tmp_path_factory.mktemp("client")
    client = authority.issue_cert("client.test")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client.private_key_pem.write_to_path(folder / "key.pem")
    for each in client.cert_chain_pems:
        each.write_to_path(folder / "cert.pem", append=True)
    return folder / "ca.pem", folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def certificates(authority):
    return [pair(authority, name) for name in NAMES]


SERVICES = (
    *("http", "https", "rest", "plain", "first", "smtp", "database", "base"),
    *("named", "below", "protocol", "far", "mutual", "through", "all"),
)


class World:
    """Servers of two generations, and documents that lead to the one or the other."""

    def __init__(self, authority: Any, certificates: list[dict[str, str]]) -> None:
        self.authority, self.certificates = authority, certificates

    async def __aenter__(self) -> "World":
        begins = {"first": "greeting", "smtp": "smtp", "base": "postgres"}
        self.servers, self.addresses = {}, {}
        for name in SERVICES:
            context = None
            if name in ("through", "base", "smtp"):
                context = server_context(self.authority, f"{name}.test")
            for generation in (1, 2):
                made = Server(f"{name} {generation}", begins.get(name, ""), context)
                self.servers[name, generation] = made
                self.addresses[name, generation] = await made.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self.servers.values():
            each.server.close()

    def document(self, generation: int, lacks: tuple[str, ...] = ()) -> dict[str, Any]:
        def web(rule: str, service: str, **more: object) -> dict[str, Any]:
            return {"rule": rule, "service": service, "entryPoints": ["web"], **more}

        http = {
            "https": web("Host(`web.test`) || Host(`both.test`)", "https", tls={}),
            "sure": web("Host(`sure.test`)", "https", tls={"options": "sure"}),
            "rest": web("PathPrefix(`/`)", "rest", tls={}),
            "http": web("PathPrefix(`/`)", "http"),
        }
        streams = {
            "named": ("HostSNI(`tcp.test`) || HostSNI(`both.test`)", "named", {}),
            "below": ("HostSNI(`*.tcp.test`)", "below", {}),
            "protocol": ("HostSNI(`tcp.test`) && ALPN(`http/1.1`) && HostSNI(`tcp.test`)", "protocol", {}),
            "far": ("HostSNI(`tcp.test`) && ClientIP(`127.0.0.9`) && HostSNI(`tcp.test`)", "far", {}),
            "mutual": ("HostSNI(`pair.test`)", "mutual", {"options": "sure"}),
            "through": ("HostSNI(`through.test`)", "through", {"passthrough": True}),
            "database": ("HostSNI(`db.test`)", "database", {}),
            "base": ("HostSNI(`base.test`)", "base", {"passthrough": True}),
            "all": ("HostSNI(`*`)", "all", {}),
        }
        on_web = {"entryPoints": ["web"]}
        routers = tcp({name: (*each, on_web) for name, each in streams.items()}, {})["routers"]
        routers["plain"] = {"rule": "ClientIP(`127.0.0.8`)", "service": "plain", "entryPoints": ["web"]}
        routers["mail"] = {"rule": "HostSNI(`*`)", "service": "first", "entryPoints": ["mail"]}
        routers["smtp"] = {"rule": "HostSNI(`*`)", "service": "smtp", "entryPoints": ["smtp"]}
        at = {name: address for (name, of), address in self.addresses.items() if of == generation}
        return {
            "http": {
                "routers": {name: each for name, each in http.items() if name not in lacks},
                "services": {
                    name: {"loadBalancer": {"servers": [{"url": f"http://{at[name]}"}]}}
                    for name in ("http", "https", "rest")
                },
            },
            "tcp": {
                "routers": {name: each for name, each in routers.items() if name not in lacks},
                "services": {name: servers(address) for name, address in at.items()},
            },
            "tls": {
                "certificates": self.certificates,
                "options": {"sure": {"clientAuth": {"caFiles": [self.authority.cert_pem.bytes().decode()]}}},
            },
        }


@pytest.fixture
async def world(authority, certificates):
    async with World(authority, certificates) as made:
        yield made


def static(read_timeout: str = "60s") -> dict[str, Any]:
    timeouts = {"respondingTimeouts": {"readTimeout": read_timeout}}
    point = {"address": "127.0.0.1:0", "transport": timeouts}
    proxied = {**point, "proxyProtocol": {"trustedIPs": ["127.0.0.0/8"]}}
    return {"entryPoints": {"web": proxied, "mail": point, "smtp": point}}


# --- the table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "way"), [pytest.param(row, way, id=f"{row.number}-{way}") for row in ROWS for way in row.ways]
)
async def test_who_takes_a_connection(world, files, row, way):
    if shutil.which(way) is None and way != "python":
        pytest.fail(f"{way} is not installed")
    made = []

    def client(house):
        made.append(WAYS[way](row, house.address(row.entry), files))
        return made[-1]

    async with Proxy({**static(), **world.document(1, row.lacks)}) as house, asyncio.timeout(PATIENCE):
        if row.takes in (REFUSED, NOT_FOUND):
            for generation in (2, 1):
                asking = client(house)
                await asking.begin()
                assert await asking.end() == row.takes
                await house.apply(world.document(generation, row.lacks))
        else:
            before, after = client(house), client(house)
            await before.begin()
            await world.servers[row.takes, 1].begun.wait()
            await house.apply(world.document(2, row.lacks))
            await after.begin()
            await world.servers[row.takes, 2].begun.wait()
            assert await before.end() == f"{row.takes} 1"
            assert await after.end() == f"{row.takes} 2"
        for each in made:
            await each.close()


# --- what no good client says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "ends", "heard"),
    [
        pytest.param(b"", False, b"", id="2 nothing in time"),
        pytest.param(b"PROXY TCP4 1.2.3.4 ", False, b"", id="2 a part of a header"),
        pytest.param(b"PROXY TCP4 nonsense\r\n", False, b"", id="1 no header"),
        pytest.param(SSL_REQUEST[:5], False, b"", id="4 a part of a request"),
        pytest.param(SSL_REQUEST, False, b"S", id="4 no TLS in time"),
        pytest.param(SSL_REQUEST + SSL_REQUEST, False, b"S", id="4 no TLS"),
        pytest.param(b"\x80\x2e\x01\x03\x01" + bytes(43), False, b"\x15", id="5 SSL 2"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00", False, b"", id="5 a part of a hello"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00", True, b"", id="5 the end within a hello"),
        pytest.param(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", False, b"", id="5 no hello"),
    ],
)
async def test_what_is_closed(world, said, ends, heard):
    """Within readTimeout, and without a word to any server."""
    async with Proxy({**static("500ms"), **world.document(1)}) as house, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*house.address("web"))
        writer.write(said)
        if ends:
            writer.write_eof()
        came = b""
        with contextlib.suppress(ConnectionResetError):
            while more := await reader.read(65536):
                came += more
        assert came[:1] == heard[:1]
        assert heard or not came
        writer.close()
        assert not any(each.begun.is_set() for each in world.servers.values())


PASSED_ON = [each for each in ROWS if each.number in ("7 plain TCP", "9b HostSNI", "9b HostSNI, passthrough")]


@pytest.mark.parametrize("row", PASSED_ON, ids=lambda row: row.number)
async def test_the_time_of_reading_is_that_of_the_decision(world, files, row):
    """Row 6: whoever is passed on may be silent for longer."""
    async with Proxy({**static("500ms"), **world.document(1)}) as house, asyncio.timeout(PATIENCE):
        client = Python(row, house.address("web"), files)
        await client.begin()
        await world.servers[row.takes, 1].begun.wait()
        silent, writer = await asyncio.open_connection(*house.address("web"))
        assert await silent.read() == b"", "who came later and is not passed on has had his time"
        writer.close()
        assert await client.end() == f"{row.takes} 1"
        await client.close()
