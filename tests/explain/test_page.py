"""What docs/explain.md shows is what is said."""

import json
import os
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
import yaml

from fastproxy.api import answer
from fastproxy.cli import main
from fastproxy.config.findings import Findings
from fastproxy.config.sources import decode_static
from tests.api.documents import make, view

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL)


class Example(NamedTuple):
    command: str
    expected: str
    files: dict[str, str]
    """The files that were shown last before it, by name."""


def examples():
    files = {}
    for language, text in BLOCKS:
        first, _, rest = text.partition("\n")
        if language == "yaml":
            files = {**files, first.removeprefix("# "): rest}
        elif language == "console":
            yield Example(first, rest, files)


EXAMPLES = list(examples())
COMMANDS = [each for each in EXAMPLES if each.command.startswith("$ fastproxy")]
REQUESTS = [each for each in EXAMPLES if each.command.startswith("$ curl")]
FIRST = COMMANDS[0].files
"""The files of requests, of which the API is asked."""

UNTIL = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The current folder, with a certificate; and a machine that has a name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr("socket.gethostname", lambda: "proxy-1")
    leaf = trustme.CA().issue_cert("db.example.com", not_after=UNTIL)
    leaf.cert_chain_pems[0].write_to_path("db.pem")
    leaf.private_key_pem.write_to_path("db.key")
    return tmp_path


@pytest.mark.parametrize(("command", "expected", "files"), COMMANDS)
def test_commands(here, command, expected, files, capsys):
    for name, text in files.items():
        (here / name).write_text(text)
    status = main(shlex.split(command)[2:])
    out, err = capsys.readouterr()
    assert (out, err) == (expected, "")
    assert status == (0 if "\n  router " in expected else 1)


@pytest.mark.parametrize(("command", "expected", "files"), REQUESTS)
def test_requests(command, expected, files):
    static = decode_static(yaml.safe_load(FIRST["fastproxy.yml"]), Findings()).with_implicit_entries()
    path, _, query = re.search(r"localhost:8080([^' ]+)", command)[1].partition("?")
    answered = answer("GET", path, query, view(make(FIRST["dynamic.yml"], static).told, static))
    assert json.loads(answered.body) == json.loads(expected)


def test_every_row_is_told():
    told = re.findall(r"^\| (\d\w?) \|", PAGE.read_text(), re.MULTILINE)
    assert told == ["3", "4", "7", "9a", "9b", "9c", "9d", "9e"]


def test_there_are_examples():
    assert len(COMMANDS) >= 7
    assert len(REQUESTS) >= 1
