# What a TLS client says first: the name of the server that it wants, and the protocols that it speaks.

from .span cimport Span


cdef enum:
    MOST_HELLO = 65540         # bytes of a ClientHello, as in Go: 64 KiB and its head
    MOST_FLIGHT = 81920        # bytes of the records in which it comes


cdef enum Heard:
    H_PARTIAL                  # `wanted` bytes must have come before it can be whole
    H_WHOLE
    H_BAD                      # `fault` says why


cdef struct Hello:
    Span name                  # in `room`: the server name as it was sent; empty: none was
    Span protocols             # in `room`: names, each behind a byte with its length; empty: no ALPN
    Py_ssize_t wanted          # bytes from the start of the first record on
    const char* fault


cdef Heard read_hello(const unsigned char* at, Py_ssize_t size, unsigned char* room, Hello* out) noexcept nogil
cdef tuple protocols_of(const Hello* hello)
