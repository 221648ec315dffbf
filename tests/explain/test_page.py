"""What docs/explain.md shows is what is said."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
import yaml

from fastproxy.api import answer
from fastproxy.cli import main
from fastproxy.config.findings import Findings
from fastproxy.config.sources import decode_static
from tests.api.documents import make, view

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL)
STATIC, DYNAMIC = (text for language, text in BLOCKS if language == "yaml")
EXAMPLES = [text.partition("\n")[::2] for language, text in BLOCKS if language == "console"]
COMMANDS = [example for example in EXAMPLES if example[0].startswith("$ fastproxy")]
REQUESTS = [example for example in EXAMPLES if example[0].startswith("$ curl")]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The two files of the page, in the current folder; and a machine that has a name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr("socket.gethostname", lambda: "proxy-1")
    (tmp_path / "fastproxy.yml").write_text(STATIC)
    (tmp_path / "dynamic.yml").write_text(DYNAMIC)


@pytest.mark.parametrize(("command", "expected"), COMMANDS)
def test_commands(command, expected, capsys):
    status = main(shlex.split(command)[2:])
    out, err = capsys.readouterr()
    assert (out, err) == (expected, "")
    assert status == (0 if "\n  router " in expected else 1)


@pytest.mark.parametrize(("command", "expected"), REQUESTS)
def test_requests(command, expected):
    static = decode_static(yaml.safe_load(STATIC), Findings()).with_implicit_entries()
    path, _, query = re.search(r"localhost:8080([^' ]+)", command)[1].partition("?")
    answered = answer("GET", path, query, view(make(DYNAMIC, static).told, static))
    assert json.loads(answered.body) == json.loads(expected)


def test_there_are_examples():
    assert len(COMMANDS) >= 3
    assert len(REQUESTS) >= 1
