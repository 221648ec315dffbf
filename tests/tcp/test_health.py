"""Health checks of TCP servers: what passes, what fails, who gets connections meanwhile, and what is told."""

import asyncio
import errno
import logging
import ssl

import pytest
import trustme

from fastproxy import Proxy
from fastproxy import health as module
from fastproxy.build.runtime import TCP_SERVICES
from fastproxy.config.document import decode
from fastproxy.config.findings import Findings
from fastproxy.config.merge import Merger
from fastproxy.config.static import StaticConfiguration
from fastproxy.config.tcp import TcpHealthCheck, TcpServer
from fastproxy.config.values import SECOND
from fastproxy.health import Health
from tests.tcp.peers import PATIENCE, STATIC, address_of, document, free_port, servers
from tests.waiting import eventually

QUICK = {"interval": "20ms", "timeout": "2s"}
SLOW = {"interval": "1h"}


def checked(*addresses, check=QUICK, **sections):
    """Return a document whose service checks its servers."""
    made = document(*addresses, **sections)
    made["tcp"]["services"]["db"]["loadBalancer"]["healthCheck"] = check
    return made


def down(proxy, service="db"):
    """Return the servers of a service that are down, as the API has it."""
    return set(proxy.runtime.record(TCP_SERVICES, f"{service}@file").down)


class Scripted:
    """A server that says of each connection what its script says, and notes what it was sent.

    answer: what it says; None: nothing, and it stays. hears: bytes that it reads before.
    """

    def __init__(self, answer=b"", hears=0):
        self.answer, self.hears, self.heard, self.asked = answer, hears, [], 0

    async def start(self, **options):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, **options)
        self.address = address_of(self.server)
        return self

    async def serve(self, reader, writer):
        self.asked += 1
        try:
            self.heard.append(await reader.readexactly(self.hears))
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def times(self, count):
        """Wait until it was asked so often more."""
        last = self.asked + count
        await eventually(lambda: self.asked >= last)


@pytest.fixture
async def scripted():
    made = []

    async def make(answer=b"", hears=0, **options):
        made.append(await Scripted(answer, hears).start(**options))
        return made[-1]

    yield make
    for each in made:
        each.server.close()


# --- what a check is ----------------------------------------------------------------------------------------


async def test_a_server_that_cannot_be_reached_is_down_and_the_other_gets_everything(proxy, server, connect):
    made, gone = await server("one"), f"127.0.0.1:{free_port()}"
    house = await proxy(checked(made.address, gone))
    await eventually(lambda: down(house) == {gone})
    for _ in range(4):
        assert await (await connect(house)).line() == b"one\n"


async def test_nobody_is_down_before_the_first_interval_is_over(proxy, connect):
    house = await proxy(checked(f"127.0.0.1:{free_port()}", check=SLOW))
    assert await (await connect(house)).rest() == b""
    assert down(house) == set()


async def test_all_down_closes_at_once(proxy, server, connect, caplog):
    gone = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    house = await proxy(checked(*gone))
    await eventually(lambda: down(house) == set(gone))
    caplog.clear()
    assert await (await connect(house)).rest() == b""
    assert "cannot be reached" not in caplog.text, "nobody was dialled for the client"
    why = "no server of service db@file is up"
    assert f"1 connections were closed, of late one for router db@file: {why}" in caplog.text


@pytest.mark.parametrize(
    ("check", "answer", "hears"),
    [
        ({"send": "PING\r\n", "expect": "+PONG"}, b"+PONG\r\n", 6),
        ({"expect": "220 "}, b"220 mail", 0),
        ({"send": "é", "expect": "ü"}, "ü".encode(), 2),
        ({"send": "hello"}, b"", 5),
        ({}, b"", 0),
    ],
)
async def test_a_server_that_answers_as_expected_is_up(proxy, scripted, check, answer, hears):
    made = await scripted(answer, hears)
    house = await proxy(checked(made.address, check={**QUICK, **check}))
    await made.times(3)
    assert down(house) == set()
    assert set(made.heard) == {check.get("send", "").encode()}


async def test_an_answer_that_comes_in_pieces(proxy, scripted):
    made = await scripted()

    async def serve(reader, writer):
        made.asked += 1
        for byte in b"+PONG":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.close()

    made.serve = serve
    dribbling = await asyncio.start_server(serve, "127.0.0.1", 0)
    house = await proxy(checked(address_of(dribbling), check={**QUICK, "expect": "+PONG"}))
    await made.times(3)
    assert down(house) == set()
    dribbling.close()


