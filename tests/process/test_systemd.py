"""What systemd and fastproxy say to each other: passed sockets, and how the service is."""

import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastproxy import systemd
from fastproxy.config.static import EntryPoint
from fastproxy.sockets import BindError
from fastproxy.systemd import given_sockets, notify, watchdog_seconds
from tests.process.harness import PATIENCE, Request, is_alive, routes, wait_for

STATIC = """\
entryPoints: {{web: {{address: "{address}"}}}}
providers: {{file: {{filename: dynamic.yml, watch: false}}}}
core: {{workers: 2}}
"""

# Stands for systemd: listens, starts the program with the socket as descriptor 3, and has the socket still
# when that has ended.
SYSTEMD = """
import os, socket, sys
name, *command = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
pid = os.fork()
if pid == 0:
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
    os.execv(command[0], command)
status = os.waitpid(pid, 0)[1]
try:
    while listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        socket.create_connection(listener.getsockname()).close()
        print("systemd: it still listens", flush=True)
        break
finally:
    sys.exit(os.waitstatus_to_exitcode(status))
"""

UDP_STATIC = """\
entryPoints: {web: {address: "127.0.0.1:0/udp", udp: {timeout: 60s}}}
providers: {file: {filename: dynamic.yml, watch: false}}
core: {workers: 2}
"""

UDP_DYNAMIC = """\
udp:
  routers: {{web: {{service: web}}}}
  services: {{web: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{port}"}}]}}}}}}
"""

# The same with a socket for datagrams.
UDP_SYSTEMD = """
import os, socket, sys
name, *command = sys.argv[1:]
bound = socket.socket(type=socket.SOCK_DGRAM)
bound.bind(("127.0.0.1", 0))
os.dup2(bound.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
os.execv(command[0], command)
"""

UNITS = Path(__file__).parent.parent.parent / "packaging" / "systemd"


@pytest.fixture
def start(launch, backend):
    """Return a function that starts a fastproxy, by itself or with a socket of that name passed."""

    def start(name="", address="127.0.0.1:0", **environment):
        before = [sys.executable, "-c", SYSTEMD, name] if name else []
        return launch(STATIC.format(address=address), routes(backend), before=before, **environment)

    return start


def pid_of(proxy, count=1):
    return int(proxy.until(r"fastproxy starts .*\bpid=(\d+)", count)[1])


# --- sockets ------------------------------------------------------------------------------------------------


def test_all_workers_accept_on_a_passed_socket_and_it_outlives_them(start):
    proxy = start("web").ready()
    pid = pid_of(proxy)
    assert [proxy.get() for _ in range(20)] == [200] * 20
    for worker in proxy.workers(pid):  # whichever lives serves
        os.kill(worker, signal.SIGSTOP)
        assert proxy.get() == 200
        os.kill(worker, signal.SIGCONT)
    os.kill(pid, signal.SIGTERM)
    assert proxy.wait() == 0
    proxy.until("systemd: it still listens")


def test_a_passed_socket_is_handed_on(start):
    proxy = start("web").ready()
    old = pid_of(proxy)
    os.kill(old, signal.SIGUSR2)
    new = pid_of(proxy, 2)
    proxy.until("fastproxy is ready", 2)
    wait_for(lambda: not is_alive(old))
    assert [proxy.get() for _ in range(20)] == [200] * 20
    os.kill(new, signal.SIGTTIN)
    proxy.until("worker 3 .* serves")
    os.kill(new, signal.SIGTTOU)
    proxy.until("SIGTTOU: worker 3")
    assert proxy.get() == 200
    os.kill(new, signal.SIGTERM)
    proxy.until("fastproxy has stopped", 2)
    proxy.until("systemd: it still listens")


class Asker:
    """A client of UDP, and what the server behind the proxy saw of it."""

    def __init__(self, port, server):
        self.server = server
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))

    def ask(self):
        """Return where the question came from, after it was answered."""
        self.socket.send(b"?")
        address = self.server.recvfrom(10)[1]
        self.server.sendto(b"!", address)
        assert self.socket.recv(10) == b"!"
        return address


def test_one_worker_takes_datagrams_from_a_passed_socket_and_another_when_it_dies(launch):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        server.settimeout(PATIENCE)
        server.bind(("127.0.0.1", 0))
        before = [sys.executable, "-c", UDP_SYSTEMD, "web"]
        proxy = launch(UDP_STATIC, UDP_DYNAMIC.format(port=server.getsockname()[1]), before=before)
        proxy.until("fastproxy is ready")
        askers = [Asker(proxy.port_of("web"), server) for _ in range(10)]
        for each in askers:
            stack.callback(each.socket.close)
        first = [each.ask() for each in askers]
        assert len(set(first)) == 10
        assert [each.ask() for each in askers for _ in range(3)] == [each for each in first for _ in range(3)]
        for number in range(1, 4):  # whoever it is that takes them
            os.kill(proxy.workers(proxy.process.pid)[0], signal.SIGKILL)
            proxy.until("in place of the one that died", number)
            assert len({each.ask() for each in askers}) == 10


