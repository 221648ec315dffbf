"""The PROXY protocol, versions 1 (a line of text) and 2 (binary): read and written.

Source: "The PROXY protocol, versions 1 & 2" by HAProxy's authors. Strict: what the text does not allow is refused.
"""

from libc.string cimport memchr, memcmp, memcpy, memset

from .netset cimport Address, address_of_text, is_v4, no_address, text_of_address

cdef enum:
    TEXT_MOST = 107            # bytes of the longest line of version 1, its end included
    SIGNED = 12                # bytes by which version 2 is known
    FIXED = 16                 # bytes of version 2 before the addresses

cdef const char* SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
cdef const char* NAME = b"PROXY "


cdef Py_ssize_t read_line(const char* at, Py_ssize_t size, Line* line) noexcept nogil:
    """Read a header: returns its length in bytes, or LINE_PARTIAL, LINE_NONE or LINE_BAD.

    Never looks past `size`, nor past the end of the header.
    """
    memset(line, 0, sizeof(Line))
    line.wanted = max(size, 0) + 1
    if size <= 0:
        return LINE_PARTIAL
    if memcmp(at, SIGNATURE, min(size, <Py_ssize_t>SIGNED)) == 0:
        if size >= FIXED:
            return read_binary(at, size, line)
        if size >= SIGNED:
            line.wanted = FIXED
        return LINE_PARTIAL
    if memcmp(at, NAME, min(size, 6)) == 0:
        return read_text(at, size, line) if size > 6 else LINE_PARTIAL
    return LINE_NONE


# -- version 2 -----------------------------------------------------------------------------------------------


cdef inline unsigned short two(const char* at) noexcept nogil:
    return <unsigned short>((<unsigned char>at[0]) << 8 | <unsigned char>at[1])


cdef Address v4_at(const char* at) noexcept nogil:
    cdef Address out = no_address()
    out.bytes[10] = 255
    out.bytes[11] = 255
    memcpy(&out.bytes[12], at, 4)
    out.known = True
    return out


cdef Address v6_at(const char* at) noexcept nogil:
    cdef Address out = no_address()
    memcpy(out.bytes, at, 16)
    out.known = True
    return out


cdef Py_ssize_t read_binary(const char* at, Py_ssize_t size, Line* line) noexcept nogil:
    cdef int command = <unsigned char>at[12]
    cdef int family = <unsigned char>at[13]
    cdef Py_ssize_t length = two(at + 14)
    if command == 0x20:
        family = 0             # LOCAL: whatever the family is, it does not count, nor does what follows
    elif command != 0x21 or family >> 4 > 3 or family & 15 > 2:
        return LINE_BAD
    if (family == 0x11 and length < 12) or (family == 0x21 and length < 36):
        return LINE_BAD
    if size < FIXED + length:
        line.wanted = FIXED + length
        return LINE_PARTIAL
    if family == 0x11:
        line.source = v4_at(at + 16)
        line.destination = v4_at(at + 20)
        line.source_port = two(at + 24)
        line.destination_port = two(at + 26)
        line.tells = True
    elif family == 0x21:
        line.source = v6_at(at + 16)
        line.destination = v6_at(at + 32)
        line.source_port = two(at + 48)
        line.destination_port = two(at + 50)
        line.tells = True
    return FIXED + length


# -- version 1 -----------------------------------------------------------------------------------------------


cdef Py_ssize_t read_text(const char* at, Py_ssize_t size, Line* line) noexcept nogil:
    cdef Py_ssize_t end = 6
    cdef Py_ssize_t most = min(size, <Py_ssize_t>TEXT_MOST)
    while end < most and at[end] != 13 and at[end] != 10:
        end += 1
    if end == most:
        return LINE_BAD if most == TEXT_MOST else LINE_PARTIAL
    if at[end] != 13 or end + 2 > TEXT_MOST:
        return LINE_BAD
    if end + 1 == size:
        return LINE_PARTIAL
    if at[end + 1] != 10:
        return LINE_BAD
    if end >= 13 and memcmp(at + 6, b"UNKNOWN", 7) == 0 and (end == 13 or at[13] == 32):
        return end + 2
    return end + 2 if read_ends(at + 6, at + end, line) else LINE_BAD


