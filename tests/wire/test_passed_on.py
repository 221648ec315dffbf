"""What a server gets of a request, byte by byte."""

import pytest

from fastproxy._core.netset import NetSet

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OURS = [
    b"X-Real-Ip: 127.0.0.1",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Port: 80",
    b"X-Forwarded-Host: a",
    b"X-Forwarded-Server: proxy.example",
    b"X-Forwarded-For: 127.0.0.1",
]


def request_of(line=b"GET / HTTP/1.1", *fields, body=b"", host=b"a"):
    lines = [line, *([b"Host: " + host] if host is not None else []), *fields, b"", b""]
    return b"\r\n".join(lines) + body


async def passed_on(house, raw, **route):
    """Send *raw*, return what the server got: (request line, fields, body)."""
    backend = house.backend(OK)
    house.route(backend, **route)
    client = await house.client()
    assert (await client.ask(raw)).status == 200
    head, _, body = backend.seen[0].partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return line, fields, body


async def test_the_whole_of_it(house):
    line, fields, body = await passed_on(house, request_of(b"GET /a?b=c HTTP/1.1", b"accept: */*"))
    assert (line, fields, body) == (b"GET /a?b=c HTTP/1.1", [b"Host: a", b"Accept: */*", *OURS], b"")


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/", b"/"),
        (b"/?", b"/?"),
        (b"/a/b", b"/a/b"),
        (b"/a/b/", b"/a/b/"),
        (b"//a///b//", b"/a/b/"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/b/..", b"/a"),
        (b"/a/b/../", b"/a/"),
        (b"/../../a", b"/a"),
        (b"/.", b"/"),
        (b"/..", b"/"),
        (b"/a/.b", b"/a/.b"),
        (b"/a/...", b"/a/..."),
        (b"/a/%2e%2e/b", b"/b"),
        (b"/a/%2E%2E%2fb", b"/a/..%2Fb"),
        (b"/a%2f%2e%2e%2fb", b"/a%2F..%2Fb"),
        (b"/a/%252e%252e/b", b"/a/%252e%252e/b"),
        (b"/%41%7e%2d%5f%2E", b"/A~-_."),
        (b"/%c3%a4", b"/%C3%A4"),
        (b"/\xc3\xa4", b"/%C3%A4"),
        (b"/a%20b", b"/a%20b"),
        (b"/a%3Fb", b"/a%3Fb"),
        (b"/a%23b", b"/a%23b"),
        (b"/a%00b", b"/a%00b"),
        (b"/a%3bb", b"/a%3Bb"),
        (b"/a;b=c", b"/a;b=c"),
        (b"/a:b@c!$&'()*+,=", b"/a:b@c!$&'()*+,="),
        (b'/a"<>\\^`{|}', b"/a%22%3C%3E%5C%5E%60%7B%7C%7D"),
        (b"/a[b]", b"/a[b]"),
        (b"/a?b=%zz&c=%2", b"/a?b=%zz&c=%2"),
        (b"/a?b=/../c//d", b"/a?b=/../c//d"),
        (b"/a?b?c", b"/a?b?c"),
        (b"/a?b;c;d", b"/a?b&c&d"),
        (b"/a?b=%3bc", b"/a?b=%3bc"),
        (b"/a?%41=\xe4", b"/a?%41=\xe4"),
        (b"http://a/b", b"/b"),
        (b"http://a", b"/"),
        (b"HTTP://a/b?c", b"/b?c"),
        (b"http://a//b/../c", b"/c"),
        (b"https://a/b", b"/b"),
        (b"http:///b", b"/b"),
    ],
)
async def test_targets(house, target, sent):
    line, _, _ = await passed_on(house, request_of(b"GET " + target + b" HTTP/1.1"))
    assert line == b"GET " + sent + b" HTTP/1.1"


@pytest.mark.parametrize(
    ("setting", "target", "sent"),
    [
        ({"sanitize": False}, b"//a/../%2e/b%2f", b"//a/.././b%2F"),
        ({"sanitize": False}, b"/%41//", b"/A//"),
        ({"encode_semicolons": True}, b"/a;b?c;d", b"/a;b?c%3Bd"),
    ],
)
async def test_targets_by_a_setting(open_house, setting, target, sent):
    line, _, _ = await passed_on(await open_house(**setting), request_of(b"GET " + target + b" HTTP/1.1"))
    assert line == b"GET " + sent + b" HTTP/1.1"


