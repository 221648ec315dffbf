# The PROXY protocol: who a connection is from and where it came in, told by the proxy in front.

from .netset cimport Address


cdef struct Line:
    # The ends of a connection as its first proxy saw it.
    Address source
    Address destination
    unsigned short source_port
    unsigned short destination_port
    bint tells                 # False: nothing is told (LOCAL, UNKNOWN, a family without addresses)
    Py_ssize_t wanted          # of a part of a header: bytes that must have come before it can be whole


cdef enum:
    LINE_PARTIAL = 0           # what is there may become a header
    LINE_NONE = -1             # it is none
    LINE_BAD = -2              # it is one, and malformed

cdef enum:
    LINE_MOST = 16 + 65535     # bytes of the longest header


cdef Py_ssize_t read_line(const char* at, Py_ssize_t size, Line* line) noexcept nogil
cdef bytes line_of(int version, const Line* line)
