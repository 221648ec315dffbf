"""Which source wins, what a flag or variable may look like, and that all three say the same."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy.config.sources import load_static, read_static
from fastproxy.config.static import StaticConfiguration
from fastproxy.errors import ConfigError

FILE = "entryPoints: {file: {address: ':1'}}\n"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """Run where no configuration lies about."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(reading):
    assert reading.configuration is not None, [str(each) for each in reading.problems]
    return list(reading.configuration.entry_points)


def told(arguments=(), environ=None):
    return [str(each) for each in read_static(arguments, environ or {}).problems]


# --- precedence ---------------------------------------------------------------------------------------------


def test_nobody_says_anything():
    reading = read_static([], {})
    assert (names(reading), reading.source, reading.problems) == (["http"], "defaults", [])


def test_environment_then_flags_then_file(empty_folder):
    environ = {"TRAEFIK_ENTRYPOINTS_ENV_ADDRESS": ":1"}
    assert names(read_static([], environ)) == ["env"]
    flags = ["--entryPoints.Flag.address=:1"]
    assert names(read_static(flags, environ)) == ["Flag"]
    (empty_folder / "traefik.yml").write_text(FILE)
    reading = read_static(flags, environ)
    assert (names(reading), reading.source) == (["file"], "traefik.yml")
    assert [str(each) for each in reading.problems] == [
        "--entryPoints.Flag.address: warning: ignored, because traefik.yml is read instead"
    ]


def test_order_of_the_places(empty_folder, tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path / "home")}
    places = [
        empty_folder / "traefik.yml",
        empty_folder / "traefik.yaml",
        empty_folder / "traefik.toml",
        tmp_path / "home/.config/traefik.yml",
        tmp_path / "xdg/traefik.yml",
        empty_folder / "fastproxy.yml",
        tmp_path / "home/.config/fastproxy.yml",
        tmp_path / "xdg/fastproxy.toml",
    ]
    for place in places:  # each wins over those before it
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("[log]\n" if place.suffix == ".toml" else FILE)
        assert Path(read_static([], environ).source).absolute() == place


@pytest.mark.parametrize(
    "flags", [["--configFile=$WHERE/x.yml"], ["--configfile", "$WHERE/x.yml"], ["-ConfigFile=$WHERE/x.yml"]]
)
def test_the_named_file_wins(flags, empty_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", str(tmp_path))
    (empty_folder / "traefik.yml").write_text("log: {}")
    (tmp_path / "x.yml").write_text(FILE)
    reading = read_static(flags, {})
    assert (names(reading), reading.source, reading.problems) == (["file"], str(tmp_path / "x.yml"), [])


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        (None, None, ['--configFile: cannot read "x.yml": no such file or directory']),
        ("x.ini", b"", ["x.ini: not a known format; a file ends in .yml, .yaml, .json or .toml"]),
        ("x.yml", b"a: \xff", ["x.yml:1:4: not UTF-8: the byte 0xff cannot stand here"]),
        (
            "x.yml",
            b"",
            [
                "x.yml: no section of a static configuration in it; there are entryPoints, providers, log, "
                "accessLog, serversTransport, tcpServersTransport, api, ping, global, core"
            ],
        ),
        (
            "x.toml",
            b"[log]\nlevel = 1\nnoColor = 3",
            [
                'x.toml:2:9: log.level: warning: "1" is not one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL, '
                "PANIC; "
                "ERROR is taken",
                'x.toml:3:11: log.noColor: "3" is not a boolean; write true or false',
            ],
        ),
        (
            "x.yml",
            b"log: {}\nhttp: {routers: {}}",
            ["x.yml:2:1: http: warning: ignored here: dynamic configuration is read through providers.file"],
        ),
        ("x.yml", b"providers: {file: {filename: ./x.yml}}\nhttp: {routers: {}}\nx-a: 1", []),
    ],
)
def test_files(name, content, lines):
    if name:
        Path(name).write_bytes(content)
    assert told([f"--configFile={name or 'x.yml'}"]) == lines


def test_load_raises_with_every_problem():
    Path("x.yml").write_text("log: {noColor: 1s}\ntracing: {}\nlogs: {}\n")
    with pytest.raises(ConfigError) as caught:
        load_static(["--configFile=x.yml"], {})
    assert str(caught.value).splitlines() == [
        'x.yml:1:16: log.noColor: "1s" is not a boolean; write true or false',
        "x.yml:2:1: tracing: not supported yet",
        'x.yml:3:1: logs: unknown option "logs"; did you mean log?',
    ]


