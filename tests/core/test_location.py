"""A URL goes into Location as Go's url.Parse and URL.String would have it, or not at all."""

import pytest

from fastproxy._core.location import location


@pytest.mark.parametrize(
    ("description", "url", "sent"),
    [
        ("as it is", b"https://shop.example/a?b=c", b"https://shop.example/a?b=c"),
        ("the scheme in small letters", b"HTTPS://Shop.example/", b"https://Shop.example/"),
        ("no path", b"https://shop.example", b"https://shop.example"),
        ("a query without a path", b"https://shop.example?q", b"https://shop.example?q"),
        ("a query that is empty", b"https://shop.example/?", b"https://shop.example/?"),
        ("a path alone", b"/a", b"/a"),
        ("a relative path", b"a/b:c", b"a/b:c"),
        ("a host without a scheme", b"//shop.example/a", b"//shop.example/a"),
        ("a blank in the path", b"https://shop.example/a b", b"https://shop.example/a%20b"),
        ("other letters in the path", "https://shop.example/é".encode(), b"https://shop.example/%C3%A9"),
        ("a blank in the query stays", b"/a?b c", b"/a?b c"),
        ("a malformed escape in the query stays", b"/a?%zz", b"/a?%zz"),
        ("a fragment", b"/a#b", b"/a#b"),
        ("an empty fragment is dropped", b"/a#", b"/a"),
        ("a port", b"http://shop.example:8080/", b"http://shop.example:8080/"),
        ("an empty port", b"http://shop.example:/", b"http://shop.example:/"),
        ("an address", b"http://[::1]:80/", b"http://[::1]:80/"),
        ("a user", b"http://me:secret@shop.example/", b"http://me:secret@shop.example/"),
        ("no host", b"file:///etc", b"file:///etc"),
        ("no slash behind the scheme", b"mailto:me@shop.example", b"mailto:me@shop.example"),
        ("nothing", b"", b""),
    ],
)
def test_taken(description, url, sent):
    assert location(url) == sent


@pytest.mark.parametrize(
    "url",
    [
        b"https://shop.example/%zz",
        b"https://shop.example/%2",
        b"https://shop example/",
        b"https://shop%20.example/",
        b"https://shop.example:port/",
        b"https://shop.example:80:90x/",
        b"https://[::1/",
        b"https://[::1]x/",
        b"https://me you@shop.example/",
        b"://shop.example/",
        b"1http://shop.example/",
        b"https://shop.example/\r\nX: y",
        b"https://shop.example/?a\x00",
        b"https://shop.example/\x7f",
    ],
)
def test_refused(url):
    assert location(url) is None
