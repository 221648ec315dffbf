"""Whatever stands in a file, a flag or a variable: an answer with places, and never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy.config.document import Document
from fastproxy.config.findings import Findings
from fastproxy.config.sources import read_static
from fastproxy.config.texts import decoded

WORDS = st.sampled_from(
    [
        "http",
        "routers",
        "services",
        "middlewares",
        "serversTransports",
        "r",
        "s",
        "rule",
        "service",
        "loadBalancer",
        "servers",
        "url",
        "weight",
        "chain",
        "plugin",
        "entryPoints",
        "web",
        "address",
        "log",
        "level",
        "providers",
        "file",
        "filename",
        "core",
        "workers",
        "headers",
        "customRequestHeaders",
        "X-A",
        "5",
        "true",
        "1m",
        "http://a",
        ":80",
        "x-a",
        "tls",
        "tcp",
    ]
)
YAML_SIGNS = st.sampled_from(
    [
        ": ",
        ":\n",
        "\n  ",
        "\n    ",
        "\n",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        '"',
        "&a ",
        "*a",
        "<<: ",
        "#",
        "! ",
        "? ",
        "\t",
        "~",
        "\\",
        "%",
        "---\n",
    ]
)
TOML_SIGNS = st.sampled_from(
    [" = ", "\n", "[", "]", "[[", "]]", "{", "}", ", ", "'", '"', '"""', ".", "#", "\\"]
)
PIECES = st.lists(st.one_of(WORDS, YAML_SIGNS, st.text(max_size=3)), max_size=30).map("".join)
TOML_PIECES = st.lists(st.one_of(WORDS, TOML_SIGNS, st.text(max_size=3)), max_size=30).map("".join)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=20,
)


def checked(reading):
    for problem in reading.problems:
        line = str(problem)
        assert line.isprintable()
        assert "Traceback" not in line
        assert (problem.line, problem.column) >= (1, 1)
    if reading.configuration is None:
        assert reading.problems


@given(st.lists(PIECES, min_size=1, max_size=3))
def test_yaml(texts):
    document = Document("d.yml")
    for text in texts:
        checked(document.read(text))


@given(TOML_PIECES)
def test_toml(text):
    checked(Document("d.toml").read(text))


@given(st.dictionaries(st.sampled_from(["http", "tcp", "x-a"]), VALUES))
def test_json(value):
    import json

    checked(Document("d.json").read(json.dumps(value)))


@given(st.binary())
def test_bytes(data):
    findings = Findings()
    text = decoded(data, "d.yml", findings)
    assert (text is None) == bool(findings.errors)


@pytest.mark.parametrize("prefix", ["--", "-", ""])
@given(
    words=st.lists(st.lists(WORDS, min_size=1, max_size=4).map(".".join), max_size=4),
    value=st.text(max_size=5),
)
def test_flags(prefix, words, value):
    for flags in ([f"{prefix}{word}={value}" for word in words], [f"{prefix}{word}" for word in words]):
        reading = read_static([*flags, "--log"], {})
        assert reading.configuration is not None or reading.problems


@given(st.dictionaries(st.lists(WORDS, min_size=1, max_size=4).map("_".join), st.text(max_size=5)))
def test_variables(variables):
    reading = read_static([], {f"TRAEFIK_{name.upper()}": value for name, value in variables.items()})
    assert reading.configuration is not None or reading.problems