@pytest.mark.parametrize(
    ("line", "prefix", "sent"),
    [
        (b"GET /a HTTP/1.1", b"/base", b"GET /base/a HTTP/1.1"),
        (b"GET /?b HTTP/1.1", b"/base", b"GET /base/?b HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1", b"", b"OPTIONS * HTTP/1.1"),
        (b"OPTIONS /a HTTP/1.1", b"", b"OPTIONS /a HTTP/1.1"),
        (b"get / HTTP/1.1", b"", b"get / HTTP/1.1"),
        (b"M-SEARCH /x HTTP/1.1", b"", b"M-SEARCH /x HTTP/1.1"),
        (b"!#$%&'*+-.^_`|~ /x HTTP/1.1", b"", b"!#$%&'*+-.^_`|~ /x HTTP/1.1"),
        (b"GET /a HTTP/1.0", b"", b"GET /a HTTP/1.1"),
    ],
)
async def test_request_lines(house, line, prefix, sent):
    rule = "PathPrefix(`/`) || Method(`OPTIONS`)"
    got, _, _ = await passed_on(house, request_of(line), prefix=prefix, rule=rule)
    assert got == sent


@pytest.mark.parametrize(
    ("what", "given", "left"),
    [
        (
            "names as Go spells them",
            [b"ACCEPT: a", b"x-y-z: b", b"X_Auth_User: c", b"etag: d"],
            [b"Accept: a", b"X-Y-Z: b", b"X_auth_user: c", b"Etag: d"],
        ),
        (
            "names of WebSocket",
            [b"sec-websocket-key: a", b"Sec-Websocket-Version: 13"],
            [b"Sec-WebSocket-Key: a", b"Sec-WebSocket-Version: 13"],
        ),
        (
            "values as they are",
            [b'X: a  b\t\xe4;"', b"Y:c", b"Z: \t d \t"],
            [b'X: a  b\t\xe4;"', b"Y: c", b"Z: d"],
        ),
        ("a field twice", [b"X: a", b"Y: b", b"X: c"], [b"X: a", b"Y: b", b"X: c"]),
        ("an empty value", [b"X:", b"Y: "], [b"X: ", b"Y: "]),
        (
            "who the client is",
            [b"Authorization: Basic Zm9v", b"Cookie: a=b; c=d", b"User-Agent: me"],
            [b"Authorization: Basic Zm9v", b"Cookie: a=b; c=d", b"User-Agent: me"],
        ),
        (
            "what ends here",
            [
                b"Keep-Alive: timeout=5",
                b"Proxy-Connection: keep-alive",
                b"Proxy-Authenticate: a",
                b"Proxy-Authorization: b",
                b"Trailer: c",
                b"Upgrade: d",
            ],
            [],
        ),
        ("Connection", [b"Connection: keep-alive"], []),
        ("Connection twice", [b"Connection: keep-alive", b"Connection: X", b"X: a", b"Y: b"], [b"Y: b"]),
        (
            "what Connection lists",
            [b"X: a", b"Connection: x, y ,,  Z", b"y: b", b"Z: c", b"W: d"],
            [b"W: d"],
        ),
        ("a listed name that comes twice", [b"X: a", b"X: b", b"Connection: x"], []),
        ("Connection lists itself", [b"Connection: connection", b"Connection: X", b"X: a"], []),
        (
            "Connection lists what tells where a body ends",
            [b"Connection: content-length, transfer-encoding, host"],
            [],
        ),
        ("Connection lists what we say", [b"Connection: x-forwarded-for, x-real-ip, X-Forwarded-Host"], []),
        (
            "Connection lists what ends here anyway",
            [b"Connection: te, trailer, keep-alive", b"Keep-Alive: a"],
            [],
        ),
        ("TE", [b"TE: gzip"], []),
        ("TE with trailers", [b"TE: gzip, trailers"], [b"Te: trailers"]),
        ("TE with trailers and a weight", [b"te: deflate;q=0.5, Trailers"], [b"Te: trailers"]),
        ("Upgrade without Connection", [b"Upgrade: websocket"], []),
        ("Connection: upgrade without Upgrade", [b"Connection: upgrade"], []),
        ("two protocols to choose from", [b"Connection: upgrade", b"Upgrade: a, b"], []),
        (
            "h2c, whose requests no router would see",
            [b"Connection: upgrade, http2-settings", b"Upgrade: H2C", b"HTTP2-Settings: AAMAAABkAAQAAP__"],
            [],
        ),
        ("Expect without a body", [b"Expect: 100-continue"], [b"Expect: 100-continue"]),
        ("Forwarded is nobody's business", [b"Forwarded: for=192.0.2.1"], [b"Forwarded: for=192.0.2.1"]),
        ("no Accept-Encoding is added", [b"Range: bytes=0-1"], [b"Range: bytes=0-1"]),
        ("Via", [b"Via: 1.0 x"], [b"Via: 1.0 x"]),
        ("a length of nothing", [b"Content-Length: 0"], [b"Content-Length: 0"]),
    ],
)
async def test_fields(house, what, given, left):
    _, fields, _ = await passed_on(house, request_of(b"GET / HTTP/1.1", *given))
    extra = [field for field in fields[1:] if field not in OURS]
    assert sorted(extra) == sorted(left)
    assert [field for field in extra if field in left] == left
    assert [field for field in fields if field in OURS] == OURS


