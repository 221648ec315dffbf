"""TOML: values, refusals, and where things stand although the standard library does not say."""

import pytest

from fastproxy.config.findings import Findings
from fastproxy.config.texts import Format, load
from fastproxy.config.tomltext import Places

DOCUMENT = '''# a comment with [brackets] and key = value
[http.routers."a.b"]
rule = "Host(`x`) # no comment" # but this one
"entryPoints" = ["web", # first
  'y',
]
note = """
[http.no]
"""
tls.options = "o"

[http.services.s.loadBalancer]
  [[http.services.s.loadBalancer.servers]]
    url = "http://a"
  [[http.services.s.loadBalancer.servers]]
    url = "b"
    extra = {when = 1979-05-27T07:32:00.5Z, deep.er = [1.5, {x = true}], s = \'\'\'a'b\'\'\'}
    after = 1
'''
SERVER = ("http", "services", "s", "loadBalancer", "servers", 1)


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (("http", "routers", "a.b", "rule"), (3, 8), (3, 1)),
        (("http", "routers", "a.b", "entryPoints", 1), (5, 3), (5, 3)),
        (("http", "routers", "a.b", "note"), (7, 8), (7, 1)),
        (("http", "routers", "a.b", "tls", "options"), (10, 15), (10, 5)),
        (("http", "routers", "a.b"), (2, 15), (2, 15)),
        (SERVER, (15, 3), (15, 3)),
        ((*SERVER, "url"), (16, 11), (16, 5)),
        ((*SERVER, "extra", "deep", "er", 1, "x"), (17, 66), (17, 62)),
        ((*SERVER, "extra", "s"), (17, 78), (17, 74)),
        ((*SERVER, "after"), (18, 13), (18, 5)),
        ((*SERVER, "missing"), (15, 3), (15, 3)),
        (("http", "routers", "a.b", "service"), (2, 15), (2, 15)),
        (("nothing",), (1, 1), (1, 1)),
    ],
)
def test_places(path, value, key):
    places = Places(DOCUMENT)
    assert places.find(path, False) == value
    assert places.find(path, True) == key


def test_load_gives_native_values():
    loaded = load('a = 1\nb = true\nc = [1.5, "x"]\n', "d.toml", Findings())
    assert loaded.raw == {"a": 1, "b": True, "c": [1.5, "x"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = 1\na = 2\n", "d.toml:2:6: not TOML: cannot overwrite a value"),
        ("[x]\n[x]\n", "d.toml:2:3: not TOML: cannot declare ('x',) twice"),
        ("a = ", "d.toml:1:5: not TOML: invalid value"),
        ("a = 'x", 'd.toml:1:7: not TOML: expected "\'"'),
        ("a: 1", "d.toml:1:2: not TOML: expected '=' after a key in a key/value pair"),
    ],
)
def test_refused_texts(text, told):
    findings = Findings()
    loaded = load(text, "d.toml", findings)
    assert loaded.raw is None
    assert [str(each) for each in findings.problems(loaded.locate)] == [told]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a.yml", Format.YAML),
        ("a.YAML", Format.YAML),
        ("/x/a.json", Format.YAML),
        ("a.toml", Format.TOML),
        ("a.txt", None),
        ("toml", None),
        (".yml", None),
        ("a.", None),
    ],
)
def test_formats(name, known):
    assert Format.of(name) is known
