"""The table finds what a scan over all routes finds, also after changes, and old tables stay as they were."""

import gc
import random
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastproxy._core.message import Request
from fastproxy._core.rule import Rule
from fastproxy._core.step import Pipeline
from fastproxy._core.table import Route, Table
from fastproxy.rules.compile import compile_rule
from tests.twins import table as twin

PIPELINE = Pipeline()


def route(name, rule, priority=None, order=0):
    program = compile_rule(rule)
    return Route(
        name,
        Rule(rule, program.tests, program.keys),
        PIPELINE,
        None,
        priority=len(rule) if priority is None else priority,
        order=order,
    )


def get(host="example.com", target="/", method="GET"):
    return Request.of(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())


def found(table, *asked, **more):
    hit = table.match(get(*asked, **more))
    return hit and hit.name


# -- order -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        # the longer rule first, unless a priority is given
        ([("a", "Host(`example.com`)"), ("b", "Host(`example.com`) && PathPrefix(`/`)")], "b"),
        ([("a", "Host(`example.com`)", 100), ("b", "Host(`example.com`) && PathPrefix(`/`)")], "a"),
        ([("a", "Host(`example.com`)", -5), ("b", "Host(`example.com`)", -6)], "a"),
        ([("a", "PathPrefix(`/`)", 2**63 - 1), ("b", "Host(`example.com`)", 2**63 - 2)], "a"),
        ([("a", "PathPrefix(`/`)", -(2**63)), ("b", "Host(`example.com`)", 0)], "b"),
        # then the provider, then the name
        ([("a", "PathPrefix(`/`)", 1, 1), ("b", "Host(`example.com`)", 1, 0)], "b"),
        ([("b", "PathPrefix(`/`)", 1), ("a", "Host(`example.com`)", 1)], "a"),
        ([("shop", "PathPrefix(`/`)", 1), ("shop-2", "Host(`example.com`)", 1)], "shop"),
        ([("é", "PathPrefix(`/`)", 1), ("z", "Host(`example.com`)", 1)], "z"),
        # over all groups: a name, a wildcard, no host at all
        ([("a", "Host(`*.com`)", 3), ("b", "Host(`example.com`)", 2), ("c", "Path(`/`)", 1)], "a"),
        ([("a", "Host(`*.com`)", 1), ("b", "Host(`example.com`)", 2), ("c", "Path(`/`)", 3)], "c"),
        ([("a", "Host(`*.com`)", 1), ("b", "Host(`example.com`)", 3), ("c", "Path(`/`)", 2)], "b"),
        # a rule that cannot match stands nowhere
        ([("a", "Host(`example.com`) && Host(`example.org`)", 9), ("b", "Host(`*`)")], "b"),
        ([("a", "!Host(`example.org`)"), ("b", "Host(`example.org`)", 99)], "a"),
        ([("a", "Host(`example.org`) || Host(`example.com`)")], "a"),
        ([("a", "Host(`example.org`)")], None),
        ([], None),
    ],
)
def test_order(routes, expected, reverse):
    made = [route(*given) for given in routes]
    assert found(Table(made[::-1] if reverse else made)) == expected


def test_a_request_without_a_host():
    table = Table([route("a", "Host(`a`)"), route("b", "HostRegexp(`^$`)"), route("c", "Host(`*`)", 1)])
    assert found(table, "") == "b"


def test_many_paths_of_one_host():
    routes = [
        route(f"r{number}", f"Host(`example.com`) && PathPrefix(`/app-{number}/`)") for number in range(500)
    ]
    routes.append(route("rest", "Host(`example.com`)"))
    routes.append(route("exact", "Host(`example.com`) && Path(`/app-7/x`)", 1000))
    table = Table(routes)
    assert found(table, "example.com", "/app-7/y") == "r7"
    assert found(table, "example.com", "/app-7/x") == "exact"
    assert found(table, "example.com", "/app-499/") == "r499"
    assert found(table, "example.com", "/app-500/") == "rest"
    assert found(table, "example.com", "/") == "rest"
    assert found(table, "example.org", "/app-7/x") is None


