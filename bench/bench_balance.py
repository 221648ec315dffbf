"""The next server chosen: compiled beside the plain twin."""

import pytest

from fastproxy._core.balance import RoundRobin
from fastproxy._core.pool import Pool
from fastproxy._core.target import Target
from tests.twins import balance as twin

pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

WEIGHTS = {"two equal": [1, 1], "ten of different weights": list(range(1, 11)), "a thousand": [1, 2] * 500}


@pytest.mark.parametrize("side", ["compiled", "twin"])
@pytest.mark.parametrize("name", WEIGHTS)
def test_round_robin(benchmark, name, side):
    benchmark.group = f"balance: {name}"
    weights = WEIGHTS[name]
    if side == "compiled":
        pool = Pool(scheme="http", host="127.0.0.1", port=1)
        targets = [Target(str(index), pool, weight=weight) for index, weight in enumerate(weights)]
        assert benchmark(RoundRobin("s@bench", targets).choose) is not None
    else:
        assert benchmark(twin.RoundRobin(weights).pick, [True] * len(weights)) is not None
