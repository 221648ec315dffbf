"""Header steps: what a request and an answer look like afterwards, from raw bytes to fields."""

import re

import pytest

from fastproxy._core.message import Request, Response
from fastproxy._core.steps_headers import Cors, HeaderEdits, SecurityHeaders
from fastproxy.regex import compile_pattern


def request_for(fields="", *, method="GET", host="shop.example", **options) -> Request:
    return Request.of(f"{method} / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode(), **options)


def response_for(fields="") -> Response:
    return Response.of(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())


def answered(step, fields="", request=None):
    """Return the fields of an answer behind the step."""
    response = response_for(fields)
    assert step.run_response(request or request_for(), response) == "next"
    return response.head.fields


# -- custom fields


@pytest.mark.parametrize(
    ("description", "edits", "sent", "expected"),
    [
        ("a new field", [(b"X-New", b"1")], "", [(b"X-New", b"1")]),
        ("the name is spelled canonically", [(b"x-new_Name", b"1")], "", [(b"X-New_name", b"1")]),
        ("a field is replaced", [(b"X-Old", b"1")], "X-Old: 0\r\n", [(b"X-Old", b"1")]),
        ("all lines of it", [(b"x-old", b"1")], "X-OLD: 0\r\nx-old: 00\r\n", [(b"X-Old", b"1")]),
        ("an empty value deletes", [(b"x-old", b"")], "X-Old: 0\r\nX-Old: 00\r\n", []),
        ("what is not there", [(b"X-Old", b"")], "", []),
        ("others stay", [(b"X-New", b"1")], "X-Old: 0\r\n", [(b"X-Old", b"0"), (b"X-New", b"1")]),
        ("several", [(b"A", b"1"), (b"B", b""), (b"C", b"3")], "B: 2\r\n", [(b"A", b"1"), (b"C", b"3")]),
    ],
)
def test_edits_of_requests_and_answers(description, edits, sent, expected):
    request = request_for(sent)
    assert HeaderEdits("h@file", edits).run_request(request) == ("next", None)
    assert request.head.fields == [(b"Host", b"shop.example"), *expected]
    assert answered(HeaderEdits("h@file", (), edits), sent) == expected


def test_each_way_has_its_own_edits():
    step = HeaderEdits("h@file", [(b"X-In", b"1")], [(b"X-Out", b"2")])
    request = request_for()
    step.run_request(request)
    assert request.header("x-in") == "1"
    assert answered(step) == [(b"X-Out", b"2")]
    assert (step.wants_request, step.wants_response) == (True, True)
    assert HeaderEdits("h@file", [(b"X-In", b"1")]).wants_response is False
    assert HeaderEdits("h@file", (), [(b"X-Out", b"1")]).wants_request is False


def test_host_is_the_host_of_the_request():
    request = request_for()
    HeaderEdits("h@file", [(b"host", b"Other.example:81")]).run_request(request)
    assert request.host_name == "other.example"
    assert request.head.fields == [(b"Host", b"Other.example:81")]


def test_an_empty_host_is_no_edit():
    request = request_for()
    HeaderEdits("h@file", [(b"Host", b""), (b"A", b"1")]).run_request(request)
    assert request.head.fields == [(b"Host", b"shop.example"), (b"A", b"1")]


@pytest.mark.parametrize("way", [lambda edits: (edits, ()), lambda edits: ((), edits)])
@pytest.mark.parametrize("name", [b"Content-Length", b"transfer-encoding"])
def test_fields_that_tell_where_a_body_ends_are_refused(way, name):
    for value in (b"", b"1"):
        with pytest.raises(ValueError, match="belongs to the proxy: it tells where the body ends"):
            HeaderEdits("h@file", *way([(name, value)]))


@pytest.mark.parametrize("host", [b"a b", b"shop.example:port", b"x" * 256, b"[::1", b"a/b"])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(ValueError, match="is not a host; write one like"):
        HeaderEdits("h@file", [(b"Host", host)])


# -- other origins


PREFLIGHT = "Origin: https://foo.bar.org\r\nAccess-Control-Request-Method: GET\r\n"


def preflight(step, fields=PREFLIGHT, method="OPTIONS"):
    """Return the fields of a preflight answer without their common beginning, or None when it is none."""
    verdict, answer = step.run_request(request_for(fields, method=method))
    if verdict == "next":
        return None
    assert (answer.status, answer.body) == (200, b"")
    assert all(name.startswith(b"Access-Control-") for name, _ in answer.headers)
    return {name.removeprefix(b"Access-Control-").decode(): value.decode() for name, value in answer.headers}


@pytest.mark.parametrize(
    ("description", "options", "expected"),
    [
        (
            "an origin of the list",
            {"origins": [b"https://foo.bar.org"]},
            {"Allow-Origin": "https://foo.bar.org"},
        ),
        ("any origin", {"origins": [b"*"]}, {"Allow-Origin": "*"}),
        (
            "any origin, with credentials",
            {"origins": [b"*"], "credentials": True},
            {"Allow-Credentials": "true", "Allow-Origin": "https://foo.bar.org"},
        ),
        (
            "an origin that is not in the list",
            {"origins": [b"https://other.org"], "max_age": 600},
            {"Max-Age": "600"},
        ),
        (
            "an expression, searched for",
            {"patterns": [compile_pattern("bar")]},
            {"Allow-Origin": "https://foo.bar.org"},
        ),
        ("an expression that does not match", {"patterns": [compile_pattern("^bar")]}, {}),
        (
            "the list before the expressions",
            {"origins": [b"*"], "patterns": [compile_pattern("bar")]},
            {"Allow-Origin": "*"},
        ),
        ("methods", {"allow_methods": [b"GET", b"PUT"]}, {"Allow-Methods": "GET,PUT"}),
        ("any method", {"allow_methods": [b"*"]}, {"Allow-Methods": "*"}),
        (
            "any method, with credentials",
            {"allow_methods": [b"*"], "credentials": True},
            {"Allow-Credentials": "true", "Allow-Methods": "GET"},
        ),
        ("headers", {"allow_headers": [b"origin", b"X-A"]}, {"Allow-Headers": "origin,X-A"}),
        ("any header", {"allow_headers": [b"*"]}, {"Allow-Headers": "*"}),
        (
            "any header, with credentials, none asked for",
            {"allow_headers": [b"*"], "credentials": True},
            {"Allow-Credentials": "true"},
        ),
        ("exposed headers", {"expose_headers": [b"A", b"B"]}, {"Expose-Headers": "A,B"}),
        (
            "all exposed, with credentials",
            {"expose_headers": [b"*"], "credentials": True},
            {"Allow-Credentials": "true"},
        ),
        ("an age of zero is sent", {"max_age": 0}, {"Max-Age": "0"}),
        ("a negative one too", {"max_age": -1}, {"Max-Age": "-1"}),
        ("only Vary is wanted", {"vary": True}, {}),
    ],
)
def test_preflight(description, options, expected):
    assert preflight(Cors("cors@file", **options)) == expected


def test_preflight_with_credentials_allows_the_headers_asked_for():
    step = Cors("cors@file", allow_headers=[b"*"], credentials=True)
    fields = PREFLIGHT + "Access-Control-Request-Headers: x-a, x-b\r\n"
    assert preflight(step, fields)["Allow-Headers"] == "x-a, x-b"


@pytest.mark.parametrize(
    ("description", "method", "fields"),
    [
        ("another method", "GET", PREFLIGHT),
        ("no origin", "OPTIONS", "Access-Control-Request-Method: GET\r\n"),
        ("an empty origin", "OPTIONS", "Origin:\r\nAccess-Control-Request-Method: GET\r\n"),
        ("no method asked for", "OPTIONS", "Origin: https://foo.bar.org\r\n"),
        ("an empty one", "OPTIONS", "Origin: https://foo.bar.org\r\nAccess-Control-Request-Method:\r\n"),
    ],
)
def test_no_preflight(description, method, fields):
    assert preflight(Cors("cors@file", origins=[b"*"]), fields, method) is None


@pytest.mark.parametrize(
    ("description", "options", "origin", "sent", "expected"),
    [
        (
            "an origin of the list",
            {"origins": [b"http://a"]},
            "http://a",
            "",
            [(b"Access-Control-Allow-Origin", b"http://a")],
        ),
        ("another", {"origins": [b"http://a"]}, "http://b", "", []),
        (
            "another: what the server says stays",
            {"origins": [b"http://a"]},
            "http://b",
            "Access-Control-Allow-Origin: x\r\n",
            [(b"Access-Control-Allow-Origin", b"x")],
        ),
        (
            "what the server says is replaced",
            {"origins": [b"*"]},
            "http://b",
            "Access-Control-Allow-Origin: x\r\n",
            [(b"Access-Control-Allow-Origin", b"*")],
        ),
        ("any origin, none sent", {"origins": [b"*"]}, None, "", [(b"Access-Control-Allow-Origin", b"*")]),
        (
            "any origin, with credentials",
            {"origins": [b"*"], "credentials": True},
            "http://b",
            "",
            [(b"Access-Control-Allow-Origin", b"http://b"), (b"Access-Control-Allow-Credentials", b"true")],
        ),
        (
            "an expression",
            {"patterns": [compile_pattern("^http://[ab]$")]},
            "http://b",
            "",
            [(b"Access-Control-Allow-Origin", b"http://b")],
        ),
        (
            "exposed headers",
            {"expose_headers": [b"A", b"B"]},
            None,
            "Access-Control-Expose-Headers: C\r\n",
            [(b"Access-Control-Expose-Headers", b"A,B")],
        ),
        ("all exposed", {"expose_headers": [b"*"]}, None, "", [(b"Access-Control-Expose-Headers", b"*")]),
        (
            "all exposed, with credentials",
            {"expose_headers": [b"*"], "credentials": True},
            None,
            "",
            [(b"Access-Control-Allow-Credentials", b"true")],
        ),
        (
            "methods and headers are for preflights",
            {"allow_methods": [b"PUT"], "allow_headers": [b"A"], "max_age": 1},
            "http://a",
            "",
            [],
        ),
        ("Vary", {"vary": True}, None, "", [(b"Vary", b"Origin")]),
        ("Vary that is there", {"vary": True}, None, "Vary: Accept\r\n", [(b"Vary", b"Accept,Origin")]),
        ("Vary with Origin alone", {"vary": True}, None, "Vary: Origin\r\n", [(b"Vary", b"Origin")]),
        (
            "Vary with Origin and more",
            {"vary": True},
            None,
            "Vary: Origin, A\r\n",
            [(b"Vary", b"Origin, A,Origin")],
        ),
        ("two lines of Vary", {"vary": True}, None, "Vary: A\r\nVary: B\r\n", [(b"Vary", b"A,B,Origin")]),
    ],
)
def test_answers_for_other_origins(description, options, origin, sent, expected):
    request = request_for(f"Origin: {origin}\r\n" if origin else "")
    assert answered(Cors("cors@file", **options), sent, request) == expected


# -- security headers


def test_security_fields_replace_those_of_the_server():
    step = SecurityHeaders("h@file", [(b"X-Frame-Options", b"DENY"), (b"X-XSS-Protection", b"1; mode=block")])
    sent = "X-Frame-Options: ALLOW\r\nServer: x\r\nx-xss-protection: 0\r\n"
    assert answered(step, sent) == [
        (b"Server", b"x"),
        (b"X-Frame-Options", b"DENY"),
        (b"X-Xss-Protection", b"1; mode=block"),
    ]
    assert (step.wants_request, step.wants_response) == (False, True)


@pytest.mark.parametrize(
    ("description", "options", "fields", "is_tls", "expected"),
    [
        ("over TLS", {}, "", True, True),
        ("over nothing", {}, "", False, False),
        ("forced", {"force_sts": True}, "", False, True),
        ("said by a proxy", {"proxy_headers": [(b"X-Proto", b"https")]}, "x-proto: https\r\n", False, True),
        (
            "a proxy says something else",
            {"proxy_headers": [(b"X-Proto", b"https")]},
            "X-Proto: HTTPS\r\n",
            False,
            False,
        ),
        ("a proxy says nothing", {"proxy_headers": [(b"X-Proto", b"https")]}, "", False, False),
    ],
)
def test_strict_transport_security(description, options, fields, is_tls, expected):
    step = SecurityHeaders("h@file", sts=b"max-age=1", public_key=b"pin", **options)
    got = answered(step, request=request_for(fields, is_tls=is_tls))
    assert ((b"Strict-Transport-Security", b"max-age=1") in got) is expected
    # Keys are pinned only where the client can check them.
    assert ((b"Public-Key-Pins", b"pin") in got) is (expected and not options.get("force_sts"))


def test_a_nonce_is_new_for_each_answer_and_one_within_it():
    step = SecurityHeaders("h@file", [(b"A", b"script-src $NONCE $NONCE"), (b"B", b"$NONCE")])
    first, second = (dict(answered(step)) for _ in range(2))
    nonce = first[b"B"].decode()
    assert re.fullmatch(r"'nonce-[A-Za-z0-9+/]{22}=='", nonce)
    assert first[b"A"].decode() == f"script-src {nonce} {nonce}"
    assert second[b"B"] != first[b"B"]


@pytest.mark.parametrize(
    ("description", "allowed", "headers", "host", "fields", "expected"),
    [
        ("one of them", [b"foo.com", b"bar.com"], [], "bar.com", "", True),
        ("none of them", [b"foo.com"], [], "bar.com", "", False),
        ("letters are folded", [b"Foo.com"], [], "fOO.com", "", True),
        ("the port counts", [b"foo.com"], [], "foo.com:80", "", False),
        ("the port is named", [b"foo.com:80"], [], "foo.com:80", "", True),
        ("subdomains are others", [b"foo.com"], [], "a.foo.com", "", False),
        ("a proxy names the host", [b"foo.com"], [b"X-Host"], "bar.com", "x-host: foo.com\r\n", True),
        ("a proxy names another", [b"foo.com"], [b"X-Host"], "foo.com", "X-Host: bar.com\r\n", False),
        ("a proxy names none", [b"foo.com"], [b"X-Host"], "foo.com", "X-Host:\r\n", True),
        ("the first that is there", [b"foo.com"], [b"X-A", b"X-B"], "a", "X-B: foo.com\r\n", True),
    ],
)
def test_allowed_hosts(description, allowed, headers, host, fields, expected):
    step = SecurityHeaders("h@file", allowed_hosts=allowed, host_headers=headers)
    verdict, answer = step.run_request(request_for(fields, host=host))
    if expected:
        assert (verdict, answer) == ("next", None)
        return
    assert (verdict, answer.status, answer.body) == ("answer", 500, b"Bad Host\n")
    assert (b"Content-Type", b"text/plain; charset=utf-8") in answer.headers
