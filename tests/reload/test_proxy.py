"""A proxy in somebody's own event loop: from a document, a file or Structs, started and stopped."""

import asyncio
import socket
import subprocess
import sys

import pytest

from fastproxy import Proxy
from fastproxy.config.dynamic import Configuration
from fastproxy.config.http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, Server
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.errors import ConfigError
from fastproxy.sockets import BindError
from tests.reload.peers import STATIC, document
from tests.waiting import becomes, eventually

EVERYTHING = {"r": ("PathPrefix(`/`)", "s")}


async def test_a_document_with_both_halves(backend, connect):
    server = await backend("s")
    async with Proxy({**STATIC, **document(EVERYTHING, {"s": [server.url]})}) as proxy:
        host, port = proxy.address("web")
        assert proxy.url("web") == proxy.url() == f"http://{host}:{port}"
        assert await (await connect(proxy)).get("/x") == (200, "s /x")
        assert proxy.connections == 1
        assert (proxy.counters["requests"], proxy.counters["2xx"]) == (1, 1)


async def test_structs(backend, connect):
    server = await backend("s")
    static = StaticConfiguration(entry_points={"web": EntryPoint(address="127.0.0.1:0")})
    balancer = LoadBalancer(servers=(Server(url=server.url),))
    dynamic = Configuration(
        http=HttpConfiguration(
            routers={"r": HttpRouter(rule="PathPrefix(`/`)", service="s")},
            services={"s": HttpService(load_balancer=balancer)},
        )
    )
    async with Proxy(static, dynamic) as proxy:
        assert await (await connect(proxy)).get() == (200, "s /")
        await proxy.apply(Configuration())
        assert (await (await connect(proxy)).get())[0] == 404


async def test_a_file_is_followed(backend, connect, tmp_path, caplog):
    one, two = await backend("one"), await backend("two")

    def write(url):
        new = tmp_path / "new"
        new.write_text(
            "http: {routers: {r: {rule: 'PathPrefix(`/`)', service: s}},"
            f" services: {{s: {{loadBalancer: {{servers: [{{url: '{url}'}}]}}}}}}}}"
        )
        new.rename(tmp_path / "dynamic.yml")

    write(one.url)
    (tmp_path / "static.yml").write_text(
        "entryPoints: {web: {address: '127.0.0.1:0'}}\n"
        f"providers: {{providersThrottleDuration: 0, file: {{filename: {tmp_path}/dynamic.yml}}}}\n"
    )
    async with Proxy(tmp_path / "static.yml") as proxy:
        client = await connect(proxy)
        assert await client.get() == (200, "one /")
        with pytest.raises(RuntimeError, match=r"follows .*dynamic\.yml"):
            await proxy.apply({})
        write(two.url)
        await becomes((200, "two /"), client.get)
        (tmp_path / "dynamic.yml").write_text("http: [")
        await eventually(lambda: "refused for 1 error(s); the last good one stays" in caplog.text)
        assert await client.get() == (200, "two /")


async def test_a_file_that_cannot_be_used(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        Proxy(tmp_path / "none.yml")
    (tmp_path / "static.yml").write_text(f"providers: {{file: {{filename: {tmp_path}/none.yml}}}}\n")
    with pytest.raises(ConfigError, match=r"none\.yml"):
        await Proxy(str(tmp_path / "static.yml")).start()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"entryPoints": {"web": {"address": "nowhere"}}}, "has no port"),
        ({"entryPoints": {"web": {"adress": ":80"}}}, "address"),
        ({**STATIC, "metrics": {}}, "not supported yet"),
        ({**STATIC, "http": []}, "a mapping is expected"),
        ({}, "no section of a static configuration"),
    ],
)
async def test_a_document_that_cannot_be_used(config, message):
    with pytest.raises(ConfigError, match=message):
        Proxy(config)


async def test_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        proxy = Proxy({"entryPoints": {"web": {"address": address}}})
        with pytest.raises(BindError, match=r"entryPoints\.web\.address: .*in use"):
            await proxy.start()
    await proxy.start()  # nothing is left of the first attempt
    await proxy.stop()


async def test_starting_and_stopping_again(backend, connect):
    server = await backend("s")
    proxy = Proxy({**STATIC, **document(EVERYTHING, {"s": [server.url]})})
    assert await proxy.stop() == 0
    with pytest.raises(RuntimeError, match="does not run"):
        await proxy.apply({})
    for _ in range(2):
        async with proxy:
            with pytest.raises(RuntimeError, match="runs already"):
                await proxy.start()
            assert (await (await connect(proxy)).get())[0] == 200
    with pytest.raises(RuntimeError, match="does not run"):
        proxy.url()


async def test_stopping_lets_requests_end(backend, connect):
    server = await backend("s")
    proxy = Proxy({**STATIC, **document(EVERYTHING, {"s": [server.url]})})
    await proxy.start()
    client, address = await connect(proxy), proxy.address()
    server.hold()
    client.send()
    await server.asked()
    stopping = asyncio.create_task(proxy.stop())
    entry = proxy._listeners["web"].entry
    await eventually(lambda: entry.is_draining)
    with pytest.raises(OSError):
        await asyncio.open_connection(*address)
    assert not stopping.done()
    server.go.set()
    assert await client.answer() == (200, "s /")
    assert await stopping == 0
    assert await client.reader.read() == b""
    await eventually(lambda: not server.writers, "connections to servers to be closed too")


async def test_an_error_inside_the_block_waits_for_nobody(backend, connect):
    server = await backend("s")
    client = None
    with pytest.raises(ZeroDivisionError):
        async with Proxy({**STATIC, **document(EVERYTHING, {"s": [server.url]})}) as proxy:
            client = await connect(proxy)
            server.hold()
            client.send()
            await server.asked()
            raise ZeroDivisionError
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await client.answer()


async def test_several_entry_points(backend, connect):
    server = await backend("s")
    static = {"entryPoints": {"web": {"address": "127.0.0.1:0"}, "admin": {"address": "[::1]:0"}}}
    router = {"rule": "PathPrefix(`/`)", "service": "s", "entryPoints": ["admin"]}
    async with Proxy({**static, **document({"r": router}, {"s": [server.url]})}) as proxy:
        assert proxy.url("admin").startswith("http://[::1]:")
        assert (await (await connect(proxy, "web")).get())[0] == 404
        assert (await (await connect(proxy, "admin")).get())[0] == 200
        with pytest.raises(KeyError, match="web, admin"):
            proxy.url()


async def test_all_addresses_are_reached_on_the_loopback(connect):
    async with Proxy({"entryPoints": {"web": {"address": ":0"}}}) as proxy:
        assert proxy.address()[0] == "127.0.0.1"
        assert (await (await connect(proxy)).get())[0] == 404


def test_a_loop_that_is_none_of_uvloop_is_refused():
    async def main():
        await Proxy(STATIC).start()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        with pytest.raises(RuntimeError, match=r"uvloop.*uvloop\.run"):
            runner.run(main())


def test_importing_the_package_is_cheap():
    code = "import sys, fastproxy; sys.exit('fastproxy.app' in sys.modules or 'msgspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
