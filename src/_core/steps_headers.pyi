from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .step import Step

Pairs = Sequence[tuple[bytes, bytes]]

class HeaderEdits(Step):
    """Set and delete fields on both ways. ValueError for fields that no configuration may set."""

    def __init__(self, name: str, request_fields: Pairs = (), response_fields: Pairs = ()) -> None: ...

class PassClientCert(Step):
    """Tells servers which certificate the client has shown."""

    def __init__(
        self, name: str, fields_of: Callable[[tuple[bytes, ...]], Iterable[tuple[bytes, bytes]]]
    ) -> None: ...

class Cors(Step):
    """Answers preflight requests and marks answers for other origins."""

    def __init__(
        self,
        name: str,
        *,
        credentials: bool = False,
        allow_headers: Sequence[bytes] = (),
        allow_methods: Sequence[bytes] = (),
        origins: Iterable[bytes] = (),
        patterns: Iterable[Any] = (),
        expose_headers: Sequence[bytes] = (),
        max_age: int | None = None,
        vary: bool = False,
    ) -> None: ...

class SecurityHeaders(Step):
    """Fields for every answer, and a check of the host asked for."""

    def __init__(
        self,
        name: str,
        fields: Pairs = (),
        *,
        sts: bytes = b"",
        force_sts: bool = False,
        public_key: bytes = b"",
        allowed_hosts: Iterable[bytes] = (),
        host_headers: Iterable[bytes] = (),
        proxy_headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None: ...
