"""Paths in their forms: normalised, sanitized, and as rules see them."""

import posixpath
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.path import forms, plain

PATHS = st.text("/.%2eEfF0aA~;+?# \x7f\xe4", max_size=24).map(lambda text: b"/" + text.encode("latin-1"))


@pytest.mark.parametrize(
    ("path", "normal", "clean", "routed"),
    [
        (b"/", b"/", b"/", b"/"),
        (b"/a/../b", b"/a/../b", b"/b", b"/b"),
        (b"/%61/%2E%2e/%7eb", b"/a/../~b", b"/~b", b"/~b"),
        (b"/a%2fb", b"/a%2Fb", b"/a%2Fb", b"/a%2Fb"),
        (b"/a%20b", b"/a%20b", b"/a%20b", b"/a b"),
        (b"/%c3%a4", b"/%C3%A4", b"/%C3%A4", b"/\xc3\xa4"),
        (b"/%25%32%65", b"/%252e", b"/%252e", b"/%252e"),
        (b"/a//b/", b"/a//b/", b"/a/b/", b"/a/b/"),
        (b"/a/..", b"/a/..", b"/", b"/"),
    ],
)
def test_forms(path, normal, clean, routed):
    assert forms(path) == (normal, clean, routed)


@pytest.mark.parametrize("path", [b"/%", b"/%2", b"/%zz", b"/a%2", b"/%%20", b"/%-1"])
def test_malformed(path):
    assert forms(path) is None
    assert not plain(path)


@given(PATHS)
def test_the_fast_road_is_the_long_one(path):
    if plain(path):
        assert forms(path) == (path, path, path)


@given(PATHS)
def test_malformed_is_what_has_an_escape_that_is_none(path):
    assert (forms(path) is None) == bool(re.search(rb"%(?![0-9A-Fa-f]{2})", path))


@given(PATHS)
def test_nothing_changes_twice(path):
    if (made := forms(path)) is not None:
        normal, clean, _ = made
        assert forms(normal)[0] == normal
        assert forms(clean)[:2] == (clean, clean)


@given(PATHS)
def test_the_meaning_stays(path):
    if (made := forms(path)) is not None:
        normal, clean, _ = made
        assert unquote_to_bytes(normal) == unquote_to_bytes(path)
        expected = re.sub(b"^//", b"/", posixpath.normpath(normal))
        assert clean.rstrip(b"/") == expected.rstrip(b"/")
        assert not re.search(rb"//|/\.\.?(/|$)", clean)
