"""Connections take turns: the classic weighted round robin, as a twin that reads like its description."""

from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.balance import Turns
from fastproxy._core.pool import Pool
from fastproxy._core.target import StreamTarget, Target


def target(name, **options):
    return StreamTarget(name, Pool(scheme="tcp", host="127.0.0.1", port=1), **options)


def turns(weights, name="s"):
    labels = [f"{name}{at}" for at in range(len(weights))]
    return Turns(name, [target(label) for label in labels], weights, labels)


def expected(weights):
    """Yield indexes: rounds of falling level, in which everybody of at least that weight has a turn."""
    step = gcd(*weights)
    while True:
        for level in range(max(weights), 0, -step):
            yield from (at for at, weight in enumerate(weights) if weight >= level)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_turns_are_those_of_the_twin(weights):
    made, twin = turns(weights), expected(weights)
    assert [made.choose() for _ in range(200)] == [f"s{next(twin)}" for _ in range(200)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_the_shares_are_exact(weights):
    made = turns(weights)
    rounds = [made.choose() for _ in range(sum(weights) // gcd(*weights))]
    assert [rounds.count(f"s{at}") * gcd(*weights) for at in range(len(weights))] == weights


def test_nobody():
    assert turns([]).choose() is None


def test_services_in_services():
    inner = Turns("inner", [turns([1, 1], "a"), turns([], "b")], [2, 1], ["a", "b"])
    assert [inner.choose() for _ in range(6)] == ["a0", "a1", None, "a0", "a1", None]


def test_a_place_is_taken_over():
    old, new = turns([3, 1]), turns([3, 1])
    told = [old.choose() for _ in range(2)]
    new.go_on_from(old)
    assert told + [new.choose() for _ in range(2)] == ["s0", "s0", "s0", "s1"]
    with pytest.raises(ValueError, match="has other members"):
        new.go_on_from(turns([1, 3]))


@pytest.mark.parametrize(
    ("members", "weights", "labels"), [(["x"], [1], ["x"]), ([None], [0], ["x"]), ([], [1], [])]
)
def test_what_cannot_be(members, weights, labels):
    with pytest.raises((TypeError, ValueError)):
        Turns("s", [each or target("x") for each in members], weights, labels)


def test_targets():
    assert isinstance(target("x", proxy=2), Target)
    with pytest.raises(ValueError, match="no version 3"):
        target("x", proxy=3)
