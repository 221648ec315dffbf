"""docs/tls.md: what it shows can be read, and does what it says."""

import asyncio
import re
import socket
import ssl
from pathlib import Path

import pytest
import yaml

from fastproxy import Proxy
from fastproxy.config.document import read_whole
from fastproxy.config.findings import Findings
from fastproxy.config.sources import decode_static
from fastproxy.config.tls import AuthType, Options
from tests.tls.test_https import document, pair

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


async def test_the_default_certificate_serves(house, issue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    certificate, key = issue("fallback.example")
    (tmp_path / "default.pem").write_text(certificate)
    (tmp_path / "default.key").write_text(key)
    tls = yaml.safe_load(EXAMPLES["default.yml"])["tls"]
    here = await house(lambda url: document(url, {"any": {"rule": "PathPrefix(`/`)", "tls": {}}}, tls))
    assert (await here.get("whoever.example")).common_names == ("fallback.example",)


async def test_options_hold_for_the_router_that_names_them(house, issue):
    def filled(url):
        made = yaml.safe_load(EXAMPLES["options.yml"].replace("http://127.0.0.1:9001", url))
        made["http"]["routers"]["rest"] = {"rule": "Host(`shop.example`)", "service": "admin", "tls": {}}
        made["tls"]["certificates"] = [pair(issue("admin.example", "shop.example"))]
        return made

    here = await house(filled)
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    assert (await here.get("admin.example")).status == 200
    assert (await here.get("shop.example", **old)).status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await here.get("admin.example", **old)
    # sniStrict: a name that no certificate has is not served with another one
    del (lost := filled(here.backend.url))["tls"]["certificates"]
    await here.proxy.apply(lost)
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        await here.get("admin.example", insecure=True)
    assert (await here.get("shop.example", insecure=True)).status == 200


async def test_an_entry_point_redirects_to_the_other():
    static = yaml.safe_load(EXAMPLES["redirect.yml"])
    del static["providers"]
    for point, port in (("web", ":8080"), ("secure", ":8443")):
        assert static["entryPoints"][point]["address"].endswith(port)
    static["entryPoints"]["web"]["address"] = "127.0.0.1:0"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    static["entryPoints"]["secure"]["address"] = f"127.0.0.1:{port}"
    async with Proxy(static) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.address("web"))
        writer.write(b"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
        head = (await reader.read()).decode()
        writer.close()
    assert head.startswith("HTTP/1.1 301 ")
    assert f"\r\nLocation: https://a.example:{port}/x\r\n" in head


def test_every_option_is_told():
    told = re.findall(r"^\| ([\w., ]+?) \|", PAGE, re.MULTILINE)
    names = {name for cell in told for name in cell.replace("clientAuth.", "").split(", ")}
    wanted = {*Options.__struct_encode_fields__} - {"clientAuth"} | {"caFiles", "clientAuthType"}
    assert wanted <= names


def test_every_mode_is_told():
    assert all(mode in PAGE for mode in AuthType.__args__)
