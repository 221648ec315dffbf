"""A plugin in a pipeline: it is parked with its coroutine, and what that gives can be sent."""

import pytest

from fastproxy._core.awaited import Awaited
from fastproxy._core.message import Answer, Request, Response
from fastproxy.plugins import api


def request() -> Request:
    return Request.of(
        b"GET /a?b HTTP/1.1\r\nHost: Shop.example:80\r\nX-A: 1\r\n\r\n", client="10.0.0.1", is_tls=True
    )


class Plugin(api.Middleware):
    """Answers what it is made with; raises it when it is an exception."""

    def __init__(self, answer=None):
        self.answer = answer

    async def on_request(self, request):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def on_response(self, request, response):
        response.set_header("X-Seen", f"{response.status} {request.method_name}")
        return self.answer


async def asked(answer):
    """Return what the exchange gets when a plugin returns *answer*."""
    asks = request()
    assert Awaited("p@file", Plugin(answer)).run_request(asks) == ("park", None)
    return await asks.pending


async def test_none_goes_on():
    assert await asked(None) is None


@pytest.mark.parametrize(
    ("description", "response", "status", "headers", "body"),
    [
        ("nothing said", api.Response(), 200, [], b""),
        ("headers by name", api.Response(401, {"x-a": "1"}, b"no"), 401, [(b"X-A", b"1")], b"no"),
        (
            "headers in pairs",
            api.Response(200, [("A", "1"), ("A", "2")]),
            200,
            [(b"A", b"1"), (b"A", b"2")],
            b"",
        ),
        ("text", api.Response(200, {}, "é"), 200, [], "é".encode()),
        ("a value with other letters", api.Response(200, {"A": "é"}), 200, [(b"A", "é".encode())], b""),
        ("an answer of the core's own", Answer(204, [(b"a", b"b")]), 204, [(b"a", b"b")], b""),
    ],
)
async def test_a_response_is_the_answer(description, response, status, headers, body):
    answer = await asked(response)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers, answer.body) == (status, headers, body)


@pytest.mark.parametrize(
    ("description", "response", "error", "told"),
    [
        ("no response", "no", TypeError, "on_request returned str; return None or a Response"),
        ("a status that ends nothing", api.Response(100), ValueError, "from 200 to 999"),
        ("a name that is none", api.Response(200, {"a b": "1"}), ValueError, "is not a header name"),
        ("a value over two lines", api.Response(200, {"A": "1\r\nB: 2"}), ValueError, "control character"),
        (
            "where the body ends",
            api.Response(200, {"content-length": "1"}),
            ValueError,
            "belongs to the proxy",
        ),
        ("a body that is none", api.Response(200, {}, None), TypeError, "a bytes-like object is required"),
        ("a number is none either", api.Response(200, {}, 5), TypeError, "a bytes-like object is required"),
        ("what it raises", KeyError("x"), KeyError, "x"),
    ],
)
async def test_what_cannot_be_sent_is_raised(description, response, error, told):
    with pytest.raises(error, match=told):
        await asked(response)


async def test_an_answer_is_changed_in_place():
    asks, answer = request(), Response.of(b"HTTP/1.1 404 Not Found\r\n\r\n")
    step = Awaited("p@file", Plugin(), wants_request=False, wants_response=True)
    assert step.run_response(asks, answer) == "park"
    assert await asks.pending is None
    assert answer.head.fields == [(b"X-Seen", b"404 GET")]


async def test_on_response_returns_nothing():
    asks, answer = request(), Response.of(b"HTTP/1.1 200 OK\r\n\r\n")
    Awaited("p@file", Plugin(api.Response()), wants_response=True).run_response(asks, answer)
    with pytest.raises(TypeError, match="on_response returned Response; it changes the response it is given"):
        await asks.pending


def test_what_it_is_called_with_and_how_long():
    step = Awaited("p@file", Plugin(), timeout=2.5)
    assert (step.name, step.timeout, step.wants_request, step.wants_response) == ("p@file", 2.5, True, False)
    assert Awaited("p@file", Plugin()).timeout == 30.0
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="more than 0 seconds"):
            Awaited("p@file", Plugin(), timeout=timeout)


async def test_a_request_offers_what_the_protocol_promises():
    got = request()
    assert {name for name in vars(api.Request) if not name.startswith("_")} <= set(dir(got))
    assert (got.method_name, got.scheme, got.host_name) == ("GET", "https", "shop.example")
    assert (got.escaped_path, got.query_string, got.client_ip) == ("/a", "b", "10.0.0.1")
    assert got.has_body is False
    assert got.headers() == [("Host", "Shop.example:80"), ("X-A", "1")]
    assert (got.header("x-a"), got.header("X-B")) == ("1", None)
    got.set_header("x-b", "2")
    got.set_header("X-A", "")
    got.set_escaped_path("/b%2Fc")
    assert got.head.fields == [(b"Host", b"Shop.example:80"), (b"X-B", b"2")]
    assert got.escaped_path == "/b%2Fc"


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request.set_header("a b", "1"),
        lambda request: request.set_header("A", "1\r\nB: 2"),
        lambda request: request.set_header("Content-Length", "1"),
        lambda request: request.set_header("Host", ""),
        lambda request: request.set_escaped_path("b"),
        lambda request: request.set_escaped_path("/b?c"),
        lambda request: request.set_escaped_path("/%zz"),
        lambda request: request.set_escaped_path("/é"),
    ],
)
async def test_a_request_refuses_what_cannot_be_sent(change):
    got = request()
    with pytest.raises(ValueError):
        change(got)
    assert (got.escaped_path, got.header("X-A"), got.header("Host")) == ("/a", "1", "Shop.example:80")


async def test_an_answer_offers_what_the_protocol_promises():
    got = Response.of(b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n")
    assert {name for name in vars(api.ResponseHead) if not name.startswith("_")} <= set(dir(got))
    assert (got.status, got.headers(), got.header("a")) == (200, [("A", "1")], "1")
    got.set_header("a", "")
    assert got.headers() == []
