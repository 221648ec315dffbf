"""What serves, in a process that builds nothing itself: put together from what the workers told."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from .build.runtime import Runtime
from .config.dynamic import Configuration


class Told(NamedTuple):
    """What a worker told of a generation, and the configuration that it was of."""

    generation: int
    configuration: Configuration
    failures: Mapping[str, dict[str, str]]
    """Kind -> name -> reason, of everything that is disabled."""

    warnings: Mapping[str, dict[str, tuple[str, ...]]]
    """Kind -> name -> what is to be warned of."""


class Serving:
    """The runtime view of the newest generation that a worker has. Made when somebody asks, and kept."""

    def __init__(self, entry_points: Iterable[str], is_down: Callable[[int], bool] | None = None) -> None:
        """is_down: see `Runtime`."""
        self._entry_points = tuple(entry_points)
        self._is_down = is_down
        self._told = Told(0, Configuration(), {}, {})
        self._made: tuple[Told, Runtime] | None = None

    def note(self, told: Told) -> None:
        """Take what a worker tells; workers with the same generation tell the same."""
        if told.generation > self._told.generation:
            self._told = told

    def runtime(self) -> Runtime:
        """Return the view, which never changes: another generation has another. For any thread."""
        told, made = self._told, self._made
        if made is None or made[0] is not told:
            runtime = Runtime.of(
                told.configuration, self._entry_points, told.generation, told.failures, told.warnings
            )
            if self._is_down is not None:
                runtime.is_down = self._is_down
            made = self._made = (told, runtime)
        return made[1]