# --- flags and variables ------------------------------------------------------------------------------------


def test_forms_of_flags():
    static = load_static(
        [
            "--entrypoints.Web.address=:80",
            "-entryPoints.Web.http.middlewares=a@file",
            "--ENTRYPOINTS.Web.http.middlewares",
            "b@file, c@file",
            "--entryPoints.Web.asDefault",
            "--log",
            "--log.level=info",
            "--providers.file.filename",
            "a=b.yml",
            "--providers.file.watch=false",
            "--core.plugins.Auth=m:A",
            "--log.format=common",
            "--log.format=json",
        ],
        {},
    ).configuration
    point = static.entry_points["Web"]
    assert (point.address, point.as_default) == (":80", True)
    assert point.http.middlewares == ("a@file", "b@file", "c@file")
    assert (static.log.level, static.log.format) == ("INFO", "json")
    assert (static.providers.file.filename, static.providers.file.watch) == ("a=b.yml", False)
    assert static.core.plugins == {"Auth": "m:A"}


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        (["x"], ['command line: "x" is no flag; options are written --a.b.c=value']),
        (["--"], ['command line: "--" is no flag; options are written --a.b.c=value']),
        (["--log.level"], ["--log.level: a value is missing; write --log.level=value"]),
        (["--configFile"], ["--configFile: a value is missing; write --configFile=value"]),
        (["--nope"], ['--nope: nope: unknown option "nope"']),
        (["--nope", "x"], ['--nope: nope: unknown option "nope"']),
        (["--log.noColor", "false"], ['command line: "false" is no flag; options are written --a.b.c=value']),
        (
            ["--log.noColor=maybe"],
            ['--log.noColor: log.noColor: "maybe" is not a boolean; write true or false'],
        ),
        (["--providers.docker"], ["--providers.docker: providers.docker: not supported yet"]),
        (
            ["--providers.file"],
            ['--providers.file: providers.file: "true" where a mapping of options is expected'],
        ),
        (
            ["--entryPoints.Web.adress=:80"],
            [
                '--entryPoints.Web.adress: entryPoints.Web.adress: unknown option "adress"; did you mean '
                "address?"
            ],
        ),
        (
            ["--entryPoints.web.asDefault"],
            [
                "--entryPoints.web.asDefault: entryPoints.web.address: missing; an entry point needs one, "
                'such as ":8080"'
            ],
        ),
        (
            ["--entryPoints.web.address=:1", "--entryPoints.web.http3.advertisedPort=1"],
            ["--entryPoints.web.http3.advertisedPort: entryPoints.web.http3: not supported yet"],
        ),
        (["--log.level.deep=1"], ["--log.level.deep: log.level: a mapping where a single value is expected"]),
    ],
)
def test_refused_flags(flags, lines):
    assert told(flags) == lines


def test_variables():
    reading = load_static(
        [],
        {
            "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": ":80",
            "FASTPROXY_ENTRYPOINTS_WEB_ADDRESS": ":81",
            "TRAEFIK_ENTRYPOINTS_WEB_HTTP_MIDDLEWARES": "a@file,b@file",
            "TRAEFIK_LOG": "true",
            "FASTPROXY_DEBUG": "1",
            "TRAEFIK_FOO": "1",
            "HOME_LOG_LEVEL": "x",
        },
    )
    assert reading.problems == []
    point = reading.configuration.entry_points["web"]
    assert (point.address, point.http.middlewares) == (":81", ("a@file", "b@file"))


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "TRAEFIK_ENTRYPOINT_WEB_ADDRESS",
            ":80",
            "environment variable TRAEFIK_ENTRYPOINT_WEB_ADDRESS: warning: has no meaning; "
            "did you mean TRAEFIK_ENTRYPOINTS_...?",
        ),
        (
            "FASTPROXY_LOG_LEVL",
            "INFO",
            'environment variable FASTPROXY_LOG_LEVL: log.levl: unknown option "levl"; did you mean level?',
        ),
        (
            "TRAEFIK_PROVIDERS_DOCKER",
            "true",
            "environment variable TRAEFIK_PROVIDERS_DOCKER: providers.docker: not supported yet",
        ),
        (
            "TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION",
            "1 second",
            "environment variable TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION: "
            "providers.providersThrottleDuration: "
            '"1 second" is not a duration; write "1s" or a number of seconds',
        ),
    ],
)
def test_refused_variables(variable, value, line):
    assert told(environ={variable: value}) == [line]


