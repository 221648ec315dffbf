"""`middlewares`: one section of the document becomes one step."""

from .._core.step import Step
from ..config.dynamic import HttpMiddleware
from .runtime import Broken


def step_of(name: str, configured: HttpMiddleware) -> Step:
    """Build one middleware that is no chain. Raises Broken."""
    raise Broken(f"{configured.kind} is not supported yet")
