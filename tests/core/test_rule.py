"""The compiled rule: every matcher against raw requests, and against its plain twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.message import Request
from fastproxy._core.rule import Rule
from fastproxy.rules.compile import compile_rule, compile_tree
from tests.rules.strategies import trees
from tests.twins import rule as twin


def rule_of(text):
    program = compile_rule(text)
    return Rule(text, program.tests, program.keys)


def get(target="/", host="example.com", *fields, method="GET", version="1.1", **of):
    lines = [f"{method} {target} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *fields]
    return Request.of("".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1"), **of)


@pytest.mark.parametrize(
    ("rule", "host", "expected"),
    [
        ("Host(`example.com`)", "example.com", True),
        ("Host(`example.com`)", "EXAMPLE.com", True),
        ("Host(`Example.COM`)", "example.com", True),
        ("Host(`example.com`)", "example.com:8080", True),
        ("Host(`example.com`)", "example.com.", True),
        ("Host(`example.com`)", "example.com.:80", True),
        ("Host(`example.com.`)", "example.com", True),
        ("Host(`example.com.`)", "example.com.", True),
        ("Host(`example.com`)", "example.org", False),
        ("Host(`example.com`)", "www.example.com", False),
        ("Host(`example.com`)", "example.co", False),
        ("Host(`example.com`)", "", False),
        ("Host(`.`)", "", False),
        ("Host(`xn--bcher-kva.example`)", "XN--bcher-kva.example", True),
        ("Host(`10.0.0.1`)", "10.0.0.1:80", True),
        ("Host(`::1`)", "[::1]", True),
        ("Host(`::1`)", "[::1]:8080", True),
        ("Host(`2001:DB8::1`)", "[2001:db8::1]", True),
        ("Host(`[::1]`)", "[::1]", False),
        # wildcards: exactly one label more
        ("Host(`*.example.com`)", "www.example.com", True),
        ("Host(`*.Example.com.`)", "WWW.example.com.:80", True),
        ("Host(`*.example.com`)", "a.www.example.com", False),
        ("Host(`*.example.com`)", "example.com", False),
        ("Host(`*.example.com`)", "wwwexample.com", False),
        ("Host(`*.example.com`)", "", False),
        ("Host(`*`)", "example.com", True),
        ("Host(`*`)", "", True),
        ("!Host(`*`)", "example.com", False),
        # patterns
        (r"HostRegexp(`^[a-z]+\.example\.com$`)", "SHOP.example.com:80", True),
        (r"HostRegexp(`^[a-z]+\.example\.com$`)", "shop1.example.com", False),
        ("HostRegexp(`xampl`)", "example.com", True),
        ("HostRegexp(`EXAMPLE`)", "EXAMPLE.com", False),
        ("HostRegexp(`(?i)EXAMPLE`)", "example.com", True),
        ("HostRegexp(`^.+$`)", "example.com", True),
        ("HostRegexp(`^.+$`)", "", False),
        ("HostRegexp(`.*`)", "", True),
        ("HostRegexp(`com$`)", "example.com:80", True),
    ],
)
def test_host(rule, host, expected):
    assert rule_of(rule)(get(host=host)) is expected


def test_a_request_without_a_host_matches_rules_that_ask_for_none():
    request = get(host=None, version="1.0")
    assert not rule_of("Host(`example.com`)")(request)
    assert rule_of("Host(`*`) && Path(`/`)")(request)


def test_the_target_beats_the_host_field():
    request = get("http://a.example/x", "b.example")
    assert rule_of("Host(`a.example`) && Path(`/x`)")(request)
    assert not rule_of("Host(`b.example`)")(request)


@pytest.mark.parametrize(
    ("rule", "target", "expected"),
    [
        ("Path(`/foo`)", "/foo", True),
        ("Path(`/foo`)", "/foo?x", True),
        ("Path(`/foo`)", "/foo/", False),
        ("Path(`/foo`)", "/Foo", False),
        ("Path(`/foo`)", "/foobar", False),
        ("Path(`/`)", "/", True),
        ("PathPrefix(`/foo`)", "/foo", True),
        ("PathPrefix(`/foo`)", "/foobar", True),
        ("PathPrefix(`/foo/`)", "/foo", False),
        ("PathPrefix(`/foo`)", "/fo", False),
        ("PathPrefix(`/`)", "/", True),
        ("PathPrefix(`/foo`)", "/x/../foo", True),
        ("PathRegexp(`o+/$`)", "/foo/", True),
        ("PathRegexp(`^/(a|b)/[0-9]{2}$`)", "/a/42", True),
        ("PathRegexp(`^/(a|b)/[0-9]{2}$`)", "/a/421", False),
        ("PathRegexp(`^/api`)", "/api/x", True),
        ("PathRegexp(`^/api`)", "/x/api", False),
        ("PathRegexp(`^/api$`)", "/api/", False),
        # the path that is matched is decoded but for the reserved characters
        ("PathPrefix(`/foo bar`)", "/foo%20bar", True),
        ("Path(`/é`)", "/%C3%A9", True),
        ("Path(`/é`)", "/%c3%a9", True),
        (r'Path("/\xff")', "/%FF", True),
        ("Path(`/foo`)", "/%66oo", True),
        ("Path(`/foo/bar`)", "/foo%2Fbar", False),
        ("Path(`/foo%2Fbar`)", "/foo%2Fbar", True),
        ("Path(`/foo%2Fbar`)", "/foo%2fbar", True),
        ("Path(`/a%25b`)", "/a%25b", True),
        ("Path(`/a+b`)", "/a+b", True),
        ("Path(`/a%2Bb`)", "/a%2Bb", True),
        ("Path(`/b`)", "/a/%2e%2e/b", True),
        ("PathPrefix(`/admin`)", "/x/%2E%2E/admin", True),
        ("Path(`/a/b`)", "/a//b", True),
    ],
)
def test_path(rule, target, expected):
    assert rule_of(rule)(get(target)) is expected


def test_the_asterisk_is_under_no_prefix():
    request = get("*", method="OPTIONS")
    assert not rule_of("PathPrefix(`/`)")(request)
    assert rule_of("Method(`OPTIONS`)")(request)


@pytest.mark.parametrize(
    ("rule", "method", "expected"),
    [
        ("Method(`GET`)", "GET", True),
        ("Method(`get`)", "GET", True),
        ("Method(`GET`)", "POST", False),
        ("Method(`GE`)", "GET", False),
        ("Method(`PROPFIND`)", "PROPFIND", True),
    ],
)
def test_method(rule, method, expected):
    assert rule_of(rule)(get(method=method)) is expected


@pytest.mark.parametrize(
    ("rule", "fields", "expected"),
    [
        ("Header(`X-Key`, `a`)", ["X-Key: a"], True),
        ("Header(`x-key`, `a`)", ["X-KEY:   a  "], True),
        ("Header(`X-Key`, `a`)", ["X-Key: A"], False),
        ("Header(`X-Key`, `a`)", ["X-Key: a, b"], False),
        ("Header(`X-Key`, `a, b`)", ["X-Key: a, b"], True),
        ("Header(`X-Key`, `b`)", ["X-Key: a", "X-Key: b"], True),
        ("Header(`X-Key`, `a`)", ["X-Keys: a"], False),
        ("Header(`X-Key`, `a`)", [], False),
        ("!Header(`X-Key`, `a`)", [], True),
        ("Header(`X-Key`, `é`)", ["X-Key: \xc3\xa9"], True),
        ("Header(`Host`, `example.com`)", [], False),
        ("Header(`Content-Type`, `text/plain`)", ["content-type: text/plain"], True),
        ("HeaderRegexp(`X-Key`, `^a.c$`)", ["x-key: abc"], True),
        ("HeaderRegexp(`X-Key`, `b`)", ["X-Key: a", "X-Key: abc"], True),
        ("HeaderRegexp(`X-Key`, `b`)", ["X-Key: a", "X-Other: b"], False),
        ("HeaderRegexp(`X-Key`, `^$`)", ["X-Key:"], True),
        ("HeaderRegexp(`X-Key`, `.*`)", [], False),
        ("HeaderRegexp(`Accept`, `(?i)JSON`)", ["Accept: application/json"], True),
    ],
)
def test_header(rule, fields, expected):
    assert rule_of(rule)(get("/", "example.com", *fields)) is expected


@pytest.mark.parametrize(
    ("rule", "query", "expected"),
    [
        ("Query(`k`, `v`)", "k=v", True),
        ("Query(`k`, `v`)", "a=b&k=v&c=d", True),
        ("Query(`k`, `v`)", "k=w&k=v", True),
        ("Query(`k`, `v`)", "k=V", False),
        ("Query(`k`, `v`)", "K=v", False),
        ("Query(`k`, `v`)", "kk=v", False),
        ("Query(`k`, `v`)", "k=vv", False),
        ("Query(`k`, `v`)", "k", False),
        ("Query(`k`, `v`)", "", False),
        ("Query(`k`, `a=b`)", "k=a=b", True),
        ("Query(`k`, `a b`)", "k=a+b", True),
        ("Query(`k`, `a b`)", "k=a%20b", True),
        ("Query(`k`, `a+b`)", "k=a%2Bb", True),
        ("Query(`k`, `a+b`)", "k=a+b", False),
        ("Query(`k k`, `v`)", "k+k=v", True),
        ("Query(`k`, `v`)", "%6b=%76", True),
        ("Query(`é`, `ü`)", "%C3%A9=%c3%bc", True),
        ("Query(`k`, `v`)", "&&k=v&", True),
        # a malformed pair is skipped
        ("Query(`k`, `v`)", "k=v%&k=w", False),
        ("Query(`k`, `v`)", "k=v%2&k=w", False),
        ("Query(`k`, `v`)", "k=%zz&k=v", True),
        ("Query(`k`, `v`)", "k%=v", False),
        ("Query(`k`, `v%`)", "k=v%", False),
        # semicolons separate, as the entry point's default has it
        ("Query(`k`, `v`)", "a=b;k=v", True),
        # one argument: the value is empty
        ("Query(`mobile`)", "mobile", True),
        ("Query(`mobile`)", "mobile=", True),
        ("Query(`mobile`)", "x&mobile", True),
        ("Query(`mobile`)", "mobile=1", False),
        ("Query(`mobile`)", "mobile=1&mobile", True),
        ("Query(`mobile`)", "", False),
        ("QueryRegexp(`mobile`)", "mobile", True),
        ("QueryRegexp(`mobile`)", "mobile=1", False),
        ("QueryRegexp(`k`, `^[0-9]+$`)", "k=a&k=12", True),
        ("QueryRegexp(`k`, `^[0-9]+$`)", "k=12a", False),
        ("QueryRegexp(`k`, `^a b$`)", "k=%61+b", True),
        ("QueryRegexp(`k`, `.*`)", "k", True),
        ("QueryRegexp(`k`, `.*`)", "j", False),
        ("QueryRegexp(`k`, `.*`)", "k=%", False),
    ],
)
def test_query(rule, query, expected):
    assert rule_of(rule)(get(f"/?{query}")) is expected


def test_a_semicolon_that_is_encoded_separates_nothing():
    assert not rule_of("Query(`k`, `v`)")(get("/?a=b;k=v", encode_semicolons=True))
    assert rule_of("Query(`a`, `b;k=v`)")(get("/?a=b;k=v", encode_semicolons=True))


@pytest.mark.parametrize(
    ("rule", "client", "expected"),
    [
        ("ClientIP(`10.0.0.0/8`)", "10.1.2.3", True),
        ("ClientIP(`10.1.2.3`)", "10.1.2.3", True),
        ("ClientIP(`10.0.0.0/8`)", "11.1.2.3", False),
        ("ClientIP(`10.0.0.0/8`)", "::ffff:10.1.2.3", True),
        ("ClientIP(`fd00::/8`)", "fd12::1", True),
        ("ClientIP(`::/0`)", "10.1.2.3", False),
        ("ClientIP(`0.0.0.0/0`)", "", False),
        ("!ClientIP(`0.0.0.0/0`)", "", True),
    ],
)
def test_client_ip(rule, client, expected):
    assert rule_of(rule)(get("/", "example.com", "X-Forwarded-For: 10.0.0.1", client=client)) is expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("Host(`example.com`) && Path(`/a`) || Method(`PUT`)", True),
        ("Host(`example.com`) && (Path(`/b`) || Method(`PUT`))", False),
        ("!(Host(`example.com`) && Path(`/b`))", True),
        ("!Host(`example.com`) || !Path(`/b`)", True),
        ("!!Path(`/a`)", True),
        ("!(!Path(`/a`) || !Method(`GET`))", True),
        ("PathRegexp(`a`) && HostRegexp(`x`) && !QueryRegexp(`k`, `v`)", True),
    ],
)
def test_operators(rule, expected):
    assert rule_of(rule)(get("/a")) is expected


@pytest.mark.parametrize(
    "tests",
    [
        [],
        [("hots", -1, -2, b"a")],
        [("host", 0, -2, b"a")],
        [("host", 1, -2, b"a")],
        [("host", -3, -2, b"a")],
        [("host", 1, -2, b"a"), ("path", 0, -2, b"/")],
        [("client", -1, -2, "10.0.0")],
    ],
)
def test_what_is_no_program_is_refused(tests):
    with pytest.raises(ValueError):
        Rule("x", tests, ())


@pytest.mark.parametrize(
    "key", [(3, b"a", 0, b""), (1, b"a", -1, b""), (1, "a", 0, b""), (1, b"a", 0, None), (1, b"a")]
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises((TypeError, ValueError)):
        Rule("x", [("always", -1, -2)], [key])


def test_text_that_is_not_bytes_is_refused():
    with pytest.raises(TypeError):
        Rule("x", [("host", -1, -2, "a")], ())


def test_a_pattern_that_raises_does_not_match():
    class Broken:
        def search(self, text):
            raise MemoryError

    assert not Rule("x", [("path_regexp", -1, -2, Broken())], ())(get())
    assert Rule("x", [("path_regexp", -2, -1, Broken())], ())(get())


def test_what_a_pattern_said_of_a_host_is_remembered_for_that_pattern_and_host_alone():
    requests = [get(host=host) for host in ("a.example", "b.example", "a" * 62, "a" * 63, "c" * 200, "")] * 3
    for pattern in ("^a", "^b", "a", "^$", "^a{62}$", "^c{200}$"):
        rule = rule_of(f"HostRegexp(`{pattern}`)")
        for request in requests:
            assert rule(request) is twin.found(pattern.encode(), request.host_name.encode())


def test_a_search_that_failed_is_made_again():
    class Weak:
        answers = [MemoryError, object(), AssertionError("a third search")]

        def search(self, text):
            answer = self.answers.pop(0)
            if isinstance(answer, type):
                raise answer
            return answer

    rule = Rule("x", [("host_regexp", -1, -2, Weak())], ())
    assert [rule(get()) for _ in range(3)] == [False, True, True]


def test_a_rule_keeps_its_text_and_keys():
    rule = rule_of("Host(`a`)")
    assert rule.text == "Host(`a`)"
    assert rule.keys == compile_rule("Host(`a`)").keys


raw_requests = st.builds(
    get,
    st.tuples(
        st.sampled_from(
            ["/", "/a", "/ab", "/ab/c", "/a/b", "/%2F", "/%2f", "/%C3%A9", "//a", "/x/../ab", "/%61"]
        ),
        st.lists(
            st.sampled_from(
                [
                    "k",
                    "k=",
                    "k=v",
                    "K=V",
                    "k=a+b",
                    "k=a%20b",
                    "%6b=1",
                    "k=%zz",
                    "%k=v",
                    "",
                    "=",
                    "k=a;k=v",
                    "%",
                ]
            ),
            max_size=4,
        ).map("&".join),
    ).map("?".join),
    st.sampled_from(
        [
            "a.example",
            "A.EXAMPLE.",
            "b.example:80",
            "x.b.example",
            "y.x.b.example",
            "example",
            ".example",
            "[::1]",
            "",
        ]
    ),
    st.sampled_from(["K: v", "x-k: v", "K:"]),
    st.sampled_from(["k: V", "X-K: a b", "Accept: */*"]),
    method=st.sampled_from(["GET", "POST"]),
    client=st.sampled_from(["10.0.0.1", "10.9.9.9", "192.0.2.1", "fd00::1", ""]),
)


@given(trees, raw_requests)
def test_it_agrees_with_its_twin(tree, request):
    program = compile_tree(tree)
    rule = Rule("", program.tests, program.keys)
    assert rule(request) == twin.matches(tree, twin.asked(request))


def test_reading_the_fields_of_a_request_spells_in_no_shared_bytes():
    shared = bytes([ord("q")])
    assert ("Q", "1") in get("/", "example.com", "q: 1").headers()
    assert shared == bytes([0x71])
