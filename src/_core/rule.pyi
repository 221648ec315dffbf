from collections.abc import Sequence
from typing import Any

from .message import Request

class Rule:
    """A rule as a flat program: what `fastproxy.rules.compile.compile_rule(text)` gives, `tests` and `keys`.

    Raises ValueError for a program that is none.
    """

    def __init__(
        self, text: str, tests: Sequence[tuple[Any, ...]], keys: Sequence[tuple[int, bytes, int, bytes]]
    ) -> None: ...
    @property
    def text(self) -> str: ...
    @property
    def keys(self) -> tuple[tuple[int, bytes, int, bytes], ...]: ...
    def __call__(self, request: Request) -> bool: ...
