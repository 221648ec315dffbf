"""The access log on the wire: one line for each request that became one, and what each line says."""

import asyncio
import json
import logging
import os

import pytest

from fastproxy._core.awaited import Awaited
from fastproxy._core.engine import Engine
from fastproxy._core.journal import Journal
from fastproxy._core.netset import NetSet
from fastproxy._core.record import AccessLog
from fastproxy._core.snapshot import Snapshot
from fastproxy._core.table import Route, Table
from fastproxy.config.observability import AccessLog as Settings
from fastproxy.config.observability import Fields, HeaderFields
from fastproxy.observe import accesslog
from fastproxy.plugins.api import Response
from tests.waiting import eventually
from tests.wire.test_tunnel import AGREED, HANDSHAKE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
NOT_FOUND = b"404 page not found\n"


class Told:
    """What the access log of a house tells."""

    def __init__(self, settings):
        loop = asyncio.get_running_loop()
        self.file = os.memfd_create("access")
        headers = settings.fields.headers
        logger = logging.getLogger("wire")
        self.log = AccessLog(
            Journal(loop, Engine.of(loop, logger).wheel, logger, os.dup(self.file)),
            accesslog.program_of(settings),
            default=headers.default_mode,
            fields=headers.names,
        )

    def lines(self):
        self.log.journal.flush()
        return [json.loads(line) for line in os.pread(self.file, 1 << 24, 0).splitlines()]

    async def line(self):
        """Return the one line there is, when it is there."""
        await eventually(self.lines, "a line")
        (line,) = self.lines()
        return line

    def close(self):
        self.log.journal.close()
        os.close(self.file)


@pytest.fixture
async def open_logged(open_house):
    """Call it with settings of the access log and of the entry point; returns a house and what it tells."""
    made = []

    async def open_logged(fields=None, **settings):
        made.append(Told(Settings(format="json", fields=fields or Fields())))
        house = await open_house(access_log=made[-1].log, **settings)
        return house, made[-1]

    yield open_logged
    for each in made:
        each.close()


def said(line, *names):
    return tuple(line.get(name) for name in names)


async def test_a_request(open_logged):
    house, told = await open_logged()
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    await client.ask(b"GET /a//b/../c?x=1 HTTP/1.1\r\nHost: Shop.test:81\r\nUser-Agent: it\r\n\r\n")
    line = await told.line()
    host, port = client.sock.getsockname()
    server = "{}:{}".format(*backend.address)
    assert line["Duration"] == line["OriginDuration"] + line["Overhead"]
    assert 0 < line["OriginDuration"] < line["Duration"] < 10**10
    for name in ("Duration", "OriginDuration", "Overhead", "StartUTC", "StartLocal", "time"):
        del line[name]
    assert line == {
        "ClientAddr": f"{host}:{port}",
        "ClientHost": host,
        "ClientPort": str(port),
        "ClientUsername": "-",
        "DownstreamContentSize": 2,
        "DownstreamStatus": 200,
        "OriginContentSize": 2,
        "OriginStatus": 200,
        "RequestAddr": "Shop.test:81",
        "RequestContentSize": 0,
        "RequestCount": 1,
        "RequestHost": "Shop.test",
        "RequestMethod": "GET",
        "RequestPath": "/a//b/../c?x=1",
        "RequestPort": "81",
        "RequestProtocol": "HTTP/1.1",
        "RequestScheme": "http",
        "RetryAttempts": 0,
        "RouterName": "r0@test",
        "ServiceAddr": "server.example",
        "ServiceURL": f"http://{server}",
        "entryPointName": "web",
        "level": "info",
        "msg": "",
    }


async def test_each_request_of_a_connection_is_told(open_logged):
    house, told = await open_logged()
    house.route(house.backend(OK))
    client = await house.client()
    await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(20)))
    for _ in range(20):
        await client.answer()
    await eventually(lambda: len(told.lines()) == 20)
    assert [line["RequestPath"] for line in told.lines()] == [f"/{number}" for number in range(20)]
    assert [line["RequestCount"] for line in told.lines()] == list(range(1, 21))


async def test_no_route(open_logged):
    house, told = await open_logged()
    client = await house.client()
    assert (await client.ask(GET)).status == 404
    line = await told.line()
    assert said(line, "DownstreamStatus", "DownstreamContentSize", "OriginStatus", "OriginContentSize") == (
        404,
        len(NOT_FOUND),
        0,
        0,
    )
    assert said(line, "RouterName", "ServiceName", "ServiceURL", "ServiceAddr") == (None,) * 4
    assert line["OriginDuration"] == 0
    assert line["Overhead"] == line["Duration"] > 0


