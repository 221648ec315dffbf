"""The bench says what it measured: it reads wrk, judges ratios, and counts a process tree."""

import os
import subprocess
import sys

import pytest

from bench import gate
from bench.rig import configs, fleet, load, machine, report, streams
from bench.rig.cases import CASES, Case

CALM = """Running 3s test @ http://127.0.0.1:8000/small
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.23ms  456.00us   9.87ms   80.00%
    Req/Sec    51.15k     1.20k   53.00k    70.00%
  Latency Distribution
     50%    1.10ms
     75%    1.40ms
     90%    1.80ms
     99%  950.00us
  153450 requests in 3.01s, 25.17MB read
Requests/sec:  50980.07
"""
TROUBLED = CALM.replace("Requests/sec", """  Socket errors: connect 0, read 35, write 2, timeout 0
  Non-2xx or 3xx responses: 10
Requests/sec""").replace("950.00us", "1.02s")


def test_reads_wrk():
    found = load.read_wrk(CALM)
    assert (found.requests, found.seconds, round(found.p99, 3), found.failed) == (153450, 3.01, 0.95, 0)
    assert not found.failures


def test_reads_what_wrk_complains_of():
    found = load.read_wrk(TROUBLED)
    assert found.p99 == 1020.0
    assert found.failures == (
        "Socket errors: connect 0, read 35, write 2, timeout 0", "Non-2xx or 3xx responses: 10",
    )
    assert found.failed == 47


