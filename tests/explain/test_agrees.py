"""What explain says is what happens: the router is the table's, the outcome that of the wire."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastproxy import Proxy
from fastproxy._core.message import Request
from fastproxy.build.trial import PURE, Sent
from fastproxy.config.middlewares import HttpMiddleware
from fastproxy.explain.effects import changes
from fastproxy.explain.questions import Question
from fastproxy.explain.requests import explain
from fastproxy.rules.syntax import And, Matcher, Not
from tests.explain.documents import build, static_of
from tests.rules.strategies import trees
from tests.wire.rig import Wire

# --- the router, against the table --------------------------------------------------------------------------

POINTS = {"a": {"address": ":8001"}, "b": {"address": ":8002", "http": {"sanitizePath": False}}}
STATIC = static_of({"entryPoints": POINTS, "providers": {"precedence": ["file"]}})


def text_of(tree):
    if isinstance(tree, Matcher):
        return str(tree)
    if isinstance(tree, Not):
        return f"!({text_of(tree.part)})"
    return (" && " if isinstance(tree, And) else " || ").join(f"({text_of(part)})" for part in tree.parts)


routers = st.dictionaries(
    st.sampled_from(["r", "r-2", "é", "z", "a", "b-r", "a-r"]),
    st.fixed_dictionaries(
        {
            "rule": trees.map(text_of) | st.just("PathPrefix(`/`)"),
            "service": st.sampled_from(["s", "s", "s", "gone"]),
            "priority": st.sampled_from([0, 0, 0, 5, 5, -1, 2**63 - 2000]),
            "entryPoints": st.sampled_from([["a"], ["b"], ["a", "b"], ["a", "nowhere"]]),
        }
    ),
    min_size=1,
)

asked = st.tuples(
    st.sampled_from(["GET", "POST", "get"]),
    st.sampled_from(["a.example", "A.Example.", "x.b.example:81", "[::1]", "[::1]:8001", "example", "c"]),
    st.sampled_from(
        ["", "/", "/a", "/ab/c", "/%61b", "//a/../ab", "/a/./b", "/%2F", "/%c3%a9", "/é", "/a%2fb", "/%zz"]
    ),
    st.sampled_from(["", "?", "?k", "?k=v;k=", "?K=V&%6b=1", "?k=a+b"]),
    st.lists(st.tuples(st.sampled_from(["k", "X-K", "K"]), st.sampled_from(["v", "V", "a b"])), max_size=3),
    st.sampled_from(["10.0.0.1", "192.0.2.1", "fd00::1", "::ffff:10.0.0.1"]),
    st.sampled_from(["a", "b"]),
)


@pytest.mark.parametrize("many", [1000, 0])
@settings(max_examples=200, deadline=None)
@given(given_routers=routers, question=asked)
def test_the_router_is_the_tables(many, given_routers, question):
    """many: from how many routers on those of other hosts are passed over unread."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("fastproxy.explain.candidates.MANY", many)
        compare_with_table(given_routers, question)


def compare_with_table(given_routers, question):
    method, host, path, query, headers, client, point = question
    builder, made = build({"routers": given_routers}, STATIC)
    told = explain(
        Question(method, f"http://{host}{path}{query}", tuple(headers), point, client),
        STATIC,
        builder.runtime,
    )
    fields = "".join(f"{name}: {value}\r\n" for name, value in [("Host", host), *headers])
    try:
        request = Request.of(
            f"{method} {path or '/'}{query} HTTP/1.1\r\n{fields}\r\n".encode(),
            client=client,
            sanitize=point == "a",
        )
    except ValueError as error:
        assert f"{told.ways[0].status}: {told.ways[0].reason}" == str(error)
        return
    route = made.snapshot.tables[["a", "b"].index(point)].match(request)
    [way] = told.ways
    assert (way.router or None) == (route and route.name)
    assert told.is_taken == (route is not None)
    if route is not None:
        assert way.priority == route.priority
        assert not way.unreadable
        table = made.snapshot.tables[["a", "b"].index(point)]
        second = table.updated([route], []).match(request)
        assert ([each.name for each in way.beaten[:1]] or [None]) == [second and second.name]


# --- the outcome, against the wire --------------------------------------------------------------------------

