"""Which bytes belong to a body, in plain Python: the oracle of `_core.framing`, and its measure.

`decoded` looks at all that came behind a head at once; how it came in pieces must make no difference.
Source: RFC 9112, 6 and 7; what can be read in two ways is refused.
"""

import re
from dataclasses import dataclass

from tests.twins.head import TOKEN, Head, Refused

NONE, LENGTH, CHUNKED, UNTIL_CLOSE = "none", "length", "chunked", "until-close"

TEXT = rb"[\t\x20-\x7e\x80-\xff]"
QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\%b)*"' % TEXT
EXTENSIONS = rb"[ \t]*;(?:[\t\x20\x21\x23-\x7e\x80-\xff]|%b)*" % QUOTED
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(%b)?\r\n" % EXTENSIONS)
TRAILER_LINE = re.compile(rb"%b:%b*\r\n" % (TOKEN, TEXT))
MOST_LINE = 4096
MOST_TRAILER = 16384


@dataclass(frozen=True)
class Decoded:
    """A body taken out of what came: its bytes, its trailer lines, and what lies behind it."""

    data: bytes
    trailer: bytes = b""
    behind: bytes = b""


def of_request(head: Head) -> tuple[str, int]:
    """How the body of a request is framed: (kind, length or -1)."""
    codings, lengths = head.values(b"transfer-encoding"), head.values(b"content-length")
    if codings and (lengths or head.minor == 0):
        raise Refused(400, "a coding beside a length, or in HTTP/1.0")
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise Refused(501, "a coding other than chunked")
        return CHUNKED, -1
    return of_lengths(lengths, 400) if lengths else (NONE, -1)


def of_response(head: Head, to_head: bool = False) -> tuple[str, int]:
    """How the body of an answer is framed; to_head: it answers a HEAD request."""
    codings, lengths = head.values(b"transfer-encoding"), head.values(b"content-length")
    kind, length = UNTIL_CLOSE, -1
    if codings:
        if lengths or head.minor == 0 or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Refused(500, "a coding that is not just chunked")
        kind = CHUNKED
    elif lengths:
        kind, length = of_lengths(lengths, 500)
    if to_head or head.status < 200 or head.status in (204, 304):
        kind = NONE
    return kind, length


def of_lengths(lengths: list[bytes], status: int) -> tuple[str, int]:
    if len(lengths) != 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise Refused(status, "Content-Length is not one number")
    length = int(lengths[0])
    return (LENGTH if length else NONE), length


def decoded(kind: str, length: int, data: bytes) -> Decoded | None:
    """Take a body off the front of *data*; None when it is not whole."""
    if kind == NONE:
        return Decoded(b"", behind=data)
    if kind == LENGTH:
        return Decoded(data[:length], behind=data[length:]) if len(data) >= length else None
    if kind == CHUNKED:
        return dechunked(data)
    return None


def dechunked(data: bytes) -> Decoded | None:
    """Take a chunked body off the front of *data*. A fault that more bytes could not heal is Refused."""
    out = []
    at = 0
    while True:
        match = CHUNK_LINE.match(data, at)
        if match is None:
            return missing_line(data, at)
        if match[2] is not None and match.end() - at - 2 > MOST_LINE:
            raise Refused(400, "a chunk line is too long")
        at = match.end()
        size = int(match[1], 16)
        if size == 0:
            return trailed(b"".join(out), data, at)
        end = at + size
        if not b"\r\n".startswith(data[end:end + 2]):
            raise Refused(400, "a chunk does not end where its size says")
        if len(data) < end + 2:
            return None
        out.append(data[at:end])
        at = end + 2


def missing_line(data: bytes, at: int) -> None:
    """Nothing, when the chunk line has not come whole; Refused when it is whole and none."""
    if b"\r\n" in data[at:]:
        raise Refused(400, "a chunk line is none")


def trailed(body: bytes, data: bytes, at: int) -> Decoded | None:
    begin = at
    while True:
        if data.startswith(b"\r\n", at):
            if at - begin > MOST_TRAILER:
                raise Refused(400, "the trailer section is too long")
            return Decoded(body, data[begin:at], data[at + 2:])
        match = TRAILER_LINE.match(data, at)
        if match is None:
            if b"\r\n" in data[at:]:
                raise Refused(400, "a trailer line is none")
            return None
        at = match.end()
