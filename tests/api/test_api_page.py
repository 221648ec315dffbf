"""What docs/api.md shows is what the API says."""

import json
import re
from pathlib import Path

import pytest
import yaml

from fastproxy.api import answer
from fastproxy.config.findings import Findings
from fastproxy.config.sources import decode_static
from tests.api.documents import make, view

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
STATIC, DYNAMIC = (text for language, text in BLOCKS if language == "yaml")
EXAMPLES = [text for language, text in BLOCKS if language == "console"]


@pytest.fixture(scope="module")
def shown():
    """The view of an instance with the two files of the page."""
    static = decode_static(yaml.safe_load(STATIC), Findings()).with_implicit_entries()
    return view(make(DYNAMIC, static).told, static)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.partition("\n")[0])
def test_examples(shown, example):
    command, _, expected = example.partition("\n")
    path, _, query = re.search(r"localhost:8080([^' ]+)", command)[1].partition("?")
    assert json.loads(answer("GET", path, query, shown).body) == json.loads(expected)


def test_the_page_names_every_option():
    page = (DOCS / "api.md").read_text()
    for option in ("insecure", "basePath", "dashboard", "debug", "dashboardName", "disableDashboardAd"):
        assert f"api.{option}" in page
    for option in ("entryPoint", "manualRouting", "terminatingStatusCode"):
        assert f"ping.{option}" in page
