# A span is a pointer and a length into somebody's bytes. Whoever keeps a span keeps the `bytes` it was
# cut from in the field beside it; a span that is only passed on is borrowed for the length of the call.

from libc.string cimport memcmp, memchr


cdef struct Span:
    const char* at        # borrowed; may be NULL when size is 0
    Py_ssize_t size       # bytes; 0 is an empty value, not a missing one


cdef inline Span span_of(const char* at, Py_ssize_t size) noexcept nogil:
    cdef Span out
    out.at = at
    out.size = size
    return out


cdef inline Span span_of_bytes(bytes text):
    """Borrow the whole of `text`; valid while the caller holds it."""
    return span_of(<const char*>text, len(text))


cdef inline bytes bytes_of(Span part):
    return part.at[:part.size] if part.size else b""


cdef inline char lower(char c) noexcept nogil:
    return c + 32 if 65 <= c <= 90 else c


cdef inline char upper(char c) noexcept nogil:
    return c - 32 if 97 <= c <= 122 else c


cdef inline int hex_value(unsigned char c) noexcept nogil:
    """What a hexadecimal digit counts, or -1."""
    if 48 <= c <= 57:
        return c - 48
    if 65 <= c <= 70:
        return c - 55
    if 97 <= c <= 102:
        return c - 87
    return -1


cdef inline bint same(Span a, Span b) noexcept nogil:
    return a.size == b.size and (a.size == 0 or memcmp(a.at, b.at, a.size) == 0)


cdef inline bint same_folded(Span a, const char* lowered, Py_ssize_t size) noexcept nogil:
    """Compare `a`, ASCII letters folded, with text that is lower case already."""
    cdef Py_ssize_t i
    if a.size != size:
        return False
    for i in range(size):
        if lower(a.at[i]) != lowered[i]:
            return False
    return True


cdef inline bint starts_with(Span a, Span prefix) noexcept nogil:
    return a.size >= prefix.size and (prefix.size == 0 or memcmp(a.at, prefix.at, prefix.size) == 0)


cdef inline Py_ssize_t find_byte(Span a, char wanted) noexcept nogil:
    """Return the index of the first `wanted` in `a`, or -1."""
    cdef const char* hit
    if a.size == 0:
        return -1
    hit = <const char*>memchr(a.at, wanted, a.size)
    return hit - a.at if hit is not NULL else -1


cdef Span trimmed(Span a) noexcept nogil
cdef bint next_token(Span* rest, Span* token) noexcept nogil
cdef bint has_token(Span value, const char* lowered, Py_ssize_t size) noexcept nogil
