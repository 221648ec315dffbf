"""The subcommands. Only this module imports click, and `cli` imports it only when one is asked for."""

import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as version_of
from typing import Any

import click
import msgspec

from .config.decode import plan_of
from .config.schema import Section
from .config.static import Log, LogLevel, StaticConfiguration, worker_count
from .config.values import Nanoseconds, text_of_duration
from .errors import errors_of

EPILOG = """\b
Without a command, or with run, fastproxy is the daemon. Its configuration is read from the file of
--configFile, else from fastproxy.{toml,yaml,yml} or traefik.{toml,yaml,yml} in /etc/fastproxy, /etc/traefik,
$XDG_CONFIG_HOME, $HOME/.config or the current folder, else from flags (--entryPoints.web.address=:80), else
from the environment (FASTPROXY_ENTRYPOINTS_WEB_ADDRESS or TRAEFIK_ENTRYPOINTS_WEB_ADDRESS). The first source
that says anything is the only one. `fastproxy help options` lists every option.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand and return the exit status."""
    try:
        status = commands.main(list(arguments), prog_name="fastproxy", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """A dynamic reverse proxy that speaks Traefik's configuration."""


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Make a function that raises ValueError into the callback of a parameter."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            return [parse(each) for each in value] if isinstance(value, tuple) else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


@commands.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def run(flags: Sequence[str]) -> None:
    """Be the daemon: fastproxy run --configFile=fastproxy.yml. The word may be left out."""


@commands.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def healthcheck(flags: Sequence[str]) -> None:
    """Ask the daemon with the same static configuration: fastproxy healthcheck --configFile=fastproxy.yml.

    It needs `ping`. Prints OK and the URL; the exit status is 1 if the answer is not 200 within 5 seconds.
    """


def _address(text: str) -> str:
    from .serve import address_of

    return address_of(text)


def _server(text: str) -> str:
    from .serve import server_of

    return server_of(text)


@commands.command()
@click.argument("address", callback=_parsed(_address))
@click.argument("servers", nargs=-1, required=True, callback=_parsed(_server))
@click.option(
    "--workers", default="auto", show_default=True, callback=_parsed(worker_count), help="Worker processes."
)
@click.option(
    "--log.level",
    "level",
    type=click.Choice(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "PANIC"], case_sensitive=False),
    default=Log().level,
    show_default=True,
)
def serve(address: str, servers: Sequence[str], workers: int, level: LogLevel) -> int:
    """Proxy everything that comes to ADDRESS to the SERVERS, in turn. No file is needed.

    \b
    fastproxy serve :8080 http://127.0.0.1:3000
    fastproxy serve 8080 3000 3001
    fastproxy serve 127.0.0.1:8080 app:3000 unix:///run/app.sock
    """
    from .serve import PROVIDER, configuration, static_configuration
    from .supervisor import run_fixed

    return run_fixed(static_configuration(address, workers, level), PROVIDER, configuration(servers))


@commands.command()
@click.option("--configFile", "--configfile", "config_file", default="", help="The static file.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.argument("files", nargs=-1)
def check(config_file: str, style: str, files: Sequence[str]) -> int:
    """Tell every problem of the configuration: file:line:column: path: message.

    Reads the static configuration that the daemon would read, and the dynamic files that it names; or just
    the FILES, static or dynamic. Opens no socket. The exit status is 1 if there is an error.
    """
    from .check import check_all, check_files

    if files and not config_file:
        names, problems = check_files(files)
    else:
        names, problems = check_all([f"--configFile={config_file}"] if config_file else [], os.environ, files)
    errors = len(errors_of(problems))
    if style == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(problems)).decode() + "\n")
    else:
        for problem in problems:
            print(problem)
        counts = f"{_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}"
        print(f"{counts} in {', '.join(names) or 'no file'}", file=sys.stderr)
    return 1 if errors else 0


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f'"{text}" has no colon; write one like "X-User: me"')
    return name.strip(), value.strip()


