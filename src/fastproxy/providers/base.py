"""What every provider offers."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from ..config.dynamic import Configuration

Publish = Callable[[str, Configuration], None]
"""(provider's name, all that it has to say). To be called on the event loop's thread; returns at once."""


class Provider(ABC):
    """A source of dynamic configuration. It always publishes its complete configuration, with bare names."""

    name: str
    """What stands behind the @ of its objects: `file`."""

    @abstractmethod
    async def provide(self, publish: Publish) -> None:
        """Publish what there is, and again whenever it changed, until cancelled.

        What goes wrong is logged and tried again; it raises nothing but CancelledError.
        """

    async def reload(self) -> None:
        """Read again now, whatever is watched (SIGHUP), and return when that is done and published."""
        return
