from typing import Any

from .step import Step

class Awaited(Step):
    """Calls `on_request` and `on_response` of *middleware*, coroutine functions."""

    def __init__(
        self,
        name: str,
        middleware: Any,
        *,
        wants_request: bool = True,
        wants_response: bool = False,
        timeout: float = 30.0,
    ) -> None: ...
    @property
    def middleware(self) -> Any: ...
    @property
    def timeout(self) -> float: ...
