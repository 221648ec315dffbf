"""One request among 1 to 100 000 routers, and one router changed among them; the table beside a plain scan.

The scan's request belongs to the router in the middle. Groups are named for what tells the routers apart.
"""

from functools import lru_cache
from itertools import count

import pytest

from fastproxy._core.message import Request
from fastproxy._core.rule import Rule
from fastproxy._core.step import Pipeline
from fastproxy._core.table import Route, Table
from fastproxy.rules.compile import compile_rule
from tests.twins import table as twin

# Rounds long enough for the clock, few enough for a coffee.
pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

PIPELINE = Pipeline()
SIZES = (1, 1_000, 10_000, 100_000)
RULES = {
    "host": "Host(`host-{}.example.com`)",
    "prefix of one host": "Host(`shop.example.com`) && PathPrefix(`/app-{}/`)",
    "path of any host": "Path(`/app-{}/`)",
}
TABLES = {"compiled": Table, "twin": twin.Table}


def route(kind, number):
    text = RULES[kind].format(number)
    program = compile_rule(text)
    return Route(
        f"router-{number}@file", Rule(text, program.tests, program.keys), PIPELINE, None, priority=len(text)
    )


@lru_cache(maxsize=1)
def routes(kind, size):
    return tuple(route(kind, number) for number in range(size))


def request_of(kind, number):
    host = f"host-{number}.example.com" if kind == "host" else "shop.example.com"
    return Request.of(f"GET /app-{number}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


@pytest.mark.parametrize("side", TABLES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", RULES)
def test_find(benchmark, kind, size, side):
    benchmark.group = f"table: find by {kind} among {size}"
    table = TABLES[side](routes(kind, size))
    assert benchmark(table.match, request_of(kind, size // 2)).name == f"router-{size // 2}@file"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", RULES)
def test_change_one(benchmark, kind, size):
    """The new table is dropped within the measure, as the old one is when a snapshot goes."""
    benchmark.group = f"table: change one by {kind} among {size}"
    table = Table(routes(kind, size))
    gone, new = routes(kind, size)[size // 2], route(kind, size // 2)
    assert len(benchmark(table.updated, [gone], [new])) == size


@pytest.mark.parametrize("kind", RULES)
def test_build(benchmark, kind):
    benchmark.group = f"table: build 10000 by {kind}"
    assert len(benchmark(Table, routes(kind, 10_000))) == 10_000


def test_find_cold(benchmark):
    """Another router each time, so that the caches hold little of the table."""
    benchmark.group = "table: find by host among 100000, each time another"
    table = Table(routes("host", 100_000))
    asked = [request_of("host", number * 19 % 100_000) for number in range(5_000)]
    turn = count()
    benchmark(lambda: table.match(asked[next(turn) % 5_000]))