@pytest.mark.parametrize(
    ("what", "given", "body", "said", "sent"),
    [
        ("a length", b"Content-Length: 5", b"abcde", b"Content-Length: 5", b"abcde"),
        ("a length with zeros", b"Content-Length: 005", b"abcde", b"Content-Length: 005", b"abcde"),
        (
            "chunks, framed anew",
            b"Transfer-Encoding: chunked",
            b"3;x=y\r\nabc\r\n02\r\nde\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked",
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        (
            "chunks of another spelling",
            b"transfer-encoding: CHUNKED",
            b"A\r\n0123456789\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked",
            b"a\r\n0123456789\r\n0\r\n\r\n",
        ),
        (
            "no chunk but the last",
            b"Transfer-Encoding: chunked",
            b"0\r\n\r\n",
            b"Transfer-Encoding: chunked",
            b"0\r\n\r\n",
        ),
        (
            "trailers are not passed on",
            b"Trailer: X-Sum\r\nTransfer-Encoding: chunked",
            b"1\r\na\r\n0\r\nX-Sum: 1\r\nAuthorization: me\r\n\r\n",
            b"Transfer-Encoding: chunked",
            b"1\r\na\r\n0\r\n\r\n",
        ),
    ],
)
@pytest.mark.parametrize("split", [False, True])
async def test_bodies(house, what, given, body, said, sent, split):
    raw = request_of(b"POST / HTTP/1.1", given, body=body)
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    await client.send(*([raw[i : i + 1] for i in range(len(raw))] if split else [raw]))
    assert (await client.answer()).status == 200
    head, _, came = backend.seen[0].partition(b"\r\n\r\n")
    assert [
        line for line in head.split(b"\r\n") if line.lower().startswith((b"content-l", b"transfer-"))
    ] == [said]
    if split:
        # How the chunks are cut is ours to say.
        assert came.endswith(b"0\r\n\r\n") == sent.endswith(b"0\r\n\r\n")
    else:
        assert came == sent
    # The connection is in step afterwards.
    assert (await client.ask(request_of())).status == 200


@pytest.mark.parametrize(
    ("line", "fields", "pass_host", "host"),
    [
        (b"GET / HTTP/1.1", [b"Host: A.example:81"], True, b"A.example:81"),
        (b"GET / HTTP/1.1", [b"host:b."], True, b"b."),
        (b"GET / HTTP/1.1", [b"Host: [::1]:8080"], True, b"[::1]:8080"),
        (b"GET / HTTP/1.1", [b"Host: a"], False, b"server.example"),
        (b"GET http://c:82/ HTTP/1.1", [b"Host: a"], True, b"c:82"),
        (b"GET http:///x HTTP/1.1", [b"Host: a"], True, b"a"),
        (b"GET http://c/ HTTP/1.1", [b"Host: a"], False, b"server.example"),
        (b"GET / HTTP/1.1", [b"Host:"], True, b"server.example"),
        (b"GET / HTTP/1.0", [], True, b"server.example"),
        (b"GET / HTTP/1.0", [], False, b"server.example"),
        (b"GET http://c/ HTTP/1.0", [], True, b"c"),
        (b"GET http://c/ HTTP/1.0", [], False, b"server.example"),
    ],
)
async def test_host(house, line, fields, pass_host, host):
    _, sent, _ = await passed_on(house, request_of(line, *fields, host=None), pass_host=pass_host)
    assert [field for field in sent if field.startswith(b"Host:")] == [b"Host: " + host]


SPOOFED = [
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Server: evil",
    b"X-Forwarded-Uri: /evil",
    b"X-Forwarded-Method: EVIL",
    b"X-Forwarded-Prefix: /evil",
    b"X-Forwarded-Scheme: evil",
    b"X-Scheme: evil",
    b"X-Real-Ip: 192.0.2.1",
    b"X-Forwarded-Tls-Client-Cert: evil",
    b"X-Forwarded-Tls-Client-Cert-Info: evil",
]


def underscored(field):
    name, _, value = field.partition(b":")
    return name.replace(b"-", b"_") + b":" + value


@pytest.mark.parametrize(
    "given",
    [
        SPOOFED,
        [field.lower() for field in SPOOFED],
        [field.upper() for field in SPOOFED],
        [underscored(field) for field in SPOOFED],
        [b"X_Forwarded-For: evil", b"X-Forwarded_For: evil", b"x_real-IP: evil", b"X_Scheme: evil"],
        SPOOFED * 2,
    ],
    ids=["as they are", "small", "large", "underscores", "mixed", "twice"],
)
async def test_a_stranger_cannot_say_where_it_comes_from(house, given):
    _, fields, _ = await passed_on(house, request_of(b"GET / HTTP/1.1", *given))
    assert sorted(fields) == sorted([b"Host: a", *OURS])


@pytest.mark.parametrize(
    "settings",
    [{"forwarded_insecure": True}, {"forwarded_trusted": NetSet(["127.0.0.0/8"])}],
    ids=["insecure", "trusted"],
)
async def test_somebody_trusted_can(open_house, settings):
    _, fields, _ = await passed_on(await open_house(**settings), request_of(b"GET / HTTP/1.1", *SPOOFED))
    expected = [
        field for field in SPOOFED if not field.startswith((b"X-Forwarded-For", b"X-Forwarded-Server"))
    ]
    assert sorted(fields) == sorted(
        [
            b"Host: a",
            *expected,
            b"X-Forwarded-For: 192.0.2.1, 127.0.0.1",
            b"X-Forwarded-Server: proxy.example",
        ]
    )


async def test_somebody_else_is_not_trusted(open_house):
    house = await open_house(forwarded_trusted=NetSet(["10.0.0.0/8", "::1"]))
    _, fields, _ = await passed_on(house, request_of(b"GET / HTTP/1.1", *SPOOFED))
    assert sorted(fields) == sorted([b"Host: a", *OURS])


@pytest.mark.parametrize(
    ("settings", "given", "expected"),
    [
        (
            {},
            [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For: 2.2.2.2"],
            b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1",
        ),
        ({}, [b"X-Forwarded-For:"], b"X-Forwarded-For: 127.0.0.1"),
        ({"append_forwarded_for": False}, [b"X-Forwarded-For: 1.1.1.1"], b"X-Forwarded-For: 1.1.1.1"),
        (
            {},
            [b"X-Forwarded-For: 1.1.1.1", b"Connection: x-forwarded-for"],
            b"X-Forwarded-For: 1.1.1.1, 127.0.0.1",
        ),
    ],
)
async def test_the_road_so_far(open_house, settings, given, expected):
    house = await open_house(forwarded_insecure=True, **settings)
    _, fields, _ = await passed_on(house, request_of(b"GET / HTTP/1.1", *given))
    assert [field for field in fields if field.startswith(b"X-Forwarded-For")] == [expected]


async def test_the_road_is_not_told(open_house):
    _, fields, _ = await passed_on(await open_house(append_forwarded_for=False), request_of())
    assert [field for field in fields if field.startswith(b"X-Forwarded-For")] == []


@pytest.mark.parametrize(
    ("fields", "insecure", "port"),
    [
        ([b"Host: a"], False, b"80"),
        ([b"Host: a:8080"], False, b"8080"),
        ([b"Host: [::1]"], False, b"80"),
        ([b"Host: [::1]:81"], False, b"81"),
        ([b"Host: a", b"X-Forwarded-Proto: https"], True, b"443"),
        ([b"Host: a", b"X-Forwarded-Proto: wss"], True, b"443"),
        ([b"Host: a:82", b"X-Forwarded-Proto: https"], True, b"82"),
        ([b"Host: a", b"X-Forwarded-Port: 83"], True, b"83"),
        ([b"Host: a:"], False, b"80"),
    ],
)
async def test_the_port_that_was_asked(open_house, fields, insecure, port):
    house = await open_house(forwarded_insecure=insecure)
    _, sent, _ = await passed_on(house, request_of(b"GET / HTTP/1.1", *fields, host=None))
    assert [field for field in sent if field.startswith(b"X-Forwarded-Port")] == [
        b"X-Forwarded-Port: " + port
    ]


@pytest.mark.parametrize(("strategy", "left"), [("keep", [b"X_y: a", b"_: b"]), ("delete", [])])
async def test_names_with_underscores(open_house, strategy, left):
    house = await open_house(underscore=strategy)
    _, fields, _ = await passed_on(house, request_of(b"GET / HTTP/1.1", b"X_Y: a", b"_: b"))
    assert [field for field in fields[1:] if field not in OURS] == left


@pytest.mark.parametrize(
    ("kept", "connection", "left"),
    [
        (["x-a"], b"X-A, X-B", [b"X-A: 1"]),
        ([], b"X-A, X-B", []),
    ],
)
async def test_names_that_connection_may_list(open_house, kept, connection, left):
    """They stay for rules and middlewares, and are cut before the server, as every name that is listed."""
    house = await open_house(forwarded_connection=kept)
    rule = "Header(`X-A`, `1`)" if left else "!Header(`X-A`, `1`)"
    raw = request_of(b"GET / HTTP/1.1", b"Connection: " + connection, b"X-A: 1", b"X-B: 2")
    _, fields, _ = await passed_on(house, raw, rule=rule)
    assert [field for field in fields[1:] if field not in OURS] == []
