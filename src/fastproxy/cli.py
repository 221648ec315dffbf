"""The command line: `fastproxy [run] [flags]` is the daemon, everything else a subcommand.

The daemon's flags are names of the static configuration, open-ended and in any case, so nothing is taken
apart here, and no more is imported than is needed. The subcommands stand in `commands`.

Exit status: 0 good, 1 bad configuration or a start that failed, 2 wrong usage.
"""

import sys
from collections.abc import Sequence

from .config.findings import unknown
from .config.sources import StaticReading, load_static
from .errors import ConfigError

COMMANDS = ("run", "serve", "check", "explain", "healthcheck", "demo", "version", "help")
HELP = ("-h", "--help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (by default those of the process) and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given[0] if given else "run"
    if command in HELP:
        return subcommand(["help", *given[1:]])
    if command.startswith("-"):
        return run(given)
    if command == "run":
        return run(given[1:])
    if command == "healthcheck":
        return healthcheck(given[1:])
    if command in COMMANDS:
        return subcommand(given)
    print(f"fastproxy: {unknown('command', command, COMMANDS)}", file=sys.stderr)
    print(f"there are {', '.join(COMMANDS)}; fastproxy --help tells more", file=sys.stderr)
    return 2


def run(flags: Sequence[str]) -> int:
    """Be the daemon until a signal ends it. Flags: names of the static configuration, and --configFile."""
    if any(each in HELP for each in flags):
        return subcommand(["help", "run"])
    reading = read(flags)
    return start(reading) if reading is not None else 1


def healthcheck(flags: Sequence[str]) -> int:
    """Ask the daemon that was started with these flags whether it serves."""
    if any(each in HELP for each in flags):
        return subcommand(["help", "healthcheck"])
    reading = read(flags)
    if reading is None or reading.configuration is None:
        return 1
    from .healthcheck import run as ask

    return ask(reading.configuration)


def read(flags: Sequence[str]) -> StaticReading | None:
    """Read the static configuration; None after every mistake in it was told."""
    try:
        return load_static(flags)
    except ConfigError as error:
        print(error, file=sys.stderr)
        from .upgrade import tell_predecessor

        tell_predecessor(str(error))
        return None


def start(reading: StaticReading) -> int:
    """Be the daemon with a good configuration; loop, processes and providers are imported only now."""
    from .supervisor import run_daemon

    return run_daemon(reading)


def subcommand(arguments: Sequence[str]) -> int:
    """Run a subcommand; its library is imported only here."""
    from .commands import main as run_command

    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
