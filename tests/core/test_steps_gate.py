"""Redirects and the list of addresses, from raw request bytes to the answer."""

import pytest

from fastproxy._core.message import Request
from fastproxy._core.netset import NetSet
from fastproxy._core.rewrite import Rewrite
from fastproxy._core.steps_gate import IPAllowList, RedirectRegex, RedirectScheme
from fastproxy.regex import compile_pattern


def request_for(url: str, *, method="GET", fields="", **options) -> Request:
    """Make the request a client sends for *url*; https is a TLS connection."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    head = f"{method} {slash}{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
    return Request.of(head.encode(), is_tls=scheme == "https", **options)


PHRASES = {
    301: b"Moved Permanently",
    302: b"Found",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    502: b"Bad Gateway",
}


def outcome(step, request):
    """Return where the step redirects to, the status of an error, or None; checks what every answer has."""
    verdict, answer = step.run_request(request)
    if verdict == "next":
        assert answer is None
        return None
    assert answer.body == PHRASES[answer.status]
    if not answer.headers:
        return answer.status
    [(name, location)] = answer.headers
    assert name == b"Location"
    return location.decode()


# -- redirectScheme


@pytest.mark.parametrize(
    ("description", "scheme", "port", "url", "fields", "location"),
    [
        ("http to https", "https", "", "http://foo/", "", "https://foo/"),
        ("path and query are kept", "https", "", "http://foo/a%20b?c=%20;d", "", "https://foo/a%20b?c=%20;d"),
        ("an empty query is kept", "https", "", "http://foo/?", "", "https://foo/?"),
        ("https is there already", "https", "", "https://foo/", "", None),
        ("http to http passes", "http", "", "http://foo/", "", None),
        ("https to http", "http", "", "https://foo/", "", "http://foo/"),
        ("the client's port goes", "https", "", "http://foo:8080/", "", "https://foo/"),
        ("the scheme's own port is none", "https", "443", "http://foo/", "", "https://foo/"),
        ("for http too", "http", "80", "https://foo/", "", "http://foo/"),
        ("another port is told", "https", "8443", "http://foo:8000/a", "", "https://foo:8443/a"),
        ("80 is another port for https", "https", "80", "http://foo/", "", "https://foo:80/"),
        ("the right port passes", "https", "8443", "https://foo:8443/", "", None),
        ("the wrong port does not", "https", "8443", "https://foo/", "", "https://foo:8443/"),
        ("443 is written out by the client", "https", "", "https://foo:443/", "", None),
        ("a port of another scheme", "https", "", "https://foo:80/", "", "https://foo/"),
        ("an empty port is none", "https", "", "https://foo:/", "", None),
        ("an IPv6 host", "https", "", "http://[::1]/", "", "https://[::1]/"),
        ("an IPv6 host with a port", "https", "8443", "http://[::1]:80/", "", "https://[::1]:8443/"),
        ("another scheme", "ftp", "", "http://foo/", "", "ftp://foo/"),
        ("forwarded as https", "https", "", "http://foo/", "X-Forwarded-Proto: https\r\n", None),
        ("in capitals", "https", "", "http://foo/", "X-Forwarded-Proto: HTTPS\r\n", None),
        ("as wss", "https", "", "http://foo/", "X-Forwarded-Proto: wss\r\n", None),
        ("as http over TLS", "https", "", "https://foo/", "X-Forwarded-Proto: http\r\n", "https://foo/"),
        ("as ws over TLS", "https", "", "https://foo/", "X-Forwarded-Proto: ws\r\n", "https://foo/"),
        ("as something else", "https", "", "https://foo/", "X-Forwarded-Proto: bar\r\n", None),
        ("no scheme at all", "ht tp", "", "http://foo/", "", 502),
    ],
)
def test_redirect_scheme(description, scheme, port, url, fields, location):
    step = RedirectScheme("redirect@file", scheme.encode(), port.encode())
    assert outcome(step, request_for(url, fields=fields)) == location


def test_semicolons_in_a_query():
    step = RedirectScheme("redirect@file", b"https")
    assert outcome(step, request_for("http://foo/?a;b&c;d")) == "https://foo/?a;b&c;d"
    encoded = request_for("http://foo/?a;b&c;d", encode_semicolons=True)
    assert outcome(step, encoded) == "https://foo/?a%3Bb&c%3Bd"


@pytest.mark.parametrize(
    ("method", "permanent", "status"),
    [
        ("GET", False, 302),
        ("GET", True, 301),
        ("HEAD", False, 307),
        ("HEAD", True, 308),
        ("POST", False, 307),
        ("POST", True, 308),
        ("get", False, 307),
    ],
)
def test_the_status_of_a_redirect(method, permanent, status):
    for step in (
        RedirectScheme("redirect@file", b"https", permanent=permanent),
        RedirectRegex("redirect@file", Rewrite(compile_pattern("^http:"), "https:"), permanent=permanent),
    ):
        verdict, answer = step.run_request(request_for("http://foo/", method=method))
        assert (verdict, answer.status, answer.body) == ("answer", status, PHRASES[status])
        assert answer.headers == [(b"Location", b"https://foo/")]


def test_an_absolute_target_gives_host_and_path():
    request = Request.of(b"GET http://bar:81/a?b HTTP/1.1\r\nHost: foo\r\n\r\n")
    assert outcome(RedirectScheme("redirect@file", b"https"), request) == "https://bar/a?b"


# -- redirectRegex


@pytest.mark.parametrize(
    ("description", "pattern", "replacement", "url", "location"),
    [
        (
            "groups",
            r"^(?:https?:\/\/)(foo)(\.com)(:\d+)(.*)$",
            "https://${1}bar$2:443$4",
            "http://foo.com:80/a",
            "https://foobar.com:443/a",
        ),
        (
            "the port is seen as sent",
            r"^http://foo:8080/(.*)",
            "https://foo/$1",
            "http://foo:8080/a",
            "https://foo/a",
        ),
        ("https over TLS", "^https://", "http://", "https://foo/", "http://foo/"),
        ("no match", "^http://bar", "http://baz", "http://foo/", None),
        ("a match that changes nothing", "^http://foo", "http://foo", "http://foo/", None),
        ("the query is seen", r"^(http://foo/)\?a=(.*)", "$1$2", "http://foo/?a=b", "http://foo/b"),
        ("every match", "o", "0", "http://foo/o", "http://f00/0"),
        ("a path alone", "^http://foo/a$", "/b", "http://foo/a", "/b"),
        ("not a URL", "^http://foo/a$", "http://%zz/", "http://foo/a", 502),
        ("no scheme before the colon", "^http", "", "http://foo/a", 502),
        ("what must be escaped is", "a$", "a b", "http://foo/a", "http://foo/a%20b"),
        ("an escaped blank stays", "^http:", "https:", "http://foo/a%20b", "https://foo/a%20b"),
    ],
)
def test_redirect_regex(description, pattern, replacement, url, location):
    step = RedirectRegex("redirect@file", Rewrite(compile_pattern(pattern), replacement))
    assert outcome(step, request_for(url)) == location


def test_the_url_is_made_of_the_path_as_it_stands():
    request = request_for("http://foo/a")
    request.set_escaped_path("/b")
    assert (
        outcome(RedirectRegex("r", Rewrite(compile_pattern("^http:"), "https:")), request) == "https://foo/b"
    )


# -- ipAllowList


def allowed(step, *, client="127.0.0.1", forwarded=()):
    """Say whether the step lets a client pass; *forwarded* are the lines of X-Forwarded-For."""
    fields = "".join(f"X-Forwarded-For: {line}\r\n" for line in forwarded)
    verdict, answer = step.run_request(request_for("http://foo/", fields=fields, client=client))
    assert verdict == "next" or (answer.status, answer.headers, answer.body) == (403, [], b"Forbidden")
    return verdict == "next"


@pytest.mark.parametrize(
    ("description", "ranges", "client", "expected"),
    [
        ("one of the addresses", ["20.20.20.20"], "20.20.20.20", True),
        ("none of them", ["20.20.20.20"], "20.20.20.21", False),
        ("in a network", ["8.8.8.8/32", "10.0.0.0/8"], "10.1.2.3", True),
        ("IPv6", ["fd00::/8"], "fd12::1", True),
        ("an IPv4 peer on a dual-stack socket", ["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        ("no address: a unix socket", ["0.0.0.0/0", "::/0"], "", False),
    ],
)
def test_the_address_of_the_peer(description, ranges, client, expected):
    # What others say does not count.
    step = IPAllowList("allow@file", NetSet(ranges))
    assert allowed(step, client=client, forwarded=["1.2.3.4"]) is expected


@pytest.mark.parametrize(
    ("description", "depth", "forwarded", "expected"),
    [
        ("the last", 1, ["10.0.0.2,10.0.0.1,20.20.20.20"], True),
        ("the last but one", 2, ["10.0.0.2, 20.20.20.20 ,10.0.0.1"], True),
        ("the first", 3, ["20.20.20.20,10.0.0.2,10.0.0.1"], True),
        ("another", 2, ["20.20.20.20,10.0.0.2,10.0.0.1"], False),
        ("fewer entries", 4, ["20.20.20.20,20.20.20.20,20.20.20.20"], False),
        ("no entry", 1, [], False),
        ("an empty line", 1, [""], False),
        ("an empty entry counts", 2, ["20.20.20.20,,10.0.0.1"], False),
        ("an empty entry counts, one further", 3, ["20.20.20.20,,10.0.0.1"], True),
        ("an empty entry in front", 2, [",20.20.20.20"], False),
        ("only the first line", 1, ["20.20.20.20", "10.0.0.1"], True),
        ("with a port", 1, ["20.20.20.20:8080"], True),
        ("not an address", 1, ["20.20.20.20.20"], False),
        ("a name", 1, ["localhost"], False),
    ],
)
def test_the_address_at_a_depth(description, depth, forwarded, expected):
    step = IPAllowList("allow@file", NetSet(["20.20.20.20"]), depth=depth)
    assert allowed(step, client="20.20.20.20", forwarded=forwarded) is expected


@pytest.mark.parametrize(
    ("description", "forwarded", "expected"),
    [
        ("the first from the right outside", ["10.0.0.2,20.20.20.20,10.0.0.1"], True),
        ("it is another", ["20.20.20.20,30.30.30.30,10.0.0.1"], False),
        ("all are inside", ["10.0.0.2,10.0.0.1"], False),
        ("empty entries are passed over", ["20.20.20.20,,10.0.0.1, ,"], True),
        ("no line", [], False),
        ("with a port it is outside", ["20.20.20.20,10.0.0.1:8080"], False),
        ("not an address: it is outside, and nobody", ["20.20.20.20,unknown,10.0.0.1"], False),
        ("a zone is not looked at", ["20.20.20.20,fe80::1%eth0"], True),
    ],
)
def test_the_address_outside_of_networks(description, forwarded, expected):
    networks = NetSet(["10.0.0.0/8", "fe80::/10"])
    step = IPAllowList("allow@file", NetSet(["20.20.20.20"]), excluded=networks)
    assert allowed(step, client="20.20.20.20", forwarded=forwarded) is expected


def test_depth_wins_over_excluded_networks():
    step = IPAllowList("allow@file", NetSet(["10.0.0.1"]), depth=1, excluded=NetSet(["10.0.0.1"]))
    assert allowed(step, forwarded=["20.20.20.20,10.0.0.1"])


@pytest.mark.parametrize(
    ("description", "bits", "depth", "client", "expected"),
    [
        ("the network is in the list", 64, 0, "2001:db8::dead:beef", True),
        ("it is another", 64, 0, "2001:db8:0:1::1", False),
        ("bits within a byte", 63, 0, "2001:db8:0:1::1", True),
        ("all bits", 128, 0, "2001:db8::1", False),
        ("an IPv4 address is not reduced", 8, 0, "10.1.2.3", True),
        ("at a depth", 64, 1, "2001:db8::dead:beef", True),
    ],
)
def test_addresses_reduced_to_networks(description, bits, depth, client, expected):
    step = IPAllowList("allow@file", NetSet(["2001:db8::", "10.1.2.3"]), depth=depth, ipv6_bits=bits)
    if depth:
        assert allowed(step, forwarded=[client]) is expected
    else:
        assert allowed(step, client=client) is expected


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"Not Found"), (418, b"I'm a teapot"), (413, b"Request Entity Too Large"), (204, b"")],
)
def test_the_status_of_a_refusal(status, body):
    step = IPAllowList("allow@file", NetSet(["10.0.0.1"]), status=status)
    verdict, answer = step.run_request(request_for("http://foo/"))
    assert (verdict, answer.status, answer.headers, answer.body) == ("answer", status, [], body)
