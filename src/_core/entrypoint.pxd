# The settings of an entry point.

from .door cimport Door
from .message cimport Request
from .netset cimport Address, NetSet


cdef class EntryPoint(Door):
    # Settings of one entry point.
    cdef readonly double read_timeout          # seconds; 0: none
    cdef readonly double write_timeout
    cdef readonly double idle_timeout
    cdef readonly Py_ssize_t max_head
    cdef readonly long long max_body           # bytes of a request's body; 0: no limit
    cdef readonly bint sanitize
    cdef readonly bint encode_semicolons
    cdef readonly int max_requests             # of one connection; 0: no limit
    cdef readonly double max_age               # seconds of one connection; 0: no limit
    cdef readonly bint trusts_all              # reads the PROXY protocol of everybody
    cdef readonly NetSet trusted               # of these peers; None: of nobody
    cdef Request caller                        # what rules of TCP routers see; used for one question at a time

    cdef bint expects_line(self, const Address* client) noexcept
