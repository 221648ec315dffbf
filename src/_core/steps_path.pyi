from collections.abc import Iterable
from typing import Any

from .rewrite import Rewrite
from .step import Step

class AddPrefix(Step):
    """Put *prefix*, as characters, before the path."""

    def __init__(self, name: str, prefix: bytes) -> None: ...

class StripPrefix(Step):
    """Cut the first of *prefixes*, as characters, with which the decoded path begins."""

    def __init__(self, name: str, prefixes: Iterable[bytes], *, force_slash: bool = False) -> None: ...

class StripPrefixRegex(Step):
    """Cut what the first of *patterns* (re2, of bytes) matches at the start of the decoded path."""

    def __init__(self, name: str, patterns: Iterable[Any]) -> None: ...

class ReplacePath(Step):
    """Send *path*, which is escaped."""

    def __init__(self, name: str, path: bytes) -> None: ...

class ReplacePathRegex(Step):
    """Replace what matches in the escaped path."""

    def __init__(self, name: str, rewrite: Rewrite) -> None: ...
