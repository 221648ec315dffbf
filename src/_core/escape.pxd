# Texts written into a line of a log, so that they end neither the line nor the quotes they stand in.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from .span cimport Span, span_of


cdef char* put_escaped(char* at, Span text, bint json) noexcept nogil


cdef inline char* copied(char* at, Span text) noexcept nogil:
    memcpy(at, text.at, text.size)
    return at + text.size


cdef inline char* copied_padded(char* at, Span text) noexcept nogil:
    """Copy a text behind which PADDING bytes may be read, to where as many may be written."""
    cdef Py_ssize_t done = 16
    memcpy(at, text.at, 16)
    while done < text.size:
        memcpy(at + done, text.at + done, 16)
        done += 16
    return at + text.size


cdef inline uint64_t special_in(uint64_t eight) noexcept nogil:
    """The highest bit of a byte is set if one of eight is to be escaped; perhaps of others, but then there is one.

    A byte less than n shows in its highest bit when n is taken away from it, and one of 127 and more when 1 is
    added; borrows and carries reach neighbours only where there is something special.
    """
    cdef uint64_t ones = 0x0101010101010101ULL
    cdef uint64_t quotes = eight ^ (ones * 34)
    cdef uint64_t slashes = eight ^ (ones * 92)
    return (eight - ones * 32) | (quotes - ones) | (slashes - ones) | (eight + ones) | eight


cdef inline char* copied_plain(char* at, Span text) noexcept nogil:
    """Copy a text in which nothing is to be escaped, as nearly always; NULL: there may be something."""
    cdef uint64_t ones = 0x0101010101010101ULL
    cdef uint64_t eight = ones * 48
    cdef uint64_t found = 0
    cdef uint32_t low, high
    cdef Py_ssize_t done = 0
    # Eight bytes at a time, the last eight of them overlapping.
    if text.size >= 8:
        while done < text.size - 8:
            memcpy(&eight, text.at + done, 8)
            memcpy(at + done, &eight, 8)
            found |= special_in(eight)
            done += 8
        memcpy(&eight, text.at + text.size - 8, 8)
        memcpy(at + text.size - 8, &eight, 8)
    elif text.size >= 4:
        memcpy(&low, text.at, 4)
        memcpy(&high, text.at + text.size - 4, 4)
        memcpy(at, &low, 4)
        memcpy(at + text.size - 4, &high, 4)
        eight = low | <uint64_t>high << 32
    elif text.size > 0:
        at[0] = text.at[0]
        at[text.size >> 1] = text.at[text.size >> 1]
        at[text.size - 1] = text.at[text.size - 1]
        eight = (eight << 24 | <unsigned char>at[0] | <unsigned int>(<unsigned char>at[text.size >> 1]) << 8
                 | <unsigned int>(<unsigned char>at[text.size - 1]) << 16)
    found |= special_in(eight)
    return NULL if found & ones * 128 else at + text.size


cdef inline char* put_text(char* at, Span text, bint json) noexcept nogil:
    """Write a text so that it ends neither line nor quotes; at most six bytes for one."""
    cdef char* end = copied_plain(at, text)
    return end if end is not NULL else put_escaped(at, text, json)
