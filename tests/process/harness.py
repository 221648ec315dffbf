"""A fastproxy in processes of its own, its log, and a backend that answers when it is told to."""

import contextlib
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE = 30.0
"""Seconds after which something that should happen is said not to."""

STATIC = """\
entryPoints:
  web:
    address: 127.0.0.1:0
    transport:
      lifeCycle: {{requestAcceptGraceTimeout: {accept}, graceTimeOut: {grace}}}
providers:
  providersThrottleDuration: 0
  file: {{filename: dynamic.yml, watch: {watch}}}
core: {{workers: {workers}}}
log: {{filePath: "{log}"}}
"""

DYNAMIC = """\
http:
  routers:
    all: {{rule: "{rule}", service: all}}
  services:
    all: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{port}"}}]}}}}
"""


def static_of(**changes):
    """Return a static configuration, of two workers unless it is said otherwise."""
    values = {"workers": 2, "accept": "0s", "grace": "10s", "watch": "true", "log": ""}
    return STATIC.format(**values | changes)


def routes(backend, rule="PathPrefix(`/`)"):
    """Return a dynamic configuration of one router."""
    return DYNAMIC.format(rule=rule, port=backend.port)


def write(folder, text):
    """Replace the dynamic file as editors and deployment tools do: by a rename."""
    (folder / "dynamic.new").write_text(text)
    (folder / "dynamic.new").rename(folder / "dynamic.yml")


class Backend:
    """Answers `/slow` when `release` is set, everything else at once, each time on a new connection."""

    def __init__(self):
        self.release = threading.Event()
        self.asked = queue.Queue()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            path = head.split()[1].decode()
            self.asked.put(path)
            if path == "/slow":
                self.release.wait(PATIENCE)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    def close(self):
        self.release.set()
        self.listener.close()


class Fastproxy:
    """One `fastproxy` with its workers."""

    def __init__(self, arguments, folder, *, before=(), module=("-m", "fastproxy"), **environment):
        """before: what runs the interpreter. module: what that runs."""
        self.process = subprocess.Popen(
            [*before, sys.executable, *module, *arguments],
            cwd=folder,
            env={**os.environ, "HOME": str(folder), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self.lines = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()

    def until(self, pattern, count=1):
        """Wait until that many lines match; returns the match of the last of them."""
        with self._more:
            self._more.wait_for(lambda: len(self.matches(pattern)) >= count or self._is_over(), PATIENCE)
            found = self.matches(pattern)
            assert len(found) >= count, f"{pattern!r} {count} times, in:\n" + "\n".join(self.lines)
            return found[count - 1]

    def _is_over(self):
        return self.process.poll() is not None and not self._reader.is_alive()

    def matches(self, pattern):
        return [match for line in list(self.lines) if (match := re.search(pattern, line))]

    def ready(self):
        """Wait until it serves; returns itself."""
        self.until("fastproxy is ready")
        self.port = self.port_of("web")
        return self

    def port_of(self, name):
        """Return where an entry point listens."""
        return int(self.until(rf"entry point {name} listens on \S+:(\d+)")[1])

    def workers(self, of=None):
        """Return the process numbers of the workers that are there now. of: of which supervisor."""
        of = of or self.process.pid
        children = Path(f"/proc/{of}/task/{of}/children").read_text()
        return [int(pid) for pid in children.split()]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Wait for the end, and for its last line; returns the exit status."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def get(self, path="/"):
        """Ask on a new connection; returns the status."""
        return Request(self.port, path).status()

    def is_refused(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            return False  # it was on its way when the socket closed; the next one is refused
        return False

    def close(self):
        """End what is left of it."""
        with contextlib.suppress(ProcessLookupError):  # also those that it has handed over to
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.process.stdout.close()


class Request:
    """One request under way."""

    def __init__(self, port, path="/"):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n".encode())

    def status(self):
        """Wait for the whole answer; returns its status, or 0 if the connection ends without one."""
        answer = b""
        with self.socket, contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                answer += data
        return int(answer.split()[1]) if answer.endswith(b"ok") or b" 404 " in answer[:16] else 0


def wait_for(condition):
    """Wait until something that no log line tells is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.005)


def is_alive(pid):
    """Say whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
