# The seam: one frozen Snapshot, and the Switch that holds it.


cdef class Snapshot:
    cdef readonly long long generation
    cdef readonly tuple tables         # one Table an entry point, by its number
    cdef readonly tuple streams        # likewise, of TCP routers for connections without TLS
    cdef object __weakref__


cdef class Switch:
    cdef readonly Snapshot current     # never None
