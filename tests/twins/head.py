"""One request or response head in plain Python: the oracle of `_core.head`, and its measure.

It is written from the grammar (RFC 9112, 2 to 5), one regular expression a rule, and knows nothing of how
bytes arrive: asked with all that came, it answers a head, None while the empty line is missing, or Refused.
"""

import re
from dataclasses import dataclass

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])" % TOKEN)
STATUS_LINE = re.compile(rb"HTTP/([0-9])\.([0-9]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
FIELD = re.compile(rb"(%b):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*" % TOKEN)
MOST_FIELDS = 1000
MOST_METHOD = 64


class Refused(ValueError):
    """Why a message is refused; `status` is what the client gets."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Head:
    """A head: fields are (name in small letters, value without blanks around it), in their order."""

    fields: tuple[tuple[bytes, bytes], ...]
    size: int
    minor: int
    method: bytes = b""
    target: bytes = b""
    status: int = 0
    reason: bytes = b""

    def values(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.fields if known == name]


def request(data: bytes) -> Head | None:
    """Read a request head that may have one empty line before it."""
    skipped = 2 if data.startswith(b"\r\n") else 0
    line, lines, size = divided(data, skipped)
    if line is None:
        return None
    match = REQUEST_LINE.fullmatch(line)
    if match is None or len(match[1]) > MOST_METHOD:
        raise Refused(400, "the request line is none")
    if match[3] != b"1" or match[4] not in b"01":
        raise Refused(505, "the version is neither 1.0 nor 1.1")
    return Head(fields_of(lines), size, int(match[4]), method=match[1], target=match[2])


def response(data: bytes) -> Head | None:
    line, lines, size = divided(data, 0)
    if line is None:
        return None
    match = STATUS_LINE.fullmatch(line)
    if match is None or match[1] != b"1" or match[2] not in b"01" or int(match[3]) < 100:
        raise Refused(502, "the status line is none")
    return Head(fields_of(lines), size, int(match[2]), status=int(match[3]), reason=match[4] or b"")


def divided(data: bytes, start: int) -> tuple[bytes | None, list[bytes], int]:
    """Cut a head into its first line and the others: (line, others, bytes up to behind the empty line)."""
    if data.startswith(b"\r\n", start):
        raise Refused(400, "there is an empty line in the place of the first")
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        return None, [], 0
    first, *others = data[start:end].split(b"\r\n")
    return first, others, end + 4


def fields_of(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    out = []
    for line in lines:
        match = FIELD.fullmatch(line)
        if match is None:
            raise Refused(400, "a header line is none")
        out.append((match[1].lower(), match[2]))
        if len(out) > MOST_FIELDS:
            raise Refused(431, "there are too many fields")
    return tuple(out)
