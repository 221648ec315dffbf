"""`core.limits.workerMemory`: a worker that holds too much is replaced, and nobody notices."""

import os

import pytest

from tests.process.harness import Request, is_alive, wait_for

STATIC = """\
entryPoints:
  web: {{address: 127.0.0.1:0}}
providers:
  file: {{filename: dynamic.yml, watch: false}}
core:
  workers: 1
  limits: {{workerMemory: {most}}}
  plugins: {{hoard: "hoard:Hoard"}}
"""

DYNAMIC = """\
http:
  routers:
    all: {{rule: "PathPrefix(`/`)", service: all}}
    grow: {{rule: "Path(`/grow`)", priority: 99, service: all, middlewares: [grow]}}
  middlewares:
    grow: {{plugin: {{hoard: {{}}}}}}
  services:
    all: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{port}"}}]}}}}
"""

PLUGIN = """\
from fastproxy.plugins.api import Middleware

KEPT = []


class Hoard(Middleware):
    async def on_request(self, request):
        KEPT.append(bytearray(b"x") * (200 << 20))
"""


@pytest.fixture
def start(tmp_path, launch, backend, monkeypatch):
    """Return a function that starts a fastproxy with a limit, and a plugin that keeps 200 MiB on `/grow`."""
    (tmp_path / "hoard.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda most: launch(STATIC.format(most=most), DYNAMIC.format(port=backend.port)).ready()


def test_a_worker_that_grows_is_replaced_and_what_it_does_is_not_lost(start, backend):
    proxy = start("150MiB")
    [large] = proxy.workers()
    slow = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    assert proxy.get("/grow") == 200
    proxy.until(
        rf"worker 1 \(pid {large}\) holds \d+\.\d MiB, core.limits.workerMemory is 150.0 MiB: "
        "it ends when its connections have, worker 2 follows"
    )
    proxy.until(r"worker 2 \(pid \d+\) serves")
    assert [proxy.get() for _ in range(20)] == [200] * 20
    assert is_alive(large)  # it has a request to answer
    backend.release.set()
    assert slow.status() == 200
    wait_for(lambda: large not in proxy.workers())
    assert len(proxy.workers()) == 1
    assert proxy.get() == 200


def test_a_worker_that_needs_more_from_its_start_is_left_alone(start):
    proxy = start("1MiB")
    [worker] = proxy.workers()
    told = r"needs \d+\.\d MiB from the start; core.limits.workerMemory is 1.0 MiB"
    proxy.until(rf"worker 1 \(pid {worker}\) {told}")
    os.kill(worker, 0)
    assert proxy.get() == 200
    assert proxy.workers() == [worker]
