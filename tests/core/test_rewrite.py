"""Templates and replacing are those of Go's regexp package."""

import pytest

from fastproxy._core.rewrite import Rewrite
from fastproxy.regex import compile_pattern


@pytest.mark.parametrize(
    ("description", "pattern", "replacement", "text", "result"),
    [
        ("a group by number", "(b)(c)", "$2$1", "abcd", "acbd"),
        ("group 0 is the match", "b", "[$0]", "abc", "a[b]c"),
        ("braces end the name", "(b)", "${1}x", "abc", "abxc"),
        ("a name is as long as it can be", "(b)", "$1x", "abc", "ac"),
        ("an underscore belongs to it", "(b)", "$1_", "abc", "ac"),
        ("other letters too", "(b)", "$1é", "abc", "ac"),
        ("a dash does not", "(b)", "$1-", "abc", "ab-c"),
        ("a group by name", "(?P<x>b)", "$x.${x}", "abc", "ab.bc"),
        ("a name that is not there", "(b)", "<$nobody>", "abc", "a<>c"),
        ("a number that is not there", "(b)", "<$2>", "abc", "a<>c"),
        ("a huge number", "(b)", "<$99999999999999999999>", "abc", "a<>c"),
        ("a leading zero makes it a name", "(b)", "<$01>", "abc", "a<>c"),
        ("a group that took no part", "(x)?b", "<$1>", "abc", "a<>c"),
        ("two dollars are one", "b", "$$1", "abc", "a$1c"),
        ("a dollar at the end", "b", "x$", "abc", "ax$c"),
        ("a dollar before no name", "b", "$ $-", "abc", "a$ $-c"),
        ("braces without a name", "b", "${}", "abc", "a${}c"),
        ("braces that do not end", "b", "${1", "abc", "a${1c"),
        ("braces with a blank", "(b)", "${1 }", "abc", "a${1 }c"),
        ("a backslash is itself", "(b)", r"\1", "abc", r"a\1c"),
        ("every match", "b", "x", "abcb", "axcx"),
        ("an anchored pattern matches once", "^a", "x", "aaa", "xaa"),
        ("a word border sees what stands before", r"\bb", "x", "b ab b", "x ab x"),
        ("an empty match behind another is none", "a*", "x", "baaac", "xbxcx"),
        ("empty matches everywhere", "", "-", "ab", "-a-b-"),
        ("an empty text", "^$", "x", "", "x"),
        ("no match", "z", "x", "abc", None),
        ("nothing put in its place", "b", "", "abc", "ac"),
        ("UTF-8", "é", "ß", "aéc", "aßc"),
    ],
)
def test_replaced(description, pattern, replacement, text, result):
    made = Rewrite(compile_pattern(pattern), replacement).of(text.encode())
    assert made == (result.encode() if result is not None else None)
