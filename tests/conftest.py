"""For every test: the event loop of the product, and property tests that do not mind a busy machine."""

import gc
import os

import uvloop
from hypothesis import settings

settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("thorough", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_asyncio_loop_factories():
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_finish(session):
    """Let the collector pass over all that is there for good: thousands of tests, and what they import."""
    gc.collect()
    gc.freeze()
