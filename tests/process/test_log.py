"""The process log: what a line looks like, where it goes, and that no trouble of it reaches the caller."""

import json
import logging
import os
import re
import subprocess
import sys

import pytest

from fastproxy.config.static import Log
from fastproxy.observe import log as process_log
from fastproxy.observe.log import fields

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


@pytest.fixture(autouse=True)
def _log_of_the_tests():
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


@pytest.fixture
def log_file(tmp_path):
    return tmp_path / "made" / "fastproxy.log"


def told(log_file, settings=None, **always):
    """Start a log into the file and return a logger."""
    process_log.start(settings or Log(level="DEBUG", file_path=str(log_file)), always=always)
    return logging.getLogger("fastproxy.test")


def test_a_common_line(log_file):
    told(log_file).warning("%s is down", "a:1", extra=fields(serviceName="shop@file", code=502, none=None))
    assert re.fullmatch(TIME + r" WRN a:1 is down serviceName=shop@file code=502\n", log_file.read_text())


def test_a_json_line(log_file):
    settings = Log(level="INFO", format="json", file_path=str(log_file))
    told(log_file, settings, worker=2).error("down", extra=fields(serviceName="shop@file", code=502))
    line = json.loads(log_file.read_text())
    assert re.fullmatch(TIME, line.pop("time"))
    assert line == {
        "level": "error",
        "message": "down",
        "serviceName": "shop@file",
        "code": 502,
        "worker": 2,
    }


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("TRACE", "TRC DBG INF WRN ERR FTL PNC"),
        ("DEBUG", "DBG INF WRN ERR FTL PNC"),
        ("INFO", "INF WRN ERR FTL PNC"),
        ("WARN", "WRN ERR FTL PNC"),
        ("ERROR", "ERR FTL PNC"),
        ("FATAL", "FTL PNC"),
        ("PANIC", "PNC"),
    ],
)
def test_levels(log_file, level, expected):
    logger = told(log_file, Log(level=level, file_path=str(log_file)))
    for number in (5, 10, 20, 30, 40, 50, 60):
        logger.log(number, "x")
    assert [line.split()[1] for line in log_file.read_text().splitlines()] == expected.split()


def test_the_caller_is_told_at_debug_level(log_file):
    told(log_file).debug("x")
    assert re.search(r"DBG x caller=test_log.py:\d+\n$", log_file.read_text())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ('a"b', r'"a\"b"'),
        ("a=b", '"a=b"'),
        ("a\nINF forged", r'"a\nINF forged"'),
        ("\x1b[31mred", r'"\x1b[31mred"'),
        (7, "7"),
        (True, "True"),
        ([1, 2], '"[1, 2]"'),
    ],
)
def test_values_are_one_word_or_quoted(log_file, value, shown):
    told(log_file).info("x", extra=fields(key=value))
    assert log_file.read_text().endswith(f" INF x key={shown}\n")


@pytest.mark.parametrize("format", ["common", "json"])
def test_a_client_cannot_write_lines_or_steer_the_terminal(log_file, format):
    logger = told(log_file, Log(format=format, file_path=str(log_file)))
    logger.error("400 to %s", "a\r\n2026-01-01T00:00:00Z INF all is well\x1b[2J\u2028\x85")
    text = log_file.read_text()
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert "\x85" not in text or format == "json"


@pytest.mark.parametrize("format", ["common", "json"])
def test_a_traceback_follows(log_file, format):
    logger = told(log_file, Log(format=format, file_path=str(log_file)))
    try:
        raise ValueError("the reason")
    except ValueError:
        logger.exception("plugin failed")
    text = log_file.read_text()
    assert "plugin failed" in text
    assert "ValueError: the reason" in text
    if format == "common":
        assert all(line.startswith("    ") for line in text.splitlines()[1:])
    else:
        assert text.count("\n") == 1
        assert json.loads(text)["error"] == "the reason"