def test_a_passed_socket_is_of_the_kind_of_its_entry_point(monkeypatch):
    for kind, address, wanted in (
        (socket.SOCK_STREAM, "127.0.0.1:0/udp", "UDP"),
        (socket.SOCK_DGRAM, "127.0.0.1:0", "TCP that listens"),
    ):
        with socket.socket(type=kind) as passed:
            passed.bind(("127.0.0.1", 0))
            monkeypatch.setattr(systemd, "FIRST", os.dup(passed.fileno()))
            monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
            monkeypatch.setenv("LISTEN_FDS", "1")
            monkeypatch.setenv("LISTEN_FDNAMES", "web")
            said = f"^entryPoints.web: systemd passed a socket that is none of {wanted}$"
            with pytest.raises(BindError, match=said):
                given_sockets({"web": EntryPoint(address=address)})


def test_a_name_that_no_entry_point_has(start):
    proxy = start("wbe")
    assert proxy.wait() == 1
    proxy.until(r"systemd passed a socket with the name wbe .* no entry point of that name; there are web")


def test_another_address_than_the_configured_one(start):
    proxy = start("web", address="127.0.0.1:1")
    assert proxy.wait() == 1
    proxy.until(
        r"entryPoints.web.address: systemd passed a socket that listens on 127.0.0.1:\d+, not on 127.0.0.1:1"
    )


def test_a_descriptor_that_is_not_there(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "web")
    monkeypatch.setattr(systemd, "FIRST", 1_000_000)
    with pytest.raises(BindError, match=r"^systemd passed descriptor 1000000 \(web\), which is no socket$"):
        given_sockets({"web": EntryPoint(address=":80")})


def test_what_is_passed_to_another_process_is_not_for_us(start):
    proxy = start(LISTEN_PID="1", LISTEN_FDS="1", LISTEN_FDNAMES="web").ready()
    assert proxy.get() == 200


# --- notices ------------------------------------------------------------------------------------------------


@pytest.fixture
def heard(tmp_path):
    """What systemd is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "notify"))
        link.settimeout(PATIENCE)

        def following():
            """Return the lines of the next message."""
            return link.recv(65536).decode().split("\n")

        def until(line):
            """Return the next message with that line."""
            while line not in (lines := following()):
                pass
            return lines

        until.next = following
        until.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        yield until


def test_ready_reloading_and_stopping(start, heard):
    proxy = start(**heard.environment)
    assert "STATUS=2 workers serve" in heard("READY=1")
    assert proxy.ready().get() == 200
    proxy.signal(signal.SIGHUP)
    assert re.fullmatch(r"MONOTONIC_USEC=\d+", heard("RELOADING=1")[1])
    heard("READY=1")
    proxy.signal(signal.SIGTTIN)
    heard("STATUS=3 workers serve")
    proxy.signal(signal.SIGTERM)
    heard("STOPPING=1")
    assert proxy.wait() == 0


def test_the_main_process_after_an_upgrade(start, heard):
    proxy = start(**heard.environment).ready()
    heard("READY=1")
    proxy.signal(signal.SIGUSR2)
    new = pid_of(proxy, 2)
    heard(f"MAINPID={new}")
    assert "STATUS=2 workers serve" in heard("READY=1")
    assert Request(proxy.port).status() == 200


def test_signs_of_life(start, heard):
    start(**heard.environment, WATCHDOG_USEC="100000")
    for _ in range(3):
        heard("WATCHDOG=1")


def test_signs_of_life_while_connections_end(start, backend, heard):
    """The end may take longer than systemd waits for a sign."""
    proxy = start(**heard.environment, WATCHDOG_USEC="100000").ready()
    slow = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=PATIENCE) == "/slow"
    proxy.signal(signal.SIGTERM)
    heard("STOPPING=1")
    for _ in range(3):
        heard("WATCHDOG=1")
    backend.release.set()
    assert slow.status() == 200
    assert proxy.wait() == 0


def test_without_a_descriptor_nothing_is_told_and_nothing_happens(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nobody")
    monkeypatch.setattr(socket, "socket", refuse)
    notify("READY=1")


def test_a_reload_before_the_start_is_over_is_none_to_systemd(start, heard):
    proxy = start(**heard.environment)
    wait_for(lambda: len(proxy.workers()) == 2)
    worker = proxy.workers()[0]  # which runs: the second is started after it
    os.kill(worker, signal.SIGSTOP)
    proxy.signal(signal.SIGHUP)
    proxy.until("SIGHUP: the configuration is read again")
    os.kill(worker, signal.SIGCONT)
    assert heard.next() == ["READY=1", "STATUS=2 workers serve"]


def test_no_signs_of_life_for_another_process(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    assert watchdog_seconds() == 5.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert watchdog_seconds() == 0.0
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_seconds() == 0.0


def test_an_abstract_socket_and_none_at_all(monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind("\0fastproxy-test-notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "@fastproxy-test-notify")
        notify("READY=1", "STATUS=fine")
        assert link.recv(100) == b"READY=1\nSTATUS=fine"
    notify("READY=1")  # nobody listens any more: no matter
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


# --- units --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/usr/local/bin/fastproxy", sys.executable)
        (tmp_path / unit.name).write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("fastproxy.*")))],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        timeout=60,
        check=False,
    )
    ours = [line for line in found.stderr.splitlines() if "fastproxy" in line]
    assert ours == []
    assert found.returncode == 0