MIDDLEWARES = {
    "addPrefix": {"prefix": "/add ed"},
    "stripPrefix": {"prefixes": ["/a", "/long"]},
    "stripPrefixRegex": {"regex": ["^/[a-c]+", "/x"]},
    "replacePath": {"path": "/other%2f?x"},
    "replacePathRegex": {"regex": "^/a/(.*)", "replacement": "/$1/.."},
    "headers": {
        "customRequestHeaders": {"X-User": "me", "K": "", "Host": "other.example"},
        "customResponseHeaders": {"X-Served": "by us", "Server": ""},
        "accessControlAllowOriginList": ["https://o.example"],
        "accessControlAllowMethods": ["GET"],
        "allowedHosts": ["a.example", "other.example"],
        "frameDeny": True,
        "stsSeconds": 1,
    },
    "redirectScheme": {"scheme": "https", "permanent": True},
    "redirectRegex": {"regex": "^http://([^/]+)/a(.*)", "replacement": "https://$1/b$2"},
    "ipAllowList": {"sourceRange": ["127.0.0.1"], "ipStrategy": {"depth": 1}, "rejectStatusCode": 404},
    "ipWhiteList": {"sourceRange": ["10.0.0.0/8"]},
    "chain": {"middlewares": ["addPrefix", "stripPrefix"]},
}

REQUESTS = [
    ("GET", "/a/b?q=1", []),
    ("GET", "/a", []),
    ("POST", "/a../x", [("K", "v"), ("Connection", "close, X-Gone"), ("X-Gone", "1")]),
    ("GET", "/long%2Fway?", [("X-Forwarded-For", "127.0.0.1, 10.0.0.1"), ("X-Forwarded-Proto", "https")]),
    ("GET", "//x/./y?a;b", [("X-Forwarded-For", "10.0.0.1, 127.0.0.1")]),
    ("OPTIONS", "/a", [("Origin", "https://o.example"), ("Access-Control-Request-Method", "GET")]),
    ("GET", "/%zz", []),
]


OTHERWISE = {
    "encodedCharacters": {"allowEncodedSlash": False},
    "sanitizePath": False,
    "encodeQuerySemicolons": True,
}


class Echo:
    """A server that answers the head it was sent."""

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            body = json.dumps(head.decode("latin-1")).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nServer: echo\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    async def __aexit__(self, *error):
        self.server.close()


def test_every_middleware_that_is_tried_is_in_the_table():
    assert PURE | {"chain"} == MIDDLEWARES.keys()
    kinds = set(HttpMiddleware.__struct_encode_fields__)
    assert kinds >= PURE


@pytest.mark.parametrize("kind", MIDDLEWARES)
@pytest.mark.parametrize("trusted", [False, True])
async def test_the_outcome_is_that_of_the_wire(kind, trusted):
    async with Echo() as echo:
        document = {
            "entryPoints": {
                "web": {
                    "address": "127.0.0.1:0",
                    "forwardedHeaders": {"insecure": trusted},
                    "http": OTHERWISE if trusted else {},
                }
            },
            "http": {
                "routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "middlewares": [kind]}},
                "middlewares": {name: {name: options} for name, options in MIDDLEWARES.items()},
                "services": {"s": {"loadBalancer": {"servers": [{"url": echo.url}]}}},
            },
        }
        async with Proxy(document) as proxy:
            for method, target, headers in REQUESTS:
                await compare(proxy, method, target, headers)


async def compare(proxy, method, target, headers):
    """Send a request, and explain it."""
    url = f"http://a.example:8000{target}"
    told = explain(Question(method, url, tuple(headers), "web"), proxy.static, proxy.runtime)
    [way] = told.ways
    wire = await Wire.to(proxy.address())
    fields = [("Host", "a.example:8000"), *headers]
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    await wire.send("\r\n".join(lines).encode())
    head = (await wire.head()).decode("latin-1")
    answer = fields_of(head)
    assert int(head.split()[1]) == (way.status or 200), (target, way)
    for passed in way.middlewares:
        if passed.status:
            assert way.status == passed.status
            assert ("location" in answer) == (" to http" in passed.does[0])
            assert not answer.get("location") or f" to {answer['location']}: " in passed.does[0]
            continue
        for line in passed.does:
            if gained := line.partition("the answer gets ")[2]:
                name, _, value = gained.partition(": ")
                assert answer[name.lower()] == value
            if lost := line.partition("the answer loses ")[2]:
                assert lost.lower() not in answer
    if not way.status:
        sent = json.loads(await wire.read(int(answer["content-length"])))
        assert_sent(way, method, target, fields, sent)
    wire.sock.close()


def fields_of(head):
    lines = (line.partition(": ") for line in head.split("\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}


def assert_sent(way, method, target, fields, head):
    """Compare what the server was sent with what was said."""
    first, *lines = head.rstrip("\r\n").split("\r\n")
    assert first == f"{way.request.method} {way.request.target} HTTP/1.1"
    sent = tuple(tuple(line.split(": ", 1)) if ": " in line else (line[:-1], "") for line in lines)
    assert dict(sent)["Host"] == way.request.host
    (path, mark, query), (new, new_mark, new_query) = (
        text.partition("?") for text in (target, first.split()[1])
    )
    before = Sent(method, path, query if mark else None, tuple(fields))
    after = Sent(method, new, new_query if new_mark else None, sent)
    assert set(changes(before, after)) == set(way.request.changes)
