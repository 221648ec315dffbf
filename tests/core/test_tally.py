"""Counters in memory that somebody else may read."""

import pytest

from fastproxy._core.tally import NAMES, SIZE, Tally


def test_it_begins_at_nothing():
    assert Tally().snapshot() == dict.fromkeys(NAMES, 0)


def test_it_goes_on_from_what_stands_there():
    memory = bytearray(SIZE)
    memory[8 * NAMES.index("requests")] = 7
    assert Tally(memory).snapshot()["requests"] == 7


@pytest.mark.parametrize("memory", [bytearray(SIZE - 1), bytearray()])
def test_too_little_memory_is_refused(memory):
    with pytest.raises(ValueError, match="a tally needs"):
        Tally(memory)


def test_memory_that_cannot_be_written_is_refused():
    with pytest.raises(BufferError):
        Tally(bytes(SIZE))
