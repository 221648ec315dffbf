"""Reads server name and protocols out of a TLS ClientHello, never past its end (RFC 8446, 4.1.2; RFC 6066, 3).

The message may stand in several records, cut anywhere. Only what is needed to choose certificate and options is
looked at, and that strictly: what a peer could take in two ways is refused here. The rest is TLS's own affair.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy

from .span cimport bytes_of, span_of

cdef enum:
    HANDSHAKE = 22
    CLIENT_HELLO = 1
    RECORD_HEAD = 5
    MESSAGE_HEAD = 4
    MOST_RECORD = 16384        # bytes of a record that is not encrypted (RFC 8446, 5.1)
    SERVER_NAME = 0
    ALPN = 16
    HOST_NAME = 0


cdef inline Heard bad(Hello* out, const char* why) noexcept nogil:
    out.fault = why
    return H_BAD


cdef inline Heard partial(Hello* out, Py_ssize_t wanted) noexcept nogil:
    if wanted > MOST_FLIGHT:
        return bad(out, b"the hello comes in too many pieces")
    out.wanted = wanted
    return H_PARTIAL


cdef Heard read_hello(const unsigned char* at, Py_ssize_t size, unsigned char* room, Hello* out) noexcept nogil:
    """Read the hello at the start of `size` bytes. room: MOST_HELLO bytes, into which it is put together."""
    cdef Py_ssize_t here = 0               # the record that is looked at
    cdef Py_ssize_t got = 0                # bytes of the message in `room`
    cdef Py_ssize_t need = MESSAGE_HEAD    # bytes of the message, as far as is known
    cdef Py_ssize_t length, there, taken
    out.name = span_of(NULL, 0)
    out.protocols = span_of(NULL, 0)
    out.wanted = 0
    out.fault = NULL
    while True:
        if here < size and at[here] != HANDSHAKE:
            return bad(out, b"a record that is no handshake")
        if here + 1 < size and at[here + 1] != 3:
            return bad(out, b"a record of an unknown version")
        if size - here < RECORD_HEAD:
            return partial(out, here + RECORD_HEAD + need - got)
        length = (<Py_ssize_t>at[here + 3] << 8) | at[here + 4]
        if length == 0 or length > MOST_RECORD:
            return bad(out, b"a record that is empty or too long")
        there = min(length, size - here - RECORD_HEAD)
        taken = 0
        while taken < there and got < need:
            # Twice at most in the first record: for the message's head, then for what that says.
            taken += take(at + here + RECORD_HEAD + taken, min(there - taken, need - got), room, &got)
            if room[0] != CLIENT_HELLO:
                return bad(out, b"a handshake that begins with something else than a hello")
            if got == MESSAGE_HEAD:
                need = MESSAGE_HEAD + (<Py_ssize_t>room[1] << 16 | <Py_ssize_t>room[2] << 8 | room[3])
                if need > MOST_HELLO:
                    return bad(out, b"the hello is too long")
        if got == need and got > MESSAGE_HEAD:
            return read_message(room + MESSAGE_HEAD, need - MESSAGE_HEAD, out)
        if got == need and need == MESSAGE_HEAD:
            return bad(out, b"the hello is empty")
        if there < length:
            if length - there >= need - got:
                return partial(out, size + need - got)
            return partial(out, here + RECORD_HEAD + length + RECORD_HEAD + (need - got) - (length - there))
        here += RECORD_HEAD + length


cdef inline Py_ssize_t take(const unsigned char* at, Py_ssize_t size, unsigned char* room,
                            Py_ssize_t* got) noexcept nogil:
    """Put bytes of the message behind those that are there, at most up to the end of its head at first."""
    if got[0] < MESSAGE_HEAD:
        size = min(size, MESSAGE_HEAD - got[0])
    memcpy(room + got[0], at, size)
    got[0] += size
    return size


cdef struct Cursor:
    const unsigned char* at
    Py_ssize_t left


cdef inline Py_ssize_t number(Cursor* cursor, int width) noexcept nogil:
    """Take a number of `width` bytes; -1 when there are not so many."""
    cdef Py_ssize_t value = 0
    cdef int _i
    if cursor.left < width:
        return -1
    for _i in range(width):
        value = value << 8 | cursor.at[0]
        cursor.at += 1
    cursor.left -= width
    return value


cdef inline bint vector(Cursor* cursor, int width, Cursor* out) noexcept nogil:
    """Take a vector behind its length of `width` bytes; False when it does not end in time."""
    cdef Py_ssize_t size = number(cursor, width)
    if size < 0 or size > cursor.left:
        return False
    out.at = cursor.at
    out.left = size
    cursor.at += size
    cursor.left -= size
    return True


cdef Heard read_message(const unsigned char* at, Py_ssize_t size, Hello* out) noexcept nogil:
    """Read a whole hello behind its head."""
    cdef Cursor rest, part, extension
    cdef Py_ssize_t kind
    cdef bint has_name = False, has_protocols = False
    rest.at = at
    rest.left = size
    if number(&rest, 2) < 0 or rest.left < 32:
        return bad(out, b"the hello ends early")
    rest.at += 32
    rest.left -= 32
    if not vector(&rest, 1, &part) or part.left > 32:
        return bad(out, b"the session of the hello is malformed")
    if not vector(&rest, 2, &part) or part.left < 2 or part.left % 2:
        return bad(out, b"the cipher suites of the hello are malformed")
    if not vector(&rest, 1, &part) or part.left == 0:
        return bad(out, b"the compression methods of the hello are malformed")
    if rest.left == 0:
        return H_WHOLE
    if not vector(&rest, 2, &part) or rest.left:
        return bad(out, b"the extensions of the hello do not end where it does")
    while part.left:
        kind = number(&part, 2)
        if kind < 0 or not vector(&part, 2, &extension):
            return bad(out, b"an extension of the hello ends early")
        if kind == SERVER_NAME:
            if has_name or not read_names(&extension, out):
                return bad(out, b"the server name of the hello is malformed")
            has_name = True
        elif kind == ALPN:
            if has_protocols or not read_protocols(&extension, out):
                return bad(out, b"the protocols of the hello are malformed")
            has_protocols = True
    return H_WHOLE


cdef bint read_names(Cursor* extension, Hello* out) noexcept nogil:
    """Read the server name: one host name, of visible ASCII without a dot at its end (RFC 6066, 3)."""
    cdef Cursor names, name
    cdef Py_ssize_t kind, i
    if not vector(extension, 2, &names) or extension.left or names.left == 0:
        return False
    while names.left:
        kind = number(&names, 1)
        if not vector(&names, 2, &name) or name.left == 0:
            return False
        if kind != HOST_NAME:
            continue
        if out.name.size or name.left > 255 or name.at[name.left - 1] == 46:
            return False
        for i in range(name.left):
            if name.at[i] <= 32 or name.at[i] >= 127:
                return False
        out.name = span_of(<const char*>name.at, name.left)
    return True


cdef bint read_protocols(Cursor* extension, Hello* out) noexcept nogil:
    """Check the list of protocols (RFC 7301, 3.1)."""
    cdef Cursor protocols, name
    if not vector(extension, 2, &protocols) or extension.left or protocols.left == 0:
        return False
    out.protocols = span_of(<const char*>protocols.at, protocols.left)
    while protocols.left:
        if not vector(&protocols, 1, &name) or name.left == 0:
            return False
    return True


cdef tuple protocols_of(const Hello* hello):
    """The protocols that the client speaks, as bytes; empty without ALPN."""
    cdef list found = []
    cdef const char* at = hello.protocols.at
    cdef Py_ssize_t left = hello.protocols.size
    cdef Py_ssize_t size
    while left > 0:
        size = <unsigned char>at[0]
        found.append(PyBytes_FromStringAndSize(at + 1, size))
        at += size + 1
        left -= size + 1
    return tuple(found)


def hear(bytes data not None):
    """Read a hello: for tests and tools.

    Returns (name, protocols) when it is whole, the number of bytes that must have come before it can be when it
    is not. Raises ValueError for what is no hello.
    """
    cdef unsigned char[MOST_HELLO] room
    cdef Hello hello
    cdef Heard heard = read_hello(<const unsigned char*><const char*>data, len(data), room, &hello)
    if heard == H_BAD:
        raise ValueError(hello.fault.decode())
    if heard == H_PARTIAL:
        return hello.wanted
    return bytes_of(hello.name), protocols_of(&hello)
