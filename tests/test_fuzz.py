"""Hostile first flights, a few seconds of them: `bench/fuzz.py` goes on for as long as it is told to."""

from random import Random

import pytest

from bench.rig import flights, siege
from fastproxy._core.hello import hear
from fastproxy._core.proxyline import parsed
from tests.twins import hello, proxyline


@pytest.fixture(scope="module")
def drawn():
    return flights.Flights()


async def test_a_short_siege(drawn):
    told = await siege.Siege(seed=20, flights=drawn).run(seconds=0, size=150)
    # Each kind of first flight was refused by somebody, who said why.
    assert told["web: a malformed header of the PROXY protocol"]
    assert told["web: the first bytes did not come in time"]
    assert any(reason.startswith("web: TLS") for reason in told)


async def test_a_siege_says_what_does_not_hold(drawn, monkeypatch):
    monkeypatch.setattr(siege, "LIMIT", 0.0)
    with pytest.raises(siege.Broken, match="seed 20, batch 0: not closed in 0 s"):
        await siege.Siege(seed=20, flights=drawn).run(seconds=0, size=20)


def outcome(read, data):
    try:
        return read(data)
    except ValueError:
        return "bad"


@pytest.mark.parametrize("seed", range(4))
def test_readers_say_of_hostile_flights_what_their_twins_say(drawn, seed):
    dice = Random(seed)
    for _ in range(60):
        flight = drawn.hellos.flight(dice)
        assert outcome(hear, flight) == outcome(hello.read, flight)
        line = flights.proxy_line(dice)
        assert parsed(line) == proxyline.parsed(line)


def test_the_same_dice_say_the_same(drawn):
    assert [drawn.draw(Random(5)) for _ in range(3)] == [drawn.draw(Random(5)) for _ in range(3)]


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="speech: there are hello, proxy"):
        flights.Flights(["speech"])
