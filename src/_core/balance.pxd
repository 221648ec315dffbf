# Who gets the next request.

from .target cimport Target


cdef class Balancer:
    # A service as the exchange sees it. Subclasses choose.
    cdef readonly str name             # qualified name of the service
    cdef readonly bint pass_host       # send the client's Host on; else the server's

    cdef Target pick(self)             # in-flight and pending raised; None: nobody is there, answer 503
    cdef bint is_full(self) noexcept   # of a pick that gave None: those who are there may not get more
    cdef bint has_somebody(self) noexcept  # some server is up, as far as health checks say


cdef class Turns(Balancer):
    cdef readonly tuple members        # each a Target or a Balancer
    cdef readonly tuple weights        # of each, > 0
    cdef readonly tuple labels         # of each: what it is called
    cdef readonly bint heeds           # services without a server that is up are passed over
    cdef readonly bint is_checked      # some member may be down
    cdef Py_ssize_t at                 # the member that came last
    cdef long long level               # members of at least this weight have a turn now
    cdef long long most                # the greatest weight
    cdef long long divisor             # the greatest common one of all weights

    cdef object turn(self)
    cdef bint is_able(self, object member) noexcept
    cdef long long greatest(self) noexcept


cdef struct Entry:
    double deadline
    double step                        # 1 / weight
    int index                          # into targets


cdef class RoundRobin(Balancer):
    cdef readonly tuple targets
    cdef Entry* heap                   # owned; min-heap by deadline
    cdef int count