def test_many_paths_of_any_host():
    table = Table([route(f"r{number}", f"Path(`/p/{number}`)") for number in range(500)])
    assert found(table, "x", "/p/123") == "r123"
    assert found(table, "", "/p/123") == "r123"
    assert found(table, "x", "/p/1234") is None


def test_nested_prefixes():
    table = Table([route(f"r{size}", f"PathPrefix(`/{'a' * size}`)") for size in range(40)])
    assert found(table, "x", "/" + "a" * 17 + "b") == "r17"
    assert found(table, "x", "/" + "a" * 100) == "r39"
    assert found(table, "x", "/b") == "r0"


# -- change ----------------------------------------------------------------------------------------------


def test_the_old_table_stays_as_it_was():
    first, second = route("first", "Host(`a`)"), route("second", "Host(`a`) && Path(`/`)")
    old = Table([first])
    new = old.updated([], [second])
    newest = new.updated([first], [])
    assert [found(table, "a") for table in (old, new, newest)] == ["first", "second", "second"]
    assert [found(table, "a", "/x") for table in (old, new, newest)] == ["first", "first", None]
    assert [len(table) for table in (old, new, newest)] == [1, 2, 1]


def test_a_route_is_changed_by_taking_one_out_and_putting_one_in():
    table = Table([route(f"r{number}", f"Host(`h{number}`)") for number in range(100)])
    gone = table.match(get("h42"))
    table = table.updated([gone], [route("r42", "Host(`h42`) || Host(`h42b`)")])
    assert found(table, "h42") == found(table, "h42b") == "r42"
    assert len(table) == 100


def test_to_nothing_and_back():
    routes = [route(f"r{number}", rule) for number, rule in enumerate(RULES)]
    table = Table(routes).updated(routes, [])
    assert len(table) == 0
    assert all(found(table, host, path) is None for host in HOSTS for path in PATHS)
    assert found(table.updated([], routes), "a.example", "/a") == found(Table(routes), "a.example", "/a")


@pytest.mark.parametrize("count", [0, 1, 5, 50])
def test_what_is_not_there_cannot_be_removed(count):
    table = Table([route(f"r{number}", f"Host(`a`) && Path(`/{number}`)") for number in range(count)])
    for rule in ("Host(`a`) && Path(`/1`)", "Host(`a`)", "Host(`*.a`)", "PathPrefix(`/`)", "Host(`b`)"):
        with pytest.raises(ValueError, match="cannot remove what is not in the table: stranger"):
            table.updated([route("stranger", rule)], [])


def test_what_is_no_route_is_refused():
    with pytest.raises(TypeError):
        Table(["Host(`a`)"])


def test_a_table_that_is_dropped_drops_its_routes():
    class Extra:
        pass

    extra = Extra()
    seen = weakref.ref(extra)
    rule = compile_rule("Host(`a`)")
    table = Table([Route("a", Rule("", rule.tests, rule.keys), PIPELINE, None, extra=extra)])
    extra.table = table  # a circle, as a plugin might tie one
    del extra, table
    gc.collect()
    assert seen() is None


# -- against the scan ------------------------------------------------------------------------------------

HOSTS = ["a.example", "b.example", "x.b.example", "example", "c.org", "", "[::1]", "A.EXAMPLE.:80"]
PATHS = ["/", "/a", "/a/b", "/a/bc", "/ab", "/b", "/%61", "/a%2Fb", "/long/path/of/many/segments"]
RULES = [
    *(
        f"Host(`{host}`)"
        for host in ("a.example", "b.example", "*.example", "*.b.example", "*", "::1", "c.org.")
    ),
    *(
        f"PathPrefix(`{path}`)"
        for path in ("/", "/a", "/a/b", "/b", "/long/path", "/long/path/of/many/segments/x")
    ),
    *(f"Path(`{path}`)" for path in ("/", "/a", "/a/b", "/a%2Fb")),
    "Method(`GET`)",
    "Method(`POST`)",
    "HostRegexp(`^[ab]`)",
    "PathRegexp(`b$`)",
]


def some_rule(dice):
    parts = [("!" if dice.random() < 0.1 else "") + dice.choice(RULES) for _ in range(dice.randint(1, 4))]
    text = parts[0]
    for part in parts[1:]:
        text = f"({text}) {dice.choice(['&&', '&&', '||'])} {part}"
    return text


