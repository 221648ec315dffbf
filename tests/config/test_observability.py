"""The access log in files, flags and the environment; and whose requests it tells of."""

import pytest

from fastproxy.config.findings import Findings, Place
from fastproxy.config.http import HttpRouter
from fastproxy.config.merge import Merger
from fastproxy.config.observability import (
    AccessLog,
    EntryPointObservability,
    Fields,
    Filters,
    HeaderFields,
    QueryParameters,
    RouterObservability,
)
from fastproxy.config.sources import decode_static, load_static
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.observe.accesslog import program_of, ranges_of
from tests.config.test_merge import http

EVERYTHING = {
    "filePath": "/var/log/access.log",
    "format": "JSON",
    "bufferingSize": 100,
    "addInternals": True,
    "filters": {
        "statusCodes": ["200", "300-302", " 500 - 599 "],
        "retryAttempts": True,
        "minDuration": "10ms",
    },
    "fields": {
        "defaultMode": "drop",
        "names": {"clientusername": "keep", "TLSVersion": "drop"},
        "headers": {"defaultMode": "keep", "names": {"User-Agent": "redact"}},
        "queryParameters": {"defaultMode": "drop"},
    },
}


def test_everything():
    findings = Findings()
    static = decode_static({"accessLog": EVERYTHING}, findings)
    assert findings.errors == 0
    assert static.access_log == AccessLog(
        file_path="/var/log/access.log",
        format="json",
        buffering_size=100,
        add_internals=True,
        filters=Filters(
            status_codes=("200", "300-302", "500-599"), retry_attempts=True, min_duration=10_000_000
        ),
        fields=Fields(
            default_mode="drop",
            names={"clientusername": "keep", "TLSVersion": "drop"},
            headers=HeaderFields(default_mode="keep", names={"User-Agent": "redact"}),
            query_parameters=QueryParameters(default_mode="drop"),
        ),
    )
    assert ranges_of(static.access_log) == [(200, 200), (300, 302), (500, 599)]


@pytest.mark.parametrize("written", [{}, True, "true"])
def test_it_may_be_empty(written):
    assert decode_static({"accessLog": written}, Findings()).access_log == AccessLog()


def test_it_may_be_switched_off():
    assert decode_static({"accessLog": False, "log": {}}, Findings()).access_log is None
    assert decode_static({"log": {}}, Findings()).access_log is None


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--accessLog", "--accessLog.fields.names.RequestHost=drop"], {}),
        ([], {"TRAEFIK_ACCESSLOG": "true", "TRAEFIK_ACCESSLOG_FIELDS_NAMES_REQUESTHOST": "drop"}),
    ],
)
def test_flags_and_environment(tmp_path, monkeypatch, arguments, environment):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load_static(arguments, environment).configuration.access_log
    assert not settings.fields.keeps("RequestHost")
    assert settings.fields.keeps("RequestPath")


def test_an_unknown_format_is_common():
    """Source: Traefik goes on with common, and says so."""
    findings = Findings()
    settings = decode_static({"accessLog": {"format": "apache"}}, findings).access_log
    assert settings.format == "common"
    assert findings.errors == 0
    (problem,) = findings.problems(lambda path, on_key: Place(""))
    assert problem.message == '"apache" is not one of common, genericCLF, json; common is taken'


def test_what_is_not_told_costs_nothing():
    told = {name for _, name, _ in program_of(AccessLog(format="json"))}
    assert not told & {"request_", "origin_", "downstream_"}
    fields = Fields(headers=HeaderFields(names={"X": "redact"}))
    assert {"request_", "origin_", "downstream_"} <= {
        name for _, name, _ in program_of(AccessLog(format="json", fields=fields))
    }


# --- whose requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "here", "there"),
    [(None, None, False), (True, True, True), (False, False, False)],
)
def test_a_router_says_it_or_else_its_entry_point(written, here, there):
    static = StaticConfiguration(
        entry_points={
            "web": EntryPoint(address=":80"),
            "quiet": EntryPoint(address=":81", observability=EntryPointObservability(access_logs=False)),
        }
    )
    router = HttpRouter(rule="R", service="s", observability=RouterObservability(access_logs=written))
    made = Merger(static).merge({"file": http(routers={"r": router})}).configuration.http.routers
    assert {name: each.observability.access_logs for name, each in made.items()} == {
        "r@file": here,
        "quiet-r@file": there,
    }
