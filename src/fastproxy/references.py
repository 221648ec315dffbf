"""Names in a document that refer to something, and what is wrong with one that does not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .config import internal
from .config.findings import nearest, unknown
from .config.static import PROVIDER_NAMES
from .config.tls import DEFAULT


class Reference(NamedTuple):
    """A place in an object that names another one."""

    section: str
    option: tuple[str, ...]
    kind: str


REFERENCES = (
    Reference("http.routers", ("entryPoints",), "entry point"),
    Reference("http.routers", ("middlewares",), "middleware"),
    Reference("http.routers", ("service",), "service"),
    Reference("http.routers", ("tls", "options"), "TLS options"),
    Reference("http.services", ("loadBalancer", "serversTransport"), "serversTransport"),
    Reference("http.middlewares", ("chain", "middlewares"), "middleware"),
    Reference("tcp.routers", ("entryPoints",), "entry point"),
    Reference("tcp.routers", ("middlewares",), "TCP middleware"),
    Reference("tcp.routers", ("service",), "TCP service"),
    Reference("tcp.routers", ("tls", "options"), "TLS options"),
    Reference("tcp.services", ("loadBalancer", "serversTransport"), "TCP serversTransport"),
    Reference("tcp.services", ("weighted", "services", "name"), "TCP service"),
    Reference("udp.routers", ("entryPoints",), "UDP entry point"),
    Reference("udp.routers", ("service",), "UDP service"),
    Reference("udp.services", ("weighted", "services", "name"), "UDP service"),
)


class Nest(NamedTuple):
    """A kind of objects that may be made of others of their kind."""

    section: str
    option: tuple[str, ...]
    noun: str


NESTS = (
    Nest("http.middlewares", ("chain", "middlewares"), "chain"),
    Nest("tcp.services", ("weighted", "services", "name"), "service"),
    Nest("udp.services", ("weighted", "services", "name"), "service"),
)


class Names(NamedTuple):
    """What may be referred to."""

    provider: str
    """Whose documents these are; a name without a provider is one of its own."""

    by_kind: Mapping[str, Iterable[str]]
    """Bare names by the word for their kind. A kind that is not there is not checked."""

    internal: Iterable[str] | None = None
    """The internal services that are switched on; None: they are not known, and not checked."""

    def mistake(self, kind: str, reference: str) -> str:
        """Return what is wrong with a reference, or ''."""
        if kind not in self.by_kind or not reference:
            return ""
        if kind == "TLS options" and reference == DEFAULT:
            return ""  # they are there without being declared
        name, at, provider = reference.rpartition("@")
        if not at or kind in ("entry point", "UDP entry point", "plugin"):
            name, provider = reference, self.provider
        if provider == internal.PROVIDER:
            return self._internal(kind, name)
        if provider != self.provider:
            return _foreign(name, provider, self.provider)
        return "" if name in self.by_kind[kind] else self._missing(kind, name)

    def _internal(self, kind: str, name: str) -> str:
        """Return what is wrong with a name of the provider `internal`, or ''."""
        if kind.endswith("serversTransport") and name == "default":
            return ""
        if kind != "service" or name not in internal.NAMES:
            known = [f"{each}@{internal.PROVIDER}" for each in internal.BUILT] if kind == "service" else []
            return unknown(kind, f"{name}@{internal.PROVIDER}", known)
        is_there = name in internal.BUILT if self.internal is None else name in self.internal
        return "" if is_there else internal.refusal(name)

    def _missing(self, kind: str, name: str) -> str:
        names = sorted(self.by_kind[kind])
        if nearest(name, names):
            return unknown(kind, name, names)
        known = (
            f"known: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            if names
            else "none is declared"
        )
        return f'unknown {kind} "{name}"; {known}'


def _foreign(name: str, provider: str, own: str) -> str:
    """Return what is wrong with a name of another provider."""
    if provider in PROVIDER_NAMES.split():
        return f'"{name}@{provider}": the provider {provider} is not supported yet; there is {own}'
    return f'"{name}@{provider}": {unknown("provider", provider, [own, internal.PROVIDER])}'


def loop_from(start: str, chains: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the way from a chain back to itself, or []. Told by the first of its members only."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for name in chains.get(way[-1], ()):
            if name == start:
                return [] if min(way) != start else [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []
