"""The runtime view that is put together from what a builder tells is the one that the builder has."""

import pytest

from fastproxy.build.runtime import KINDS, ROUTERS
from fastproxy.config.dynamic import Configuration
from fastproxy.serving import Serving, Told
from tests.api.documents import STATIC, make


@pytest.fixture(scope="module")
def made():
    return make()


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_is_the_same(made, kind):
    built = {record.name: record for record in made.built.records(kind)}
    told = {record.name: record for record in made.told.records(kind)}
    assert told == built
    assert built


def test_what_is_disabled_is_the_same(made):
    assert list(made.told.disabled()) == list(made.built.disabled())
    assert made.told.generation == made.built.generation


def test_there_are_objects_of_every_status(made):
    statuses = {record.status for kind in KINDS for record in made.built.records(kind)}
    assert statuses == {"enabled", "warning", "disabled"}


def test_the_view_is_that_of_the_newest_generation(made):
    serving = Serving(STATIC.entry_points)
    assert serving.runtime().generation == 0
    assert list(serving.runtime().records(ROUTERS)) == []
    serving.note(Told(3, Configuration(), {}, {ROUTERS: {"a@file": ("x",)}}))
    view = serving.runtime()
    assert (view.generation, view.warnings[ROUTERS]) == (3, {"a@file": ("x",)})
    serving.note(Told(2, Configuration(), {}, {}))  # a worker that is behind
    assert serving.runtime() is view
