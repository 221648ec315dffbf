"""The examples of docs/tcp.md have no mistake, and do what the page says."""

import re
from pathlib import Path

import pytest

from fastproxy import Proxy
from fastproxy.check import check_files
from tests.tcp.test_tls_streams import ask, authority, server_context  # noqa: F401

PAGE = (Path(__file__).parents[2] / "docs" / "tcp.md").read_text()
EXAMPLES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
DYNAMIC = ["dynamic.yml", "tls.yml", "weighted.yml", "few.yml", "checked.yml", "transport.yml"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_there_are_examples():
    assert set(EXAMPLES) == {"fastproxy.yml", "proxied.yml", *DYNAMIC}


@pytest.mark.parametrize("files", [["fastproxy.yml"], ["proxied.yml"], *([each] for each in DYNAMIC)])
def test_no_example_has_a_mistake(folder, files):
    assert [str(each) for each in check_files(files).problems] == []


@pytest.fixture
async def start(folder):
    """Start a proxy with an example, on free ports: `await start("few.yml", {written: address})`."""
    houses = []

    async def start(dynamic, addresses, static="fastproxy.yml", **changes):
        text, point = EXAMPLES[dynamic], EXAMPLES[static]
        for written, address in addresses.items():
            assert written in text
            text = text.replace(written, address)
        for written, other in changes.items():
            assert written in point
            point = point.replace(written, other)
        (folder / "dynamic.yml").write_text(text)
        (folder / static).write_text(re.sub(r":1543\d", ":0", point))
        houses.append(Proxy(folder / static))
        await houses[-1].start()
        return houses[-1]

    yield start
    for house in houses:
        await house.stop(grace=0)


async def test_the_first_example_serves(start, server, connect):
    made = {f"127.0.0.1:{port}": (await server(str(port))).address for port in (5432, 5433)}
    house = await start("dynamic.yml", made)
    assert {await (await connect(house)).line() for _ in range(2)} == {b"5432\n", b"5433\n"}


async def test_tls_ends_here_or_passes_through(start, server, ask, authority):  # noqa: F811
    inner = await server("mail", ssl=server_context(authority, "mail.example.com"))
    house = await start(
        "tls.yml", {"127.0.0.1:5432": (await server("db")).address, "127.0.0.1:993": inner.address}
    )
    assert await (await ask(house, "db.example.com", check=False)).line() == b"db\n"
    assert await (await ask(house, "mail.example.com")).line() == b"mail\n"  # with its own certificate


async def test_services_have_their_shares(start, server, connect):
    made = {f"127.0.0.1:{port}": (await server(str(port))).address for port in (5432, 5433)}
    house = await start("weighted.yml", made)
    found = [await (await connect(house)).line() for _ in range(8)]
    assert sorted(found) == [b"5432\n"] * 6 + [b"5433\n"] * 2


async def test_a_client_has_so_many_connections(start, server, connect):
    house = await start("few.yml", {"127.0.0.1:5432": (await server("one")).address})
    clients = [await connect(house) for _ in range(10)]
    assert [await each.line() for each in clients] == [b"one\n"] * 10
    assert await (await connect(house)).line() == b""


async def test_servers_are_told_who_the_client_is(start, server, connect):
    one = await server("mail", greets=False)
    client = await connect(await start("transport.yml", {"127.0.0.1:2525": one.address}))
    client.send(b"hello\n")
    assert (await client.line()).startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
    assert await client.line() == b"HELLO\n"


@pytest.mark.parametrize(("client", "is_let_in"), [("10.1.2.3", True), ("192.0.2.7", False)])
async def test_clients_are_those_that_a_trusted_proxy_names(start, server, connect, client, is_let_in):
    """The page trusts another network than that of this test, and its list lets some clients in."""
    made = {f"127.0.0.1:{port}": (await server("one")).address for port in (5432, 5433)}
    house = await start("dynamic.yml", made, "proxied.yml", **{"10.0.0.0/8": "127.0.0.0/8"})
    one = await connect(house)
    one.send(f"PROXY TCP4 {client} 127.0.0.1 1 2\r\n".encode())
    assert await one.line() == (b"one\n" if is_let_in else b"")
