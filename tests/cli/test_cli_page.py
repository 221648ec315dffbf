"""What docs/cli.md shows is what the command line does."""

import json
import re
import shlex
from pathlib import Path

import pytest

from fastproxy import supervisor
from fastproxy.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SYNOPSIS, *BLOCKS = re.findall(r"```(?:\w*)\n(.*?)```", PAGE, re.DOTALL)
((NAME, MISTAKEN),) = re.findall(r"```yaml\n(?=# (\S+)\n)(.*?)```", PAGE, re.DOTALL)
SAID = BLOCKS[BLOCKS.index(MISTAKEN) + 1]
COMMANDS = [line.partition("#")[0] for line in PAGE.splitlines() if line.startswith("fastproxy ")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text(MISTAKEN)


def test_the_mistakes_of_the_example_are_found_where_the_page_says(capsys):
    assert main(["check", NAME]) == 1
    out, err = capsys.readouterr()
    assert out == SAID
    assert err == f"2 errors, 0 warnings in {NAME}\n"


def test_they_are_the_same_as_objects(capsys):
    assert main(["check", "--format", "json", NAME]) == 1
    found = json.loads(capsys.readouterr().out)
    lines = ["{source}:{line}:{column}: {path}: {message}".format(**each) for each in found]
    assert lines == SAID.splitlines()
    assert [each["severity"] for each in found] == ["error"] * 2


def test_without_them_there_is_nothing_to_tell(tmp_path, capsys):
    (tmp_path / NAME).write_text(MISTAKEN.replace("PathPrefx", "PathPrefix").replace("shp", "shop"))
    assert main(["check", NAME]) == 0
    assert capsys.readouterr().out == ""


def test_every_command_of_the_synopsis_is_one(capsys):
    words = set(re.findall(r"^fastproxy (\w+)", SYNOPSIS, re.MULTILINE))
    assert words == {"serve", "check", "explain", "healthcheck", "demo", "version", "help"}
    assert main(["help"]) == 0
    listed = capsys.readouterr().out
    for word in words - {"help"}:
        assert re.search(rf"^\s*(fastproxy )?{word}\b", listed, re.MULTILINE), listed
        assert main(["help", word]) == 0
    assert main(["help", "options"]) == 0


SERVED = [each for each in COMMANDS if each.startswith("fastproxy serve ") and "ADDRESS" not in each]


def test_what_is_served(monkeypatch):
    found = []

    def serve(static, _, dynamic):
        (point,), (service,) = static.entry_points.values(), dynamic.http.services.values()
        found.append((point.address, len(service.load_balancer.servers)))
        return 0

    monkeypatch.setattr(supervisor, "run_fixed", serve)
    for line in SERVED:
        assert main(shlex.split(line)[1:]) == 0
    assert found == [(":8080", 1), (":8080", 2), ("127.0.0.1:8080", 2)]
