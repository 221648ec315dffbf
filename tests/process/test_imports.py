"""What a process has imported: a worker no more than it needs to serve, the daemon no command library."""

import os
import subprocess
import sys

import pytest

from fastproxy.config.dynamic import Configuration, HttpRouter, HttpService
from fastproxy.config.http import HttpConfiguration, LoadBalancer, Server
from fastproxy.config.merge import Merger
from fastproxy.config.middlewares import HttpMiddleware, StripPrefixRegex
from fastproxy.config.static import EntryPoint, StaticConfiguration
from fastproxy.shared import Shared
from fastproxy.sockets import bind_all, close_all
from fastproxy.workers import Workers

# A worker that notes, when it ends, what it has imported meanwhile.
NOTING = """
import os, sys
leave = os._exit
def noting(status):
    with open(os.environ["NOTES"], "w") as notes:
        notes.write("\\n".join(sys.modules))
    leave(status)
os._exit = noting
from fastproxy.worker import main
main()
"""

LIBRARIES = {"uvloop", "msgspec", "re2", "_re2", "typing_extensions"}
"""What a worker may import that is neither ours nor Python's own; the last is what msgspec looks for."""

INSTALLED = ("__", "_virtualenv", "_distutils_hack", "sitecustomize", "_cython", "cython_runtime")

NOT_FOR_WORKERS = (
    "fastproxy.cli",
    "fastproxy.commands",
    "fastproxy.check",
    "fastproxy.supervisor",
    "fastproxy.workers",
    "fastproxy.watcher",
    "fastproxy.providers",
    "fastproxy.config.decode",
    "fastproxy.config.document",
    "fastproxy.config.sources",
    "fastproxy.config.yamltext",
    "fastproxy.config.tomltext",
)


def everything():
    """Return a configuration that makes a worker do a bit of each kind."""
    balancer = LoadBalancer(servers=(Server(url="http://127.0.0.1:1"), Server(url="https://127.0.0.1:1")))
    router = HttpRouter(
        rule="HostRegexp(`^a`) && ClientIP(`10.0.0.0/8`)",
        service="s",
        middlewares=("m",),
    )
    return Configuration(
        http=HttpConfiguration(
            routers={"r": router},
            services={"s": HttpService(load_balancer=balancer)},
            middlewares={"m": HttpMiddleware(strip_prefix_regex=StripPrefixRegex(regex=("^/a",)))},
        )
    )


@pytest.fixture
async def modules(tmp_path, monkeypatch):
    """What a worker has imported that got a configuration, a change of it, and ended."""
    monkeypatch.setenv("NOTES", str(tmp_path / "modules"))
    points = {"web": EntryPoint(address="127.0.0.1:0")}
    listeners, shared = bind_all(points, 1), Shared.make(1)
    command = (sys.executable, "-P", "-c", NOTING)
    static = StaticConfiguration(entry_points=points)
    workers = Workers(static, listeners, shared, command)
    await workers.start(Merger(static).merge({"file": everything()}).configuration)
    workers.apply(Configuration())
    await workers.drain()
    close_all(listeners)
    shared.close()
    return set((tmp_path / "modules").read_text().split("\n"))


async def test_a_worker_imports_only_what_it_needs(modules):
    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - LIBRARIES
    assert {name for name in foreign if is_foreign(name)} == {"fastproxy"}
    assert not [name for name in modules if name.startswith(NOT_FOR_WORKERS)]


def is_foreign(name):
    """Say whether a module is somebody's library, not put in place by interpreter, compiler or installer."""
    return not name.startswith(INSTALLED)


def test_the_daemon_imports_no_command_library(tmp_path):
    script = (
        "import sys; from fastproxy.cli import main; status = main(sys.argv[1:]);"
        "print(status, 'click' in sys.modules, 'fastproxy.commands' in sys.modules)"
    )
    arguments = ["--entryPoints.web.address=192.0.2.1:0"]  # cannot be bound: the start fails at the sockets
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        timeout=30,
    )
    assert done.stdout.splitlines()[-1] == "1 False False"
