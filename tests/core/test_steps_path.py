"""The path steps, from raw request bytes to the path, the fields and the answer that come of them."""

import pytest

from fastproxy._core.message import Request
from fastproxy._core.rewrite import Rewrite
from fastproxy._core.steps_path import AddPrefix, ReplacePath, ReplacePathRegex, StripPrefix, StripPrefixRegex
from fastproxy.regex import compile_pattern


def request_for(target: str, **options) -> Request:
    return Request.of(f"GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode(), **options)


def fields_of(request, name):
    return [value for field, value in request.head.fields if field == name]


def bad_request(answer):
    """Say whether it is Go's http.Error of 400."""
    return (
        answer.status == 400
        and answer.body == b"Bad Request\n"
        and answer.headers
        == [(b"Content-Type", b"text/plain; charset=utf-8"), (b"X-Content-Type-Options", b"nosniff")]
    )


@pytest.mark.parametrize(
    ("description", "prefix", "target", "path"),
    [
        ("works with a regular path", b"/a", "/b", "/a/b"),
        ("a slash is put before a prefix without one", b"a", "/b", "/a/b"),
        ("the slash at the end of a prefix is kept", b"/a/", "/b", "/a//b"),
        ("escapes of the request stay", b"/a", "/b%2Fc", "/a/b%2Fc"),
        ("a prefix is characters: they are escaped", b"/a b", "/c", "/a%20b/c"),
        ("a per cent sign in a prefix is itself", b"/a%2Fb", "/c", "/a%252Fb/c"),
        ("a question mark in a prefix begins no query", b"/a?b", "/c", "/a%3Fb/c"),
        ("the query stays", b"/a", "/b?q=1", "/a/b"),
        ("the root", b"/a", "/", "/a/"),
    ],
)
def test_add_prefix(description, prefix, target, path):
    request = request_for(target)
    assert AddPrefix("add@file", prefix).run_request(request) == ("next", None)
    assert request.escaped_path == path
    assert request.query_string == target.partition("?")[2]
    assert fields_of(request, b"X-Forwarded-Prefix") == []


def test_the_asterisk_is_no_path():
    for step in (
        AddPrefix("add", b"/a"),
        StripPrefix("strip", [b"*", b""]),
        StripPrefixRegex("strip", [compile_pattern(".*")]),
        ReplacePath("replace", b"/a"),
        ReplacePathRegex("replace", Rewrite(compile_pattern(".*"), "/a")),
    ):
        request = Request.of(b"OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        assert step.run_request(request) == ("next", None)
        assert request.escaped_path == "*"


STRIPPED = [
    ("no prefix matches", [b"/a"], "/b/c", "/b/c", None),
    ("no prefixes", [], "/b/c", "/b/c", None),
    ("the first that matches is taken, not the longest", [b"/a", b"/a/b"], "/a/b/c", "/b/c", b"/a"),
    ("the second matches", [b"/x", b"/stat"], "/stat/us", "/us", b"/stat"),
    ("a prefix is no segment", [b"/stat"], "/status", "/us", b"/stat"),
    ("a prefix that ends in a slash", [b"/stat/"], "/stat/us", "/us", b"/stat/"),
    ("a prefix with its slash does not match without", [b"/stat/"], "/status", "/status", None),
    ("the whole path: it is empty, / on the wire", [b"/stat"], "/stat", "", b"/stat"),
    ("all but the slash", [b"/stat"], "/stat/", "/", b"/stat"),
    ("letters are not folded", [b"/STAT"], "/stat", "/stat", None),
    ("the decoded path is matched", [b"/a b"], "/a%20b/c", "/c", b"/a b"),
    ("bytes of the escaped one are cut", [b"/a"], "/a/b%2Fc", "/b%2Fc", b"/a"),
    ("an escaped slash in the prefix", [b"/a/b"], "/a%2Fb/c%2Fd", "/c%2Fd", b"/a/b"),
    ("an escaped slash right behind it begins the rest", [b"/a"], "/a%2Fb%2Fc", "/b/c", b"/a"),
    ("an empty prefix matches everything and is told", [b""], "/a", "/a", b""),
    ("UTF-8", ["/é".encode()], "/%C3%A9/x", "/x", "/é".encode()),
]


@pytest.mark.parametrize(("description", "prefixes", "target", "path", "told"), STRIPPED)
def test_strip_prefix(description, prefixes, target, path, told):
    request = request_for(target + "?q=1")
    assert StripPrefix("strip@file", prefixes).run_request(request) == ("next", None)
    assert request.escaped_path == path
    assert request.query_string == "q=1"
    assert fields_of(request, b"X-Forwarded-Prefix") == ([told] if told is not None else [])


@pytest.mark.parametrize(
    ("description", "target", "path"),
    [
        ("the rest has its slash", "/stat/us", "/us"),
        ("the rest has none", "/status", "/us"),
        ("the whole path", "/stat", "/"),
        ("all but the slash", "/stat/", "/"),
        ("an escaped slash counts as one", "/stat%2Fus", "/us"),
    ],
)
def test_strip_prefix_with_force_slash(description, target, path):
    request = request_for(target)
    assert StripPrefix("strip@file", [b"/stat"], force_slash=True).run_request(request) == ("next", None)
    assert request.escaped_path == path


@pytest.mark.parametrize(
    ("description", "prefix", "target", "sanitize"),
    [
        ("a dot segment comes into being", b"/api", "/api../admin", True),
        ("a single dot too", b"/api", "/api./admin", True),
        ("behind an escaped slash", b"/api", "/api%2F..%2Fadmin", True),
        ("two slashes", b"/api", "/api//admin", False),
        ("a dot segment further on", b"/api", "/api/a/../admin", False),
    ],
)
def test_a_stripped_path_that_hides_another_is_refused(description, prefix, target, sanitize):
    for step in (StripPrefix("s", [prefix]), StripPrefixRegex("s", [compile_pattern("^" + prefix.decode())])):
        request = request_for(target, sanitize=sanitize)
        verdict, answer = step.run_request(request)
        assert verdict == "answer"
        assert bad_request(answer)


def test_a_prefix_is_told_beside_what_the_client_said():
    request = Request.of(b"GET /a/b HTTP/1.1\r\nHost: x\r\nX-Forwarded-Prefix: /outer\r\n\r\n")
    StripPrefix("strip@file", [b"/a"]).run_request(request)
    assert fields_of(request, b"X-Forwarded-Prefix") == [b"/outer", b"/a"]


def test_stripped_to_nothing_and_prefixed_again():
    request = request_for("/old")
    StripPrefix("strip@file", [b"/old"]).run_request(request)
    AddPrefix("add@file", b"/new").run_request(request)
    assert request.escaped_path == "/new"


@pytest.mark.parametrize(
    ("description", "patterns", "target", "path", "told"),
    [
        ("no expression", [], "/a/api/test", "/a/api/test", None),
        ("no match", ["/b/"], "/a/api/test", "/a/api/test", None),
        ("a group", ["/(a|b)/api/"], "/a/api/test", "/test", b"/a/api/"),
        ("the second expression", ["^/x", "/[a-z]+/api"], "/a/api/test", "/test", b"/a/api"),
        ("a match further on does not count", ["/api/"], "/a/api/test", "/a/api/test", None),
        ("an empty match does not count", ["x*", "/a"], "/a/b", "/b", b"/a"),
        ("the whole path", ["/.*"], "/a/b", "", b"/a/b"),
        ("the decoded path is matched", ["/a[ ]b"], "/a%20b/c%20d", "/c%20d", b"/a b"),
        ("bytes of the escaped one are cut", ["/[^/]+"], "/%C3%A9/c%2Fd", "/c%2Fd", "/é".encode()),
    ],
)
def test_strip_prefix_regex(description, patterns, target, path, told):
    request = request_for(target)
    step = StripPrefixRegex("strip@file", [compile_pattern(pattern) for pattern in patterns])
    assert step.run_request(request) == ("next", None)
    assert request.escaped_path == path
    assert fields_of(request, b"X-Forwarded-Prefix") == ([told] if told is not None else [])


@pytest.mark.parametrize("target", ["/a%0D%0AX-Evil:%201/b", "/a%00/b", "/a%7F/b"])
def test_a_matched_prefix_never_breaks_the_head(target):
    request = request_for(target)
    verdict, answer = StripPrefixRegex("strip@file", [compile_pattern("(?s)/[^/]+")]).run_request(request)
    assert verdict == "answer"
    assert bad_request(answer)
    assert request.head.fields == [(b"Host", b"shop.example")]


@pytest.mark.parametrize(
    ("description", "path", "target", "sent"),
    [
        ("a plain path", b"/b", "/a/c", "/b"),
        ("the same path", b"/a/c", "/a/c", "/a/c"),
        ("escapes are taken as they are", b"/b%2Fc", "/a", "/b%2Fc"),
        ("what must be escaped is", b"/b c?d", "/a", "/b%20c%3Fd"),
        ("a slash is put before it", b"b", "/a", "/b"),
        ("nothing at all: / on the wire", b"", "/a", ""),
    ],
)
def test_replace_path(description, path, target, sent):
    request = request_for(target + "?q=1")
    assert ReplacePath("replace@file", path).run_request(request) == ("next", None)
    assert request.escaped_path == sent
    assert request.query_string == "q=1"
    assert fields_of(request, b"X-Replaced-Path") == [target.encode()]


def test_replace_path_tells_the_escaped_path():
    request = request_for("/a%2Fb%20c")
    ReplacePath("replace@file", b"/x").run_request(request)
    assert fields_of(request, b"X-Replaced-Path") == [b"/a%2Fb%20c"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"/%zz", b'invalid URL escape "%zz"\n'),
        (b"/%41%4", b'invalid URL escape "%4"\n'),
        (b"/%", b'invalid URL escape "%"\n'),
        (b'/%"x', b'invalid URL escape "%\\"x"\n'),
    ],
)
def test_replace_path_with_a_malformed_escape_answers_500(path, text):
    verdict, answer = ReplacePath("replace@file", path).run_request(request_for("/a"))
    assert (verdict, answer.status, answer.body) == ("answer", 500, text)


