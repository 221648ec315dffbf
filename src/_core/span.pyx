"""Borrowed bytes: the few operations on them that are more than a line long."""


cdef Span trimmed(Span a) noexcept nogil:
    """Cut blanks and tabs off both ends (optional white space, RFC 9110, 5.6.3)."""
    while a.size and (a.at[0] == 32 or a.at[0] == 9):
        a.at += 1
        a.size -= 1
    while a.size and (a.at[a.size - 1] == 32 or a.at[a.size - 1] == 9):
        a.size -= 1
    return a


cdef bint next_token(Span* rest, Span* token) noexcept nogil:
    """Take the next non-empty member off a comma-separated list (RFC 9110, 5.6.1); False at its end."""
    cdef Py_ssize_t comma
    while rest.size > 0:
        comma = find_byte(rest[0], 44)
        if comma < 0:
            token[0] = trimmed(rest[0])
            rest.at += rest.size
            rest.size = 0
        else:
            token[0] = trimmed(span_of(rest.at, comma))
            rest.at += comma + 1
            rest.size -= comma + 1
        if token.size:
            return True
    return False


cdef bint has_token(Span value, const char* lowered, Py_ssize_t size) noexcept nogil:
    """Say whether a comma-separated list names `lowered`, letters folded."""
    cdef Span token
    while next_token(&value, &token):
        if same_folded(token, lowered, size):
            return True
    return False
