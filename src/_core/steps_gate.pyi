from .ledger import Ledger
from .netset import NetSet
from .rewrite import Rewrite
from .step import Step

class RedirectScheme(Step):
    """Redirect to the same host, path and query under *scheme* (lower case) and *port* (digits)."""

    def __init__(self, name: str, scheme: bytes, port: bytes = b"", *, permanent: bool = False) -> None: ...

class RedirectRegex(Step):
    """Redirect to what the absolute URL becomes by *rewrite*, if it changes."""

    def __init__(self, name: str, rewrite: Rewrite, *, permanent: bool = False) -> None: ...

class IPAllowList(Step):
    """Let in clients whose address is in *allowed*; answer others with *status*."""

    def __init__(
        self,
        name: str,
        allowed: NetSet,
        *,
        depth: int = 0,
        excluded: NetSet | None = None,
        ipv6_bits: int = 0,
        status: int = 403,
    ) -> None: ...

class InFlightConn(Step):
    """Let in no more than *amount* connections of an address at a time, counted in all workers."""

    amount: int
    def __init__(self, name: str, ledger: Ledger, key: bytes, amount: int) -> None: ...
