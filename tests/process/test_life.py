"""The life of an instance, from its start to its end: real processes, real sockets, real signals."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from tests.process.harness import Fastproxy, Request, is_alive, routes, static_of, wait_for, write

SERVES = "configuration serves"


@pytest.fixture
def start(launch, backend):
    """Return a function that writes the files and starts a fastproxy with them."""

    def start(*, dynamic=None, static=None, **changes):
        return launch(static or static_of(**changes), routes(backend) if dynamic is None else dynamic)

    return start


# --- start ------------------------------------------------------------------------------------------------


def test_it_starts_serves_and_stops(start):
    proxy = start().ready()
    assert len(proxy.workers()) == 2
    assert [proxy.get() for _ in range(20)] == [200] * 20
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.is_refused()
    assert [re.sub(r"^\S+ ", "", line) for line in proxy.lines if "pid" not in line] == [
        "INF static configuration: fastproxy.yml",
        re.search("INF configuration serves: 2 added, .*", proxy.lines[2])[0],
        f"INF entry point web listens on 127.0.0.1:{proxy.port}",
        "INF fastproxy is ready",
        "INF SIGTERM: stopping, connections that are open may finish",
        "INF fastproxy has stopped requests=20 refused=0 2xx=20 3xx=0 4xx=0 5xx=0 gone=0 "
        "bytes_in=0 bytes_out=40",
    ]


def test_one_worker_is_a_process_of_its_own_too(start):
    proxy = start(workers=1).ready()
    assert len(proxy.workers()) == 1
    assert proxy.get() == 200


@pytest.fixture
def busy():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_every_mistake_is_told_before_any_socket_is_bound(start, busy):
    static = f"entryPoints: {{web: {{address: '127.0.0.1:{busy}'}}, b: {{}}}}"
    proxy = start(static=static + "\nlog: {levl: x}\ncore: {workers: 0}\n")
    assert proxy.wait() == 1
    assert [line.split(": ")[:2] for line in proxy.lines] == [
        ["fastproxy.yml:1:50", "entryPoints.b.address"],
        ["fastproxy.yml:2:7", "log.levl"],
        ["fastproxy.yml:3:17", "core.workers"],
    ]


@pytest.mark.parametrize(
    ("dynamic", "told"),
    [
        ("http: [\n", "dynamic.yml:2:1: not YAML: "),
        ("htp: {}\n", 'dynamic.yml:1:1: htp: unknown section "htp"; did you mean http?'),
    ],
)
def test_a_dynamic_file_that_cannot_be_read_at_the_start_is_fatal(start, busy, dynamic, told):
    proxy = start(dynamic=dynamic)
    assert proxy.wait() == 1
    assert proxy.lines[0].startswith(told)


def test_a_port_in_use(start, busy):
    proxy = start(static=f"entryPoints: {{web: {{address: '127.0.0.1:{busy}'}}}}")
    assert proxy.wait() == 1
    assert proxy.lines[-1] == (
        f"fastproxy: entryPoints.web.address: cannot listen on 127.0.0.1:{busy}: "
        "the address is in use; stop who has it, choose another port, or set reusePort in both"
    )


def test_a_second_fastproxy_on_the_same_port_is_refused(start):
    first = start().ready()
    second = start(static=f"entryPoints: {{web: {{address: '127.0.0.1:{first.port}'}}}}")
    assert second.wait() == 1
    assert first.get() == 200


def test_a_log_file_that_cannot_be_written(start, tmp_path):
    (tmp_path / "taken").mkdir()
    proxy = start(log="taken")
    assert proxy.wait() == 1
    assert proxy.lines == ["fastproxy: log.filePath: cannot write taken: is a directory"]


def test_a_broken_router_disables_itself_and_the_rest_serves(start, backend):
    text = routes(backend).replace("  routers:\n", "  routers:\n    bad: {rule: 'Hst(`x`)', service: all}\n")
    text = text.replace("  routers:\n", "  routers:\n    odd: {rul: 'Host(`x`)', service: all}\n")
    proxy = start(dynamic=text).ready()
    assert proxy.get() == 200
    proxy.until("router bad@file is disabled: .*unsupported function: Hst; did you mean Host")
    proxy.until(r'dynamic.yml:3:11: http.routers.odd.rul: unknown option "rul"; did you mean rule\?')
    assert len(proxy.matches("odd")) == 1


def test_a_router_on_an_unknown_entry_point_is_warned_of_once(start, tmp_path, backend):
    text = routes(backend).replace("service: all}", "service: all, entryPoints: [web, wbe]}")
    proxy = start(dynamic=text).ready()
    proxy.until("WRN router all@file: .*wbe")
    write(tmp_path, text.replace("  routers:\n", "  routers:\n    b: {rule: Host(`b`), service: all}\n"))
    proxy.until(SERVES, 2)
    assert proxy.get() == 200
    assert len(proxy.matches("wbe")) == 1


def test_without_standard_descriptors_it_serves_all_the_same(start, tmp_path, backend):
    start(log="closed.log")  # writes the files, and has read them when it is ready
    first = tmp_path / "closed.log"
    wait_for(lambda: first.exists() and "is ready" in first.read_text())
    command = f"exec {sys.executable} -m fastproxy --configFile=fastproxy.yml 0<&- 1>&- 2>&-"
    (tmp_path / "fastproxy.yml").write_text(static_of(workers=1, log="fastproxy.log"))
    process = subprocess.Popen(["sh", "-c", command], cwd=tmp_path, process_group=0)
    log = tmp_path / "fastproxy.log"
    wait_for(lambda: log.exists() and "is ready" in log.read_text())
    port = int(re.search(r"listens on .*:(\d+)", log.read_text())[1])
    assert Request(port).status() == 200
    process.terminate()
    assert process.wait(30) == 0


def test_a_stop_while_it_starts(start):
    proxy = start()
    wait_for(proxy.workers)
    workers = proxy.workers()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert not proxy.matches("is ready|Traceback")
    assert not any(map(is_alive, workers))


# --- reload -----------------------------------------------------------------------------------------------


def test_a_renamed_file_is_live_in_all_workers_and_told_in_one_line(start, tmp_path, backend):
    proxy = start().ready()
    write(tmp_path, routes(backend, "PathPrefix(`/new`)"))
    line = proxy.until(SERVES, 2).string
    assert "0 added, 1 changed, 0 removed, 0 disabled" in line
    assert line.endswith("generation=2 workers=2")
    assert {proxy.get("/") for _ in range(20)} == {404}
    assert {proxy.get("/new") for _ in range(20)} == {200}
    assert len(proxy.matches(SERVES)) == 2


def test_a_bad_file_keeps_the_old_one(start, tmp_path):
    proxy = start(watch="false").ready()
    write(tmp_path, "http:\n  routers: [\n")
    proxy.signal(signal.SIGHUP)
    proxy.until("ERR dynamic.yml:3:1: not YAML")
    proxy.until("the last good one stays")
    assert proxy.get() == 200
    assert len(proxy.matches(SERVES)) == 1


def test_hup_reads_again_what_is_not_watched(start, tmp_path, backend):
    proxy = start(watch="false").ready()
    write(tmp_path, routes(backend, "PathPrefix(`/new`)"))
    proxy.signal(signal.SIGHUP)
    proxy.until(SERVES, 2)
    assert (proxy.get("/"), proxy.get("/new")) == (404, 200)


def test_a_request_under_way_is_not_touched_by_a_reload(start, tmp_path, backend):
    proxy = start(workers=1).ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    write(tmp_path, routes(backend, "PathPrefix(`/new`)"))
    proxy.until(SERVES, 2)
    backend.release.set()
    assert request.status() == 200


# --- workers that die --------------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced_and_the_others_serve(start):
    proxy = start().ready()
    victim, other = proxy.workers()
    os.kill(victim, signal.SIGKILL)
    assert [proxy.get() for _ in range(20)] == [200] * 20  # those for the dead one wait for its successor
    died = proxy.until("died").string
    assert re.search(rf"ERR worker \d \(pid {victim}\) died: killed by SIGKILL", died)
    assert died.endswith("it is the 1st of this place, a new one starts now")
    proxy.until("serves in place of the one that died generation=1")
    assert other in proxy.workers()
    assert len(proxy.workers()) == 2


def test_the_counters_of_a_dead_worker_are_not_lost(start):
    proxy = start(workers=1).ready()
    assert [proxy.get() for _ in range(3)] == [200] * 3
    os.kill(proxy.workers()[0], signal.SIGKILL)
    proxy.until("serves in place")
    assert proxy.get() == 200
    proxy.signal(signal.SIGTERM)
    proxy.wait()
    proxy.until("has stopped requests=4 ")


def test_a_replaced_worker_gets_the_newest_configuration(start, tmp_path, backend):
    proxy = start(workers=1).ready()
    write(tmp_path, routes(backend, "PathPrefix(`/new`)"))
    proxy.until(SERVES, 2)
    os.kill(proxy.workers()[0], signal.SIGKILL)
    proxy.until("serves in place of the one that died generation=2")
    assert (proxy.get("/"), proxy.get("/new")) == (404, 200)
    write(tmp_path, routes(backend, "PathPrefix(`/newer`)"))
    proxy.until(SERVES, 3)
    assert (proxy.get("/new"), proxy.get("/newer")) == (404, 200)


def test_workers_that_are_told_to_end_finish_their_requests(start, backend):
    proxy = start().ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    for worker in proxy.workers():
        os.kill(worker, signal.SIGTERM)
    backend.release.set()
    assert request.status() == 200
    proxy.until("died: exit status 0")
    assert [proxy.get() for _ in range(10)] == [200] * 10


def test_the_only_worker_ends_when_another_one_serves(start, backend):
    """Else who comes would wait until its requests are over."""
    proxy = start(workers=1, grace="10m").ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    (worker,) = proxy.workers()
    os.kill(worker, signal.SIGTERM)
    proxy.until("worker 2 .* serves")
    assert proxy.get() == 200
    assert is_alive(worker)
    backend.release.set()
    assert request.status() == 200
    wait_for(lambda: worker not in proxy.workers())
    assert proxy.get() == 200
    assert len(proxy.workers()) == 1
    assert not proxy.matches("Traceback|died")


def test_without_a_supervisor_the_workers_finish_and_end(start, backend):
    proxy = start().ready()
    workers = proxy.workers()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGKILL)
    proxy.until("the supervisor is gone", 2)
    wait_for(proxy.is_refused)
    backend.release.set()
    assert request.status() == 200
    wait_for(lambda: not any(map(is_alive, workers)))


# --- the end ------------------------------------------------------------------------------------------------


def test_a_request_under_way_is_finished(start, backend):
    proxy = start().ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGTERM)
    wait_for(proxy.is_refused)
    backend.release.set()
    assert request.status() == 200
    assert proxy.wait() == 0
    assert not proxy.matches("were cut")


def test_a_request_past_the_grace_time_is_cut(start, backend):
    proxy = start(grace="100ms").ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGTERM)
    assert request.status() == 0
    assert proxy.wait() == 0
    proxy.until("WRN 1 connection was cut when the grace time was over")


def test_a_second_signal_ends_at_once(start, backend):
    proxy = start(grace="10m").ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    proxy.signal(signal.SIGTERM)
    proxy.until("SIGTERM: stopping")
    proxy.signal(signal.SIGTERM)
    assert request.status() == 0
    assert proxy.wait() == 0


def test_it_goes_on_accepting_for_a_while_if_it_is_told_to(start):
    """So that a load balancer before it has the time to notice."""
    proxy = start(accept="10m").ready()
    proxy.signal(signal.SIGTERM)
    proxy.until("SIGTERM: ")
    assert [proxy.get() for _ in range(10)] == [200] * 10
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.is_refused()


def test_an_idle_connection_does_not_hold_up_the_end(start):
    proxy = start(grace="10m").ready()
    with socket.create_connection(("127.0.0.1", proxy.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_is_one_to_the_supervisor(start, backend, number):
    """As Ctrl-C at a terminal, or a service manager that signals every process."""
    proxy = start().ready()
    request = Request(proxy.port, "/slow")
    assert backend.asked.get(timeout=10) == "/slow"
    os.killpg(proxy.process.pid, number)
    proxy.until(f"{number.name}: stopping")
    backend.release.set()
    assert request.status() == 200
    assert proxy.wait() == 0
    assert not proxy.matches("Traceback|died|ended")


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU]
)
def test_other_signals_to_the_whole_group_harm_nobody(start, number):
    proxy = start().ready()
    before = proxy.workers()
    os.killpg(proxy.process.pid, number)
    proxy.until(number.name)
    assert proxy.get() == 200
    assert proxy.workers() == before


# --- the log ------------------------------------------------------------------------------------------------


def test_a_moved_log_is_opened_again_by_all(start, tmp_path):
    proxy = start(log="fastproxy.log", workers=1)
    log = tmp_path / "fastproxy.log"
    wait_for(lambda: log.exists() and "is ready" in log.read_text())
    moved = log.rename(tmp_path / "moved.log")
    proxy.signal(signal.SIGUSR1)
    wait_for(lambda: log.exists() and "SIGUSR1" in log.read_text())
    (worker,) = proxy.workers()
    wait_for(lambda: str(log) in open_files(worker))
    assert str(moved) not in open_files(worker)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.lines == []
    assert "has stopped" in log.read_text()
    assert "has stopped" not in moved.read_text()


def open_files(pid):
    return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]


# --- without a file -----------------------------------------------------------------------------------------


def test_serve_needs_no_file(tmp_path, backend):
    proxy = Fastproxy(["serve", "127.0.0.1:0", str(backend.port), "--workers=1"], tmp_path)
    try:
        proxy.ready()
        assert proxy.get() == 200
        proxy.signal(signal.SIGHUP)
        proxy.until("SIGHUP")
        proxy.signal(signal.SIGINT)
        assert proxy.wait() == 0
    finally:
        proxy.close()
    assert not proxy.matches("ERR|WRN")