async def test_requests_without_a_route_may_go_untold(open_logged):
    house, told = await open_logged(logs_unrouted=False)
    client = await house.client()
    await client.ask(GET)
    house.route(house.backend(OK))
    await client.ask(GET)
    assert (await told.line())["DownstreamStatus"] == 200


async def test_a_router_may_be_silent(open_logged):
    house, told = await open_logged()
    house.route(house.backend(OK))
    (route,) = house.routes
    silent = Route("silent", route.rule, route.pipeline, route.balancer, is_logged=False)
    house.switch.swap(Snapshot(9, [Table([silent])]))
    client = await house.client()
    await client.ask(GET)
    house.put_in_force()
    await client.ask(GET)
    assert (await told.line())["RouterName"] == "r0@test"


async def test_heads_that_are_refused_are_not_told(open_logged):
    house, told = await open_logged()
    client = await house.client()
    assert (await client.ask(b"GET / HTTP/1.1\r\n\r\n")).status == 400
    await client.ends()
    assert told.lines() == []


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (b"Content-Length: 10000\r\n\r\n" + b"x" * 10000, 10000),
        (b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n5\r\nabcde\r\n0\r\n\r\n", 8),
        (b"Content-Length: 0\r\n\r\n", 0),
    ],
)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\ncreated",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncre\r\n4;x\r\nated\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 7\r\n\r\ncreated",
    ],
)
async def test_sizes_are_those_of_bodies_without_their_framing(open_logged, body, size, answer):
    house, told = await open_logged()
    house.route(house.backend(answer))
    client = await house.client()
    answered = await client.ask(b"POST /up HTTP/1.1\r\nHost: a\r\n" + body)
    if answered.status == 100:
        answered = await client.answer()
    assert answered.body == b"created"
    line = await told.line()
    assert said(line, "RequestMethod", "RequestContentSize", "DownstreamContentSize", "DownstreamStatus") == (
        "POST",
        size,
        7,
        201,
    )


