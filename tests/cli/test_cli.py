"""The command line: what is a flag, what a command, and which exit status means what."""

import os
import re
import subprocess
import sys

import pytest

from fastproxy import cli
from fastproxy.cli import main
from fastproxy.config.static import StaticConfiguration
from fastproxy.serve import address_of, configuration, server_of, static_configuration


@pytest.fixture
def daemon(monkeypatch):
    """Return the list of readings with which the daemon was started; nothing is started."""
    started = []
    monkeypatch.setattr(cli, "start", lambda reading: started.append(reading) or 0)
    return started


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("TRAEFIK_", "FASTPROXY_", "XDG_CONFIG"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        ([], ":80"),
        (["run"], ":80"),
        (["--entryPoints.web.address=:8001"], ":8001"),
        (["run", "--entryPoints.web.address=:8001"], ":8001"),
        (["-entrypoints.web.address", ":8001"], ":8001"),
        (["--configFile=x.yml"], ":8002"),
        (["run", "--CONFIGFILE", "x.yml"], ":8002"),
    ],
)
def test_the_daemon(daemon, tmp_path, arguments, address):
    (tmp_path / "x.yml").write_text("entryPoints: {web: {address: ':8002'}}")
    assert main(arguments) == 0
    (point,) = daemon[0].configuration.entry_points.values()
    assert point.address == address


def test_the_arguments_of_the_process(daemon, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fastproxy", "--entryPoints.web.address=:8001"])
    assert main() == 0
    assert daemon[0].source == "flags"


def test_a_configuration_with_mistakes_is_told_whole_and_not_started(daemon, tmp_path, capsys):
    (tmp_path / "x.yml").write_text("entryPoints: {web: {addres: ':8002'}}\nlog: {format: jsn}\nfoo: 1\n")
    assert main(["--configFile=x.yml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        ["x.yml:1:21", "entryPoints.web.addres"],
        ["x.yml:2:15", "log.format"],
        ["x.yml:3:1", "foo"],
    ]
    assert not daemon


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["srve"], 2, 'fastproxy: unknown command "srve"; did you mean serve?'),
        (["nothing-like-it"], 2, 'fastproxy: unknown command "nothing-like-it"'),
        (["--entryPoint.web.address=:80"], 1, "did you mean entryPoints?"),
        (["run", "stray"], 1, '"stray" is no flag'),
        (["check", "--formt=json"], 2, "No such option"),
        (["check", "--format=xml"], 2, "'xml' is not one of 'text', 'json'"),
        (["serve"], 2, "Missing argument 'ADDRESS'"),
        (["serve", ":80"], 2, "Missing argument 'SERVERS...'"),
        (["serve", ":80/udp", "3000"], 2, "servers here speak HTTP"),
        (["serve", ":8080", "ftp://x"], 2, "a server is http, https or unix"),
        (["serve", ":8080", "3000", "--workers=none"], 2, '"none" is not a number of workers'),
        (["help", "nothing"], 2, 'no help about "nothing"'),
    ],
)
def test_wrong_usage(daemon, capsys, arguments, status, said):
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert not daemon


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], "Usage: fastproxy [OPTIONS] COMMAND"),
        (["-h"], "Usage: fastproxy [OPTIONS] COMMAND"),
        (["help"], "--configFile"),
        (["--configFile=x.yml", "--help"], "Usage: fastproxy run"),
        (["run", "-h"], "Usage: fastproxy run"),
        (["serve", "--help"], "Usage: fastproxy serve [OPTIONS] ADDRESS SERVERS..."),
        (["help", "serve"], "Usage: fastproxy serve [OPTIONS] ADDRESS SERVERS..."),
        (["help", "options"], "--entryPoints.<name>.transport.respondingTimeouts.readTimeout="),
    ],
)
def test_help(daemon, capsys, arguments, said):
    assert main(arguments) == 0
    assert said in capsys.readouterr().out
    assert not daemon


def test_every_option_is_listed_with_its_default(capsys):
    main(["help", "options"])
    lines = capsys.readouterr().out.splitlines()
    assert all(re.fullmatch(r"--[\w.<>]+= *\S*", line) for line in lines)
    defaults = dict(re.split("= *", line, maxsplit=1) for line in lines)
    assert defaults["--entryPoints.<name>.transport.lifeCycle.graceTimeOut"] == "10s"
    assert defaults["--core.workers"] == "auto"
    assert defaults["--providers.file.watch"] == "true"
    assert defaults["--log.level"] == StaticConfiguration().log.level


def test_version(capsys):
    assert main(["version"]) == 0
    assert re.search(r"^Version: +\d+\.\d+", capsys.readouterr().out, re.MULTILINE)


# --- serve ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"), [(":8080", ":8080"), ("8080", ":8080"), ("127.0.0.1:8080", "127.0.0.1:8080")]
)
def test_addresses(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("https://app.example", "https://app.example"),
        ("3000", "http://127.0.0.1:3000"),
        (":3000", "http://127.0.0.1:3000"),
        ("app:3000", "http://app:3000"),
        ("app", "http://app"),
        ("[::1]:3000", "http://[::1]:3000"),
        ("unix:///run/app.sock", "unix:///run/app.sock"),
    ],
)
def test_servers(text, url):
    assert server_of(text) == url


@pytest.mark.parametrize("text", ["", "ftp://x", "unix://x", "http://", "a b"])
def test_no_servers(text):
    with pytest.raises(ValueError, match=r"."):
        server_of(text)


def test_what_serve_makes():
    static = static_configuration(":8080", workers=2, level="DEBUG")
    assert {name: point.address for name, point in static.entry_points.items()} == {"web": ":8080"}
    assert (static.core.workers, static.log.level) == (2, "DEBUG")
    made = configuration(["http://a:1", "http://b:2"])
    assert [server.url for server in made.http.services["servers"].load_balancer.servers] == [
        "http://a:1",
        "http://b:2",
    ]
    assert made.http.routers["all"].service == "servers"


# --- a process of its own -----------------------------------------------------------------------------------


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("program", [("-m", "fastproxy"), ("-m", "fastproxy.cli")])
def test_as_a_module(program):
    done = run(sys.executable, *program, "version")
    assert done.returncode == 0
    assert done.stdout.startswith("Version:")
    assert run(sys.executable, *program, "srve").returncode == 2


def test_the_daemon_imports_no_command_library():
    script = (
        "import sys; from fastproxy import cli; cli.start = lambda reading: 0;"
        "status = cli.main(['--entryPoints.web.address=:0']);"
        "print(status, 'click' in sys.modules, 'asyncio' in sys.modules)"
    )
    assert run(sys.executable, "-c", script).stdout == "0 False False\n"
