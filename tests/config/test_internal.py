"""Static options of api and ping, and what the provider `internal` adds for them."""

import pytest

from fastproxy.config import internal
from fastproxy.config.merge import Merger
from fastproxy.config.sources import read_static


def read(tmp_path, text, *flags):
    """Read a static file; returns the reading, with problems as text after the file's name."""
    (tmp_path / "f.yml").write_text(text)
    reading = read_static([f"--configFile={tmp_path / 'f.yml'}", *flags], {})
    return reading.configuration, [str(each).removeprefix(f"{tmp_path}/") for each in reading.problems]


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("log: {}", {"http": ":80"}),
        ("api: {}", {"http": ":80"}),
        ("api: {insecure: false}", {"http": ":80"}),
        ("api: {insecure: true}", {"http": ":80", "traefik": ":8080"}),
        ("ping: {}", {"http": ":80", "traefik": ":8080"}),
        ("ping: true", {"http": ":80", "traefik": ":8080"}),
        ("ping: false\nlog: {}", {"http": ":80"}),
        ("ping: {manualRouting: true}", {"http": ":80"}),
        ("ping: {entryPoint: http}", {"http": ":80"}),
        ("ping: {}\nentryPoints: {web: {address: ':81'}}", {"web": ":81", "traefik": ":8080"}),
        ("ping: {}\nentryPoints: {traefik: {address: ':9'}}", {"traefik": ":9"}),
    ],
)
def test_implicit_entry_points(tmp_path, text, points):
    static, problems = read(tmp_path, text)
    assert problems == []
    assert {name: point.address for name, point in static.entry_points.items()} == points
    assert "traefik" not in static.default_entry_points() or points == {"traefik": ":9"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("api: {dashboard: true}", "f.yml:1:18: api.dashboard: true is not supported yet; leave it out"),
        ("api: {debug: true}", "f.yml:1:14: api.debug: true is not supported yet; leave it out"),
        (
            "api: {basePath: proxy}",
            'f.yml:1:17: api.basePath: "proxy" is not a path of letters, digits and /_.:~- ; '
            "write one such as /proxy",
        ),
        (
            "ping: {terminatingStatusCode: 99}",
            "f.yml:1:31: ping.terminatingStatusCode: 99 is not the status of an answer; "
            "write one from 200 to 999, such as 503",
        ),
        (
            "ping: {entryPoint: wbe}",
            'f.yml:1:20: ping.entryPoint: unknown entry point "wbe"; there is http',
        ),
        (
            "api: {insecure: true}\nentryPoints: {web: {address: ':8080'}}",
            'f.yml:1:17: api.insecure: needs the entry point traefik on ":8080", which is the address of web '
            "already; declare entryPoints.traefik.address",
        ),
        (
            "ping: {}\nentryPoints: {web: {address: ':8080'}}",
            'f.yml:1:7: ping: needs the entry point traefik on ":8080", which is the address of web already; '
            "declare entryPoints.traefik.address",
        ),
    ],
)
def test_refused(tmp_path, text, problem):
    assert read(tmp_path, text) == (None, [problem])


@pytest.mark.parametrize("text", ["api: {dashboard: false, debug: false}", "api: {disableDashboardAd: true}"])
def test_what_is_said_to_be_off_is_accepted(tmp_path, text):
    assert read(tmp_path, text)[1] == []


def test_flags():
    static = read_static(["--api.insecure", "--ping", "--ping.terminatingStatusCode=418"], {}).configuration
    assert (static.api.insecure, static.ping.terminating_status_code) == (True, 418)


SOCKETS = {"api": "/run/x/api", "ping": "/run/x/ping"}


@pytest.mark.parametrize(
    ("text", "routers"),
    [
        (
            "api: {insecure: true}\nping: {}",
            {
                "api@internal": ("PathPrefix(`/api`)", ("traefik",), 2**63 - 2),
                "ping@internal": ("PathPrefix(`/ping`)", ("traefik",), 2**63 - 1),
            },
        ),
        ("api: {}\nping: {manualRouting: true}", {}),
        (
            "api: {insecure: true, basePath: /proxy/}",
            {"api@internal": ("PathPrefix(`/proxy/api`)", ("traefik",), 2**63 - 2)},
        ),
        ("ping: {entryPoint: http}", {"ping@internal": ("PathPrefix(`/ping`)", ("http",), 2**63 - 1)}),
    ],
)
def test_routers(tmp_path, text, routers):
    static, _ = read(tmp_path, text)
    sockets = {name: SOCKETS[name] for name in internal.services_of(static)}
    added = internal.internal_configuration(static, sockets)
    http = Merger(static).merge({internal.PROVIDER: added}).configuration.http
    assert {
        name: (each.rule, each.entry_points, each.priority) for name, each in http.routers.items()
    } == routers
    assert {name: each.service for name, each in http.routers.items()} == {name: name for name in routers}
    assert {name: each.load_balancer.servers[0].url for name, each in http.services.items()} == {
        f"{name}@internal": f"unix:///run/x/{name}" for name in sockets
    }


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("api", "api is not enabled"),
        ("ping", "ping is not enabled"),
        ("rest", 'the service "rest@internal" is not supported yet'),
    ],
)
def test_refusals(name, refusal):
    assert internal.refusal(name) == refusal
