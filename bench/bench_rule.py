"""One rule against one request: the compiled program beside the plain tree."""

import pytest

from fastproxy._core.message import Request
from fastproxy._core.rule import Rule
from fastproxy.rules.compile import compile_rule
from fastproxy.rules.parse import parse
from tests.twins import rule as twin

# Rounds long enough for the clock, few enough for a coffee.
pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

REQUEST = Request.of(
    b"GET /api/v1/users/42?page=2&sort=name&mobile HTTP/1.1\r\nHost: shop.example.com\r\nAccept: */*\r\n"
    b"User-Agent: bench/1.0\r\nAccept-Encoding: gzip\r\nX-Tenant: blue\r\nCookie: session=0123456789\r\n\r\n"
)

RULES = {
    "host": "Host(`shop.example.com`)",
    "host and prefix": "Host(`shop.example.com`) && PathPrefix(`/api`)",
    "wildcard": "Host(`*.example.com`)",
    "eight hosts": " || ".join(f"Host(`host-{n}.example.com`)" for n in range(7))
    + " || Host(`shop.example.com`)",
    "header": "Header(`X-Tenant`, `blue`)",
    "query": "Query(`sort`, `name`) && Query(`mobile`)",
    "client": "ClientIP(`127.0.0.0/8`)",
    "pattern of a host": r"HostRegexp(`^[a-z]+\.example\.com$`)",
    "pattern of a path": "PathRegexp(`^/api/v[0-9]+/`)",
}


@pytest.mark.parametrize("side", ["compiled", "twin"])
@pytest.mark.parametrize("name", RULES)
def test_rule(benchmark, name, side):
    benchmark.group = f"rule: {name}"
    if side == "compiled":
        program = compile_rule(RULES[name])
        assert benchmark(Rule(RULES[name], program.tests, program.keys), REQUEST)
    else:
        assert benchmark(twin.matches, parse(RULES[name]), twin.asked(REQUEST))
