"""The examples of docs/tcp.md have no mistake, and do what the page says."""

import re
from pathlib import Path

import pytest

from fastproxy import Proxy
from fastproxy.check import check_files

PAGE = (Path(__file__).parents[2] / "docs" / "tcp.md").read_text()
EXAMPLES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
DYNAMIC = ["dynamic.yml", "tls.yml", "weighted.yml", "few.yml", "transport.yml"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_there_are_examples():
    assert set(EXAMPLES) == {"fastproxy.yml", "proxied.yml", *DYNAMIC}


@pytest.mark.parametrize("files", [["fastproxy.yml"], ["proxied.yml"], *([each] for each in DYNAMIC)])
def test_no_example_has_a_mistake(folder, files):
    assert [str(each) for each in check_files(files).problems] == []


async def test_the_first_example_serves(folder, server, connect):
    """As it stands there, on ports that are free here."""
    made = [await server(name) for name in ("one", "two")]
    dynamic = EXAMPLES["dynamic.yml"]
    for port, each in zip((5432, 5433), made, strict=True):
        dynamic = dynamic.replace(f"127.0.0.1:{port}", each.address)
    (folder / "dynamic.yml").write_text(dynamic)
    (folder / "fastproxy.yml").write_text(EXAMPLES["fastproxy.yml"].replace(":15432", ":0"))
    async with Proxy(folder / "fastproxy.yml") as house:
        found = {await (await connect(house)).line() for _ in range(2)}
    assert found == {b"one\n", b"two\n"}
