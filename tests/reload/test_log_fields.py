"""A line in the log that is about one object says so in a field, for whoever reads it by machine."""

import logging

import pytest

from fastproxy import Proxy
from fastproxy.config.static import FileProvider as Settings
from fastproxy.plugins.api import Middleware
from fastproxy.providers.file import FileProvider
from tests.reload.peers import STATIC, document


class Fails(Middleware):
    async def on_request(self, request):
        raise RuntimeError("on purpose")


def fields_of(caplog, text):
    """Return the fields of the one line that holds a text."""
    [record] = [record for record in caplog.records if text in record.getMessage()]
    return record.fields


@pytest.mark.parametrize(
    ("part", "text", "told"),
    [
        ({"routers": {"r": ("Hst(`a`)", "s")}}, "router r@file is disabled", {"routerName": "r@file"}),
        (
            {"services": {"bad": {"loadBalancer": {"serversTransport": "gone"}}}},
            "service bad@file is disabled",
            {"serviceName": "bad@file"},
        ),
        (
            {"middlewares": {"m": {"chain": {"middlewares": ["m"]}}}},
            "middleware m@file is disabled",
            {"middlewareName": "m@file"},
        ),
    ],
)
async def test_what_is_disabled(caplog, proxy, part, text, told):
    sections = {"routers": {}, "services": {"s": []}, **part}
    await proxy(document(sections.pop("routers"), sections.pop("services"), **sections))
    assert fields_of(caplog, text) == told


async def test_a_tcp_router(caplog, proxy):
    await proxy({"tcp": {"routers": {"db": {"rule": "HostSNI(`*`)", "service": "gone"}}}})
    assert fields_of(caplog, "TCP router db@file is disabled") == {"routerName": "db@file"}


async def test_requests(caplog, connect, backend):
    caplog.set_level(logging.DEBUG, logger="fastproxy")
    gone = await backend("gone")
    await gone.stop()
    routers = {
        "dead": ("Host(`dead.example`)", "s"),
        "fails": {"rule": "Host(`fails.example`)", "service": "s", "middlewares": ["m"]},
    }
    middlewares = {"m": {"plugin": {"fails": {}}}}
    static = {**STATIC, "core": {"plugins": {"fails": f"{__name__}:Fails"}}}
    async with Proxy({**static, **document(routers, {"s": [gone.url]}, middlewares=middlewares)}) as made:
        assert (await (await connect(made)).get("/", "dead.example"))[0] == 502
        assert (await (await connect(made)).get("/", "fails.example"))[0] == 500
        assert (await (await connect(made)).get("/%zz", "a"))[0] == 400
    dead = {"entryPointName": "web", "routerName": "dead@file", "serviceName": "s@file"}
    assert fields_of(caplog, "cannot be reached") == dead
    assert fields_of(caplog, "middleware m@file of router fails@file failed") == {
        **dead,
        "routerName": "fails@file",
        "middlewareName": "m@file",
    }
    assert fields_of(caplog, "an escape in the path is malformed") == {"entryPointName": "web"}


def test_the_provider(caplog, tmp_path):
    (tmp_path / "dynamic.yml").write_text("http: {routers: {r: {rul: x}}}")
    provider = FileProvider(Settings(filename=str(tmp_path / "dynamic.yml")))
    provider._tell(provider.read())
    assert fields_of(caplog, "http.routers.r.rul") == {"providerName": "file"}
    (tmp_path / "dynamic.yml").write_text("http: [")
    provider._tell(provider.read())
    assert fields_of(caplog, "refused for 1 error(s); the last good one stays") == {"providerName": "file"}
