"""The path of a request target, in its escaped forms.

Source: Traefik's entry point options `http.sanitizePath` and its routing path; RFC 3986, 2.2, 2.3 and 6.2.2.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memchr

from .span cimport Span, hex_value, span_of_bytes

cdef enum Kind:
    PLAIN = 0          # stands for itself everywhere
    SLASH = 1          # may begin "//", "/." or "/.."
    PERCENT = 2
    ILLEGAL = 3        # must be written escaped

cdef unsigned char[256] KIND
cdef unsigned char[256] UNRESERVED
cdef unsigned char[256] RESERVED
cdef const char* HEX = b"0123456789ABCDEF"


cdef void fill_tables() noexcept:
    cdef int c
    cdef const char* marks = b"!$&'()*+,;=:@"
    cdef const char* reserved = b":/?#[]@!$&'()*+,;=%"
    for c in range(256):
        UNRESERVED[c] = (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122
                         or c == 45 or c == 46 or c == 95 or c == 126)
        RESERVED[c] = c != 0 and memchr(reserved, c, 19) is not NULL
        if UNRESERVED[c] or (c != 0 and memchr(marks, c, 13) is not NULL):
            KIND[c] = PLAIN
        else:
            KIND[c] = ILLEGAL
    KIND[47] = SLASH
    KIND[37] = PERCENT
    # Go's validEncoded lets brackets pass, and so do we.
    KIND[91] = PLAIN
    KIND[93] = PLAIN


fill_tables()


cdef inline int escape_at(Span text, Py_ssize_t i) noexcept nogil:
    """The byte that the escape at `i` stands for, or -1 when it is malformed."""
    cdef int high, low
    if i + 2 >= text.size:
        return -1
    high = hex_value(text.at[i + 1])
    low = hex_value(text.at[i + 2])
    return -1 if high < 0 or low < 0 else high * 16 + low


cdef inline char* put_escape(char* out, unsigned char c) noexcept nogil:
    out[0] = 37
    out[1] = HEX[c >> 4]
    out[2] = HEX[c & 15]
    return out + 3


cdef bint is_plain(Span path) noexcept nogil:
    """Say whether no form of `path` differs from it: no escape, nothing to escape, no dot segment, no //."""
    cdef Py_ssize_t i
    cdef unsigned char kind
    for i in range(path.size):
        kind = KIND[<unsigned char>path.at[i]]
        if kind == PLAIN:
            continue
        if kind != SLASH:
            return False
        if i + 1 < path.size and (path.at[i + 1] == 47 or path.at[i + 1] == 46):
            return False
    return True


cdef bytes normalised(Span path):
    """Decode escapes of unreserved characters, write the others in capitals, escape what must be escaped.

    None when an escape is malformed: answer 400.
    """
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 3 * path.size)
    cdef char* begin = PyBytes_AS_STRING(out)
    cdef char* at = begin
    cdef Py_ssize_t i = 0
    cdef unsigned char c
    cdef int decoded
    while i < path.size:
        c = path.at[i]
        if c == 37:
            decoded = escape_at(path, i)
            if decoded < 0:
                return None
            if UNRESERVED[decoded]:
                at[0] = decoded
                at += 1
            else:
                at = put_escape(at, decoded)
            i += 3
            continue
        if KIND[c] == ILLEGAL:
            at = put_escape(at, c)
        else:
            at[0] = c
            at += 1
        i += 1
    return out[:at - begin]


cdef bytes sanitized(bytes path):
    """Resolve dot segments and merge slashes, as Go's path.Clean does; a slash at the end stays.

    path: absolute and normalised. An escaped slash is no separator.
    """
    cdef list kept = []
    for segment in path.split(b"/"):
        if segment == b"" or segment == b".":
            continue
        if segment == b"..":
            if kept:
                kept.pop()
        else:
            kept.append(segment)
    clean = b"/" + b"/".join(kept)
    if path.endswith(b"/") and clean != b"/":
        clean += b"/"
    return clean


cdef bytes routed(Span path):
    """Decode every escape but those of reserved characters: what path matchers see.

    path: normalised, so that every escape is well formed.
    """
    cdef bytes out = PyBytes_FromStringAndSize(NULL, path.size)
    cdef char* begin = PyBytes_AS_STRING(out)
    cdef char* at = begin
    cdef Py_ssize_t i = 0
    cdef int decoded
    while i < path.size:
        if path.at[i] == 37:
            decoded = escape_at(path, i)
            if decoded >= 0 and not RESERVED[decoded]:
                at[0] = decoded
                at += 1
                i += 3
                continue
        at[0] = path.at[i]
        at += 1
        i += 1
    return out[:at - begin]


cdef bytes unescaped(Span path):
    """Decode every escape, or None when one is malformed."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, path.size)
    cdef char* begin = PyBytes_AS_STRING(out)
    cdef char* at = begin
    cdef Py_ssize_t i = 0
    cdef int decoded
    while i < path.size:
        decoded = <unsigned char>path.at[i]
        if decoded == 37:
            decoded = escape_at(path, i)
            if decoded < 0:
                return None
            i += 2
        at[0] = decoded
        at += 1
        i += 1
    return out[:at - begin]


cdef bytes escaped(bytes text):
    """Escape what may not stand in a path; text that is escaped already is escaped again."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 3 * len(text))
    cdef char* begin = PyBytes_AS_STRING(out)
    cdef char* at = begin
    cdef unsigned char c
    for c in text:
        if KIND[c] == PLAIN or c == 47:
            at[0] = c
            at += 1
        else:
            at = put_escape(at, c)
    return out[:at - begin]


cdef Py_ssize_t escaped_prefix(Span path, bytes decoded) noexcept:
    """How many bytes of the escaped `path` spell `decoded`, or -1 when it does not begin with it."""
    cdef Span wanted = span_of_bytes(decoded)
    cdef Py_ssize_t i = 0, j = 0
    cdef int c
    while j < wanted.size:
        if i >= path.size:
            return -1
        c = <unsigned char>path.at[i]
        if c == 37:
            c = escape_at(path, i)
            i += 2
        if c != <unsigned char>wanted.at[j]:
            return -1
        i += 1
        j += 1
    return i


def forms(bytes target not None):
    """The forms of an absolute path: (normalised, sanitized, routed of the sanitized), or None when it is
    malformed. For tests and `explain`."""
    cdef bytes normal = normalised(span_of_bytes(target))
    if normal is None:
        return None
    clean = sanitized(normal)
    return normal, clean, routed(span_of_bytes(clean))


def plain(bytes target not None):
    """Say whether the fast road takes *target* as it is. For tests."""
    return is_plain(span_of_bytes(target))
