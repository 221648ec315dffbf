"""A little of `bench/chaos.py`, which asks all the time while everything happens at once."""

import pytest

from tests.process.test_soak import promised


@pytest.mark.timeout(180)
def test_no_request_fails_but_those_in_a_killed_worker():
    events = ["--reloads", "20", "--kills", "2", "--upgrades", "1", "--scalings", "1"]
    echoes = ["--echo-seconds", "2", "--echo-reloads", "10"]
    promised("chaos.py", "--seconds", "6", "--connections", "32", *events, *echoes)
