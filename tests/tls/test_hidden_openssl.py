"""A Python whose OpenSSL cannot be reached past its `ssl`: TLS is refused by name, and all else serves.

Such a Python is not at hand; one is made of this one, before it imports fastproxy, by what tells them apart.
"""

import _ssl
import asyncio
import contextlib
import json
import re
import ssl
import sys
from types import SimpleNamespace

import pytest

from tests.tls.rig import House
from tests.tls.test_https import pair
from tests.waiting import patient

HIDDEN = {
    "in the interpreter": "del _ssl.__file__",
    "in its module": "from fastproxy._core import phrase; _ssl.__file__ = phrase.__file__",
    "behind contexts of another make": """
class Other(ssl.SSLContext):
    options = property(lambda self: 0, lambda self, value: None)
ssl.SSLContext = Other
""",
}
PROGRAM = """
import _ssl, asyncio, json, ssl, sys
{hide}
import uvloop
from fastproxy import Proxy

async def main():
    async with Proxy(json.loads(sys.stdin.readline())) as proxy:
        disabled = {{f"{{each.kind}} {{each.name}}": each.error for each in proxy.runtime.disabled()}}
        print(json.dumps([proxy.address("web"), disabled]), flush=True)
        await asyncio.to_thread(sys.stdin.read)

uvloop.run(main())
"""
CHECK = """
import _ssl, ssl, sys
{hide}
from fastproxy.cli import main
sys.exit(main(["check", "--configFile=fastproxy.yml"]))
"""
REASON = (
    f"TLS cannot be spoken here: {ssl.OPENSSL_VERSION} lies hidden in this Python; "
    "one that is linked with the system's libssl is needed"
)

pytestmark = pytest.mark.skipif(
    not hasattr(_ssl, "__file__"), reason="this Python has its OpenSSL in itself, and there it is found"
)


@pytest.fixture(params=HIDDEN)
def hide(request):
    return HIDDEN[request.param]


async def run(program, hide, **options):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program.format(hide=hide)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )


@pytest.fixture
async def secure(issue, tmp_path):
    """A server that speaks TLS itself, as d.example; its address."""
    chain, key = issue("d.example")
    (tmp_path / "d.pem").write_text(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "d.pem")

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nitself")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield "{}:{}".format(*server.sockets[0].getsockname())
    server.close()


def document(url, secure, certificate):
    """Return routers, services and transports with TLS and without. secure: who has TLS of its own."""
    address = url.removeprefix("http://")
    safe = url.replace("http:", "https:")
    return {
        "entryPoints": {"web": {"address": "127.0.0.1:0"}},
        "http": {
            "routers": {
                "plain": {"rule": "Host(`a.example`)", "service": "plain"},
                "safe": {"rule": "Host(`a.example`)", "service": "plain", "tls": {}},
                "onward": {"rule": "Host(`b.example`)", "service": "onward"},
            },
            "services": {
                "plain": {"loadBalancer": {"servers": [{"url": url}]}},
                "onward": {"loadBalancer": {"servers": [{"url": safe}]}},
                "by": {"loadBalancer": {"servers": [{"url": safe}], "serversTransport": "own"}},
            },
            "serversTransports": {"own": {"insecureSkipVerify": True}},
        },
        "tcp": {
            "routers": {
                "ends": {"rule": "HostSNI(`c.example`)", "service": "db", "tls": {}},
                "passes": {"rule": "HostSNI(`d.example`)", "service": "own", "tls": {"passthrough": True}},
            },
            "services": {
                "own": {"loadBalancer": {"servers": [{"address": secure}]}},
                "db": {"loadBalancer": {"servers": [{"address": address}]}},
                "safe": {"loadBalancer": {"servers": [{"address": address, "tls": True}]}},
            },
        },
        "tls": {"certificates": [pair(certificate)], "options": {"own": {"minVersion": "VersionTLS13"}}},
    }


DISABLED = {
    "http.routers onward": 'the service "onward@file" is disabled: ',
    "http.routers safe": "",
    "http.serversTransports own": "",
    "http.services by": 'the servers transport "own@file" is disabled: ',
    "http.services onward": "",
    "tcp.routers ends": "",
    "tcp.services safe": "",
    "tls.certificates": "",
    "tls.options own": "",
    "tls.stores generated": "",
}
"""What is, and what stands before the reason."""


async def test_what_needs_tls_is_disabled_and_the_rest_serves(hide, authority, issue, backend, secure):
    """Bytes of TLS that pass through need no OpenSSL here."""
    running = await run(PROGRAM, hide)
    try:
        running.stdin.write(json.dumps(document(backend.url, secure, issue("a.example"))).encode() + b"\n")
        line = await patient(running.stdout.readline())
        assert line, (await running.stderr.read()).decode()
        address, disabled = json.loads(line)
        found = {re.sub(r" inline-\w+@.*|@.*", "", name): each for name, each in disabled.items()}
        assert found == {name: [before + REASON] for name, before in DISABLED.items()}
        house = House(SimpleNamespace(address=lambda name: tuple(address)), authority, backend)
        assert (await house.plain("a.example"))[0] == 200
        assert (await house.plain("b.example"))[0] == 404
        for name in ("a.example", "c.example", "nobody.example"):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await house.get(name)
        assert (await house.get("d.example")).body == b"itself"
        assert (await house.plain("a.example"))[0] == 200
    finally:
        running.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            await patient(running.wait())
    assert running.returncode == 0, (await running.stderr.read()).decode()


async def test_check_tells_it(hide, tmp_path):
    (tmp_path / "fastproxy.yml").write_text("providers: {file: {filename: dynamic.yml}}\n")
    (tmp_path / "dynamic.yml").write_text("tls: {options: {own: {minVersion: VersionTLS13}}}\n")
    checking = await run(CHECK, hide, cwd=tmp_path)
    said, errors = await patient(checking.communicate())
    assert checking.returncode == 1, errors.decode()
    assert f"dynamic.yml:1:22: tls.options.own: {REASON}" in said.decode() + errors.decode()
