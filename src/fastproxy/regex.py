"""Regular expressions as Traefik reads them: RE2, linear in time. Only this module imports re2."""

from typing import Any

import re2

__all__ = ["Pattern", "compile_pattern"]

Pattern = Any  # re2 exports no public type; it offers search, match, fullmatch, sub, groups and groupindex

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # otherwise the library writes each refused pattern to standard error


def compile_pattern(text: str) -> Pattern:
    """Compile `text` into a pattern that is matched against bytes (UTF-8; `.` is a character, not a byte).

    Raises ValueError, with the pattern and the reason in one line, for what RE2 refuses: wrong syntax,
    look-around, back-references, programs past the memory limit of RE2 (8 MiB). `\\C` (one byte), which
    the C++ library takes and Go does not, is refused too.
    """
    if _has_any_byte(text):
        raise ValueError(rf'"{text}" is not a regular expression: invalid escape sequence: \C')
    try:
        return re2.compile(text.encode(), _OPTIONS)
    except re2.error as error:
        raise ValueError(f'"{text}" is not a regular expression: {_reason(error)}') from None
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not a regular expression: it holds half of a surrogate pair") from None


def _has_any_byte(text: str) -> bool:
    r"""Tell whether `\C` is escaped in the pattern: neither the end of `\\C` nor inside \Q...\E."""
    at = text.find("\\")
    while at >= 0:
        escaped = text[at + 1 : at + 2]
        if escaped == "C":
            return True
        after = text.find("\\E", at + 2) if escaped == "Q" else at
        at = text.find("\\", after + 2) if after >= 0 else -1
    return False


def _reason(error: Exception) -> str:
    """Return the library's reason; it is bytes for a pattern of bytes."""
    reason = error.args[0] if error.args else error
    text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return text.replace("\n", " ")
