"""The plugin that docs/plugins.md shows is the one in examples/, and does what it says."""

import sys
from pathlib import Path

import pytest

from fastproxy._core.message import Request, Response
from fastproxy._core.step import Pipeline
from fastproxy.build.middlewares import steps_of
from fastproxy.config.document import read_whole
from fastproxy.config.sources import read_static
from fastproxy.plugins.load import Plugins

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "plugins"


@pytest.fixture
def pipeline(monkeypatch):
    """Read the documents of the example as the proxy does, and build its middleware."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.chdir(ROOT)
    static = read_static(["--configFile=examples/plugins/fastproxy.yml"], {})
    assert static.configuration is not None, static.problems
    routes = read_whole((FOLDER / "routes.yml").read_text(), "routes.yml")
    assert routes.problems == []
    configured = routes.configuration.http.middlewares["keys"]
    yield Pipeline(
        steps_of("keys@file", configured, Plugins(static.configuration.core.plugins, installed=()))
    )
    sys.modules.pop("api_keys", None)


def request_with(fields: str = "") -> Request:
    return Request.of(f"GET / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n".encode())


async def outcome(pipeline, request):
    [step] = pipeline.on_request
    assert step.run_request(request) == ("park", None)
    return await request.pending


async def test_a_known_key_passes_and_becomes_a_name(pipeline):
    request = request_with("X-Api-Key: 5678\r\nX-User: root\r\n")
    assert await outcome(pipeline, request) is None
    assert request.head.fields == [(b"Host", b"shop.example"), (b"X-User", b"grace")]


@pytest.mark.parametrize("fields", ["", "X-Api-Key: 0\r\n", "X-Api-Key:\r\n"])
async def test_others_are_told_what_to_send(pipeline, fields):
    answer = await outcome(pipeline, request_with(fields))
    assert (answer.status, answer.body) == (401, b"send your key in X-Api-Key\n")
    assert answer.headers == [(b"Content-Type", b"text/plain")]


async def test_answers_are_private(pipeline):
    [step] = pipeline.on_response
    request, response = request_with(), Response.of(b"HTTP/1.1 200 OK\r\nCache-Control: public\r\n\r\n")
    step.run_response(request, response)
    await request.pending
    assert response.head.fields == [(b"Cache-Control", b"private")]


def test_the_document_shows_the_example_as_it_is():
    page = (ROOT / "docs" / "plugins.md").read_text()
    assert f"```python\n{(FOLDER / 'api_keys.py').read_text()}```\n" in page
