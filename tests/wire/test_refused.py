"""Requests that are refused: which status, that the connection is closed, and that nobody else notices."""

import pytest

from tests.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
END = b"\r\n\r\n0\r\n\r\n"  # of a head, and of a chunked body

# What hides a second request from one of two readers.
SMUGGLING = [
    ("a length and a coding", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked" + END, 400),
    ("a coding and a length", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5" + END, 400),
    ("two lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    ("the same length twice", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    ("a list of lengths", POST + b"Content-Length: 5, 5\r\n\r\nabcde", 400),
    ("a length with a sign", POST + b"Content-Length: +5\r\n\r\nabcde", 400),
    ("a negative length", POST + b"Content-Length: -1\r\n\r\n", 400),
    ("minus zero", POST + b"Content-Length: -0\r\n\r\n", 400),
    ("a hexadecimal length", POST + b"Content-Length: 0x5\r\n\r\nabcde", 400),
    ("a length with an underscore", POST + b"Content-Length: 1_0\r\n\r\nabcde", 400),
    ("a length with a blank", POST + b"Content-Length: 5 0\r\n\r\nabcde", 400),
    ("a length with a point", POST + b"Content-Length: 5.0\r\n\r\nabcde", 400),
    ("an empty length", POST + b"Content-Length:\r\n\r\n", 400),
    ("a length of 2^64 + 5", POST + b"Content-Length: 18446744073709551621\r\n\r\nabcde", 400),
    ("a length of 19 digits", POST + b"Content-Length: 1000000000000000000\r\n\r\nabcde", 400),
    ("a vertical tab behind a length", POST + b"Content-Length: 5\x0b\r\n\r\nabcde", 400),
    ("a blank before the colon of a length", POST + b"Content-Length : 5\r\n\r\nabcde", 400),
    ("a length in the place of a coding", POST + b"Transfer-Encoding: 5\r\n\r\nabcde", 501),
    ("another coding", POST + b"Transfer-Encoding: gzip\r\n\r\nabcde", 501),
    ("another coding before chunked", POST + b"Transfer-Encoding: gzip, chunked" + END, 501),
    ("another coding behind chunked", POST + b"Transfer-Encoding: chunked, gzip" + END, 400),
    ("chunked twice in a line", POST + b"Transfer-Encoding: chunked, chunked" + END, 400),
    ("chunked twice", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" + END, 400),
    (
        "chunked and identity",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" + END,
        400,
    ),
    ("identity", POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    ("an empty coding", POST + b"Transfer-Encoding:" + END, 501),
    ("chunked with a parameter", POST + b"Transfer-Encoding: chunked;q=1" + END, 501),
    ("chunked in quotes", POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    ("almost chunked", POST + b"Transfer-Encoding: xchunked" + END, 501),
    ("chunked and a comma", POST + b"Transfer-Encoding: chunked," + END, 400),
    ("a vertical tab before chunked", POST + b"Transfer-Encoding: \x0bchunked" + END, 400),
    ("a blank before the colon of a coding", POST + b"Transfer-Encoding : chunked" + END, 400),
    ("a tab before the colon", POST + b"Transfer-Encoding\t: chunked" + END, 400),
    ("a folded coding", POST + b"Transfer-Encoding:\r\n chunked" + END, 400),
    ("a coding in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked" + END, 400),
    ("a blank before the first field", b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", 400),
    ("a folded field", GET + b"X: a\r\n b\r\n\r\n", 400),
    ("a field folded by a tab", GET + b"X: a\r\n\tb\r\n\r\n", 400),
    ("lines that end with LF", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("one field that ends with LF", GET + b"X: a\nY: b\r\n\r\n", 400),
    ("an empty line of LF", GET + b"X: a\r\n\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a bare CR in a value", GET + b"X: a\rY: b\r\n\r\n", 400),
    ("a bare CR at the end of a value", GET + b"X: a\r\r\n\r\n", 400),
    ("NUL in a value", GET + b"X: a\x00b\r\n\r\n", 400),
    ("NUL in a name", GET + b"X\x00: a\r\n\r\n", 400),
]

LINES = [
    ("no request", b"\x00\x01\x02\x03 nothing\r\n\r\n", 400),
    ("the start of TLS", bytes.fromhex("16030100a5010000a10303") + bytes(32), 400),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/0.9", b"GET /\r\n", 400),
    ("HTTP/0.9 by number", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ("HTTP/1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400),
    ("HTTP/01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400),
    ("HTTP/1", b"GET / HTTP/1\r\nHost: a\r\n\r\n", 400),
    ("small letters", b"GET / http/1.1\r\nHost: a\r\n\r\n", 400),
    ("another protocol", b"GET / RTSP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a blank behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("two blanks behind the method", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two blanks behind the target", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a tab behind the method", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a blank before the method", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no method", b"/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a method that is no token", b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a method with a colon", b"GET: / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a method of 65 bytes", b"M" * 65 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two empty lines first", b"\r\n\r\n" + GET + b"\r\n", 400),
    ("LF first", b"\n" + GET + b"\r\n", 400),
    ("a blank in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a control character in the target", b"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("DEL in the target", b"GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment behind a query", b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a target without a slash", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a query as target", b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("an asterisk for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("an authority for GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a user in the target", b"GET http://me@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a bad host in the target", b'GET http://a"b/ HTTP/1.1\r\nHost: a\r\n\r\n', 400),
    ("an escape that is none", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("half an escape", b"GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a percent sign at the end", b"GET /a% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("half an escape before a query", b"GET /a%2?b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
]

FIELDS = [
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("no Host, but one in the target", b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("the same Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    ("two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("a blank in Host", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("a slash in Host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("a user in Host", b"GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400),
    ("a query in Host", b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", 400),
    ("a fragment in Host", b"GET / HTTP/1.1\r\nHost: a#b\r\n\r\n", 400),
    ("a port that is none", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    ("a bracket that does not close", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    ("something behind a bracket", b"GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", 400),
    ("a foreign letter in Host", b"GET / HTTP/1.1\r\nHost: \xe4.example\r\n\r\n", 400),
    ("a Host of 256 bytes", b"GET / HTTP/1.1\r\nHost: " + b"a" * 256 + b"\r\n\r\n", 400),
    ("a line without a colon", GET + b"nothing\r\n\r\n", 400),
    ("a field without a name", GET + b": a\r\n\r\n", 400),
    ("a foreign letter in a name", GET + b"\xe4: a\r\n\r\n", 400),
    ("a name that is no token", GET + b"a(b): c\r\n\r\n", 400),
    ("a name in quotes", GET + b'"a": b\r\n\r\n', 400),
    ("a control character in a value", GET + b"X: \x01\r\n\r\n", 400),
    ("DEL in a value", GET + b"X: \x7f\r\n\r\n", 400),
    ("another expectation", POST + b"Expect: the-moon\r\nContent-Length: 1\r\n\r\nx", 417),
    ("an expectation too many", POST + b"Expect: 100-continue, more\r\nContent-Length: 1\r\n\r\nx", 417),
    ("an empty expectation", POST + b"Expect:\r\nContent-Length: 1\r\n\r\nx", 417),
    ("1001 fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000 + b"\r\n", 431),
]

PHRASES = {
    400: b"Bad Request",
    417: b"Expectation Failed",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    505: b"HTTP Version Not Supported",
}
BARE = ("a fragment", "a fragment behind a query", "CONNECT")  # answered without a body


@pytest.mark.parametrize(
    ("what", "data", "status"), [pytest.param(*row, id=row[0]) for row in SMUGGLING + LINES + FIELDS]
)
async def test_refused(house, what, data, status):
    backend = house.backend(OK)
    house.route(backend)
    bystander = await house.client()
    assert (await bystander.ask(GET + b"\r\n")).status == 200
    client = await house.client()
    answer = await client.ask(data)
    assert answer.head.startswith(b"HTTP/1.1 %d %b\r\n" % (status, PHRASES[status]))
    assert answer.get(b"connection") == b"close"
    assert answer.body == (b"" if what in BARE else b"%d %b" % (status, PHRASES[status]))
    await client.ends()
    assert len(backend.seen) == 1
    assert house.count("refused") == 1
    assert [line for line in house.log.lines if line.startswith(f"{status} to 127.0.0.1")]
    assert (await bystander.ask(GET + b"\r\n")).status == 200


@pytest.mark.parametrize(
    ("what", "data", "status"),
    [pytest.param(*row, id=row[0]) for row in (SMUGGLING + LINES + FIELDS) if len(row[1]) < 200],
)
async def test_refused_byte_by_byte(house, what, data, status):
    house.route(house.backend(OK))
    client = await house.client()
    await client.send(*[data[i : i + 1] for i in range(len(data))])
    client.end()
    came = await client.rest()
    # What is refused only when it is whole gets no answer when it never is; nobody gets another one.
    assert came == b"" or came.startswith(b"HTTP/1.1 %d " % status)
    assert came or b"\r\n\r\n" not in data


# Bodies that turn out malformed when their head is with the server already.
BODIES = [
    ("no size", b"\r\nabcde\r\n0\r\n\r\n"),
    ("no digit", b"x\r\nabcde\r\n0\r\n\r\n"),
    ("a sign", b"+5\r\nabcde\r\n0\r\n\r\n"),
    ("a negative size", b"-5\r\nabcde\r\n0\r\n\r\n"),
    ("a prefix", b"0x5\r\nabcde\r\n0\r\n\r\n"),
    ("a size of 2^64 + 5", b"10000000000000005\r\nabcde\r\n0\r\n\r\n"),
    ("sixteen zeros", b"0000000000000000\r\n\r\n"),
    ("a blank behind a size", b"5 \r\nabcde\r\n0\r\n\r\n"),
    ("a blank before a size", b" 5\r\nabcde\r\n0\r\n\r\n"),
    ("LF behind a size", b"5\nabcde\r\n0\r\n\r\n"),
    ("CR behind a size", b"5\rabcde\r\n0\r\n\r\n"),
    ("LF behind a chunk", b"5\r\nabcde\n0\r\n\r\n"),
    ("nothing behind a chunk", b"5\r\nabcde0\r\n\r\n"),
    ("a chunk that is too long", b"5\r\nabcdef\r\n0\r\n\r\n"),
    ("LF at the end", b"0\r\n\n"),
    ("NUL in an extension", b"5;a=\x00\r\nabcde\r\n0\r\n\r\n"),
    ("LF in an extension", b"5;a\nb\r\nabcde\r\n0\r\n\r\n"),
    ("a line end in quotes", b'5;a="\r\n"\r\nabcde\r\n0\r\n\r\n'),
    ("an endless extension", b"5;" + b"a" * 5000),
    ("an endless trailer", b"0\r\nX: " + b"a" * 17000),
    ("endlessly many trailers", b"0\r\n" + b"X: y\r\n" * 3000),
    ("a request for a trailer", b"0\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a trailer that ends with LF", b"0\r\nX: a\n\r\n"),
    ("a folded trailer", b"0\r\nX: a\r\n b\r\n\r\n"),
    ("a blank before the colon of a trailer", b"0\r\nX : a\r\n\r\n"),
]


@pytest.mark.parametrize(("what", "body"), [pytest.param(*row, id=row[0]) for row in BODIES])
async def test_refused_bodies(house, what, body):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    server = await backend.accept()
    await server.head()
    assert await server.read(6) == b"1\r\nx\r\n"
    await client.send(body)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (400, b"close")
    await client.ends()
    # The server is not told that the body were whole.
    assert b"0\r\n\r\n" not in await server.rest()
    assert len(backend.wires) == 1


@pytest.mark.parametrize("body", [b"5\r\nabc", b"5\r\nabcde\r\n0\r\n", b"0\r\nX: y"])
async def test_a_body_that_does_not_end(house, body):
    client, server = await house.asked(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    client.end()
    assert b"0\r\n\r\n" not in await server.rest()
    await client.ends()


@pytest.mark.parametrize(
    ("setting", "request_head", "status"),
    [
        ({"max_head": 1000}, GET + b"X: " + b"a" * 6000 + b"\r\n\r\n", 431),
        ({"max_head": 1000}, GET + b"X: " + b"a" * 6000, 431),
        ({"max_head": 1000}, b"GET /" + b"a" * 6000, 431),
        ({"max_head": 0}, GET + b"X: " + b"a" * 5000, 431),
        ({"underscore": "reject"}, GET + b"X_Y: a\r\n\r\n", 400),
        ({"denied_escapes": ["%2F"]}, b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ({"denied_escapes": ["%00"]}, b"GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ({"denied_escapes": ["%25", "%5C"]}, b"GET /a%255cb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
    ids=repr,
)
async def test_refused_by_a_setting(open_house, setting, request_head, status):
    house = await open_house(**setting)
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    assert (await client.ask(request_head)).status == status
    assert backend.seen == []


async def test_a_head_as_large_as_it_may_be(open_house):
    """The limit may be passed by 4096 bytes, as Go's server lets it."""
    house = await open_house(max_head=1000)
    house.route(house.backend(OK))
    client = await house.client()
    size = 1000 + 4096 - len(GET) - len(b"X: \r\n\r\n")
    assert (await client.ask(GET + b"X: " + b"a" * size + b"\r\n\r\n")).status == 200
    assert (await client.ask(GET + b"X: " + b"a" * (size + 1) + b"\r\n\r\n")).status == 431


async def test_as_many_fields_as_there_may_be(house):
    backend = house.backend()
    house.route(backend)
    client = await house.client()
    await client.send(GET + b"X: y\r\n" * 999 + b"\r\n")
    server = await backend.accept()
    assert (await server.head()).count(b"X: y\r\n") == 999
    await server.send(OK)
    assert (await client.answer()).status == 200


async def test_what_comes_behind_a_refused_request_is_never_served(house):
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    await client.send(GET + b"X : y\r\n\r\n" + GET + b"\r\n")
    assert (await client.answer()).status == 400
    await client.send(GET + b"\r\n")
    await client.ends()
    assert backend.seen == []


async def test_what_came_before_a_refused_request_is_answered(house):
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    await client.send(GET + b"\r\n" + GET + b"X : y\r\n\r\n")
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    await client.ends()


async def test_a_flood_behind_a_refused_request_is_cut_off(house):
    """A client that does not stop is not read for ever."""
    client = await house.client()
    await client.send(b"\x00\r\n\r\n")
    try:
        while True:
            await client.send(bytes(65536))
    except OSError:
        pass
    await eventually(lambda: house.entry.connections == 0)
