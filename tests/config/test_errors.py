"""Problems as lines, sorted by place; errors that carry all of them."""

import msgspec
import pytest

from fastproxy.errors import ConfigError, Problem, errors_of

ERROR = Problem(source="d.yml", line=7, column=9, path="http.routers.r.rule", message="no")
WARNING = Problem(source="d.yml", line=3, message="hm", severity="warning")


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (ERROR, "d.yml:7:9: http.routers.r.rule: no"),
        (WARNING, "d.yml:3: warning: hm"),
        (Problem(source="--log.level", path="log.level", message="no"), "--log.level: log.level: no"),
        (Problem(message="no"), "no"),
    ],
)
def test_lines(problem, line):
    assert str(problem) == line


def test_an_error_carries_all_problems_in_order():
    error = ConfigError([ERROR, WARNING])
    assert error.problems == (WARNING, ERROR)
    assert str(error) == "d.yml:3: warning: hm\nd.yml:7:9: http.routers.r.rule: no"
    assert errors_of(error.problems) == [ERROR]
    assert ConfigError(ERROR).problems == (ERROR,)
    assert str(ConfigError("no")) == "no"


def test_problems_go_through_json():
    assert msgspec.json.decode(msgspec.json.encode(ERROR), type=Problem) == ERROR