@commands.command()
@click.argument("method", required=False, default="")
@click.argument("url", required=False, default="")
@click.option(
    "-H", "--header", "headers", multiple=True, callback=_parsed(_header), help='A field, "X-User: me".'
)
@click.option("--tcp", is_flag=True, help="Ask about a connection, and no request.")
@click.option("--udp", is_flag=True, help="Ask about datagrams.")
@click.option("--sni", default=None, help="The name that is asked for by TLS; of a URL its host.")
@click.option("--alpn", multiple=True, help="A protocol that is offered by TLS; with a URL h2 and http/1.1.")
@click.option("--tls", is_flag=True, help="With --tcp: TLS; --sni and --alpn say so too.")
@click.option("--postgres", is_flag=True, help="With --tcp: TLS as PostgreSQL's clients ask for it.")
@click.option("--entryPoint", "--entrypoint", "entry_point", default="", help="Where the request comes in.")
@click.option(
    "--client", "--client-ip", "client", default="127.0.0.1", show_default=True, help="Where it comes from."
)
@click.option("--configFile", "--configfile", "config_file", default="", help="The static file.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(config_file: str, style: str, **asked: Any) -> int:
    """Tell what would become of a request, a connection or a datagram, and why.

    Router, middlewares, service, TLS, and who else came close. Reads the configuration that the daemon would
    read; asks nobody and opens no socket. The exit status is 0 if a router takes the request, 1 if none does
    or the configuration cannot be used.

    \b
    fastproxy explain GET https://shop.example/api/cart -H 'X-User: me' --client-ip 203.0.113.9
    fastproxy explain --tcp --sni db.example.com --postgres
    fastproxy explain --udp --entryPoint dns
    """
    from .explain.questions import WrongQuestion
    from .offline import run

    try:
        question = _question(**asked)
        return run(question, [f"--configFile={config_file}"] if config_file else [], style == "json")
    except WrongQuestion as wrong:
        raise click.UsageError(str(wrong)) from None


def _question(
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    tcp: bool,
    udp: bool,
    sni: str | None,
    alpn: Sequence[str],
    tls: bool,
    postgres: bool,
    entry_point: str,
    client: str,
) -> Any:
    """Return what is asked. Raises UsageError for options that do not go together."""
    from .explain.questions import ConnectionQuestion, DatagramQuestion, Question

    of_request, of_stream = bool(method or url or headers), tls or postgres
    of_tls = sni is not None or bool(alpn)
    if tcp and udp:
        raise click.UsageError("--tcp and --udp ask about different things; leave one of them")
    if (tcp or udp) and of_request:
        raise click.UsageError("--tcp and --udp ask about no request; leave METHOD, URL and -H")
    if udp and (of_stream or of_tls):
        raise click.UsageError("--udp has no TLS; leave --sni, --alpn, --tls and --postgres")
    if udp:
        return DatagramQuestion(entry_point)
    if tcp:
        return ConnectionQuestion(
            sni or "", tuple(alpn), tls or sni is not None, postgres, entry_point, client
        )
    if of_stream:
        raise click.UsageError("--tls and --postgres go with --tcp")
    if not method or not url:
        raise click.UsageError(f"Missing argument '{'URL' if method else 'METHOD'}'.")
    if of_tls and not url.lower().startswith("https:"):
        raise click.UsageError("--sni and --alpn go with --tcp, or with a URL of https")
    offered = {"alpn": tuple(alpn)} if alpn else {}
    return Question(method, url, tuple(headers), entry_point, client, sni, **offered)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


@commands.command()
@click.option(
    "--folder", default="fastproxy-demo", show_default=True, help="Where the two files are written."
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65533))
def demo(folder: str, port: int) -> int:
    """Start two small backends and a proxy before them, with commented files to edit."""
    from . import demo

    return demo.run(folder, port)


@commands.command()
def version() -> None:
    """Tell the version of fastproxy and of what it runs on."""
    machine = f"{platform.system().lower()}/{platform.machine()}"
    for name, value in (
        ("Version", version_of("fastproxy")),
        ("Python", platform.python_version()),
        ("uvloop", version_of("uvloop")),
        ("OS/Arch", machine),
    ):
        print(f"{name + ':':<10} {value}")


@commands.command("help")
@click.argument("topic", required=False)
@click.pass_context
def help_command(context: click.Context, topic: str | None) -> None:
    """Explain a command; `options` lists every option of the static configuration."""
    parent = context.parent
    assert parent is not None
    if topic == "options":
        for line in _options(StaticConfiguration, "--"):
            print(line)
        return
    command = commands.get_command(context, topic) if topic else commands
    if command is None:
        raise click.UsageError(
            f'no help about "{topic}"; there is help about {", ".join(commands.commands)}, options'
        )
    with click.Context(
        command, info_name=topic or "fastproxy", parent=parent if topic else None
    ) as of_command:
        print(command.get_help(of_command))


def _options(section: type[Section], prefix: str) -> Iterator[str]:
    """Yield every option below a section as a flag, with its default."""
    fields = {field.name: field for field in msgspec.structs.fields(section)}
    for option in dict.fromkeys(plan_of(section).options.values()):
        name = f"{prefix}{option.name}" + (".<name>" if option.is_map else "")
        below = option.of_map or option.of_section
        if below:
            yield from _options(below, f"{name}.")
        else:
            yield f"{name + '=':<70} {_default(fields[option.attribute])}".rstrip()


def _default(field: msgspec.structs.FieldInfo) -> str:
    """Return the default of an option as a user would write it."""
    value = field.default
    if field.name == "workers":
        return "auto"
    if field.type == Nanoseconds:
        return text_of_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is msgspec.NODEFAULT else str(value)
