"""What a client gets of an answer, byte by byte."""

import asyncio
import re
import socket
import struct

import pytest

from tests.waiting import eventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
OLD_KEEP = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
OK = b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n"


def undated(head):
    """A head without the Date that we add."""
    return re.sub(rb"Date: \w\w\w, \d\d \w\w\w \d{4} \d\d:\d\d:\d\d GMT\r\n", b"", head)


# What the server says, what the client gets of its head, and of its body as it stands on the wire.
PLAIN = [
    (
        "a length",
        OK + b"Content-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nDate\r\nContent-Length: 5\r\n\r\n",
        b"abcde",
    ),
    (
        "a length of nothing",
        OK + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
    (
        "chunks",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n02\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    ),
    (
        "chunks in capitals",
        OK + b"TRANSFER-ENCODING: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"a\r\n0123456789\r\n0\r\n\r\n",
    ),
    (
        "another status",
        b"HTTP/1.1 404 Gone Fishing\r\n" + DATE + b"\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 404 Gone Fishing\r\nDate\r\nContent-Length: 2\r\n\r\n",
        b"no",
    ),
    (
        "no reason",
        b"HTTP/1.1 404 \r\n" + DATE + b"\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 404 Not Found\r\nDate\r\nContent-Length: 2\r\n\r\n",
        b"no",
    ),
    (
        "no reason and no blank",
        b"HTTP/1.1 404\r\n" + DATE + b"\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 404 Not Found\r\nDate\r\nContent-Length: 2\r\n\r\n",
        b"no",
    ),
    (
        "a status without a phrase",
        b"HTTP/1.1 799 \r\n" + DATE + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 799 \r\nDate\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
    (
        "a foreign reason",
        b"HTTP/1.1 200 \xe4\t!\r\n" + DATE + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 \xe4\t!\r\nDate\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
    (
        "cookies stay apart",
        OK + b"Set-Cookie: a=b, c\r\nset-cookie: d=e\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nSet-Cookie: a=b, c\r\nSet-Cookie: d=e\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
    (
        "who the server is",
        OK + b"Server: x/1\r\nX-Powered-By: y\r\nVia: 1.1 z\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nServer: x/1\r\nX-Powered-By: y\r\nVia: 1.1 z\r\n"
        b"Content-Length: 0\r\n\r\n",
        b"",
    ),
    (
        "what ends here",
        OK + b"Connection: keep-alive, x\r\nX: a\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: b\r\n"
        b"Proxy-Connection: c\r\nUpgrade: h2c\r\nTE: d\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
    (
        "no body by status 204",
        b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nDate\r\n\r\n",
        b"",
    ),
    (
        "a length with status 204",
        b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nDate\r\n\r\n",
        b"",
    ),
    (
        "a length with status 304",
        b"HTTP/1.1 304 Not Modified\r\n" + DATE + b"\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nDate\r\nContent-Length: 5\r\n\r\n",
        b"",
    ),
    (
        "chunks with status 304",
        b"HTTP/1.1 304 Not Modified\r\n" + DATE + b"\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nDate\r\n\r\n",
        b"",
    ),
    (
        "trailers",
        OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nx-sum: 5 \r\nY:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\na\r\n0\r\nX-Sum: 5\r\nY: \r\n\r\n",
    ),
    (
        "trailers that say where the body ends",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n"
        b"Host: b\r\nConnection: c\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
    ),
    (
        "no content type is guessed",
        OK + b"Content-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\nDate\r\nContent-Length: 6\r\n\r\n",
        b"<html>",
    ),
    (
        "names as Go spells them",
        OK + b"etag: a\r\nx-y: b\r\nSEC-WEBSOCKET-KEY: c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate\r\nEtag: a\r\nX-Y: b\r\nSec-WebSocket-Key: c\r\nContent-Length: 0\r\n\r\n",
        b"",
    ),
]


@pytest.mark.parametrize(("what", "said", "head", "body"), [pytest.param(*row, id=row[0]) for row in PLAIN])
@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
async def test_answers(house, what, said, head, body, split):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    for _ in range(2):
        await client.send(GET)
        server = backend.wires[0] if backend.wires else await backend.accept()
        await server.head()
        await server.send(*([said[i : i + 1] for i in range(len(said))] if split else [said]))
        assert await client.read(len(head.replace(b"Date", DATE))) == head.replace(b"Date", DATE)
        if split and b"chunked" in head:
            assert len((await client.body("chunked", -1)).replace(b"\r\n", b"")) >= len(
                body.replace(b"\r\n", b"")
            )
        else:
            assert await client.read(len(body)) == body
    # Both connections were kept.
    assert len(backend.wires) == 1


CLOSED = [
    ("no length", b"", b"abcde"),
    ("HTTP/1.0", b"", b"abcde"),
    ("nothing at all", b"", b""),
]


@pytest.mark.parametrize(("what", "fields", "body"), [pytest.param(*row, id=row[0]) for row in CLOSED])
async def test_answers_until_the_end_are_framed(house, what, fields, body):
    version = b"HTTP/1.0" if what == "HTTP/1.0" else b"HTTP/1.1"
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    for _ in range(2):
        await client.send(GET)
        server = await backend.accept()
        await server.head()
        await server.send(version + b" 200 OK\r\n" + fields + b"\r\n" + body)
        server.close()
        answer = await client.answer()
        assert undated(answer.head) == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert answer.body == body


OLD_CLIENTS = [
    ("a length", b"Content-Length: 5\r\n\r\nabcde", b"Content-Length: 5\r\n", b"abcde"),
    ("chunks", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"", b"abcde"),
    ("trailers", b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n\r\n", b"", b"abcde"),
    ("no length", b"\r\nabcde", b"", b"abcde"),
]


@pytest.mark.parametrize(
    ("what", "said", "fields", "body"), [pytest.param(*row, id=row[0]) for row in OLD_CLIENTS]
)
async def test_answers_to_http_1_0(house, what, said, fields, body):
    client, server = await house.asked(OLD)
    await server.send(OK + said)
    server.close()
    assert (
        await client.rest()
        == b"HTTP/1.0 200 OK\r\n" + DATE + b"\r\n" + fields + b"Connection: close\r\n\r\n" + body
    )


async def test_http_1_0_may_ask_to_go_on(house):
    house.route(house.backend(OK + b"Content-Length: 2\r\n\r\nok"))
    client = await house.client()
    for _ in range(2):
        answer = await client.ask(OLD_KEEP)
        assert answer.head.startswith(b"HTTP/1.0 200 OK\r\n")
        assert (answer.get(b"connection"), answer.body) == (b"keep-alive", b"ok")


async def test_http_1_0_cannot_go_on_without_a_length(house):
    house.route(house.backend(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
    client = await house.client()
    await client.send(OLD_KEEP)
    assert await client.rest() == b"HTTP/1.0 200 OK\r\n" + DATE + b"\r\nConnection: close\r\n\r\nok"


HEADS = [
    ("a length", b"Content-Length: 5\r\n", b"Content-Length: 5\r\n"),
    ("chunks", b"Transfer-Encoding: chunked\r\n", b""),
    ("neither", b"", b""),
]


@pytest.mark.parametrize(("what", "said", "left"), [pytest.param(*row, id=row[0]) for row in HEADS])
async def test_answers_to_head(house, what, said, left):
    backend = house.backend(OK + said + b"\r\n")
    house.route(backend)
    client = await house.client()
    for _ in range(2):
        await client.send(HEAD)
        assert await client.head() == b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\n" + left + b"\r\n"
    assert len(backend.wires) == 1


async def test_our_own_answer_to_head_has_no_body(house):
    client = await house.client()
    for _ in range(2):
        await client.send(HEAD)
        assert b"Content-Length: 19\r\n" in await client.head()
    await client.send(GET)
    assert (await client.answer()).body == b"404 page not found\n"


async def test_our_own_answer_says_its_own_reason(house):
    """And nothing of an answer that was served before by the same exchange."""
    house.route(
        house.backend(b"HTTP/1.1 200 Fine and Dandy\r\nContent-Length: 2\r\n\r\nok"), rule="Path(`/a`)"
    )
    client = await house.client()
    assert (await client.ask(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")).reason == b"Fine and Dandy"
    answer = await client.ask(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
    assert undated(answer.head) == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"X-Content-Type-Options: nosniff\r\nContent-Length: 19\r\n\r\n"
    )


async def test_a_date_is_added_where_there_is_none(house):
    house.route(house.backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    answer = await (await house.client()).ask(GET)
    assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.get(b"date"))


async def test_no_server_is_added(house):
    house.route(house.backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    answer = await (await house.client()).ask(GET)
    assert [name for name, _ in answer.fields] == [b"content-length", b"date"]


# ---------------------------------------------------------------- interim answers


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (
            b"HTTP/1.1 103 \r\nA: b\r\n\r\nHTTP/1.1 103 \r\nC: d\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 103 Early Hints\r\nC: d\r\n\r\n",
        ),
        (
            b"HTTP/1.1 103 \r\nContent-Length: 5\r\nConnection: y, close\r\nY: z\r\nUpgrade: w\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
        ),
        (
            b"HTTP/1.1 103 \r\nTransfer-Encoding: chunked\r\nTrailer: y\r\nA: b\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n",
        ),
    ],
)
@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
async def test_interim_answers_are_passed_on(house, said, passed, split):
    client, server = await house.asked(GET)
    said += OK + b"Content-Length: 2\r\n\r\nok"
    await server.send(*([said[i : i + 1] for i in range(len(said))] if split else [said]))
    assert await client.read(len(passed)) == passed
    answer = await client.answer()
    assert (answer.status, answer.reason, answer.body) == (200, b"OK", b"ok")


async def test_an_interim_answer_does_not_wait_for_the_final_one(house):
    client, server = await house.asked(GET)
    await server.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert (await client.answer()).status == 103
    await server.send(OK + b"Content-Length: 0\r\n\r\n")
    assert (await client.answer()).status == 200


async def test_http_1_0_gets_no_interim_answer(house):
    house.route(house.backend(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"))
    client = await house.client()
    await client.send(OLD)
    assert (await client.rest()).startswith(b"HTTP/1.0 200 OK\r\n")


async def test_a_flood_of_interim_answers_waits_for_a_slow_client(house):
    backend = house.backend()
    house.route(backend)
    client = await house.client(receive=4096)
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n"

    async def flood(wire):
        for _ in range(16):
            await wire.send(hint * 512)
        await wire.send(OK + b"Content-Length: 2\r\n\r\nok")

    backend.tasks.append(server.loop.create_task(flood(server)))
    for _ in range(16):
        await client.skip(len(hint) * 512)
    assert (await client.answer()).body == b"ok"


# ---------------------------------------------------------------- answers that come early


async def test_an_answer_before_the_body_has_come(house):
    client, server = await house.asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
    await server.send(b"HTTP/1.1 413 \r\nContent-Length: 2\r\n\r\nno")
    answer = await client.answer()
    assert (answer.status, answer.body) == (413, b"no")
    # The rest of the body can be no request.
    await client.send(GET)
    await client.ends()
    await server.rest()


UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"


async def begun(house):
    """Begin an upload of which the server reads the head: (client, server)."""
    client, server = await house.asked(UPLOAD)
    return client, server


def last_words(server, words):
    """Say something and close with bytes unread: that makes it a reset. The loop does not run meanwhile."""
    server.sock.sendall(words)
    server.sock.close()


async def fill(client):
    """Send until nothing of it is taken any more, nor by the proxy."""
    refused = 0
    while refused < 20:
        try:
            client.sock.send(bytes(65536))
            refused = 0
        except BlockingIOError:
            refused += 1
        await asyncio.sleep(0)


async def test_the_answer_of_a_server_that_reads_no_further_and_resets(house):
    """Part of the body waits for it, and writing fails before the answer is read."""
    client, server = await begun(house)
    await fill(client)
    last_words(server, b"HTTP/1.1 413 \r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    answer = await client.answer()
    assert (answer.status, answer.body) == (413, b"no")


async def test_the_answer_of_a_server_that_resets_before_the_next_run_of_the_body(house):
    """Nothing waits; the client's bytes come first, and then it is too late to write them."""
    client, server = await begun(house)
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.send(b"more")
    last_words(server, b"HTTP/1.1 413 \r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    answer = await client.answer()
    assert (answer.status, answer.body) == (413, b"no")


@pytest.mark.parametrize("waits", [True, False])
async def test_a_reset_is_no_end_of_a_body(house, waits):
    """Also when writing was told of it, and reading comes to what looks like an end."""
    client, server = await begun(house)
    if waits:
        await fill(client)
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if not waits:
        client.sock.send(b"more")
    last_words(server, b"HTTP/1.1 200 OK\r\n\r\npart")
    await client.until(b"part\r\n")
    await client.is_cut_off()      # with a reset or without: part of the upload was read, or not
    assert client.came == b""      # no last chunk


async def test_an_answer_while_the_body_comes(house):
    """Both go on at once; both connections are kept when both are over."""
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    server = await backend.accept()
    await server.head()
    assert await server.read(6) == b"1\r\na\r\n"
    await server.send(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nA\r\n")
    assert b"chunked" in await client.head()
    assert await client.read(6) == b"1\r\nA\r\n"
    await client.send(b"1\r\nb\r\n")
    assert await server.read(6) == b"1\r\nb\r\n"
    await server.send(b"1\r\nB\r\n")
    assert await client.read(6) == b"1\r\nB\r\n"
    await client.send(b"0\r\n\r\n")
    assert await server.read(5) == b"0\r\n\r\n"
    await server.send(b"0\r\n\r\n")
    assert await client.read(5) == b"0\r\n\r\n"
    await client.send(GET)
    assert (await server.head()).startswith(b"GET / HTTP/1.1\r\n")
    await server.send(OK + b"Content-Length: 0\r\n\r\n")
    assert (await client.answer()).status == 200


async def test_the_whole_answer_while_the_body_comes(house):
    """The answer is over first: what the client still sends goes nowhere, and both connections end."""
    client, server = await house.asked(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
    await server.send(OK + b"Content-Length: 2\r\n\r\nok")
    assert (await client.answer()).body == b"ok"
    await client.send(b"d" * 100000)
    await server.rest()
    await client.ends()


# ---------------------------------------------------------------- what comes of the server's connection


@pytest.mark.parametrize(
    ("what", "said", "kept"),
    [
        ("HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (
            "HTTP/1.1 that closes",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            False,
        ),
        (
            "HTTP/1.1 that closes in capitals",
            b"HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nok",
            False,
        ),
        ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (
            "HTTP/1.0 that goes on",
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            True,
        ),
        ("more than its length", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", False),
        (
            "another answer behind",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            False,
        ),
        (
            "more than the last chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nX",
            False,
        ),
    ],
)
async def test_the_connection_to_the_server(house, what, said, kept):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(said)
    assert (await client.answer()).body == b"ok"
    if not kept:
        await server.rest()
    await client.send(GET)
    if not kept:
        server = await backend.accept()
    await server.head()
    await server.send(said)
    assert (await client.answer()).body == b"ok"


async def test_a_body_where_there_can_be_none(house):
    """What a server sends behind an answer to HEAD belongs to no other answer."""
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(HEAD)
    server = await backend.accept()
    await server.head()
    await server.send(OK + b"Content-Length: 4\r\n\r\nevil")
    assert (await client.answer(b"HEAD")).status == 200
    await server.rest()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK + b"Content-Length: 2\r\n\r\nok")
    assert (await client.answer()).body == b"ok"


async def test_an_idle_server_that_speaks_is_not_listened_to(house):
    backend = house.backend()
    [target] = house.route(backend)
    client = await house.client()
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK + b"Content-Length: 2\r\n\r\nok")
    assert (await client.answer()).body == b"ok"
    assert target.pool.idle == 1
    await server.send(OK + b"Content-Length: 4\r\n\r\nevil")
    await eventually(lambda: target.pool.idle == 0)
    await client.send(GET)
    server = await backend.accept()
    await server.head()
    await server.send(OK + b"Content-Length: 2\r\n\r\nok")
    assert (await client.answer()).body == b"ok"
