"""What is told of requests: the access log, and whose requests are told.

Source of names, types and defaults: Traefik v3, `accessLog` and `observability` of entry points and routers.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from .findings import unknown
from .schema import Choice, Mistake, Reads, Section
from .values import Nanoseconds, NotNegative

# --- observability ---------------------------------------------------------------------------------


class EntryPointObservability(Section, frozen=True):
    """`entryPoints.<name>.observability`: for its routers, and for requests that no router takes."""

    NOT_YET = "metrics tracing traceVerbosity"

    access_logs: bool = True


class RouterObservability(Section, frozen=True):
    """`http.routers.<name>.observability`: what holds for a router in place of what its entry point says."""

    NOT_YET = "metrics tracing traceVerbosity"

    access_logs: bool | None = None
    """None: as the entry point says, which `merge` fills in where it says no; else yes."""


# --- accessLog -------------------------------------------------------------------------------------

FIELDS = (
    "ClientAddr",
    "ClientHost",
    "ClientPort",
    "ClientUsername",
    "DownstreamContentSize",
    "DownstreamStatus",
    "Duration",
    "GzipRatio",
    "OriginContentSize",
    "OriginDuration",
    "OriginStatus",
    "Overhead",
    "RequestAddr",
    "RequestContentSize",
    "RequestCount",
    "RequestHost",
    "RequestMethod",
    "RequestPath",
    "RequestPort",
    "RequestProtocol",
    "RequestScheme",
    "RetryAttempts",
    "RouterName",
    "ServiceAddr",
    "ServiceName",
    "ServiceURL",
    "StartLocal",
    "StartUTC",
    "TLSCipher",
    "TLSClientSubject",
    "TLSVersion",
    "entryPointName",
)
"""What can be told of a request, beside header fields."""

ELSEWHERE = (
    "TraceId",
    "SpanId",
    "trace_id",
    "span_id",
    "KubernetesIngressNamespace",
    "KubernetesIngressName",
    "KubernetesServiceName",
    "KubernetesServicePort",
)
"""What Traefik tells besides, of what fastproxy does not have yet. Accepted: there is nothing to tell."""

Kept = Literal["keep", "drop"]
KeptOrRedacted = Literal["keep", "drop", "redact"]


def status_range(text: str) -> str:
    """Check a status or a range of them: `404`, `500-599`."""
    low, dash, high = text.strip().partition("-")
    ends = (low.strip(), high.strip() if dash else low.strip())
    if not all(end.isascii() and end.isdigit() and len(end) == 3 for end in ends) or ends[0] > ends[1]:
        raise ValueError(f'"{text}" is neither a status nor a range of them; write 404 or 500-599')
    return "-".join(dict.fromkeys(ends))


class Filters(Section, frozen=True):
    """`filters`: a request is told if any of these says so; if none is set, every one is."""

    status_codes: tuple[Annotated[str, Reads(status_range)], ...] = ()
    """Statuses, and ranges such as `500-599`."""

    retry_attempts: bool = False
    """Requests that were sent to a server again."""

    min_duration: Nanoseconds = 0
    """Requests that took longer. 0: none for that."""


class HeaderFields(Section, frozen=True):
    """`fields.headers`: header fields of requests and answers."""

    default_mode: KeptOrRedacted = "drop"
    names: dict[str, KeptOrRedacted] = {}
    """By the name of the header field, in any case."""


class QueryParameters(Section, frozen=True):
    """`fields.queryParameters`."""

    default_mode: Kept = "keep"
    """drop: RequestPath is told without the query."""


class Fields(Section, frozen=True):
    """`fields`: what is told of a request."""

    default_mode: Kept = "keep"
    names: dict[str, Kept] = {}
    """By the name of the field, in any case."""

    headers: HeaderFields = HeaderFields()
    query_parameters: QueryParameters = QueryParameters()

    def mistakes(self) -> Iterator[Mistake]:
        known = {name.lower() for name in (*FIELDS, *ELSEWHERE)}
        for name in self.names:
            if name.lower() not in known:
                yield ("names", name), unknown("field of the access log", name, [*FIELDS, *ELSEWHERE])

    def keeps(self, name: str) -> bool:
        """Say whether a field is told. name: as it stands in FIELDS."""
        modes = {known.lower(): mode for known, mode in self.names.items()}
        return modes.get(name.lower(), self.default_mode) == "keep"


class AccessLog(Section, frozen=True):
    """`accessLog`: a line for each request."""

    MAY_BE_EMPTY = True
    NOT_YET = "otlp dualOutput"

    file_path: str = ""
    """Empty: standard output."""

    format: Annotated[Literal["common", "genericCLF", "json"], Choice(otherwise="common")] = "common"

    buffering_size: NotNegative = 0
    """Lines that may wait while nobody takes them, as a pipe may be full. 0: two MiB of them."""

    add_internals: bool = False
    """Tell also of requests to `api@internal` and its kind."""

    filters: Filters = Filters()
    fields: Fields = Fields()
