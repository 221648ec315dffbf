"""A proxy for each test that asks for one; see rig."""

import pytest

from tests.wire.rig import House


@pytest.fixture
async def open_house():
    """Call it with the settings of an entry point; the house is looked over and closed after the test."""
    houses = []

    async def open_house(**settings):
        houses.append(await House.open(**settings))
        return houses[-1]

    yield open_house
    for house in houses:
        await house.close()


@pytest.fixture
async def house(open_house):
    return await open_house()