def test_a_surrogate_is_no_reason_to_lose_a_line(log_file):
    told(log_file).info("path %s", "/caf\udce9")
    assert log_file.read_text().endswith("path /caf\\udce9\n")


def test_a_moved_file_is_opened_again(log_file):
    logger = told(log_file)
    logger.info("one")
    moved = log_file.rename(log_file.with_suffix(".1"))
    logger.info("two")
    process_log.reopen()
    logger.info("three")
    assert [line.split()[-1] for line in moved.read_text().splitlines()] == ["one", "two"]
    assert [line.split()[-1] for line in log_file.read_text().splitlines()] == ["three"]


def test_a_file_that_cannot_be_opened_again_leaves_the_open_one(log_file):
    logger = told(log_file)
    moved = log_file.rename(log_file.parent.parent / "moved.log")
    log_file.mkdir()
    process_log.reopen()
    logger.info("still here")
    assert "cannot be opened again: Is a directory" in moved.read_text()
    assert moved.read_text().endswith("still here\n")


def test_a_file_that_cannot_be_opened_at_start_raises(tmp_path):
    with pytest.raises(IsADirectoryError):
        process_log.start(Log(file_path=str(tmp_path)))


def test_two_logs_append_to_one_file(log_file):
    first, second = (process_log.Handler(Log(file_path=str(log_file)), 0, {}) for _ in range(2))
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "line", (), None)
    for handler in (first, second, first):
        handler.handle(record)
    assert log_file.read_text().count("line\n") == 3


def test_lost_lines_are_counted_and_told(log_file, monkeypatch):
    logger = told(log_file)
    write = os.write
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    logger.info("lost")
    logger.info("lost")
    monkeypatch.setattr(os, "write", write)
    logger.info("there")
    assert [line.split(" ", 1)[1] for line in log_file.read_text().splitlines()] == [
        "WRN 2 log lines could not be written",
        "INF there",
    ]


def test_a_line_that_cannot_be_made_is_counted(log_file):
    logger = told(log_file)
    logger.info("%d", "not a number")
    logger.info("there")
    assert "1 log line could not be written" in log_file.read_text()


# What standard output is can only be seen in a process of its own.

SCRIPT = """
import logging, os, sys
from fastproxy.config.static import Log
from fastproxy.observe import log
log.start(Log(level="INFO", no_color={no_color}))
for at in range({lines}):
    logging.getLogger("x").info("line %d %s", at, "x" * 1000, extra=log.fields(a=1))
os.write(2, b"went on")
"""


def run(script, stdout, **environment):
    return subprocess.run(
        [sys.executable, "-c", script],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        timeout=30,
    )


def test_a_full_pipe_never_stops_the_caller():
    reading, writing = os.pipe()
    try:
        done = run(SCRIPT.format(no_color=False, lines=500), writing)
        assert done.stderr == b"went on"
        assert os.read(reading, 1 << 20).startswith(b"2")
    finally:
        os.close(reading)
        os.close(writing)


def test_a_pipe_nobody_reads_any_more_never_stops_the_caller():
    reading, writing = os.pipe()
    os.close(reading)
    assert run(SCRIPT.format(no_color=False, lines=3), writing).stderr == b"went on"
    os.close(writing)


@pytest.mark.parametrize(
    ("no_color", "environment", "coloured"), [(False, "", True), (True, "", False), (False, "1", False)]
)
def test_colours_are_for_terminals(no_color, environment, coloured):
    terminal, side = os.openpty()
    run(SCRIPT.format(no_color=no_color, lines=1), side, NO_COLOR=environment)
    os.close(side)
    assert (b"\x1b[32mINF\x1b[0m" in os.read(terminal, 1 << 16)) is coloured
    os.close(terminal)


def test_a_pipe_gets_no_colours():
    reading, writing = os.pipe()
    run(SCRIPT.format(no_color=False, lines=1), writing)
    os.close(writing)
    assert b"\x1b" not in os.read(reading, 1 << 16)
    os.close(reading)
