"""Connections take turns: the classic weighted round robin, as a twin that reads like its description."""

from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.balance import Turns
from fastproxy._core.pool import Pool
from fastproxy._core.signs import Signs
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


# --- who is down --------------------------------------------------------------------------------------------


class Checked:
    """Turns of servers that are checked, and what checks say: `words[at] = 1` is down."""

    def __init__(self, weights, name="s", at=0, words=None):
        self.words = memoryview(bytearray(64 * 8)).cast("q") if words is None else words
        signs = Signs(self.words, len(self.words))
        self.labels = [f"{name}{each}" for each in range(len(weights))]
        targets = [target(label) for label in self.labels]
        for each, made in enumerate(targets):
            made.heed(signs, at + each)
        self.turns = Turns(name, targets, weights, self.labels)


def classic(weights, is_up):
    """Yield indexes as Traefik's loop has them: whoever is down at that moment is not there.

    is_up: a list that may change between two of them. None: nobody is there.
    """
    at, level, step = -1, 0, gcd(*weights)
    while True:
        if not any(is_up):
            at = -1
            yield None
            continue
        at = (at + 1) % len(weights)
        if at == 0:
            most = max(weight for weight, up in zip(weights, is_up, strict=True) if up)
            level -= step
            if level <= 0 or level > most:
                level = most
        if weights[at] >= level and is_up[at]:
            yield at


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.data())
def test_turns_of_those_who_are_up_are_those_of_the_twin(weights, data):
    made, is_up = Checked(weights), [True] * len(weights)
    twin = classic(weights, is_up)
    for _ in range(60):
        change = data.draw(st.integers(-2 * len(weights), len(weights) - 1))
        if change >= 0:
            is_up[change] = not is_up[change]
            made.words[change] = not is_up[change]
        found = next(twin)
        assert made.turns.choose() == (None if found is None else f"s{found}")


def test_with_everybody_up_a_check_changes_nothing():
    weights = [3, 1, 2]
    plain, checked = turns(weights), Checked(weights).turns
    assert [checked.choose() for _ in range(50)] == [plain.choose() for _ in range(50)]


def test_who_comes_back_has_its_share_again():
    made = Checked([1, 1])
    made.words[0] = 1
    assert {made.turns.choose() for _ in range(10)} == {"s1"}
    made.words[0] = 0
    assert [made.turns.choose() for _ in range(10)].count("s0") == 5


def test_a_heavy_one_that_is_down_keeps_nobody_waiting():
    """A step for each unit of its weight would take minutes."""
    made = Checked([10**12, 1, 3])
    assert made.turns.choose() == "s0"
    made.words[0] = 1
    assert sorted(made.turns.choose() for _ in range(4)) == ["s1", "s2", "s2", "s2"]
    made.words[1] = made.words[2] = 1
    assert made.turns.choose() is None


def test_services_of_which_nobody_is_up_are_passed_over_where_that_counts():
    words = memoryview(bytearray(64 * 8)).cast("q")
    inner = [Checked([1, 1], "a", 0, words).turns, Checked([1], "b", 2, words).turns]
    blind = Turns("blind", inner, [1, 1], ["a", "b"])
    heeding = Turns("heeding", inner, [1, 1], ["a", "b"], heeds=True)
    outer = Turns("outer", [heeding, turns([1], "c")], [1, 1], ["in", "c"], heeds=True)
    words[0] = words[1] = 1
    assert [blind.choose() for _ in range(4)] == [None, "b0", None, "b0"]
    assert [heeding.choose() for _ in range(3)] == ["b0"] * 3
    assert [outer.choose() for _ in range(4)] == ["b0", "c0", "b0", "c0"]
    words[2] = 1
    assert heeding.choose() is None
    assert [outer.choose() for _ in range(3)] == ["c0"] * 3
    words[1] = 0
    assert heeding.choose() == "a1"


def test_a_sign_that_is_none():
    signs = Signs(bytearray(16), 2)
    for at in (-1, 2):
        with pytest.raises(IndexError, match=f"no sign {at}; there are 2"):
            target("x").heed(signs, at)


def test_a_server_is_there_while_nothing_is_said_against_it():
    words = memoryview(bytearray(16)).cast("q")
    made = target("x")
    assert made.is_there
    made.heed(Signs(words, 2), 1)
    assert made.is_there
    words[1] = 1
    assert not made.is_there
    words[1] = 0
    made.is_up = False
    assert not made.is_there


# --- what lives on, and what cannot be ----------------------------------------------------------------------


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
