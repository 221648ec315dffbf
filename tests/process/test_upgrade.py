"""Upgrade in place: the new program serves before the old one ends, or the old one goes on and says why."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from fastproxy.upgrade import VARIABLE, Predecessor, UpgradeError
from tests.process.harness import Fastproxy, Request, is_alive, routes, wait_for

STATIC = """\
entryPoints:
  {name}:
    address: {address}
    transport:
      lifeCycle: {{requestAcceptGraceTimeout: 10m, graceTimeOut: 10s}}
{more}
providers:
  file: {{filename: dynamic.yml, watch: false}}
ping: {{entryPoint: {name}}}
core: {{workers: {workers}}}
"""


SETTINGS = {"name": "web", "address": "127.0.0.1:0", "more": "", "workers": 2}
ONE_WORKER = STATIC.format(**SETTINGS | {"workers": 1})


class Instance(Fastproxy):
    """A fastproxy that is replaced by others, each of which is `pid` in its turn."""

    def __init__(self, folder, backend, **settings):
        self.folder = folder
        self.settings = SETTINGS | settings
        self.configure()
        (folder / "dynamic.yml").write_text(routes(backend))
        super().__init__(["--configFile=fastproxy.yml"], folder)
        self.pid = self.process.pid
        self.ready()
        self.upgrades = 0

    def configure(self, **settings):
        self.settings |= settings
        (self.folder / "fastproxy.yml").write_text(STATIC.format(**self.settings))

    def upgrade(self):
        """Ask for an upgrade and wait until the new program serves; returns the old one's process number."""
        old = self.pid
        os.kill(old, signal.SIGUSR2)
        self.upgrades += 1
        self.pid = int(self.until(r"process (\d+) has taken over", self.upgrades)[1])
        self.until("fastproxy is ready", self.upgrades + 1)
        return old


@pytest.fixture
def start(tmp_path, backend):
    with contextlib.ExitStack() as stack:

        def start(**settings):
            made = Instance(tmp_path, backend, **settings)
            stack.callback(made.close)
            return made

        yield start


def serves(proxy, count=20):
    return [proxy.get() for _ in range(count)] == [200] * count


def test_the_new_one_serves_and_the_old_one_ends(start, backend):
    proxy = start()
    slow = [Request(proxy.port, "/slow") for _ in range(4)]
    idle = socket.create_connection(("127.0.0.1", proxy.port))
    for _ in slow:
        assert backend.asked.get(timeout=10) == "/slow"
    old = proxy.upgrade()
    assert serves(proxy)
    assert is_alive(old)
    # What the old one holds goes on, an idle connection as well.
    idle.sendall(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")
    assert re.match(rb"HTTP/1.1 200 OK\r\n(?s:.*)Connection: close\r\n", idle.recv(65536))
    idle.close()
    backend.release.set()
    assert [each.status() for each in slow] == [200] * 4
    assert proxy.process.wait(30) == 0
    assert serves(proxy)
    assert len(proxy.workers(proxy.pid)) == 2
    os.kill(proxy.pid, signal.SIGTERM)
    proxy.until("SIGTERM: stopping")
    os.kill(proxy.pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(proxy.pid))
    assert proxy.is_refused()
    assert not proxy.matches(r"ERR|were cut|died")


def test_again_and_again(start):
    proxy = start(workers=1)
    for _ in range(3):
        old = proxy.upgrade()
        assert serves(proxy)
        wait_for(lambda old=old: not is_alive(old))
        assert serves(proxy)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_another_number_of_workers(start, before, after):
    proxy = start(workers=before)
    proxy.configure(workers=after)
    old = proxy.upgrade()
    wait_for(lambda: not is_alive(old))
    assert len(proxy.workers(proxy.pid)) == after
    assert serves(proxy, 40)
    os.kill(proxy.pid, signal.SIGTTIN)
    proxy.until("SIGTTIN: worker")
    assert serves(proxy, 40)


def more(port):
    return f"  other: {{address: '127.0.0.1:{port}'}}"


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except ConnectionRefusedError:
        return True
    return False


def test_entry_points_come_and_go_and_change_their_names(start):
    proxy = start(more=more(0))
    (other,) = (int(each[1]) for each in proxy.matches(r"entry point other listens on .*:(\d+)"))
    assert Request(other).status() == 200
    new = socket.create_server(("127.0.0.1", 0))
    port = new.getsockname()[1]
    new.close()
    # `web` is called `http` now, `other` is gone, `third` is new.
    address = f"127.0.0.1:{proxy.port}"
    proxy.configure(name="http", address=address, more=more(port).replace("other", "third"))
    old = proxy.upgrade()
    proxy.until(rf"entry point http listens on 127.0.0.1:{proxy.port}")
    assert serves(proxy)
    assert Request(port).status() == 200
    wait_for(lambda: not is_alive(old))
    assert refused(other)
    assert serves(proxy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"workers": 0}, "core.workers"),
        ({"more": "  taken: {address: '127.0.0.1:PORT'}"}, "cannot listen on .*the address is in use"),
    ],
)
def test_a_new_one_that_cannot_start_leaves_the_old_one_as_it_was(start, backend, change, told):
    proxy = start()
    workers = proxy.workers()
    proxy.configure(**{key: str(value).replace("PORT", str(backend.port)) for key, value in change.items()})
    for count in (1, 2):
        proxy.signal(signal.SIGUSR2)
        proxy.until(f"ERR SIGUSR2: the upgrade failed, and this program goes on: .*{told}", count)
        assert serves(proxy)
    assert proxy.workers() == workers
    proxy.configure(workers=1, more="")
    proxy.upgrade()
    assert serves(proxy)


