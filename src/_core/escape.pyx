"""Texts written into a line of a log, so that they end neither the line nor the quotes they stand in.

Nor do they steer a terminal: quotes and backslashes are escaped, control characters and bytes that are no UTF-8
written as `\\xNN`, in JSON as `\\u00NN` and U+FFFD.
"""

from .span cimport Span, span_of

cdef unsigned char[256] SPECIAL    # 1: cannot be told as it is


cdef void fill_table() noexcept:
    cdef int c
    for c in range(256):
        SPECIAL[c] = c < 32 or c >= 127 or c == 34 or c == 92


fill_table()


cdef char* put_escaped(char* at, Span text, bint json) noexcept nogil:
    """Write a text in which something is to be escaped."""
    cdef const char* cursor = text.at
    cdef const char* end = text.at + text.size
    cdef const char* run = cursor
    cdef unsigned char c
    cdef int size
    while cursor < end:
        c = <unsigned char>cursor[0]
        if not SPECIAL[c]:
            cursor += 1
            continue
        size = utf8_size(cursor, end) if c >= 128 else 1
        if size > 1 and not is_hidden(cursor, size):
            cursor += size
            continue
        at = copied(at, span_of(run, cursor - run))
        if c == 34 or c == 92:
            at[0] = 92
            at[1] = c
            at += 2
        elif not json:
            at[0] = 92
            at[1] = 120
            at[2] = b"0123456789abcdef"[c >> 4]
            at[3] = b"0123456789abcdef"[c & 15]
            at += 4
            size = 1
        elif size == 0:
            at = copied(at, span_of(b"\\ufffd", 6))
            size = 1
        else:
            at = put_unicode_escape(at, cursor, size)
        cursor += size
        run = cursor
    return copied(at, span_of(run, cursor - run))


cdef char* put_unicode_escape(char* at, const char* from_, int size) noexcept nogil:
    """Write a character that is hidden: a control, or a line end of Unicode."""
    cdef unsigned int code = <unsigned char>from_[0]
    cdef int i
    if size == 2:
        code = (code & 31) << 6 | (<unsigned char>from_[1] & 63)
    elif size == 3:
        code = (code & 15) << 12 | (<unsigned char>from_[1] & 63) << 6 | (<unsigned char>from_[2] & 63)
    at[0] = 92
    at[1] = 117
    for i in range(4):
        at[2 + i] = b"0123456789abcdef"[(code >> (12 - 4 * i)) & 15]
    return at + 6


cdef int utf8_size(const char* at, const char* end) noexcept nogil:
    """Bytes of the character that begins here, 0: it is no UTF-8 (RFC 3629, 4)."""
    cdef unsigned char first = <unsigned char>at[0]
    cdef unsigned char low = 128, high = 191
    cdef int size, i
    if 194 <= first <= 223:
        size = 2
    elif 224 <= first <= 239:
        size = 3
        if first == 224:
            low = 160
        elif first == 237:
            high = 159         # half of a surrogate pair
    elif 240 <= first <= 244:
        size = 4
        if first == 240:
            low = 144
        elif first == 244:
            high = 143
    else:
        return 0
    if end - at < size or not low <= <unsigned char>at[1] <= high:
        return 0
    for i in range(2, size):
        if not 128 <= <unsigned char>at[i] <= 191:
            return 0
    return size


cdef bint is_hidden(const char* at, int size) noexcept nogil:
    """Say whether a character is a control (U+0080 to U+009F) or ends a line (U+2028, U+2029)."""
    cdef unsigned char first = <unsigned char>at[0]
    if size == 2:
        return first == 194 and <unsigned char>at[1] < 160
    return (size == 3 and first == 226 and <unsigned char>at[1] == 128
            and <unsigned char>at[2] in (168, 169))