def some_routes(dice, count, prefix):
    return [
        route(
            f"{prefix}{number}", some_rule(dice), dice.choice([None, None, 5, 5, 7, -1]), dice.randint(0, 2)
        )
        for number in range(count)
    ]


REQUESTS = [get(host, path, method) for host in HOSTS for path in PATHS for method in ("GET", "POST")]


def assert_same(table, scan):
    assert len(table) == len(scan.routes)
    for request in REQUESTS:
        assert table.match(request) is scan.match(request)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 15, 17, 40, 300]))
def test_it_finds_what_a_scan_finds(seed, count):
    dice = random.Random(seed)
    routes = some_routes(dice, count, "r")
    assert_same(Table(routes), twin.Table(routes))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_it_finds_what_a_scan_finds_after_changes(seed):
    dice = random.Random(seed)
    routes = some_routes(dice, dice.choice([0, 10, 60]), "first")
    table, scan = Table(routes), twin.Table(routes)
    for turn in range(12):
        removed = dice.sample(scan.routes, min(len(scan.routes), dice.choice([0, 1, 3, 30])))
        added = some_routes(dice, dice.choice([0, 1, 3, 40]), f"t{turn}-")
        table, scan = table.updated(removed, added), scan.updated(removed, added)
        assert_same(table, scan)


def test_growing_by_one_a_thousand_times_and_shrinking_again():
    routes = [route(f"r{number}", f"Host(`h{number}.example`) && PathPrefix(`/`)") for number in range(1000)]
    table = Table()
    for one in routes:
        table = table.updated([], [one])
    assert all(table.match(get(f"h{number}.example")) is routes[number] for number in range(1000))
    for one in routes[::2]:
        table = table.updated([one], [])
    assert all(
        table.match(get(f"h{number}.example")) is (routes[number] if number % 2 else None)
        for number in range(1000)
    )


# -- looking around --------------------------------------------------------------------------------------


def near(table, most, *asked):
    return [one.name for one in table.near(get(*asked), most)]


def test_all_routes_are_near_when_there_are_few():
    rules = ("Host(`a`)", "Host(`*.b`)", "Path(`/x`)", "Host(`c`) || Host(`d`)", "Method(`GET`)")
    routes = [route(f"r{number}", rule) for number, rule in enumerate(rules)]
    assert sorted(near(Table(routes), 5, "nowhere", "/")) == ["r0", "r1", "r2", "r3", "r4"]
    assert near(Table(), 5) == []
    assert near(Table(routes), 0) == []


def test_those_of_the_host_are_the_nearest():
    table = Table(
        [route(f"h{number}", f"Host(`h{number}`) && Path(`/x`)") for number in range(1000)]
        + [route("wild", "Host(`*.b`) && Path(`/x`)"), route("any", "Path(`/x`)")]
    )
    assert near(table, 2, "h7", "/y") == ["h7", "any"]
    assert near(table, 2, "a.b", "/y") == ["wild", "any"]
    assert len(near(table, 64, "h7", "/y")) == 64
    assert len(near(table, 5000, "h7", "/y")) == 1002


def test_those_of_the_path_are_the_nearest_of_a_crowd():
    routes = [route(f"p{number}", f"Host(`a`) && PathPrefix(`/{number}/`)") for number in range(1000)]
    routes += [route("exact", "Host(`a`) && Path(`/77/x`)"), route("host", "Host(`a`)")]
    table = Table(routes)
    assert near(table, 3, "a", "/77/x") == ["exact", "p77", "host"]
    assert len(near(table, 64, "a", "/nowhere")) == 64
    assert len(set(near(table, 5000, "a", "/nowhere"))) == 1002


def test_a_route_with_many_keys_is_named_once():
    hosts = " || ".join(f"Host(`h{number}`)" for number in range(500))
    table = Table([route("many", hosts), route("other", "Host(`x`)")])
    assert sorted(near(table, 64, "nowhere")) in (["many"], ["many", "other"])
    assert near(table, 64, "x")[0] == "other"
