"""The examples of docs/udp.md have no mistake, and do what the page says."""

import re
from pathlib import Path

from fastproxy import Proxy
from fastproxy.check import check_files
from tests.tcp.test_udp import backend, client  # noqa: F401

PAGE = (Path(__file__).parents[2] / "docs" / "udp.md").read_text()
EXAMPLES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))


def write(folder, monkeypatch, **replaced):
    monkeypatch.chdir(folder)
    for name, text in EXAMPLES.items():
        (folder / name).write_text(replaced.get(name.partition(".")[0], text))


def test_no_example_has_a_mistake(tmp_path, monkeypatch):
    write(tmp_path, monkeypatch)
    assert set(EXAMPLES) == {"fastproxy.yml", "dynamic.yml"}
    assert [str(each) for each in check_files(["fastproxy.yml"]).problems] == []


async def test_the_example_serves(tmp_path, monkeypatch, backend, client):  # noqa: F811
    """As it stands there, on ports that are free here."""
    dynamic = EXAMPLES["dynamic.yml"]
    for port in (5301, 5302, 5303):
        dynamic = dynamic.replace(f"127.0.0.1:{port}", (await backend(str(port))).address)
    fixed = EXAMPLES["fastproxy.yml"].replace(":15353", ":0")
    write(tmp_path, monkeypatch, dynamic=dynamic, fastproxy=fixed)
    async with Proxy("fastproxy.yml") as house:
        found = sorted([(await client(house).ask()).split()[0] for _ in range(8)])
    assert found == [b"5301"] * 3 + [b"5302"] * 3 + [b"5303"] * 2
