"""The schema walker: a mapping from any source in, Sections out, and every mistake on the way collected.

One walker serves files, flags and environment. Names are matched in any case; values are native (TOML) or
text (YAML, flags, environment) and mean the same. A reader is made once for each type and then only called.
"""

import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, cast, get_args, get_origin
from typing import get_type_hints as hints_of

import msgspec

from .findings import Findings, Where, nearest, unknown
from .schema import Choice, Reads, Section
from .values import boolean, integer, natural

REFUSED: Final = object()
"""What a reader returns when it has told a mistake instead of making a value."""

Reader = Callable[[Any, Any, Findings], Any]
"""(value of the document, its place: Where, where mistakes go) -> value or REFUSED."""


# --- readers of single values -----------------------------------------------------------------------------


def text_of(value: Any) -> str | None:
    """Return the text of a single value of any source, or None for a list or a mapping."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if value is None:
        return ""
    return None if isinstance(value, (list, dict)) else str(value)


def kind_of(value: Any) -> str:
    """Name what was found where something else is expected."""
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f'"{text_of(value)}"'


def _parsing(parse: Callable[[str], Any]) -> Reader:
    """Return a reader that hands the text to `parse`."""

    def read(value: Any, where: Where, findings: Findings) -> Any:
        text = text_of(value)
        if text is None:
            findings.error(where, f"{kind_of(value)} where a single value is expected")
            return REFUSED
        try:
            return parse(text)
        except ValueError as error:
            findings.error(where, str(error))
            return REFUSED

    return read


_read_text = _parsing(str)
_read_boolean_text = _parsing(boolean)


def _text(value: Any, where: Where, findings: Findings) -> Any:
    return value if type(value) is str else _read_text(value, where, findings)


def _boolean(value: Any, where: Where, findings: Findings) -> Any:
    return value if value is True or value is False else _read_boolean_text(value, where, findings)


def _anything(value: Any, where: Where, findings: Findings) -> Any:
    return natural(value)


def _choosing(words: tuple[str, ...], choice: Choice) -> Reader:
    """Return a reader of one word out of several, in any case."""
    known = {word.lower(): word for word in words}
    not_yet = {word.lower(): word for word in choice.not_yet.split()}

    def read(value: Any, where: Where, findings: Findings) -> Any:
        text = text_of(value)
        if text is None:
            findings.error(where, f"{kind_of(value)} where a single value is expected")
            return REFUSED
        word = known.get(text.lower())
        if word is not None:
            return word
        if choice.otherwise is not None:
            findings.warning(where, f"{_not_one_of(text, words)}; {choice.otherwise} is taken")
            return choice.otherwise
        if text.lower() in not_yet:
            findings.error(where, f'"{text}" is not supported yet; use {" or ".join(words)}')
        else:
            meant = nearest(text, words)
            findings.error(where, _not_one_of(text, words) + (f"; did you mean {meant}?" if meant else ""))
        return REFUSED

    return read


def _not_one_of(text: str, words: tuple[str, ...]) -> str:
    return f'"{text}" is not {"one of " if len(words) > 1 else ""}{", ".join(word for word in words if word)}'


# --- readers of lists and mappings ------------------------------------------------------------------------


def _listing(item: Reader, of_sections: bool) -> Reader:
    """Return a reader of a list, or of one text with commas, into a tuple."""

    def read(value: Any, where: Where, findings: Findings) -> Any:
        if type(value) is not list:
            if isinstance(value, dict) or of_sections:
                findings.error(where, f"{kind_of(value)} where a list is expected")
                return REFUSED
            text = text_of(value) or ""
            value = [part.strip() for part in text.split(",")] if text.strip() else []
        items = [item(part, (where, at, ""), findings) for at, part in enumerate(value)]
        return REFUSED if REFUSED in items else tuple(items)

    return read


def _mapping(item: Reader) -> Reader:
    """Return a reader of a mapping whose keys are names of the user."""

    def read(value: Any, where: Where, findings: Findings) -> Any:
        if type(value) is not dict:
            findings.error(where, f"{kind_of(value)} where a mapping is expected")
            return REFUSED
        values = {key: item(each, (where, key, key), findings) for key, each in value.items()}
        return REFUSED if REFUSED in values.values() else values

    return read


# --- readers of sections ----------------------------------------------------------------------------------


class Option(NamedTuple):
    """One option of a section, ready to be read."""

    attribute: str
    name: str
    """As Traefik writes it."""
    read: Reader
    of_section: type[Section] | None
    """The type of the section that it holds, if it holds one."""
    takes_flag_value: bool
    """Whether a flag of this name is followed by a value: not so for booleans and sections."""
    is_map: bool
    """Whether its keys are names of the user."""
    of_map: type[Section] | None
    """The type of the sections in that mapping, if they are sections."""
    is_list: bool


class Plan(NamedTuple):
    """How one type of section is read."""

    options: dict[str, Option]
    """By name, as written by Traefik and lower-cased."""
    not_yet: dict[str, str]
    """Lower-cased name -> name."""
    without_effect: dict[str, str]

    def names(self) -> list[str]:
        """Return all names that Traefik knows in this section."""
        return [*(option.name for option in self.options.values()), *self.not_yet.values()]


_plans: dict[type[Section], Plan] = {}


def plan_of(section: type[Section]) -> Plan:
    """Return how a section is read; made once for each type."""
    plan = _plans.get(section)
    if plan is None:
        plan = _plans[section] = _make_plan(section)
    return plan


def _make_plan(section: type[Section]) -> Plan:
    hints = hints_of(section, include_extras=True)
    options: dict[str, Option] = {}
    for field in msgspec.structs.fields(section):
        if field.name in section.HIDDEN.split():
            continue
        name = field.encode_name
        hint = hints[field.name]
        inner, of_map = _section_in(hint), _section_in(hint, of_map=True)
        kinds = {get_origin(each) for each in (hint, *get_args(hint))}
        option = Option(
            attribute=field.name,
            name=name,
            read=_reader(hint),
            of_section=inner,
            takes_flag_value=not inner and hint is not bool,
            is_map=dict in kinds,
            of_map=of_map,
            is_list=tuple in kinds,
        )
        options[name] = options[name.lower()] = option
    return Plan(options, _folded(section.NOT_YET), _folded(section.WITHOUT_EFFECT))


def _folded(names: str) -> dict[str, str]:
    return {name.lower(): name for name in names.split()}


def _section_in(hint: Any, of_map: bool = False) -> type[Section] | None:
    """Return the type of section that an annotation holds: `S`, `S | None`; of_map: `dict[str, S]`."""
    if of_map:
        arguments = get_args(hint)
        return _section_in(arguments[1]) if get_origin(hint) is dict else None
    for each in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        if isinstance(each, type) and issubclass(each, Section):
            return each
    return None


def _reader(hint: Any) -> Reader:
    """Return the reader of an annotation; TypeError for one that this walker does not know."""
    simple = {str: _text, bool: _boolean, int: _parsing(integer), Any: _anything}.get(hint)
    if simple is not None:
        return cast(Reader, simple)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        marks = {type(mark): mark for mark in arguments[1:]}
        if Choice in marks:
            return _choosing(get_args(arguments[0]), marks[Choice])
        return _parsing(marks[Reads].parse)
    if origin is Literal:
        return _choosing(arguments, Choice())
    if origin is tuple:
        return _listing(_reader(arguments[0]), _section_in(arguments[0]) is not None)
    if origin is dict:
        return _mapping(_reader(arguments[1]))
    if origin in (Union, types.UnionType):
        (inner,) = (each for each in arguments if each is not type(None))
        return _reader(inner)
    section = _section_in(hint)
    if section is None:
        raise TypeError(f"no reader for {hint!r}")
    return section_reader(section)


def section_reader(section: type[Section]) -> Reader:
    """Return the reader of a section: mapping -> instance, or REFUSED if anything in it was wrong."""
    checks = section.mistakes is not Section.mistakes
    has_idle = section.idle is not Section.idle

    def read(value: Any, where: Where, findings: Findings) -> Any:
        if type(value) is not dict:
            if not (value is None or (section.MAY_BE_EMPTY and text_of(value) == "true")):
                findings.error(where, f"{kind_of(value)} where a mapping of options is expected")
                return REFUSED
            value = {}
        before = findings.errors
        values, failed = read_options(plan_of(section), value, where, findings)
        made = section(**values)
        if checks:
            _tell_mistakes(made, value, failed, where, findings)
        if has_idle and not failed:
            _tell_idle(made, value, where, findings)
        return made if findings.errors == before else REFUSED

    return read


def read_options(
    plan: Plan, value: Mapping[str, Any], where: Where | None, findings: Findings
) -> tuple[dict[str, Any], set[str]]:
    """Read the options of one section.

    Returns the values by attribute, and lower-cased names that were written, or meant, and gave none.
    """
    values: dict[str, Any] = {}
    refused: set[str] = set()  # attributes
    failed: set[str] = set()
    options = plan.options
    for key, each in value.items():
        option = options.get(key) or options.get(key.lower())
        if option is None:
            failed.update(_tell_unknown(plan, key, (where, key, key), findings))
            continue
        here = (where, key, option.name)
        if option.attribute in values or option.attribute in refused:
            findings.error(here, f'duplicate key: "{key}" says {option.name} a second time', on_key=True)
            continue
        if option.of_section is not None and _declares_nothing(each, option.of_section, here, findings):
            continue
        if each is None:
            continue
        result = option.read(each, here, findings)
        if result is REFUSED:
            refused.add(option.attribute)
            failed.add(option.name.lower())
        else:
            values[option.attribute] = result
    return values, failed


def _declares_nothing(value: Any, section: type[Section], where: Where, findings: Findings) -> bool:
    """Tell whether a section is empty, with a warning, or switched off by `false`."""
    if section.MAY_BE_EMPTY and value is not None:
        return not isinstance(value, dict) and text_of(value) == "false"
    if value is None or value == {}:
        findings.warning(where, "is empty and declares nothing", on_key=True)
        return True
    return False


def _tell_unknown(plan: Plan, key: str, where: Where, findings: Findings) -> tuple[str, ...]:
    """Tell that a name is not supported yet, has no effect, or is unknown.

    Returns the lower-cased names that need not be missed: itself, and the one that was probably meant.
    """
    folded = key.lower()
    if folded in plan.not_yet:
        findings.error((where[0], key, plan.not_yet[folded]), "not supported yet", on_key=True)
        return (folded,)
    if folded in plan.without_effect:
        named = (where[0], key, plan.without_effect[folded])
        findings.warning(named, "has no effect, as in Traefik v3; take it out", on_key=True)
        return ()
    names = plan.names()
    findings.error(where, unknown("option", key, names), on_key=True)
    return (folded, nearest(key, names).lower())


def _tell_mistakes(
    made: Section, value: Mapping[str, Any], failed: set[str], where: Where, findings: Findings
) -> None:
    """Tell what the section says about itself, but not about options that were told already."""
    written: dict[str, str] = {}
    for option, message in made.mistakes():
        written = written or {key.lower(): key for key in value}
        first, *rest = (option,) if isinstance(option, str) else option
        if (not first and failed) or first.lower() in failed:
            continue
        if not first or first.lower() not in written:
            findings.error((where, "", first) if first else where, message, on_key=True)
            continue
        here: Where = (where, written[first.lower()], first)
        for each in rest:
            here = (here, each, each)
        findings.error(here, message)


def _tell_idle(made: Section, value: Mapping[str, Any], where: Where, findings: Findings) -> None:
    """Warn of written options that do nothing beside the others."""
    written = {key.lower(): key for key in value}
    for option, message in made.idle():
        if option.lower() in written:
            findings.warning((where, written[option.lower()], option), message, on_key=True)