# --- three sources, one meaning -----------------------------------------------------------------------------

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6)
DURATIONS = st.sampled_from(["0", "5", "250ms", "1m30s", "1.5h"])
SWITCH = st.sampled_from(["true", "false"])
LISTS = st.lists(st.sampled_from(["a@file", "b@file", "c@docker"]), min_size=1, max_size=3).map(",".join)
OPTIONS = {
    "asDefault": SWITCH,
    "transport.respondingTimeouts.readTimeout": DURATIONS,
    "transport.lifeCycle.graceTimeOut": DURATIONS,
    "transport.keepAliveMaxRequests": st.integers(0, 10**6).map(str),
    "forwardedHeaders.insecure": SWITCH,
    "forwardedHeaders.trustedIPs": st.sampled_from(["10.0.0.0/8", "::1,127.0.0.1"]),
    "http.middlewares": LISTS,
    "http.underscoreHeadersStrategy": st.sampled_from(["keep", "delete", "REJECT"]),
    "http.encodedCharacters.allowEncodedSlash": SWITCH,
}
GLOBAL_OPTIONS = {
    "providers.providersThrottleDuration": DURATIONS,
    "providers.precedence": st.sampled_from(["file", "docker,file"]),
    "providers.file.filename": WORDS.map("/etc/{}.yml".format),
    "log.level": st.sampled_from(["debug", "WARN"]),
    "log.noColor": SWITCH,
    "serversTransport.rootCAs": st.sampled_from(["a.pem", "a.pem,b.pem"]),
    "serversTransport.maxIdleConnsPerHost": st.integers(-5, 500).map(str),
    "core.workers": st.sampled_from(["auto", "1", "64"]),
}
SETTINGS = st.builds(
    lambda points, rest: {
        **rest,
        **{
            f"entryPoints.{name}.{option}": value
            for at, (name, options) in enumerate(sorted(points.items()))
            for option, value in {**options, "address": f":{at + 1}"}.items()
        },
    },
    st.dictionaries(WORDS, st.fixed_dictionaries({}, optional=OPTIONS), min_size=1, max_size=3),
    st.fixed_dictionaries({}, optional=GLOBAL_OPTIONS),
)


def tree(settings):
    """Return the settings as nested mappings; every second list as a list."""
    root = {}
    for path, value in settings.items():
        *above, last = path.split(".")
        holder = root
        for part in above:
            holder = holder.setdefault(part, {})
        holder[last] = value.split(",") if "," in value and len(value) % 2 else value
    return root


def yaml_of(value, depth=0):
    if isinstance(value, dict):
        lines = (f"{'  ' * depth}{key}:{yaml_of(each, depth + 1)}" for key, each in value.items())
        return "".join(f"\n{line}" for line in lines)
    if isinstance(value, list):
        return f" [{', '.join(map(repr, value))}]"
    return f" {value}" if value.isalnum() else f' "{value}"'


def toml_of(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_of(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if value in ("true", "false") or value.lstrip("-").isdigit():
        return value
    return f'"{value}"'


@given(SETTINGS)
def test_file_flags_and_environment_mean_the_same(settings):
    flags = [f"--{path}={value}" for path, value in settings.items()]
    variables = {f"TRAEFIK_{path.replace('.', '_').upper()}": value for path, value in settings.items()}
    from_flags = load_static(flags, {}).configuration
    assert isinstance(from_flags, StaticConfiguration)
    assert load_static([], variables).configuration == from_flags
    Path("t.yml").write_text(yaml_of(tree(settings)))
    assert load_static(["--configFile=t.yml"], {}).configuration == from_flags
    toml = "\n".join(f"{key} = {toml_of(each)}" for key, each in tree(settings).items())
    tomllib.loads(toml)
    Path("t.toml").write_text(toml)
    assert load_static(["--configFile=t.toml"], {}).configuration == from_flags
