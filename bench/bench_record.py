"""Lines of the access log made: the compiled program beside the plain twin."""

import asyncio
import logging
import os

import pytest

from fastproxy._core.engine import Engine
from fastproxy._core.journal import Journal
from fastproxy._core.record import AccessLog
from fastproxy.config.observability import AccessLog as Settings
from fastproxy.config.observability import Fields, HeaderFields
from fastproxy.observe import accesslog
from tests.twins import accesslog as twin

pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

LINES = 20
"""Made in one call, so that what is measured is not the call."""

TEXTS = {
    "client": b"203.0.113.9",
    "method": b"GET",
    "target": b"/catalogue/shoes?page=2",
    "host": b"shop.example",
    "router": b"shop@file",
    "service": b"shop@file",
    "url": b"http://10.0.0.5:8080",
    "address": b"10.0.0.5:8080",
    "entry_point": b"web",
    "referer": b"https://shop.example/",
    "agent": b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
}
NUMBERS = {
    "port": 51234,
    "minor": 1,
    "began": 10**15 + 123_456_789,
    "ended": 10**15 + 130_580_245,
    "status": 200,
    "size": 1234,
    "origin_duration": 6_900_000,
    "origin_status": 200,
    "origin_size": 1234,
}
SETTINGS = {
    "common": Settings(),
    "common with agents": Settings(fields=Fields(headers=HeaderFields(names={"User-Agent": "keep"}))),
    "json": Settings(format="json"),
}


@pytest.fixture
def access_log():
    """Call it with settings; returns an access log that nobody reads."""
    loop = asyncio.new_event_loop()
    made = []

    def access_log(settings):
        logger = logging.Logger("bench")
        journal = Journal(
            loop, Engine.of(loop, logger).wheel, logger, os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        )
        made.append(journal)
        headers = settings.fields.headers
        return AccessLog(
            journal, accesslog.program_of(settings), default=headers.default_mode, fields=headers.names
        )

    yield access_log
    for journal in made:
        journal.close()
    loop.close()


@pytest.mark.parametrize("name", SETTINGS)
def test_lines_compiled(benchmark, access_log, name):
    benchmark.group = f"record: {name}"
    benchmark(access_log(SETTINGS[name]).note, TEXTS, NUMBERS, times=LINES)


@pytest.mark.parametrize("name", SETTINGS)
def test_lines_twin(benchmark, name):
    benchmark.group = f"record: {name}"

    def lines():
        return [twin.line(SETTINGS[name], TEXTS, NUMBERS, number, 10**18) for number in range(LINES)]

    assert len(benchmark(lines)) == LINES
