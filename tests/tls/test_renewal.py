"""Certificates that change while connections are there, in files that nobody touched otherwise."""

import asyncio
import ssl

import pytest

from fastproxy import Proxy
from tests.tls.rig import House
from tests.waiting import becomes, eventually

STATIC = """
entryPoints: {web: {address: "127.0.0.1:0"}}
providers: {file: {filename: %s}, providersThrottleDuration: 0s}
"""

DYNAMIC = """
http:
  routers: {r: {rule: PathPrefix(`/`), service: s, tls: {}}}
  services: {s: {loadBalancer: {servers: [{url: "%s"}]}}}
tls:
  certificates: [{certFile: %s, keyFile: %s}]
"""


@pytest.fixture
async def written(tmp_path, authority, backend, issue):
    """A proxy that follows a file, in which a certificate for a.example is named by its files."""

    def put(issued):
        for path, text in zip((tmp_path / "c.pem", tmp_path / "k.pem"), issued, strict=True):
            path.write_text(text)

    put(issue("a.example"))
    dynamic = tmp_path / "dynamic.yml"
    dynamic.write_text(DYNAMIC % (backend.url, tmp_path / "c.pem", tmp_path / "k.pem"))
    (tmp_path / "static.yml").write_text(STATIC % dynamic)
    async with Proxy(tmp_path / "static.yml") as proxy:
        yield House(proxy, authority, backend), put, tmp_path


async def names(house, name="a.example"):
    return (await house.get(name)).common_names


async def test_a_renewed_file_is_served_without_a_touch(written, issue):
    house, put, _ = written
    assert await names(house) == ("a.example",)
    reader, writer = await asyncio.open_connection(
        *house.address, ssl=house.context(), server_hostname="a.example"
    )
    put(issue("a.example", "b.example"))
    await becomes(("a.example", "b.example"), lambda: names(house))
    # who was connected stays connected, with the certificate that was shown
    writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_half_of_a_renewal_harms_nobody(written, issue):
    house, _, folder = written
    certificate, key = issue("a.example", "b.example")
    (folder / "c.pem").write_text(certificate)
    kind, name = "tls.certificates", f"{folder / 'c.pem'}@file"
    await eventually(lambda: house.proxy.runtime.record(kind, name).status == "disabled")
    assert "the one before it goes on serving" in house.proxy.runtime.record(kind, name).error[0]
    assert await names(house) == ("a.example",)
    (folder / "k.pem").write_text(key)
    await becomes(("a.example", "b.example"), lambda: names(house))
    assert house.proxy.runtime.record(kind, name).status == "enabled"


async def test_a_certificate_that_is_taken_out_is_served_no_more(written, issue):
    house, _, folder = written
    text = (folder / "dynamic.yml").read_text()
    (folder / "new.yml").write_text(text.partition("tls:\n")[0])
    (folder / "new.yml").rename(folder / "dynamic.yml")  # half a document would be served as one

    async def is_believed():
        try:
            return bool(await names(house))
        except ssl.SSLCertVerificationError:
            return False

    await becomes(False, is_believed)
    assert (await house.get("a.example", insecure=True)).status == 200
