"""fastproxy: a dynamic reverse proxy with a compiled hot path."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import Proxy as Proxy

__all__ = ["Proxy"]


def __getattr__(name: str) -> Any:
    """Import what embeds a proxy when somebody asks for it; most of the commands do not."""
    if name == "Proxy":
        from .app import Proxy

        return Proxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
