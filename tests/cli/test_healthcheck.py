"""`fastproxy healthcheck`: what it asks, what it prints, what it returns."""

import contextlib
import socket
import threading

import pytest

from fastproxy import healthcheck
from fastproxy.cli import main


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@contextlib.contextmanager
def answering(answer, host="127.0.0.1"):
    """Answer one request with these bytes; None: never. Gives the port, and what was asked in a list."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    asked = []
    with socket.create_server((host, 0), family=family) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                if answer is not None:
                    connection.sendall(answer)
                else:
                    connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], asked
    thread.join(10)


def ask(address, capsys):
    status = main(["healthcheck", f"--entryPoints.traefik.address={address}", "--ping"])
    return status, *capsys.readouterr()


@pytest.mark.parametrize("shown", ["127.0.0.1", "", "0.0.0.0", "localhost"])
def test_good(shown, capsys):
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n") as (port, asked):
        assert ask(f"{shown}:{port}", capsys) == (0, f"OK: http://{shown}:{port}/ping\n", "")
    assert asked[0].startswith(b"HEAD /ping HTTP/1.1\r\n")


def test_an_ipv6_address(capsys):
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "::1") as (port, _):
        assert ask(f"[::1]:{port}", capsys) == (0, f"OK: http://[::1]:{port}/ping\n", "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "Bad healthcheck status: 503 Service Unavailable\n"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "Bad healthcheck status: 404 Not Found\n"),
        (b"HTTP/1.1 204\r\n\r\n", "Bad healthcheck status: 204\n"),
        (b"nonsense\r\n\r\n", "Error calling healthcheck: http://127.0.0.1:PORT/ping: nonsense\n"),
        (
            b"",
            "Error calling healthcheck: http://127.0.0.1:PORT/ping: "
            "Remote end closed connection without response\n",
        ),
    ],
)
def test_bad(answer, told, capsys):
    with answering(answer) as (port, _):
        status, out, err = ask(f"127.0.0.1:{port}", capsys)
    assert (status, out, err.strip()) == (1, "", told.replace("PORT", str(port)).strip())


def test_nobody_is_there(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert ask(f"127.0.0.1:{port}", capsys) == (
        1,
        "",
        f"Error calling healthcheck: http://127.0.0.1:{port}/ping: connection refused\n",
    )


def test_no_answer_in_time(monkeypatch, capsys):
    monkeypatch.setattr(healthcheck, "SECONDS", 0.1)
    with answering(None) as (port, _):
        status, _, err = ask(f"127.0.0.1:{port}", capsys)
    assert status == 1
    assert "no answer within" in err


def test_no_ping(capsys):
    assert main(["healthcheck", "--entryPoints.web.address=:80"]) == 1
    assert capsys.readouterr().err.startswith("please enable ping")


def test_a_configuration_with_mistakes(capsys):
    assert main(["healthcheck", "--pin"]) == 1
    assert "pin" in capsys.readouterr().err


def test_manual_routing_without_the_entry_point(capsys):
    assert main(["healthcheck", "--ping.manualRouting=true", "--entryPoints.web.address=:80"]) == 1
    assert capsys.readouterr().err == "ping: missing traefik entry point\n"


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(word, capsys):
    assert main(["healthcheck", word]) == 0
    assert "needs `ping`" in capsys.readouterr().out
