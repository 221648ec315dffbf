# One server of a service.

from .pool cimport Pool
from .shared cimport fp_load
from .signs cimport Signs


cdef class Target:
    # What it is. Never changes after __init__.
    cdef readonly str url              # as configured: "http://10.0.0.7:8080"
    cdef readonly double weight        # > 0
    cdef readonly Pool pool
    cdef readonly bytes host           # Host to send when passHostHeader is off
    cdef readonly bytes path_prefix    # put before the path (preservePath); b"" otherwise
    cdef Signs signs                   # of health checks; None: nobody checks it
    cdef const long long* sign         # borrowed from `signs`: 0 when it is up; NULL: nobody checks it

    # How it is doing. Touched by the event loop's thread only.
    cdef public bint is_up
    cdef readonly int in_flight        # exchanges begun and not ended
    cdef readonly long long served     # exchanges ended


cdef class StreamTarget(Target):
    # A server of connections that are passed on whole.
    cdef readonly double termination   # seconds that one direction may go on after the other ended; < 0: no limit
    cdef readonly int keep_alive       # seconds of silence until the kernel asks; 0: it does not
    cdef readonly int proxy            # version of the PROXY protocol spoken to it; 0: none


cdef inline bint is_there(Target target) noexcept:
    return target.is_up and (target.sign is NULL or fp_load(target.sign) == 0)


cdef inline bint has_room(Target target) noexcept:
    return is_there(target) and target.pool.pending < target.pool.most_pending


cdef inline void target_begin(Target target) noexcept:
    target.in_flight += 1
    target.pool.pending += 1


cdef inline void target_answered(Target target) noexcept:
    target.pool.pending -= 1


cdef inline void target_end(Target target) noexcept:
    target.in_flight -= 1
    target.served += 1
