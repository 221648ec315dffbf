# The seam: one frozen Snapshot, and the Switch that holds it.


cdef class Snapshot:
    cdef readonly long long generation
    cdef readonly tuple tables         # one Table an entry point, by its number: for plain connections
    cdef readonly tuple streams        # likewise, of TCP routers for connections without TLS
    cdef readonly tuple secure         # one Table an entry point, for connections of TLS
    cdef readonly tuple doormen        # who looks at first bytes there; None: nobody has to
    cdef readonly tuple sealed         # one Table an entry point, of TCP routers for connections of TLS
    cdef readonly tuple flows          # the service of each UDP entry point, by its number: a Balancer or None
    cdef object __weakref__


cdef class Switch:
    cdef readonly Snapshot current     # never None