def test_counts_children_alive_and_ended():
    burn = "import time\nwhile time.process_time() < 0.2: pass\n"
    script = (
        f"import subprocess, sys\n{burn}"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as process:
        process.stdout.readline()
        used = machine.cpu_of(process.pid)
        assert machine.tree(os.getpid()).count(process.pid) == 1
        assert machine.memory_of(process.pid).uss > 1_000_000
        process.stdin.close()
    assert used.total >= 0.38
    assert used.user <= used.total


def figure(total: float) -> report.Round:
    outcome = load.Outcome(requests=1_000_000, seconds=10.0, p99=1.0)
    return report.Round(outcome, machine.Cpu(1.0, total), machine.Memory(2**20, 2**20), 0.0)


def results(**totals: float) -> report.Results:
    """Return results of one case, seconds of CPU for a million requests by proxy."""
    found = report.Results(list(totals))
    for proxy, total in totals.items():
        found.figure("small", proxy).add(figure(total))
    return found


SMALL = next(case for case in CASES if case.name == "small")


@pytest.mark.parametrize(("ours", "words"), [
    (13.0, ["PASS", "PASS"]),
    (14.0, ["PASS", "MISS"]),
    (14.1, ["MISS", "MISS"]),
])
def test_judges_against_both_peers(ours, words):
    lines = report.verdicts(results(fastproxy=ours, nginx=14.0, haproxy=14.1), [SMALL])
    assert [line.split()[0] for line in lines] == words


def test_a_peer_that_failed_is_no_measure():
    found = results(fastproxy=14.0, nginx=1400.0, haproxy=15.0)
    found.figure("small", "nginx").failures.append("an answer is missing")
    lines = report.verdicts(found, [SMALL])
    assert [line.split()[0] for line in lines] == ["NONE", "PASS"]
    assert lines[0].endswith("nginx failed")


def test_a_case_may_be_measured_against_another_case():
    found = report.Results(["fastproxy"])
    found.figure("one", "fastproxy").add(figure(10.0))
    found.figure("many", "fastproxy").add(figure(11.5))
    case = Case("many", "many", load.Load(), targets={"one": 1.10})
    assert report.verdicts(found, [case]) == ["MISS  many: 1.150x one (<= 1.10x)"]


def test_prints_what_is_there():
    text = report.table(results(nginx=14.0, haproxy=15.4), [SMALL])
    assert "1.100" in text and "fastproxy" not in text


@pytest.mark.parametrize("names", [0, 3])
def test_every_proxy_is_told_the_same_names(tmp_path, names):
    for kind, write in configs.COMMANDS.items():
        folder = tmp_path / kind
        folder.mkdir()
        write(configs.Site(folder, 1, (2, 3), configs.host_names(names)))
        text = "".join(path.read_text() for path in folder.iterdir())
        assert text.count(".bench.example") == names
        assert "127.0.0.1:1" in text and "127.0.0.1:2" in text


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return streams.compiled(tmp_path_factory.mktemp("streams"))


@pytest.mark.parametrize("mode", ["ping", "bulk", "new", "datagrams", "sessions"])
def test_streams_are_counted_and_whole(program, tmp_path, mode):
    core = min(os.sched_getaffinity(0))
    load = streams.Stream(mode, 3)
    with fleet.stream_servers(program, tmp_path / "servers", core) as ports:
        found = streams.run(program, load, ports[load.server], 0.2, core)
    assert not found.failures and found.requests > 3
    assert 0.2 <= found.seconds < 10.2
    assert (found.p99 > 0) is (mode != "bulk")


@pytest.mark.parametrize("mode", ["ping", "bulk"])
def test_streams_miss_what_does_not_come(program, tmp_path, mode):
    core = min(os.sched_getaffinity(0))
    with fleet.stream_servers(program, tmp_path / "servers", core) as ports:
        found = streams.run(program, streams.Stream(mode, 3), ports["once"], 0.2, core)
    assert found.failed == 1
    assert "streams: " in found.failures[0]


def test_every_proxy_passes_streams_on_to_the_same_server(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "nginx_module", lambda: "load_module stream.so;")
    for kind, write in streams.COMMANDS.items():
        folder = tmp_path / kind
        folder.mkdir()
        write(configs.Site(folder, 1, (2, 2), []), streams.Stream("ping"))
        text = "".join(path.read_text() for path in folder.iterdir())
        assert "127.0.0.1:1" in text and "127.0.0.1:2" in text


@pytest.mark.parametrize(("mode", "proxies", "found"), [
    ("bulk", ["fastproxy", "haproxy"], ["fastproxy", "haproxy", "haproxy-splice"]),
    ("ping", ["fastproxy", "haproxy"], ["fastproxy", "haproxy"]),
    ("bulk", ["nginx"], ["nginx"]),
    ("datagrams", ["fastproxy", "nginx", "haproxy"], ["fastproxy", "nginx"]),
])
def test_haproxy_comes_twice_where_bytes_come_in_bulk(mode, proxies, found):
    assert streams.kinds(streams.Stream(mode), proxies) == found


def benchmark(name: str, seconds: float) -> dict:
    return {"group": "head", "name": name, "stats": {"min": seconds}}


def test_gate_pairs_compiled_and_twin():
    pairs = [
        benchmark("test_head_compiled[13]", 1.0), benchmark("test_head_twin[13]", 4.0),
        benchmark("test_head[4-compiled]", 1.0), benchmark("test_head[4-twin]", 2.0),
        benchmark("test_head[compiled]", 4.0), benchmark("test_head[twin]", 2.0),
    ]
    assert gate.ratios_of(pairs) == {"head: head[13]": 0.25, "head: head[4]": 0.5, "head: head": 2.0}


def test_gate_wants_a_twin():
    with pytest.raises(SystemExit, match="test_head_compiled has no partner test_head_twin"):
        gate.ratios_of([benchmark("test_head_compiled", 1.0)])


@pytest.mark.parametrize(("now", "saved", "good", "word"), [
    ({"a": 0.109}, {"a": 0.1}, True, "PASS"),
    ({"a": 0.111}, {"a": 0.1}, False, "FAIL"),
    ({"a": 0.111}, {}, True, "NEW"),
    ({}, {"a": 0.1}, False, "GONE"),
])
def test_gate_fails_past_a_tenth(now, saved, good, word):
    lines, found = gate.judged(now, saved)
    assert found is good
    assert lines[0].startswith(word)
