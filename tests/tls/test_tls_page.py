"""docs/tls.md: what it shows can be read, and does what it says."""

import re
from pathlib import Path

import pytest
import yaml

from fastproxy.config.document import read_whole
from fastproxy.config.findings import Findings
from fastproxy.config.sources import decode_static
from fastproxy.config.tls import AuthType, Options
from tests.tls.test_https import pair

PAGE = (Path(__file__).parents[2] / "docs" / "tls.md").read_text()
EXAMPLES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
STATIC = ("fastproxy.yml", "redirect.yml")


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - set(STATIC)))
def test_dynamic_examples(name):
    assert read_whole(EXAMPLES[name], name).problems == []


@pytest.mark.parametrize("name", STATIC)
def test_static_examples(name):
    findings = Findings()
    decode_static(yaml.safe_load(EXAMPLES[name]), findings)
    assert findings.found == []


async def test_the_first_example_serves(house, issue):
    def filled(url):
        document = yaml.safe_load(EXAMPLES["dynamic.yml"].replace("http://127.0.0.1:9000", url))
        document["tls"]["certificates"] = [pair(issue("shop.example"))]
        return document

    here = await house(filled)
    assert (await here.get("shop.example")).status == 200
    assert (await here.plain("public.example"))[0] == 200
    assert (await here.plain("shop.example"))[0] == 404


def test_every_option_is_told():
    told = re.findall(r"^\| ([\w., ]+?) \|", PAGE, re.MULTILINE)
    names = {name for cell in told for name in cell.replace("clientAuth.", "").split(", ")}
    wanted = {*Options.__struct_encode_fields__} - {"clientAuth"} | {"caFiles", "clientAuthType"}
    assert wanted <= names


def test_every_mode_is_told():
    assert all(mode in PAGE for mode in AuthType.__args__)
