# The fields a proxy adds, and those that end at it.

from .head cimport Head
from .message cimport Request
from .netset cimport NetSet
from .span cimport Span


cdef class Forwarding:
    cdef readonly bint insecure        # everybody is trusted
    cdef readonly NetSet trusted       # or these peers; None: nobody
    cdef readonly tuple kept           # names in Connection that stay until the proxy step, lower case
    cdef readonly bint appends         # the peer goes onto X-Forwarded-For
    cdef readonly str underscores      # "keep", "delete" or "reject"
    cdef bytes server                  # our own host name

    cdef bint enter(self, Request request) noexcept
    cdef int leave(self, Request request) except -1
    cdef bint sort_underscores(self, Head head) noexcept
    cdef void read_hops(self, Request request) noexcept
    cdef bint add_ours(self, Request request) noexcept


cdef void cut_hop_by_hop(Head head, bint listed) noexcept
cdef bint read_connection(Head head, bint* close, bint* keep, bint* upgrade) noexcept nogil
