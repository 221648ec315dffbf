"""What docs/access-log.md shows is accepted, and what it says of lines is so."""

import json
import re
from pathlib import Path

import pytest

from fastproxy.config.observability import AccessLog
from fastproxy.config.sources import load_static
from fastproxy.observe.accesslog import program_of

PAGE = (Path(__file__).parents[2] / "docs" / "access-log.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", blocks("yaml"))
def test_examples_are_accepted(tmp_path, example):
    file = tmp_path / "static.yml"
    file.write_text(example)
    reading = load_static([f"--configFile={file}"], {})
    assert not reading.problems
    assert reading.configuration.access_log is not None


def test_a_line_of_json_has_the_members_that_are_shown():
    shown = list(json.loads(blocks("json")[0]))
    told = [name for _, name, _ in program_of(AccessLog(format="json")) if name]
    assert [name for name in shown if name not in ("level", "msg")] == [
        name for name in told if name != "GzipRatio" and not name.startswith("TLS")
    ]


def test_a_common_line_has_the_parts_that_are_shown():
    texts = [before.decode() for before, _, _ in program_of(AccessLog())]
    pattern = ".*?".join(map(re.escape, texts))
    assert re.fullmatch(pattern, blocks("text")[0])


def test_every_option_is_told():
    for name in ("filePath", "format", "bufferingSize", "addInternals", "queryParameters.defaultMode"):
        assert re.search(rf"^\|.*{re.escape(name)}", PAGE, re.MULTILINE), name
