"""YAML: what scalars are, what is refused, and where things stand."""

import re

import pytest

from fastproxy.config.findings import Findings, SyntaxProblem
from fastproxy.config.texts import load
from fastproxy.config.values import Plain


def read(text):
    """Return the mapping, and what was told: `line:column message`."""
    findings = Findings()
    loaded = load(text, "d.yml", findings)
    return loaded.raw, [
        f"{each.line}:{each.column} {each.message}" for each in findings.problems(loaded.locate)
    ]


def value(text):
    raw, told = read(text)
    assert told == []
    return raw


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: yes", "yes"),
        ("a: on", "on"),
        ("a: 22:22", "22:22"),
        ("a: 0777", "0777"),
        ("a: 1.10", "1.10"),
        ("a: 2024-01-01", "2024-01-01"),
        ("a: '5'", "5"),
        ("a: |\n  x\n  y\n", "x\ny\n"),
        ("a: Host(`*`) && Path(`/a`)", "Host(`*`) && Path(`/a`)"),
        ("a: !!str 5", "5"),
    ],
)
def test_scalars_stay_text(text, expected):
    made = value(text)["a"]
    assert made == expected
    assert isinstance(made, str)


@pytest.mark.parametrize("text", ["a:", "a: ~", "a: null", "a: NULL"])
def test_nothing(text):
    assert value(text) == {"a": None}


@pytest.mark.parametrize("text", ["a: 'null'", 'a: "~"', "a: ''"])
def test_quoted_nothing_is_text(text):
    assert isinstance(value(text)["a"], str)


def test_only_unquoted_numbers_and_booleans_are_plain():
    made = value("a: [1, '1', true, 'true', x, -, 1.5]")["a"]
    assert [type(each) for each in made] == [Plain, str, Plain, str, str, str, Plain]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~", "\ufeff"])
def test_an_empty_document_says_nothing(text):
    assert value(text.removeprefix("\ufeff")) == {}


def test_json():
    assert value('{"a": {"b": [1, "x", null, true]}, "c\\u00e9": "\\/"}') == {
        "a": {"b": ["1", "x", None, "true"]},
        "cé": "/",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: [1\nb: 2",
            "2:2 not YAML: did not find expected ',' or ']', while parsing a flow sequence in line 1",
        ),
        (
            "a:\n\t- b",
            "2:1 not YAML: found character that cannot start any token, while scanning for the next token; "
            "indent with blanks, and quote a value that begins with @, ` or a tab",
        ),
        ("a: b: c", "1:5 not YAML: mapping values are not allowed in this context"),
        ("a: 1\n---\nb: 2", "2:1 a second document begins; a file has one"),
        ("a: *x", "1:4 not YAML: found undefined alias"),
        ("- a", "1:1 not a configuration: a mapping of sections is expected"),
        ("text", "1:1 not a configuration: a mapping of sections is expected"),
        ("a: \x07", "1:4 a character that YAML does not allow: control characters are not allowed"),
        ("é: 1\nß: \x07", "2:4 a character that YAML does not allow: control characters are not allowed"),
        ("a: &x [*x]", "1:4 an alias names a value that it stands in"),
    ],
)
def test_refused_texts(text, told):
    raw, problems = read(text)
    assert raw is None
    assert problems == [told]


@pytest.mark.parametrize("text", ["[" * 20_000 + "]" * 20_000, "{a: " * 20_000 + "}" * 20_000])
def test_a_document_that_is_nested_too_deeply(text):
    raw, [told] = read(text)
    assert raw is None
    # Where it is too deep depends on the C library: it has a limit, or Python's stack is the limit.
    assert re.fullmatch(r"1:\d+ nested too deeply to be a configuration", told)


def test_duplicate_keys_name_both_lines():
    raw, told = read("a: 1\nb: {c: 1,\n    c: 2}\na: 3\na: 4\n")
    assert raw == {"a": "1", "b": {"c": "1"}}
    assert told == [
        '3:5 duplicate key "c"; it stands in line 2 already',
        '4:1 duplicate key "a"; it stands in line 1 already',
        '5:1 duplicate key "a"; it stands in line 1 already',
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: !include x.yml", '1:4 the tag "!include" is not known; write the plain value'),
        (
            "a: !!python/name:os.system x",
            '1:4 the tag "tag:yaml.org,2002:python/name:os.system" is not known; write the plain value',
        ),
        ("? [a]\n: b", "1:3 a list or a mapping where a name is expected"),
        ("a:\n  <<: x", "2:7 << takes a mapping, or a list of mappings"),
    ],
)
def test_told_and_read_on(text, told):
    raw, problems = read(text)
    assert raw is not None
    assert problems == [told]


def test_aliases_and_merge_keys():
    text = """
x-base: &base {a: 1, b: 2}
x-more: &more {b: 3, c: 4}
one: {<<: *base, b: own}
two: {<<: [*base, *more], d: *base}
"""
    made = value(text)
    assert made["one"] == {"a": "1", "b": "own"}
    assert made["two"] == {"a": "1", "b": "2", "c": "4", "d": {"a": "1", "b": "2"}}


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    raw, told = read("\n".join(lines))
    assert raw is None
    assert [each.split(" ", 1)[1] for each in told] == ["aliases expand to more than 1000000 values"]


@pytest.mark.parametrize(
    ("path", "on_key", "mark"),
    [
        (("http", "routers", "shop", "rule"), False, (4, 13)),
        (("http", "routers", "shop", "rule"), True, (4, 7)),
        (("http", "routers", "shop", "entryPoints", 1), False, (5, 26)),
        (("http", "routers", "shop", "empty"), False, (6, 7)),
        (("http", "routers", "shop", "service"), False, (3, 5)),
        (("http", "routers", "shop", "entryPoints", 7), False, (5, 7)),
        (("http", "routers", "merged", "rule"), False, (1, 19)),
        (("nothing",), False, (1, 1)),
    ],
)
def test_places(path, on_key, mark):
    text = """x-r: &r {  rule:  here}
http: {routers:  {
    shop: {
      rule: "Host(`a`)",
      entryPoints: [web, other],
      empty: ,
    }, merged: {<<: *r} } }
"""
    loaded = load(text, "d.yml", Findings())
    assert loaded.locate(path, on_key)[1:] == mark


def test_columns_count_characters():
    loaded = load("größe: {ä: x}", "d.yml", Findings())
    assert loaded.locate(("größe", "ä"), False) == ("d.yml", 1, 12)


def test_syntax_problems_carry_place_and_message():
    problem = SyntaxProblem("why", (3, 4))
    assert (problem.message, problem.mark, str(problem)) == ("why", (3, 4), "why")
