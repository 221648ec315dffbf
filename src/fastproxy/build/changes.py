"""What is new, different or gone between the configuration that serves and the next one."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..config.delta import Delta
from ..config.dynamic import Configuration
from ..config.internal import PROVIDER
from .runtime import KINDS
from .work import Work

Changes = dict[str, dict[str, Any]]
"""Kind -> name -> section of the document; the reason why it could not be read; or None: it is gone."""

Configured = Mapping[str, Mapping[str, Any]]
"""Kind -> name -> section of the document, or reason."""

_OURS = f"@{PROVIDER}"
_PAUSE = 64  # objects compared between two looks at the clock


class Counts(NamedTuple):
    """How many objects a configuration has more, different and fewer."""

    added: int = 0
    changed: int = 0
    removed: int = 0


def difference(old: Configured, new: Configuration) -> Work[Changes]:
    """Compare a whole configuration with what there is."""
    changes: Changes = {}
    for kind in KINDS:
        before, now = old[kind], _declared(new, kind)
        found: dict[str, Any] = {}
        for at, (name, value) in enumerate(now.items()):
            known = before.get(name)
            if known is not value and known != value:
                found[name] = value
            if not at % _PAUSE:
                yield None
        found.update((name, None) for name in before if name not in now)
        changes[kind] = found
    return changes


def _declared(configuration: Configuration, kind: str) -> Mapping[str, Any]:
    """Return the objects of one kind by name; of those that could not be read the reason."""
    readable = configuration.table(kind)
    unreadable = configuration.broken.get(kind)
    return {**readable, **unreadable} if unreadable else readable


def changes_of(old: Configured, delta: Delta) -> Changes:
    """Return what a difference says, which was taken from what there is."""
    changes: Changes = {}
    for kind in KINDS:
        gone = (*delta.removed.get(kind, ()), *delta.mended.get(kind, ()))
        changes[kind] = {name: None for name in gone if name in old[kind]}
        changes[kind].update(_declared(delta.changed, kind))
    return changes


def counts_of(old: Configured, changes: Changes) -> Counts:
    """Count what a change does to the objects of the documents; what is ours is in none of them."""
    added = changed = removed = 0
    for kind, objects in changes.items():
        if any(name.endswith(_OURS) for name in objects):
            objects = {name: value for name, value in objects.items() if not name.endswith(_OURS)}
        gone = list(objects.values()).count(None)
        known = len(objects.keys() & old[kind].keys())
        added += len(objects) - known
        changed += known - gone
        removed += gone
    return Counts(added, changed, removed)
