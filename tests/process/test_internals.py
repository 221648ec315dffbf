"""API and ping of a whole instance: real processes, real sockets, real signals."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import pytest

from tests.process.harness import PATIENCE, write

STATIC = """\
entryPoints:
  web:
    address: 127.0.0.1:0
    transport: {{lifeCycle: {{requestAcceptGraceTimeout: {accept}}}}}
  traefik:
    address: 127.0.0.1:0
    transport: {{lifeCycle: {{requestAcceptGraceTimeout: {accept}}}}}
providers:
  providersThrottleDuration: 0
  file: {{filename: dynamic.yml}}
core: {{workers: 2}}
{more}
"""

DYNAMIC = """\
http:
  routers:
    shop: {{rule: "Path(`{path}`)", entryPoints: [web], service: shop}}
    status: {{rule: "Path(`/status`)", entryPoints: [web], service: ping@internal}}
    lost: {{rule: "Path(`/lost`)", service: gone}}
    look: {{rule: "PathPrefix(`/api`)", entryPoints: [web], service: api@internal}}
  services:
    shop: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{port}"}}]}}}}
"""


@pytest.fixture
def temporary(monkeypatch):
    """A folder for the temporary files of this test's instances; nothing may be left in it in the end."""
    folder = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setenv("TMPDIR", folder)
    yield
    assert not os.listdir(folder), "the sockets of the internal services are still there"
    os.rmdir(folder)


@pytest.fixture
def start(temporary, launch, backend):
    """Return a function that starts a fastproxy."""

    def start(more="api: {insecure: true}\nping: {}", accept="0s"):
        proxy = launch(STATIC.format(more=more, accept=accept), shop(backend)).ready()
        proxy.inside = proxy.port_of("traefik")
        return proxy

    return start


def shop(backend, path="/shop"):
    return DYNAMIC.format(path=path, port=backend.port)


def ask(port, path):
    """Return status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def read(port, path):
    status, body = ask(port, path)
    assert status == 200
    return json.loads(body)


def stop(proxy):
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert not proxy.matches("Traceback")


def test_the_api_tells_what_the_workers_made_of_it(start):
    proxy = start()
    assert read(proxy.inside, "/api/overview")["http"]["routers"] == {"total": 6, "warnings": 0, "errors": 1}
    lost = read(proxy.inside, "/api/http/routers/lost@file")
    assert lost["error"] == ['the service "gone@file" does not exist']
    assert read(proxy.port, "/api/http/routers/look@file")["status"] == "enabled"
    assert ask(proxy.inside, "/api/http/routers/x@file")[0] == 404
    assert proxy.matches("serves: 5 added, 0 changed"), "what is internal is not counted"
    stop(proxy)


def test_explain_is_answered_by_the_supervisor(start):
    proxy = start()
    [way] = read(proxy.inside, "/api/explain?url=http://a/shp&entryPoint=web&header=X:%20y")["ways"]
    assert (way["entryPoint"], way["status"]) == ("web", 404)
    assert way["near"][0]["why"] == ["Path(`/shop`) does not match /shp"]
    stop(proxy)


def test_a_reload_switches_the_api_together_with_the_routers(start, tmp_path, backend):
    proxy = start()
    assert ask(proxy.port, "/shop") == (200, b"ok")
    for number in range(2, 5):
        write(tmp_path, shop(backend, f"/shop{number}"))
        proxy.until("configuration serves", number)
        assert ask(proxy.port, f"/shop{number}") == (200, b"ok")
        assert read(proxy.inside, "/api/http/routers/shop@file")["rule"] == f"Path(`/shop{number}`)"
    stop(proxy)


def test_the_api_survives_the_death_of_workers(start, tmp_path, backend):
    proxy = start()
    for worker in proxy.workers():
        os.kill(worker, signal.SIGKILL)
    proxy.until("serves in place of the one that died", 2)
    write(tmp_path, shop(backend, "/other"))
    proxy.until("configuration serves", 2)
    assert read(proxy.inside, "/api/http/routers/shop@file")["rule"] == "Path(`/other`)"
    stop(proxy)


def test_ping_says_that_it_stops_while_it_still_accepts(start):
    proxy = start(more="api: {}\nping: {terminatingStatusCode: 510}", accept="1s")
    assert ask(proxy.inside, "/ping") == ask(proxy.port, "/status") == (200, b"OK")
    proxy.signal(signal.SIGTERM)
    proxy.until("SIGTERM")
    assert ask(proxy.inside, "/ping") == ask(proxy.port, "/status") == (510, b"Not Extended")
    assert ask(proxy.port, "/shop") == (200, b"ok")
    assert proxy.wait() == 0


def test_healthcheck(start):
    proxy = start(accept="1s")
    command = [sys.executable, "-m", "fastproxy", "healthcheck", "--ping"]
    command.append(f"--entryPoints.traefik.address=127.0.0.1:{proxy.inside}")
    asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert (asked.returncode, asked.stdout) == (0, f"OK: http://127.0.0.1:{proxy.inside}/ping\n")
    stop(proxy)
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE).returncode == 1


def test_what_is_off_is_not_there(start):
    proxy = start(more="")
    proxy.until("router status@file is disabled: ping is not enabled")
    proxy.until("router look@file is disabled: api is not enabled")
    assert (ask(proxy.inside, "/ping")[0], ask(proxy.inside, "/api/version")[0]) == (404, 404)
    stop(proxy)


def test_a_base_path(start):
    proxy = start(more="api: {insecure: true, basePath: /proxy}")
    assert read(proxy.inside, "/proxy/api/version")["Version"]
    assert ask(proxy.inside, "/api/version")[0] == 404
    stop(proxy)
