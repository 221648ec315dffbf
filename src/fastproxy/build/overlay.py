"""What is to become of a dictionary, laid over it: it stays as it is until everything else is ready too."""

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Overlay(Generic[Value]):
    """A dictionary and what is to become of it. None means that there is nothing under a name."""

    __slots__ = ("base", "changes", "gone")

    def __init__(self, base: dict[str, Value]) -> None:
        self.base = base
        self.changes: dict[str, Value] = {}
        self.gone: set[str] = set()

    def get(self, name: str) -> Value | None:
        value = self.changes.get(name)
        return value if value is not None or name in self.gone else self.base.get(name)

    def put(self, name: str, value: Value | None) -> None:
        if value is not None:
            self.gone.discard(name)
            self.changes[name] = value
            return
        self.changes.pop(name, None)
        if name in self.base:
            self.gone.add(name)

    def old(self) -> dict[str, Value]:
        """Return what is to go, or to be replaced."""
        base = self.base
        return {name: base[name] for names in (self.gone, self.changes) for name in names if name in base}

    def all(self) -> dict[str, Value]:
        """Return everything as it is to be."""
        made = {**self.base, **self.changes}
        for name in self.gone:
            del made[name]
        return made

    def land(self) -> None:
        """Make it so. Quick also for many: the loop waits meanwhile."""
        self.base.update(self.changes)
        for name in self.gone:
            del self.base[name]
