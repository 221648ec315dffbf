"""Patterns: what RE2 takes, what it refuses, and that a refusal says why and is quiet."""

import pytest

from fastproxy.regex import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "subject", "span"),
    [
        ("a(b)?", b"xab", (1, 3)),
        ("^/api/v\\d+", b"/api/v12/x", (0, 8)),
        ("(?i)SHOP", b"shop.example", (0, 4)),
        ("caf.$", "café".encode(), (0, 5)),
        ("\\\\C", b"\\C", (0, 2)),
        ("\\Q\\C\\E!", b"\\C!", (0, 3)),
        ("", b"x", (0, 0)),
    ],
)
def test_matches_bytes(pattern, subject, span):
    assert compile_pattern(pattern).search(subject).span() == span


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", '"(a" is not a regular expression: missing ): (a'),
        ("a(?=b)", '"a(?=b)" is not a regular expression: invalid perl operator: (?='),
        ("(a)\\1", '"(a)\\1" is not a regular expression: invalid escape sequence: \\1'),
        ("a{2000}", '"a{2000}" is not a regular expression: invalid repetition size: {2000}'),
        ("x\\C", '"x\\C" is not a regular expression: invalid escape sequence: \\C'),
        ("\\Qa\\E\\C", '"\\Qa\\E\\C" is not a regular expression: invalid escape sequence: \\C'),
        ("\ud800", "'\\ud800' is not a regular expression: it holds half of a surrogate pair"),
    ],
)
def test_refuses_with_the_reason(pattern, reason, capfd):
    with pytest.raises(ValueError) as caught:
        compile_pattern(pattern)
    assert str(caught.value) == reason
    assert capfd.readouterr() == ("", "")


def test_hostile_input_costs_linear_time():
    assert compile_pattern("(a+)+$").search(b"a" * 20_000 + b"!") is None