@pytest.mark.parametrize(
    ("check", "answer", "told"),
    [
        ({"expect": "+PONG"}, b"-LOADING", "it answered b'-LOAD' and not b'+PONG'"),
        ({"expect": "+PONG"}, b"+PO", "it ended after b'+PO'"),
        ({"expect": "+PONG"}, b"", "it ended after nothing"),
        ({"expect": "+PONG", "timeout": "30ms"}, None, "no answer within 30ms"),
    ],
)
async def test_a_server_that_answers_otherwise_is_down(proxy, scripted, caplog, check, answer, told):
    made = await scripted(answer)
    house = await proxy(checked(made.address, check={**QUICK, **check}))
    await eventually(lambda: down(house) == {made.address})
    assert f"server {made.address} of TCP service db@file is down: {told}" in caplog.text


async def test_another_port_is_asked(proxy, server, connect, scripted):
    made, probe = await server("one"), await scripted(b"no")
    port = int(probe.address.rpartition(":")[2])
    house = await proxy(checked(made.address, check={**QUICK, "port": port, "expect": "ok"}))
    await eventually(lambda: down(house) == {made.address})
    probe.answer = b"ok"
    await eventually(lambda: down(house) == set())
    assert await (await connect(house)).line() == b"one\n"


async def test_down_and_up_again_are_told_once_each(proxy, scripted, connect, caplog):
    caplog.set_level(logging.INFO)
    made = await scripted(b"no")
    house = await proxy(checked(made.address, check={**QUICK, "expect": "ok"}))
    await eventually(lambda: down(house))
    await made.times(3)
    made.answer = b"ok"
    await eventually(lambda: not down(house))
    await made.times(3)
    told = [each.getMessage() for each in caplog.records if each.name == "fastproxy.health"]
    name = f"server {made.address} of TCP service db@file"
    assert told == [f"{name} is down: it answered b'no' and not b'ok'", f"{name} is up again"]


async def test_a_server_that_is_down_is_asked_at_its_own_pace(proxy, scripted):
    made, good = await scripted(b"no"), await scripted(b"ok")
    check = {"interval": "20ms", "unhealthyInterval": "1h", "expect": "ok"}
    house = await proxy(checked(made.address, good.address, check=check))
    await eventually(lambda: down(house))
    await good.times(3)
    assert made.asked == 1
    await house.apply(checked(made.address, check={**check, "unhealthyInterval": "20ms"}))
    await eventually(lambda: down(house))
    await made.times(3)


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def secure(address, transport):
    made = checked(address, check={**QUICK, "expect": "ok"})
    balancer = made["tcp"]["services"]["db"]["loadBalancer"]
    balancer["servers"][0]["tls"] = True
    balancer["serversTransport"] = "own"
    made["tcp"]["serversTransports"] = {"own": {"tls": transport}}
    return made


async def test_tls_is_spoken_where_the_server_speaks_it(proxy, scripted, authority, caplog):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("db.test").configure_cert(context)
    made = await scripted(b"ok", ssl=context)
    root = authority.cert_pem.bytes().decode()
    house = await proxy(secure(made.address, {"serverName": "db.test", "rootCAs": [root]}))
    await made.times(3)
    assert down(house) == set()
    await house.apply(secure(made.address, {"serverName": "other.test", "rootCAs": [root]}))
    await eventually(lambda: down(house) == {made.address})
    assert "is down: TLS: Hostname mismatch" in caplog.text
    await house.apply(secure(made.address, {"rootCAs": [root]}))
    await eventually(lambda: "there is no name to verify its certificate with; set serverName" in caplog.text)


# --- what is a trouble of ours ------------------------------------------------------------------------------


async def test_a_shortage_of_ours_says_nothing_of_a_server(proxy, scripted, monkeypatch, caplog):
    made, tried = await scripted(b"ok"), asyncio.Event()

    async def short(*_, **__):
        tried.set()
        raise OSError(errno.EMFILE, "Too many open files")

    house = await proxy(checked(made.address, check={**QUICK, "expect": "ok"}))
    await made.times(1)
    monkeypatch.setattr(module.asyncio, "open_connection", short)
    async with asyncio.timeout(PATIENCE):
        await tried.wait()
    await eventually(lambda: "cannot be checked: Too many open files" in caplog.text)
    monkeypatch.undo()
    await made.times(1)
    assert down(house) == set()
    assert "is down" not in caplog.text


async def test_no_more_than_so_many_checks_at_once(proxy, monkeypatch):
    monkeypatch.setattr(module, "MOST_AT_ONCE", 3)
    open_ones = most = 0

    async def serve(reader, writer):
        nonlocal open_ones, most
        open_ones += 1
        most = max(most, open_ones)
        await reader.read()
        open_ones -= 1
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    places = [f"{host}:{port}" for host in ("127.0.0.1", "127.1", "127.0.1", "localhost", "0x7f.1")]
    house = await proxy(checked(*places, check={"interval": "1ms", "expect": "ok", "timeout": "50ms"}))
    await eventually(lambda: len(down(house)) == len(places))
    assert most == 3
    listening.close()


# --- reloads ------------------------------------------------------------------------------------------------


