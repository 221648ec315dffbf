"""Servers that fail: which status the client gets, or how it notices that an answer is short."""

import contextlib

import pytest

from tests.faults import nobody_answers
from tests.waiting import eventually
from tests.wire.rig import Backend

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

MALFORMED = [
    ("nothing like HTTP", b"SSH-2.0-OpenSSH\r\n\r\n"),
    ("an empty line first", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("HTTP/2", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("small letters", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status below 100", b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("no status", b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("LF behind a field", b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok"),
    ("bare CR in a field", b"HTTP/1.1 200 OK\r\nX: y\rZ: a\r\nContent-Length: 2\r\n\r\nok"),
    ("NUL in the reason", b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok"),
    ("NUL in a field", b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\nok"),
    ("a folded field", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("a blank before a colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("a line without a colon", b"HTTP/1.1 200 OK\r\nnothing\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
    ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"),
    ("a length with a sign", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("a length of 2^64", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nok"),
    (
        "a length and a coding",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("another coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok"),
    (
        "another coding, then chunked",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    ("a coding in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("1001 fields", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1001 + b"\r\n"),
    (
        "a change of protocols that nobody asked for",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ),
    ("a malformed interim answer", b"HTTP/1.1 103 Early\r\nX : y\r\n\r\n" + OK),
    ("a malformed answer behind an interim one", b"HTTP/1.1 102 x\r\n\r\nHTTP/1.1 2 OK\r\n\r\n"),
]


@pytest.mark.parametrize(("what", "said"), [pytest.param(*row, id=row[0]) for row in MALFORMED])
@pytest.mark.parametrize("split", [False, True], ids=["at once", "in pieces"])
async def test_a_malformed_head_is_500(house, what, said, split):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    # In pieces of a third, so that the fault comes with a later one; then nobody may be there any more.
    third = len(said) // 3
    with contextlib.suppress(ConnectionError):
        await server.send(
            *([said[:third], said[third : 2 * third], said[2 * third :]] if split else [said])
        )
    answer = await client.answer()
    while answer.status in (102, 103):
        answer = await client.answer()
    assert answer.status == 500
    assert (answer.reason, answer.body) == (b"Internal Server Error", b"Internal Server Error")
    assert answer.get(b"content-type") is None
    await server.is_cut_off()
    # The client's connection is none the worse.
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    assert (await client.answer()).body == b"ok"
    assert [
        line for line in house.log.lines if line.startswith("malformed answer of server http://127.0.0.1")
    ]


async def test_an_endless_head_is_500(house):
    async def flood(wire):
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await wire.send(b"y" * 65536)

    house.route(house.backend().run(flood))
    client = await house.client()
    assert (await client.ask(GET)).status == 500


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\n"])
async def test_half_a_head_is_500(house, said):
    """Truncated is malformed; nothing at all would be 502."""
    client, server = await house.asked(GET)
    await server.send(said)
    server.close()
    answer = await client.answer()
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


@pytest.mark.parametrize("request_", [GET, HEAD, POST], ids=["GET", "HEAD", "POST"])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_no_answer_is_502(house, request_, ending):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(request_)
    server = await backend.accept()
    await server.request()
    getattr(server, ending)()
    answer = await client.answer(request_[:4].strip())
    assert (answer.status, answer.reason) == (502, b"Bad Gateway")
    assert answer.body == (b"" if request_ == HEAD else b"Bad Gateway")
    assert answer.get(b"content-type") is None
    # A new connection is not tried again.
    assert house.count("retried") == 0


async def test_nobody_there_is_502(house):
    backend = house.backend()
    house.route(backend)
    backend.sock.close()
    client = await house.client()
    for _ in range(3):
        answer = await client.ask(GET)
        assert (answer.status, answer.body) == (502, b"Bad Gateway")
    assert (await client.ask(POST)).status == 502


async def test_a_name_that_is_none_is_502(house):
    house.route(house.backend(), host="no.such.host.invalid", port=80)
    client = await house.client()
    assert (await client.ask(GET)).status == 502


async def test_no_server_is_503(house):
    house.route()
    client = await house.client()
    answer = await client.ask(GET)
    assert (answer.status, answer.body) == (503, b"no available server\n")
    assert answer.get(b"content-type") == b"text/plain; charset=utf-8"
    assert answer.get(b"x-content-type-options") == b"nosniff"


async def test_servers_that_are_down_are_503(house):
    for target in house.route(house.backend(OK), house.backend(OK)):
        target.is_up = False
    client = await house.client()
    assert (await client.ask(GET)).status == 503
    house.targets[1].is_up = True
    for _ in range(3):
        assert (await client.ask(GET)).status == 200
    assert house.backends[0].seen == []


async def test_no_route_is_404(house):
    client = await house.client()
    answer = await client.ask(GET)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")
    assert answer.get(b"content-type") == b"text/plain; charset=utf-8"
    assert answer.get(b"x-content-type-options") == b"nosniff"


async def test_dialling_in_vain_is_504(house):
    """A listening socket with a full backlog answers no more."""
    backend = house.backend()
    with nobody_answers() as backend.address:
        house.route(backend, dial_timeout=0.1)
        client = await house.client()
        answer = await client.ask(GET)
        assert (answer.status, answer.body) == (504, b"Gateway Timeout")
        assert (await client.ask(POST)).status == 504


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 102 x\r\n\r\n"])
async def test_an_answer_that_does_not_come_is_504(house, request_, said):
    backend = house.backend()
    house.route(backend, header_timeout=0.1)
    client = await house.client()
    await client.send(request_)
    server = await backend.accept()
    await server.request()
    await server.send(said)
    answer = await client.answer()
    if answer.status == 102:
        answer = await client.answer()
    assert (answer.status, answer.body) == (504, b"Gateway Timeout")
    await server.rest()


async def test_a_body_may_take_longer_than_its_head(house):
    backend = house.backend()
    house.route(backend, header_timeout=0.1)
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    await client.head()
    slow = await house.client()
    await slow.send(GET)
    second = await backend.accept()
    await second.head()
    # The second request's time is over when the first has waited for longer.
    assert (await slow.answer()).status == 504
    await server.send(b"ok")
    assert await client.read(2) == b"ok"


# ---------------------------------------------------------------- short answers

SHORT = [
    ("a length", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
    ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ("within a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"),
    ("before the last line end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"),
    ("a malformed chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n"),
    (
        "a malformed trailer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : y\r\n\r\n",
    ),
    ("LF behind a chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"),
    (
        "an endless trailer",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: " + b"y" * 17000,
    ),
]


@pytest.mark.parametrize(("what", "said"), [pytest.param(*row, id=row[0]) for row in SHORT])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_short_answer_is_cut_off(house, what, said, ending):
    client, server = await house.asked(GET)
    said, mark, body = said.partition(b"\r\n\r\n")
    await server.send(said + mark)
    head = await client.head()
    await server.send(body)
    if b"ength" in head:
        await client.until(b"abc")
        client.came = b"abc"
    getattr(server, ending)()
    await client.is_cut_off()
    if b"chunked" in head:
        assert not client.came.endswith(b"0\r\n\r\n")
        assert b"X" not in client.came
    else:
        assert client.came == b"abc"


@pytest.mark.parametrize(("what", "said"), [pytest.param(*row, id=row[0]) for row in SHORT[1:]])
async def test_a_short_answer_without_a_length_is_reset(house, what, said):
    """A client of HTTP/1.0 would take a plain end for the end of the body."""
    client, server = await house.asked(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    await server.send(said)
    server.close()
    assert await client.is_cut_off()


async def test_a_server_reset_until_the_end(house):
    """No length, no chunks: only an orderly end is the end."""
    client, server = await house.asked(GET)
    await server.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    await client.until(b"3\r\nabc\r\n")
    server.reset()
    await client.is_cut_off()
    assert b"0\r\n\r\n" not in client.came


# ---------------------------------------------------------------- trying again


async def warmed(house, backend, client, **route):
    """Leave an idle connection in the pool; return the server's end of it."""
    [target] = house.route(backend, **route)
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    assert (await client.answer()).body == b"ok"
    assert target.pool.idle == 1
    return server


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_an_idle_connection_that_died_is_not_noticed(house, method, ending):
    backend = house.backend()
    client = await house.client()
    server = await warmed(house, backend, client)
    await client.send(method + b" /again HTTP/1.1\r\nHost: a\r\n\r\n")
    # It dies when the request is there already.
    await server.head()
    getattr(server, ending)()
    server = await backend.accept()
    assert (await server.head()).startswith(
        method + b" /again HTTP/1.1\r\nHost: a\r\nX-Real-Ip: 127.0.0.1\r\n"
    )
    await server.send(OK[: -2 if method == b"HEAD" else None])
    assert (await client.answer(method)).status == 200
    assert house.count("retried") == 1


@pytest.mark.parametrize("key", [b"Idempotency-Key: 1", b"x-idempotency-key: 1"])
async def test_a_key_says_that_it_may_be_repeated(house, key):
    backend = house.backend()
    client = await house.client()
    server = await warmed(house, backend, client)
    await client.send(b"DELETE / HTTP/1.1\r\nHost: a\r\n" + key + b"\r\n\r\n")
    await server.head()
    server.close()
    server = await backend.accept()
    await server.head()
    await server.send(OK)
    assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        POST,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_may_not_be_repeated_is_502(house, request_):
    backend = house.backend()
    client = await house.client()
    server = await warmed(house, backend, client)
    await client.send(request_)
    await server.request()
    server.close()
    assert (await client.answer()).status == 502
    assert house.count("retried") == 0


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
async def test_a_connection_that_died_before_is_not_used(house, request_):
    backend = house.backend()
    client = await house.client()
    server = await warmed(house, backend, client)
    server.close()
    await eventually(lambda: house.targets[0].pool.idle == 0)
    await client.send(request_)
    server = await backend.accept()
    await server.request()
    await server.send(OK)
    assert (await client.answer()).status == 200
    assert house.count("retried") == 0


async def test_it_is_tried_again_once(house):
    backend = house.backend()
    client = await house.client()
    server = await warmed(house, backend, client)
    await client.send(GET)
    await server.head()
    server.close()
    server = await backend.accept()
    await server.head()
    server.close()
    assert (await client.answer()).status == 502
    assert house.count("retried") == 1


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 103 \r\n\r\n", b"HTTP/1.1 103 \r\n\r\nHTTP"])
async def test_it_is_not_tried_again_once_a_byte_came(house, said):
    backend = house.backend()
    client = await house.client()
    server = await warmed(house, backend, client)
    await client.send(GET)
    await server.head()
    await server.send(said)
    server.close()
    answer = await client.answer()
    while answer.status == 103:
        answer = await client.answer()
    assert answer.status in (500, 502)
    assert house.count("retried") == 0


async def test_unix_sockets(house, tmp_path):
    backend = Backend(str(tmp_path / "s"))
    house.backends.append(backend)
    house.route(backend.serve(OK))
    client = await house.client()
    assert (await client.ask(GET)).body == b"ok"
    assert (await client.ask(POST)).body == b"ok"
    assert len(backend.wires) == 1


async def test_a_unix_socket_that_is_not_there_is_502(house, tmp_path):
    house.route(house.backend(), scheme="unix", path=str(tmp_path / "none"), host="", port=0)
    client = await house.client()
    assert (await client.ask(GET)).status == 502
