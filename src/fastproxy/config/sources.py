"""Where the static configuration comes from: a file, else flags, else the environment; they are not mixed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ConfigError, Problem
from .decode import REFUSED, plan_of, section_reader
from .findings import Findings, Locator, Place
from .flags import CONFIG_FILE, Flag, split_flags, tree_of_environment, tree_of_flags
from .static import StaticConfiguration
from .texts import Format, decoded, load

NAMES = ("fastproxy", "traefik")
ENDS = ("toml", "yaml", "yml")
DYNAMIC_ROOTS = frozenset(("http", "tcp", "udp", "tls"))


class StaticReading(NamedTuple):
    """What the sources say."""

    configuration: StaticConfiguration | None
    """With the implicit entries; None when there was an error."""

    problems: list[Problem]
    """Errors and warnings, sorted by place."""

    source: str
    """The file, `flags`, `environment`, or `defaults` when nobody says anything."""


def load_static(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> StaticReading:
    """Read the static configuration. Raises ConfigError, with every problem, if it cannot be used.

    arguments: the flags of the command line, without program and subcommand.
    """
    reading = read_static(arguments, environ)
    if reading.configuration is None:
        raise ConfigError(reading.problems)
    return reading


def read_static(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> StaticReading:
    """Read the static configuration and tell everything about it; raises nothing for what it says.

    The first of these that exists wins: the file of --configFile, a file in one of the usual places, flags,
    environment variables.
    """
    findings = Findings()
    flags = split_flags(StaticConfiguration, arguments, findings)
    if findings.errors:
        return _finish(None, findings, lambda path, on_key: Place("command line"), "flags")
    named = [flag for flag in flags if _is_config_file(flag)]
    others = [flag for flag in flags if not _is_config_file(flag)]
    file = Path(os.path.expandvars(named[-1].value)) if named else find_file(environ)
    if file is not None:
        return _read_file(file, named[-1].source if named else "", others)
    if others:
        tree = tree_of_flags(StaticConfiguration, others)
        return _finish(decode_static(tree.raw, findings), findings, tree.locate, "flags")
    tree = tree_of_environment(StaticConfiguration, environ, findings)
    made = decode_static(tree.raw, findings) if tree else StaticConfiguration()
    return _finish(made, findings, tree.locate, "environment" if tree else "defaults")


def _is_config_file(flag: Flag) -> bool:
    return [word.lower() for word in flag.segments] == [CONFIG_FILE]


def _finish(
    made: StaticConfiguration | None, findings: Findings, locate: Locator, source: str
) -> StaticReading:
    """Look up the places, and add the implicit entries if all is well."""
    usable = made is not None and not findings.errors
    return StaticReading(
        made.with_implicit_entries() if usable and made else None, findings.problems(locate), source
    )


# --- files ------------------------------------------------------------------------------------------------


def find_file(environ: Mapping[str, str]) -> Path | None:
    """Return the first file that exists in the usual places: fastproxy.* in all of them, then traefik.*."""
    folders = [Path("/etc/fastproxy"), Path("/etc/traefik")]
    folders += [Path(environ["XDG_CONFIG_HOME"])] if environ.get("XDG_CONFIG_HOME") else []
    folders += [Path(environ["HOME"], ".config")] if environ.get("HOME") else []
    candidates = (folder / f"{name}.{end}" for name in NAMES for folder in (*folders, Path()) for end in ENDS)
    return next((each for each in candidates if each.is_file()), None)


def _read_file(file: Path, flag: str, ignored: Sequence[Flag]) -> StaticReading:
    """Read a static configuration from a file. flag: how the user named it, if he did."""
    source, findings = str(file), Findings()
    for each in ignored:
        findings.warning(None, f"ignored, because {source} is read instead", place=Place(each.source))
    text = _text_of(file, flag, findings)
    if text is None:
        return _finish(None, findings, lambda path, on_key: Place(source), source)
    loaded = load(text, source, findings)
    made = None
    if loaded.raw is not None:
        made = decode_static(loaded.raw, findings)
        if made is not None:
            _tell_dynamic_sections(loaded.raw, made, file, findings)
    return _finish(made, findings, loaded.locate, source)


def _text_of(file: Path, flag: str, findings: Findings) -> str | None:
    """Return the text of a file, or None and a finding."""
    if Format.of(file.name) is None:
        findings.error(
            None, "not a known format; a file ends in .yml, .yaml, .json or .toml", place=Place(str(file))
        )
        return None
    try:
        return decoded(file.read_bytes(), str(file), findings)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        findings.error(None, f'cannot read "{file}": {reason}', place=Place(flag or str(file)))
        return None


def decode_static(raw: Mapping[str, Any], findings: Findings) -> StaticConfiguration | None:
    """Read a static configuration from a mapping. None: it cannot be used, and the findings say why.

    Sections of the dynamic configuration may stand in the same file, and so may `x-...` (anchors for YAML).
    """
    own = {
        key: value for key, value in raw.items() if not (key.lower() in DYNAMIC_ROOTS or key.startswith("x-"))
    }
    if not own:
        known = ", ".join(
            dict.fromkeys(option.name for option in plan_of(StaticConfiguration).options.values())
        )
        findings.error(None, f"no section of a static configuration in it; there are {known}")
        return None
    made = section_reader(StaticConfiguration)(own, None, findings)
    return None if made is REFUSED else made


def _is_foreign(key: str) -> bool:
    return key.lower() in DYNAMIC_ROOTS or key.startswith("x-")


def _tell_dynamic_sections(
    raw: Mapping[str, Any], made: StaticConfiguration, file: Path, findings: Findings
) -> None:
    """Warn of dynamic sections in a static file that no provider reads."""
    provider = made.providers.file
    if provider and provider.filename and Path(provider.filename).absolute() == file.absolute():
        return
    for key in raw:
        if key.lower() in DYNAMIC_ROOTS:
            findings.warning(
                (None, key, key.lower()),
                "ignored here: dynamic configuration is read through providers.file",
                on_key=True,
            )