async def test_what_is_known_survives_a_change_of_something_else(proxy, server, connect):
    made, gone = await server("one"), f"127.0.0.1:{free_port()}"
    house = await proxy(checked(made.address, gone, check={**QUICK, "unhealthyInterval": "1h"}))
    await eventually(lambda: down(house) == {gone})
    other = (await server("two")).address
    await house.apply(checked(made.address, gone, other, check={**QUICK, "unhealthyInterval": "1h"}))
    assert down(house) == {gone}
    assert {await (await connect(house)).line() for _ in range(6)} == {b"one\n", b"two\n"}


async def test_another_check_begins_anew(proxy):
    gone = f"127.0.0.1:{free_port()}"
    house = await proxy(checked(gone))
    await eventually(lambda: down(house) == {gone})
    await house.apply(checked(gone, check=SLOW))
    assert down(house) == set()
    await house.apply(document(gone))
    assert down(house) == set()
    assert house._health._tasks == {}


async def test_checks_end_with_the_proxy(scripted):
    made = await scripted()
    async with Proxy(STATIC, checked(made.address)) as house:
        await made.times(1)
        tasks = [*house._health._tasks.values()]
    assert all(each.done() for each in tasks)


# --- weighted services --------------------------------------------------------------------------------------


def weighted(health, one, two):
    """Return a document with a service of two services, `one` twice as heavy."""
    check = {"loadBalancer": {**servers(one)["loadBalancer"], "healthCheck": QUICK}}
    other = {"loadBalancer": {**servers(two)["loadBalancer"], "healthCheck": QUICK}}
    members = {"services": [{"name": "one", "weight": 2}, {"name": "two"}], **health}
    return {
        "tcp": {
            "routers": {"db": {"rule": "HostSNI(`*`)", "service": "all"}},
            "services": {"all": {"weighted": members}, "one": check, "two": other},
        }
    }


async def test_a_service_of_which_nobody_is_up_is_passed_over(proxy, server, connect):
    gone, made = f"127.0.0.1:{free_port()}", await server("two")
    house = await proxy(weighted({"healthCheck": {}}, gone, made.address))
    await eventually(lambda: down(house, "one") == {gone})
    for _ in range(4):
        assert await (await connect(house)).line() == b"two\n"


async def test_without_a_health_check_of_its_own_it_has_its_turn(proxy, server, connect):
    gone, made = f"127.0.0.1:{free_port()}", await server("two")
    house = await proxy(weighted({}, gone, made.address))
    await eventually(lambda: down(house, "one") == {gone})
    lines = [await (await connect(house)).line() for _ in range(6)]
    assert sorted(lines) == [b"", b"", b"", b"", b"two\n", b"two\n"]


# --- numbers of signs ---------------------------------------------------------------------------------------


def merged(document):
    """Return a document as it is when all providers have been put together."""
    configuration = decode(document, Findings())
    return Merger(StaticConfiguration().with_implicit_entries()).merge({"file": configuration})


def of(number, **check):
    return checked(*(f"10.0.0.1:{port}" for port in range(1, number + 1)), check={**SLOW, **check})


def signs_of(health, document):
    services = health.numbered(merged(document)).configuration.tcp.services
    return [each.sign for each in services["db@file"].load_balancer.servers]


def test_a_document_without_checks_is_not_touched():
    made = merged(document("10.0.0.1:1"))
    assert Health(memoryview(bytearray(64))).numbered(made) is made


def test_signs_stay_while_the_check_is_the_same_and_are_used_again_late():
    words = memoryview(bytearray(5 * 8))
    health = Health(words)
    assert signs_of(health, of(2)) == [0, 1]
    assert signs_of(health, of(3)) == [0, 1, 2]
    words.cast("q")[0] = 1
    assert health.is_down(0)
    assert signs_of(health, of(2, send="x")) == [3, 4]
    assert signs_of(health, of(2)) == [0, 1], "the oldest of those that are free, and up again"
    assert not health.is_down(0)


def test_servers_with_one_address_share_a_sign():
    assert signs_of(Health(memoryview(bytearray(64))), checked("10.0.0.1:1", "10.0.0.1:1")) == [0, 0]


def test_more_than_there_is_room_for_disables_the_service():
    health = Health(memoryview(bytearray(2 * 8)))
    assert signs_of(health, of(2)) == [0, 1]
    configuration = health.numbered(merged(of(3))).configuration
    assert configuration.tcp.services == {}
    told = "healthCheck: there is room for 2 servers that are checked"
    assert configuration.broken["tcp.services"] == {"db@file": told}
    assert signs_of(health, of(2)) == [0, 1]


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({}, (30, 30, 5)),
        ({"interval": 2 * SECOND}, (2, 2, 5)),
        ({"interval": 2 * SECOND, "unhealthy_interval": SECOND, "timeout": SECOND}, (2, 1, 1)),
    ],
)
def test_intervals(options, times):
    check = module.Check("s", TcpServer(), TcpHealthCheck(**options), None)
    assert (check.interval(True), check.interval(False), check.timeout) == times
