"""API and ping of a proxy in somebody's own event loop."""

import asyncio
import glob
import json
import tempfile

import pytest

from fastproxy import Proxy

STATIC = {
    "entryPoints": {"web": {"address": "127.0.0.1:0"}, "traefik": {"address": "127.0.0.1:0"}},
    "api": {"insecure": "true"},
    "ping": {},
}


def document(path="/x"):
    return {
        "http": {
            "routers": {
                "x": {"rule": f"Path(`{path}`)", "service": "s"},
                "bad": {"rule": "Path(`/bad`)", "service": "gone"},
                "p": {"rule": "Path(`/p`)", "service": "ping@internal"},
            },
            "services": {"s": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:9"}]}}},
        }
    }


async def ask(address, path, method="GET"):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    """A folder for temporary files, in which nothing may be left."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield folder
        assert glob.glob(f"{folder}/*") == []


async def test_the_api_shows_what_serves(temporary):
    async with Proxy({**STATIC, **document()}) as proxy:
        inside = proxy.address("traefik")
        assert proxy.address() == proxy.address("web")
        status, body = await ask(inside, "/api/http/routers?search=file&sortBy=status")
        assert status == 200
        assert [(each["name"], each["status"]) for each in json.loads(body)] == [
            ("bad@file", "disabled"),
            ("p@file", "enabled"),
            ("x@file", "enabled"),
        ]
        applied = await proxy.apply(document("/y"))
        assert applied.counts == (0, 1, 0)
        body = (await ask(inside, "/api/http/routers/x@file"))[1]
        assert json.loads(body)["rule"] == "Path(`/y`)"


async def test_ping_says_that_it_stops(temporary):
    slow = {"address": "127.0.0.1:0", "transport": {"lifeCycle": {"requestAcceptGraceTimeout": "1s"}}}
    proxy = Proxy({"entryPoints": {"web": slow}, "ping": {"entryPoint": "web"}, **document()})
    await proxy.start()
    assert await ask(proxy.address(), "/ping") == (200, b"OK")
    assert await ask(proxy.address(), "/p", "POST") == (200, b"OK")
    stopping = asyncio.create_task(proxy.stop())
    await asyncio.sleep(0)
    assert await ask(proxy.address(), "/ping") == (503, b"Service Unavailable")
    await stopping


async def test_it_starts_again(temporary):
    proxy = Proxy({**STATIC, **document()})
    for _ in range(2):
        async with proxy:
            assert await ask(proxy.address("traefik"), "/ping") == (200, b"OK")


async def test_what_is_off_is_refused(temporary):
    async with Proxy({"entryPoints": STATIC["entryPoints"], **document()}) as proxy:
        assert proxy.runtime.record("http.routers", "p@file").error == ("ping is not enabled",)
        assert (await ask(proxy.address("traefik"), "/ping"))[0] == 404
