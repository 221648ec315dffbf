"""Who gets the next request: weights, ties, and servers that are down."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.balance import RoundRobin
from fastproxy._core.pool import Pool
from fastproxy._core.target import Target
from tests.twins import balance as twin


def targets_of(weights):
    pool = Pool(scheme="http", host="127.0.0.1", port=1)
    return [Target(str(index), pool, weight=weight) for index, weight in enumerate(weights)]


def picks(weights, count):
    balancer = RoundRobin("s@test", targets_of(weights))
    return [int(balancer.choose()) for _ in range(count)]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1], [0, 0, 0]),
        ([1, 1], [0, 1, 0, 1]),
        ([1, 1, 1], [0, 1, 2, 0, 1, 2]),
        ([3, 1], [0, 0, 0, 1, 0, 0, 0, 1]),
    ],
)
def test_the_order(weights, expected):
    assert picks(weights, len(expected)) == expected


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_over_one_round_everybody_has_its_weight(weights):
    count = sum(weights)
    shares = Counter(picks(weights, 20 * count))
    # Deadlines are floating numbers: a tie may fall to the other side once.
    assert all(abs(shares[index] - 20 * weight) <= 1 for index, weight in enumerate(weights))


@given(st.data())
def test_as_the_twin(data):
    weights = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    up = data.draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights)))
    targets = targets_of(weights)
    for target, is_up in zip(targets, up, strict=True):
        target.is_up = is_up
    balancer, plain = RoundRobin("s@test", targets), twin.RoundRobin(weights)
    if sum(up) * 2 < len(up):
        # So few are up that the compiled one may fall back on the first: it must be one that is up.
        chosen = balancer.choose()
        assert chosen is None if not any(up) else up[int(chosen)]
        return
    for _ in range(3 * sum(weights)):
        assert up[int(balancer.choose())]
    if all(up):
        balancer = RoundRobin("s@test", targets)
        for _ in range(3 * sum(weights)):
            assert int(balancer.choose()) == plain.pick(up)


def test_nobody_is_there():
    assert RoundRobin("s@test", []).choose() is None


def test_nobody_is_up():
    targets = targets_of([1, 2])
    for target in targets:
        target.is_up = False
    balancer = RoundRobin("s@test", targets)
    assert balancer.choose() is None
    targets[1].is_up = True
    assert balancer.choose() == "1"


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_is_more_than_nothing(weight):
    with pytest.raises(ValueError, match="weight of 0"):
        targets_of([weight])
