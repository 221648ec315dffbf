"""The demo writes files that a user may edit, and ends with what it started."""

import errno
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from fastproxy import demo


def test_writes_both_files_for_the_port(tmp_path):
    assert demo.write_samples(tmp_path / "new", 9000) == []
    static = (tmp_path / "new" / "fastproxy.yml").read_text()
    dynamic = (tmp_path / "new" / "dynamic.yml").read_text()
    assert 'address: ":9000"' in static
    assert f"filename: {tmp_path}/new/dynamic.yml" in static
    assert "http://127.0.0.1:9001" in dynamic and "http://127.0.0.1:9002" in dynamic


def test_an_edited_file_stays(tmp_path):
    demo.write_samples(tmp_path, 9000)
    (tmp_path / "dynamic.yml").write_text("http: {}\n")
    for _ in range(2):
        assert demo.write_samples(tmp_path, 9000) == ["dynamic.yml"]
    assert (tmp_path / "dynamic.yml").read_text() == "http: {}\n"


def test_a_file_that_was_there_before_stays(tmp_path):
    (tmp_path / "fastproxy.yml").write_text("entryPoints: {}\n")
    assert demo.write_samples(tmp_path, 9000) == ["fastproxy.yml"]
    assert (tmp_path / "fastproxy.yml").read_text() == "entryPoints: {}\n"


def test_untouched_files_follow_the_port(tmp_path):
    demo.write_samples(tmp_path, 9000)
    assert demo.write_samples(tmp_path, 9100) == []
    assert "9101" in (tmp_path / "dynamic.yml").read_text()


def test_an_edited_file_for_another_port_is_refused(tmp_path):
    demo.write_samples(tmp_path, 9000)
    (tmp_path / "dynamic.yml").write_text("http: {}\n")
    with pytest.raises(demo.DemoError, match=r"dynamic.yml was edited and is for port 9000; say --port 9000"):
        demo.write_samples(tmp_path, 9100)


def three_ports() -> int:
    """Return the first of three ports of which the next two were free a moment ago."""
    for port in range(20_000, 30_000, 3):
        try:
            for each in range(port, port + 3):
                socket.create_server(("127.0.0.1", each)).close()
        except OSError:
            continue
        return port
    raise AssertionError("no three free ports in a row")


# Stands for the proxy: answers everything with the address of the first backend until TERM comes.
STAND_IN = """
import asyncio, pathlib, sys
from fastproxy import whoami
folder = pathlib.Path(sys.argv[1].partition("=")[2]).parent
port = int((folder / "fastproxy.yml").read_text().partition('address: ":')[2].partition('"')[0])
async def main():
    async with await whoami.serve("stand-in", port=port) as server:
        await server.serve_forever()
asyncio.run(main())
"""

RUN = """
import sys
from fastproxy import demo
sys.exit(demo.run({folder!r}, {port}, [sys.executable, "-c", {program!r}]))
"""


def start(folder, port: int, program: str) -> subprocess.Popen:
    command = [sys.executable, "-c", RUN.format(folder=str(folder), port=port, program=program)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ask(port: int, path: str = "/", host: str = "localhost") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def test_what_is_printed_is_true(tmp_path):
    """The whole of it: what the three lines of curl show, a change of the file, and the end."""
    port = three_ports()
    program = f"from fastproxy import demo; import sys; sys.exit(demo.run({str(tmp_path)!r}, {port}))"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = iter(process.stdout.readline, "")
        assert any("Ctrl-C ends the demo" in line for line in lines)
        assert {ask(port).splitlines()[0] for _ in range(2)} == {"Name: one", "Name: two"}
        assert {ask(port, host="one.localhost").splitlines()[0] for _ in range(3)} == {"Name: one"}
        seen = ask(port, "/api/users")
        assert "\nGET /users HTTP/1.1\n" in seen and "\nX-Demo: edit me\n" in seen
        dynamic = tmp_path / "dynamic.yml"
        dynamic.write_text(dynamic.read_text().replace("edit me", "edited"))
        assert any("1 changed" in line for line in lines)
        assert "\nX-Demo: edited\n" in ask(port, "/api/users")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_prints_what_to_try_and_ends_with_the_proxy(tmp_path, number):
    port = three_ports()
    with start(tmp_path, port, STAND_IN) as process:
        lines = iter(process.stdout.readline, "")
        text = next(line for line in lines if "curl" in line)
        assert f"curl http://localhost:{port}/" in text
        process.send_signal(number)
        process.wait(20)
    for each in range(port, port + 3):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", each), 5)


def test_ends_when_the_proxy_does_and_as_it_does(tmp_path):
    with start(tmp_path, three_ports(), "import sys; sys.exit('no entry point'); ") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "no entry point" in errors


def test_a_taken_port_is_told(tmp_path):
    port = three_ports()
    with socket.create_server(("127.0.0.1", port + 2)):
        with start(tmp_path, port, STAND_IN) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    reason = os.strerror(errno.EADDRINUSE).lower()
    assert f"127.0.0.1:{port + 2}, for a backend: {reason}; choose others with --port" in errors