@pytest.mark.parametrize(
    ("description", "pattern", "replacement", "target", "path"),
    [
        ("groups", "^/who/([^/]+)/(.*)$", "/who-am-i/$1/$2", "/who/bob/is/he", "/who-am-i/bob/is/he"),
        ("in braces", "^/(.*)$", "/${1}x", "/a", "/ax"),
        ("by name", "^/(?P<first>[^/]+)/(.*)$", "/$2/${first}", "/a/b", "/b/a"),
        ("every match is replaced", "a", "b", "/a/a", "/b/b"),
        ("the escaped path is matched", "/a%20b", "/x", "/a%20b/c", "/x/c"),
        ("escapes in the replacement", "^/a", "/b%2Fc", "/a", "/b%2Fc"),
        ("what must be escaped is", "^/a", "/b c", "/a", "/b%20c"),
        ("a slash is put before it", "^/a", "b", "/a/c", "/b/c"),
        ("nothing is left: / on the wire", ".*", "", "/a/c", ""),
        ("a replacement that changes nothing", "^/a", "/a", "/a/c", "/a/c"),
    ],
)
def test_replace_path_regex(description, pattern, replacement, target, path):
    request = request_for(target + "?q=1")
    step = ReplacePathRegex("replace@file", Rewrite(compile_pattern(pattern), replacement))
    assert step.run_request(request) == ("next", None)
    assert request.escaped_path == path
    assert request.query_string == "q=1"
    assert fields_of(request, b"X-Replaced-Path") == [target.encode()]