def halted(proxy):
    """Ask for an upgrade and stop the new program in its start; returns its process number."""
    before = set(proxy.workers())
    proxy.signal(signal.SIGUSR2)
    wait_for(lambda: set(proxy.workers()) - before)
    (new,) = set(proxy.workers()) - before
    # Until it is a program of its own whoever started it stands still with it.
    wait_for(lambda: VARIABLE.encode() in Path(f"/proc/{new}/environ").read_bytes())
    os.kill(new, signal.SIGSTOP)
    return new


def test_a_new_one_that_dies_in_its_start(start):
    proxy = start(workers=1)
    new = halted(proxy)
    proxy.signal(signal.SIGUSR2)
    proxy.until("WRN SIGUSR2: no upgrade: one is under way")
    proxy.signal(signal.SIGTTIN)
    proxy.until("WRN SIGTTIN: no worker more: an upgrade is under way")
    os.kill(new, signal.SIGKILL)
    proxy.until("the upgrade failed, .*: it ended before it was ready, with killed by SIGKILL")
    assert serves(proxy)


def test_what_is_to_be_read_again_while_a_new_one_starts_it_reads_again(start, backend, tmp_path):
    """It may have read the file before somebody changed it."""
    proxy = start(workers=1)
    proxy.signal(signal.SIGUSR2)
    new = int(proxy.until(r"fastproxy starts .*\bpid=(\d+)", 2)[1])
    os.kill(new, signal.SIGSTOP)
    (tmp_path / "dynamic.yml").write_text(routes(backend, "Path(`/new`)"))
    proxy.signal(signal.SIGHUP)
    proxy.signal(signal.SIGUSR1)
    proxy.until("SIGUSR1: logs are opened again")
    os.kill(new, signal.SIGCONT)
    proxy.until("has taken over")
    proxy.until("SIGHUP: the configuration is read again", 2)
    proxy.until("SIGUSR1: logs are opened again", 2)
    wait_for(lambda: not is_alive(proxy.pid))
    wait_for(lambda: proxy.get("/") == 404)
    assert proxy.get("/new") == 200


def test_a_stop_while_a_new_one_starts(start):
    proxy = start(workers=1)
    new = halted(proxy)
    proxy.signal(signal.SIGTERM)
    proxy.until("SIGTERM: stopping")
    os.kill(new, signal.SIGCONT)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    wait_for(lambda: not is_alive(new))
    assert proxy.is_refused()


def test_one_that_takes_too_long_is_ended(launch, backend):
    """The program is started with another time limit, and so is the one that follows."""
    code = (
        "import os, signal, sys, fastproxy.upgrade as upgrade, fastproxy.supervisor;"
        "upgrade.PATIENCE = 1.0; upgrade.END_PATIENCE = 0.2;"
        "os.environ.get(upgrade.VARIABLE) and os.kill(os.getpid(), signal.SIGSTOP);"
        "from fastproxy.cli import main; sys.exit(main())"
    )
    proxy = launch(ONE_WORKER, routes(backend), module=("-c", code)).ready()
    proxy.signal(signal.SIGUSR2)
    proxy.until("the upgrade failed, .*: it was not ready in 1 s")
    assert serves(proxy)
    assert len(proxy.workers()) == 1


@pytest.mark.parametrize("word", ['{"ready": "me"}', '{"ready": 1, "taken": 7}', "[]", "x" * (2 << 20)])
def test_one_that_talks_nonsense_is_ended_and_another_may_follow(tmp_path, launch, backend, word):
    """As a program of another time might."""
    (tmp_path / "word").write_text(word)
    code = (
        "import os, pathlib, socket, sys, fastproxy.upgrade as upgrade;"
        "link = os.environ.get(upgrade.VARIABLE);"
        "word = pathlib.Path('word').read_bytes() + b'\\n';"
        "link and socket.socket(fileno=int(link)).sendall(word);"
        "from fastproxy.cli import main; sys.exit(main())"
    )
    proxy = launch(ONE_WORKER, routes(backend), module=("-c", code)).ready()
    for count in (1, 2):
        proxy.signal(signal.SIGUSR2)
        proxy.until("ERR SIGUSR2: the upgrade failed, .*: what it says makes no sense", count)
        assert serves(proxy)
    wait_for(lambda: len(proxy.workers()) == 1)


def test_process_1_is_not_replaced(launch, backend):
    """The end of process 1 is the end of its container."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name spaces for processes here")
    proxy = launch(ONE_WORKER, routes(backend), before=command).ready()
    (first,) = proxy.workers()
    os.kill(first, signal.SIGUSR2)
    proxy.until("WRN SIGUSR2: no upgrade: this is process 1")
    assert serves(proxy)


def test_the_predecessor_dies_before_its_word():
    """The new one is there, ready, and the only one: it goes on."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, contextlib.ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        given = {"web": {"sockets": [os.dup(listener.fileno())], "one": False}}
        ours.sendall(json.dumps({"version": 1, "pid": 1, "listeners": given}).encode() + b"\n")
        follower = Predecessor(theirs)
        assert follower.given["web"][0].getsockname() == listener.getsockname()
        assert follower.taken(follower.given.values()) == ["web"]

        async def play():
            following = asyncio.create_task(follower.follow(follower.given.values()))
            said = await asyncio.to_thread(ours.recv, 65536)
            assert json.loads(said) == {"ready": os.getpid(), "taken": ["web"]}
            ours.close()
            return await following

        assert asyncio.run(play()) is False
        follower.given["web"].close()


def test_one_of_another_version_is_not_followed():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b'{"version": 2}\n')
        with pytest.raises(UpgradeError, match="speaks version 2, not 1"):
            Predecessor(theirs)
