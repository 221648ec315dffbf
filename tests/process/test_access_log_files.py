"""The access log of real processes: rotated under load, on a full disk, into a pipe that nobody reads."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from tests.process.harness import Fastproxy, Request, wait_for

STATIC = """\
entryPoints:
  web: {{address: "127.0.0.1:0"}}
ping: {{entryPoint: web}}
providers:
  file: {{filename: dynamic.yml}}
core: {{workers: 2}}
log: {{filePath: process.log}}
accessLog: {access}
"""

DYNAMIC = """\
http:
  routers:
    all: {{rule: "PathPrefix(`/`)", service: all}}
    quiet: {{rule: "Path(`/quiet`)", priority: 99, service: all, observability: {{accessLogs: false}}}}
  services:
    all: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{port}"}}]}}}}
"""


@pytest.fixture
def start(launch, backend):
    """Return a function that starts two workers with settings of the access log."""
    dynamic = DYNAMIC.format(port=backend.port)
    return lambda access: launch(STATIC.format(access=access), dynamic, kind=Process)


class Process(Fastproxy):
    """One whose log is in a file, so that standard output is for the access log."""

    def __init__(self, arguments, folder):
        super().__init__(arguments, folder)
        self.log = folder / "process.log"

    def told(self):
        return self.log.read_text() if self.log.exists() else ""

    def serve(self):
        """Wait until it serves; returns itself."""
        wait_for(lambda: "fastproxy is ready" in self.told() or self.process.poll() is not None)
        self.port = int(re.search(r"entry point web listens on .*:(\d+)", self.told())[1])
        return self

    def stop(self):
        self.signal(signal.SIGTERM)
        assert self.wait() == 0


class Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, port, clients=4):
        self.port = port
        self.over = threading.Event()
        self.asked = []
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def _ask(self, client):
        number = 0
        while not self.over.is_set():
            path = f"/{client}/{number}"
            assert Request(self.port, path).status() == 200
            self.asked.append(path)
            number += 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()
        return self.asked


def test_rotated_under_load_no_line_is_lost(start, tmp_path):
    """Source: logrotate renames, then sends USR1. Two workers write to the same file."""
    proxy = start("{filePath: logs/access.log, format: json}").serve()
    current = tmp_path / "logs" / "access.log"
    assert current.stat().st_mode & 0o777 == 0o664 & ~umask()
    load = Load(proxy.port)
    files = []
    for number in range(8):
        wait_for(lambda: current.exists() and current.stat().st_size > 2000)
        files.append(current.rename(tmp_path / f"access.{number}"))
        proxy.signal(signal.SIGUSR1)
        wait_for(lambda done=number: proxy.told().count("logs are opened again") == done + 1)
    asked = load.stop()
    proxy.stop()
    lines = [json.loads(line) for file in (*files, current) for line in file.read_text().splitlines()]
    assert sorted(line["RequestPath"] for line in lines) == sorted(asked)
    assert sorted(line["RequestCount"] for line in lines) == list(range(1, len(asked) + 1))
    assert "lost" not in proxy.told()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_whose_requests_are_told(start, tmp_path):
    proxy = start("{filePath: access.log}").serve()
    for path in ("/told", "/quiet", "/ping", "/told"):
        Request(proxy.port, path).status()
    proxy.stop()
    lines = (tmp_path / "access.log").read_text().splitlines()
    assert [line.split('"')[1] for line in lines] == ["GET /told HTTP/1.1"] * 2


def test_internal_services_are_told_with_add_internals(start, tmp_path):
    proxy = start("{filePath: access.log, addInternals: true}").serve()
    Request(proxy.port, "/ping").status()
    proxy.stop()
    assert '"GET /ping HTTP/1.1" 200 2 "-" "-" 1 "ping@internal"' in (tmp_path / "access.log").read_text()


def test_a_full_disk_costs_lines_and_no_request(start):
    proxy = start("{filePath: /dev/full}").serve()
    assert [proxy.get() for _ in range(40)] == [200] * 40
    wait_for(lambda: "No space left on device" in proxy.told())
    proxy.stop()
    lost = re.findall(r"WRN (\d+) lines of the access log were lost: No space left", proxy.told())
    assert sum(map(int, lost)) == 40


def test_a_file_that_cannot_be_opened_is_told_at_the_start(start, tmp_path):
    (tmp_path / "file").touch()
    proxy = start("{filePath: file/access.log}")
    assert proxy.wait() == 1
    assert "accessLog.filePath: cannot write file/access.log: " in "\n".join(proxy.lines)


def test_standard_output(start):
    proxy = start("{}").serve()
    assert [proxy.get(f"/{number}") for number in range(10)] == [200] * 10
    proxy.until(r'"GET /\d HTTP/1.1" 200 2 "-" "-" \d+ "all@file"', 10)


def test_nobody_reads_standard_output(tmp_path, backend):
    """Requests go on, lines that find no room are lost, and the process log says so."""
    (tmp_path / "fastproxy.yml").write_text(STATIC.format(access="{format: json, bufferingSize: 10}"))
    (tmp_path / "dynamic.yml").write_text(DYNAMIC.format(port=backend.port))
    proxy = Process.__new__(Process)
    proxy.log = tmp_path / "process.log"
    reading, writing = os.pipe()
    proxy.process = popen(tmp_path, writing)
    os.close(writing)
    try:
        proxy.serve()
        wait_for(lambda: Request(proxy.port, "/x").status() == 200 and "nobody takes them" in proxy.told())
        assert Request(proxy.port, "/x").status() == 200
    finally:
        os.killpg(proxy.process.pid, signal.SIGKILL)
        proxy.process.wait()
        os.close(reading)


def popen(folder, output):
    return subprocess.Popen(
        [sys.executable, "-m", "fastproxy", "--configFile=fastproxy.yml"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def test_a_format_that_nobody_knows_is_common_and_told_as_a_warning(start, tmp_path):
    proxy = start("{filePath: access.log, format: apache}").serve()
    assert Request(proxy.port, "/x").status() == 200
    proxy.stop()
    told = r'WRN fastproxy\.yml:\d+:\d+: accessLog\.format: warning: "apache" is not .*; common is taken'
    assert re.search(told, proxy.told())
    assert '"GET /x HTTP/1.1" 200' in (tmp_path / "access.log").read_text()