cdef bint read_ends(const char* at, const char* end, Line* line) noexcept nogil:
    """Read `TCP4 10.0.0.1 10.0.0.2 1234 80`; True when it is just that."""
    cdef const char* word
    cdef bint is_four
    if end - at < 5 or at[4] != 32 or memcmp(at, b"TCP", 3) != 0 or (at[3] != 52 and at[3] != 54):
        return False
    is_four = at[3] == 52
    at += 5
    word = at
    at = behind_word(at, end)
    line.source = end_of_text(word, at - word, is_four)
    if at == end:
        return False
    word = at + 1
    at = behind_word(word, end)
    line.destination = end_of_text(word, at - word, is_four)
    if at == end or not line.source.known or not line.destination.known:
        return False
    word = at + 1
    at = behind_word(word, end)
    if at == end or not read_port(word, at, &line.source_port):
        return False
    line.tells = read_port(at + 1, end, &line.destination_port)
    return line.tells


cdef const char* behind_word(const char* at, const char* end) noexcept nogil:
    while at < end and at[0] != 32:
        at += 1
    return at


cdef Address end_of_text(const char* at, Py_ssize_t size, bint four) noexcept nogil:
    """Read an address as its family writes it: with dots, or with colons. Not known: it is something else."""
    # With colons too when it is a v4-mapped one, which is what a dual-stack proxy writes.
    if (memchr(at, 58, size) is NULL) != four:
        return no_address()
    return address_of_text(at, size)


cdef bint read_port(const char* at, const char* end, unsigned short* port) noexcept nogil:
    """Read 0 to 65535 without leading zeros."""
    cdef int value = 0
    if end - at < 1 or end - at > 5 or (at[0] == 48 and end - at > 1):
        return False
    while at < end:
        if not 48 <= at[0] <= 57:
            return False
        value = value * 10 + at[0] - 48
        at += 1
    port[0] = <unsigned short>value
    return value <= 65535


# -- writing -------------------------------------------------------------------------------------------------


cdef bytes line_of(int version, const Line* line):
    """Return the header of version 1 or 2; one that tells nothing when an end is not known."""
    cdef bint four = is_v4(&line.source) and is_v4(&line.destination)
    cdef bytes ports
    if not line.tells or not line.source.known or not line.destination.known:
        return b"PROXY UNKNOWN\r\n" if version == 1 else SIGNATURE[:12] + b"\x20\x00\x00\x00"
    if version == 1:
        source, destination = text_of_address(&line.source), text_of_address(&line.destination)
        if not four:
            # Of two families: both are written as IPv6.
            source, destination = as_six(source), as_six(destination)
        return (f"PROXY TCP{4 if four else 6} {source} {destination} "
                f"{line.source_port} {line.destination_port}\r\n").encode()
    ports = line.source_port.to_bytes(2, "big") + line.destination_port.to_bytes(2, "big")
    if four:
        return (SIGNATURE[:12] + b"\x21\x11\x00\x0c" + line.source.bytes[12:16]
                + line.destination.bytes[12:16] + ports)
    return (SIGNATURE[:12] + b"\x21\x21\x00\x24" + line.source.bytes[:16] + line.destination.bytes[:16] + ports)


cdef str as_six(str address):
    return address if ":" in address else f"::ffff:{address}"


# -- for tests -----------------------------------------------------------------------------------------------


def parsed(bytes data not None):
    """Read a header: "partial", "none", "bad", or (length, source, port, destination, port or None)."""
    cdef Line line
    cdef Py_ssize_t used = read_line(data, len(data), &line)
    if used <= 0:
        return {LINE_PARTIAL: "partial", LINE_NONE: "none", LINE_BAD: "bad"}[used]
    if not line.tells:
        return used, None
    return (used, (text_of_address(&line.source), line.source_port,
                   text_of_address(&line.destination), line.destination_port))


def wanted(bytes data not None):
    """Return how many bytes must have come before what begins with *data* can be whole."""
    cdef Line line
    read_line(data, len(data), &line)
    return line.wanted


def written(int version, str source not None, int source_port, str destination not None, int destination_port):
    """Write a header; an empty address is one that is not known."""
    cdef Line line
    cdef bytes one = source.encode(), other = destination.encode()
    memset(&line, 0, sizeof(Line))
    line.source = address_of_text(one, len(one))
    line.destination = address_of_text(other, len(other))
    line.source_port = source_port
    line.destination_port = destination_port
    line.tells = True
    return line_of(version, &line)
