"""A request as rules and plugins see it: host, paths, query, and what may be changed."""

import pytest

from fastproxy._core.message import Answer, Request, Response


def request_of(line=b"GET / HTTP/1.1", *fields, host=b"a"):
    return Request.of(b"\r\n".join([line, b"Host: " + host, *fields, b"", b""]))


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (b"a.example", "a.example"),
        (b"A.Example:80", "a.example"),
        (b"a.example.", "a.example"),
        (b"a.example.:80", "a.example"),
        (b"a:", "a"),
        (b"[::1]", "::1"),
        (b"[2001:DB8::1]:80", "2001:db8::1"),
        (b"192.0.2.1:80", "192.0.2.1"),
        (b"", ""),
        (b".", ""),
        (b"a" * 255, "a" * 255),
    ],
)
def test_hosts(host, name):
    assert request_of(host=host).host_name == name


@pytest.mark.parametrize(
    ("target", "path", "matched", "query"),
    [
        (b"/a?b=c", "/a", b"/a", "b=c"),
        (b"/a%20b", "/a%20b", b"/a b", ""),
        (b"/a%2Fb", "/a%2Fb", b"/a%2Fb", ""),
        (b"http://x/a/../b?c", "/b", b"/b", "c"),
        (b"/a?b;c", "/a", b"/a", "b&c"),
        (b"/?", "/", b"/", ""),
    ],
)
def test_targets(target, path, matched, query):
    request = request_of(b"GET " + target + b" HTTP/1.1")
    assert (request.escaped_path, request.matched_path, request.query_string) == (path, matched, query)


def test_fields():
    request = request_of(b"GET / HTTP/1.1", b"x-a: 1", b"X-A: 2")
    assert request.headers() == [("Host", "a"), ("X-A", "1"), ("X-A", "2")]
    assert request.header("X-a") == "1"
    assert request.header("X-B") is None
    request.set_header("x-A", "3")
    assert [pair for pair in request.headers() if pair[0].lower() == "x-a"] == [("X-A", "3")]
    request.set_header("X-A", "")
    assert request.header("X-A") is None
    request.set_header("Host", "B.example:81")
    assert (request.host_name, request.header("host")) == ("b.example", "B.example:81")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
        ("X-A", "a\r\nX-B: b"),
        ("X-A", "a\x00"),
        ("X A", "a"),
        ("X-A:", "a"),
        ("", "a"),
        ("X-\xe4", "a"),
        ("Host", "a b"),
        ("Host", ""),
    ],
)
def test_fields_that_are_refused(name, value):
    request = request_of()
    with pytest.raises(ValueError):
        request.set_header(name, value)
    assert request.headers() == [("Host", "a")]


@pytest.mark.parametrize("path", ["a", "", "/a?b", "/a#b", "/%zz", "/%2"])
def test_paths_that_are_refused(path):
    request = request_of()
    with pytest.raises(ValueError):
        request.set_escaped_path(path)
    assert request.escaped_path == "/"


def test_another_path():
    request = request_of()
    request.set_escaped_path("/a%20b/%41")
    assert (request.escaped_path, request.matched_path) == ("/a%20b/A", b"/a b/A")


def test_a_response():
    response = Response.of(b"HTTP/1.1 404 Not Found\r\nx-a: 1\r\n\r\n")
    assert (response.status, response.headers()) == (404, [("X-A", "1")])
    response.set_header("X-A", "2")
    assert response.header("x-a") == "2"
    for name in ("Content-Length", "Transfer-Encoding"):
        with pytest.raises(ValueError):
            response.set_header(name, "5")


@pytest.mark.parametrize("status", [0, 101, 199, 1000])
def test_answers_have_a_final_status(status):
    with pytest.raises(ValueError, match="status of an answer"):
        Answer(status)