async def test_an_answer_to_head_has_no_body(open_logged):
    house, told = await open_logged()
    house.route(house.backend(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"))
    client = await house.client()
    await client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert said(await told.line(), "DownstreamContentSize", "OriginContentSize", "GzipRatio") == (0, 0, None)


@pytest.mark.parametrize("ending", ["close", "reset", "end"])
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"])
async def test_the_client_leaves(open_logged, ending, begun):
    house, told = await open_logged()
    client, server = await house.asked(GET)
    if begun:
        await server.send(begun)
        await client.until(b"abc")
    getattr(client, ending)()
    line = await told.line()
    assert said(line, "DownstreamStatus", "OriginStatus", "DownstreamContentSize") == (
        499,
        200 if begun else 0,
        3 if begun else 0,
    )
    assert house.count("gone") == 1


async def test_no_server(open_logged):
    house, told = await open_logged()
    house.route()
    client = await house.client()
    assert (await client.ask(GET)).status == 503
    assert said(await told.line(), "DownstreamStatus", "RouterName", "ServiceURL") == (503, "r0@test", None)


async def test_a_server_that_cannot_be_reached(open_logged):
    house, told = await open_logged()
    backend = house.backend()
    house.route(backend)
    backend.sock.close()
    client = await house.client()
    assert (await client.ask(GET)).status == 502
    line = await told.line()
    assert said(line, "DownstreamStatus", "OriginStatus", "OriginContentSize") == (502, 0, 0)
    assert line["ServiceURL"].startswith("http://127.0.0.1:")
    assert line["OriginDuration"] > 0


async def test_a_request_that_is_sent_again(open_logged):
    house, told = await open_logged()
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    await client.answer()
    await client.send(GET)
    await server.head()
    server.close()
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    assert (await client.answer()).status == 200
    await eventually(lambda: len(told.lines()) == 2)
    assert [line["RetryAttempts"] for line in told.lines()] == [0, 1]


async def test_a_server_that_dies_within_its_answer(open_logged):
    house, told = await open_logged()
    client, server = await house.asked(GET)
    await server.send(b"HTTP/1.1 206 Part\r\nContent-Length: 9\r\n\r\nabc")
    await client.until(b"abc")
    server.close()
    await client.rest()
    line = await told.line()
    assert said(line, "DownstreamStatus", "OriginStatus", "DownstreamContentSize") == (206, 206, 3)


async def test_a_tunnel_is_told_when_it_ends(open_logged):
    house, told = await open_logged(Fields(headers=HeaderFields(default_mode="keep")))
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(HANDSHAKE)
    server = await backend.accept()
    await server.head()
    await server.send(AGREED)
    await client.head()
    await client.send(b"ping")
    assert await server.read(4) == b"ping"
    assert told.lines() == []
    # Others use what was the request's memory meanwhile.
    other = await house.client()
    await other.send(b"GET /other HTTP/1.1\r\nHost: b\r\nX-Other: y\r\n\r\n")
    second = await backend.accept()
    await second.head()
    await second.send(OK)
    await other.answer()
    await eventually(lambda: len(told.lines()) == 1)
    server.close()
    await client.ends()
    client.close()
    await eventually(lambda: len(told.lines()) == 2)
    first, line = told.lines()
    assert line["Duration"] > first["Duration"]
    assert said(line, "RequestPath", "DownstreamStatus", "OriginStatus", "DownstreamContentSize") == (
        "/chat",
        101,
        101,
        0,
    )
    assert said(line, "request_Sec-WebSocket-Version", "downstream_Upgrade", "ServiceURL", "RouterName") == (
        "13",
        "websocket",
        first["ServiceURL"],
        "r0@test",
    )
    assert "request_X-Other" not in line


class Rewrites:
    """A plugin that changes all it can, or answers by itself."""

    async def on_request(self, request):
        request.set_escaped_path("/elsewhere")
        request.set_header("Host", "other.test")
        request.set_header("X-Forwarded-For", "192.0.2.1")
        request.set_header("X-Seen", "before")
        return Response(418, {"X-Own": "1"}, b"short") if request.header("X-Stop") else None

    async def on_response(self, request, response):
        response.set_header("Server", "mine")
        response.set_header("Set-Cookie", "")


async def test_what_middlewares_change(open_logged):
    """Path, host and client as they came; header fields of each side as that side saw them."""
    fields = Fields(headers=HeaderFields(default_mode="keep"))
    house, told = await open_logged(fields, forwarded_trusted=NetSet(["127.0.0.1"]))
    answer = b"HTTP/1.1 200 OK\r\nServer: theirs\r\nSet-Cookie: a\r\nContent-Length: 2\r\n\r\nok"
    house.route(house.backend(answer), steps=[Awaited("all@test", Rewrites(), wants_response=True)])
    client = await house.client()
    await client.ask(b"GET /here HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 10.0.0.9\r\n\r\n")
    line = await told.line()
    assert said(line, "RequestPath", "RequestHost", "ClientHost") == ("/here", "a.test", "10.0.0.9")
    assert said(line, "request_X-Seen", "request_X-Forwarded-For") == ("before", "10.0.0.9")
    assert said(line, "origin_Server", "origin_Set-Cookie") == ("theirs", "a")
    assert said(line, "downstream_Server", "downstream_Set-Cookie") == ("mine", None)


async def test_an_answer_of_a_middleware(open_logged):
    house, told = await open_logged(Fields(headers=HeaderFields(default_mode="keep")))
    house.route(house.backend(OK), steps=[Awaited("all@test", Rewrites())])
    client = await house.client()
    assert (await client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX-Stop: 1\r\n\r\n")).status == 418
    line = await told.line()
    assert said(line, "DownstreamStatus", "OriginStatus", "DownstreamContentSize") == (418, 0, 5)
    assert line["GzipRatio"] == 0
    assert said(line, "RouterName", "ServiceURL", "downstream_X-Own", "origin_X-Own") == (
        "r0@test",
        None,
        "1",
        None,
    )


async def test_an_untrusted_x_forwarded_for_is_not_believed(open_logged):
    house, told = await open_logged(Fields(headers=HeaderFields(default_mode="keep")))
    house.route(house.backend(OK))
    client = await house.client()
    await client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.9\r\n\r\n")
    assert said(await told.line(), "ClientHost", "request_X-Forwarded-For") == ("127.0.0.1", None)


async def test_old_clients(open_logged):
    house, told = await open_logged()
    house.route(house.backend(OK))
    client = await house.client()
    await client.ask(b"GET http://b.test:8/x HTTP/1.0\r\n\r\n")
    line = await told.line()
    assert said(line, "RequestProtocol", "RequestAddr", "RequestPath") == ("HTTP/1.0", "b.test:8", "/x")


async def test_a_head_of_a_megabyte(open_logged):
    house, told = await open_logged(Fields(headers=HeaderFields(default_mode="keep")))
    house.route(house.backend(OK))
    client = await house.client()
    long = b"x-%d: " + b"\xff" * 30_000 + b"\r\n"
    fields = b"".join(long % number for number in range(20))
    await client.ask(b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert (await told.line())["DownstreamStatus"] == 200