def test_replace_path_regex_without_a_match_leaves_no_trace():
    request = request_for("/a")
    step = ReplacePathRegex("replace@file", Rewrite(compile_pattern("^/b"), "/c"))
    assert step.run_request(request) == ("next", None)
    assert request.escaped_path == "/a"
    assert request.head.fields == [(b"Host", b"shop.example")]


@pytest.mark.parametrize(
    ("description", "pattern", "replacement", "target"),
    [
        ("a dot segment", "^/api(.*)", "$1", "/api/x/..y/../z"),
        ("a dot segment in front", "^/api", "", "/api../x"),
        ("an escaped one", "^/api", "/%2e%2E", "/api/x"),
        ("two slashes", "^/api", "/", "/api/x"),
    ],
)
def test_a_replaced_path_that_hides_another_is_refused(description, pattern, replacement, target):
    request = request_for(target, sanitize=False)
    step = ReplacePathRegex("replace@file", Rewrite(compile_pattern(pattern), replacement))
    verdict, answer = step.run_request(request)
    assert verdict == "answer"
    assert bad_request(answer)


def test_a_replacement_with_a_malformed_escape_answers_500():
    step = ReplacePathRegex("replace@file", Rewrite(compile_pattern("^/a(.*)"), "/%$1"))
    verdict, answer = step.run_request(request_for("/a/zz"))
    assert (verdict, answer.status, answer.body) == ("answer", 500, b'invalid URL escape "%/z"\n')


def test_the_fullest_head_still_takes_a_field():
    fields = "".join(f"x{n}: y\r\n" for n in range(999))
    request = Request.of(f"GET /a/b HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode())
    assert StripPrefix("strip@file", [b"/a"]).run_request(request) == ("next", None)
    assert fields_of(request, b"X-Forwarded-Prefix") == [b"/a"]
