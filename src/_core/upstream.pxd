# A connection to a server: asks, reads the answer, goes back to its pool.

from .connection cimport Connection
from .engine cimport Engine
from .framing cimport Framing
from .head cimport Head
from .message cimport Response
from .pool cimport Pool
from .port cimport Receiver


cdef enum UpstreamState:
    U_FRESH = 0            # not connected, or nothing asked yet
    U_DIALLED              # told to its receiver when it is connected, or not
    U_MADE                 # connected for a task, which has yet to tell the receiver
    U_IDLE                 # lies in its pool
    U_ASKED                # a request was begun; its answer has not
    U_BODY                 # the answer's body is coming
    U_ANSWERED             # the answer is over, the request perhaps not
    U_TUNNEL


cdef class Upstream(Connection):
    cdef UpstreamState state
    cdef Receiver receiver             # the exchange served; None while idle
    cdef Response response             # where the answer's head is read into
    cdef Framing asked                 # how the request's body is framed
    cdef Framing body                  # how the answer's is
    cdef bytes partial                 # the part of an answer's head that has come, in U_MADE all; None: nothing
    cdef Py_ssize_t tried              # bytes of `partial` when it was last parsed
    cdef bint has_spoken               # something came since the request was begun
    cdef bytes trailer                 # likewise of its trailer section
    cdef bint to_head                  # a HEAD request was asked
    cdef bint wants_upgrade            # a 101 may come
    cdef bint wants_continue           # a 100 was asked for and has not come
    cdef bint keeps                    # the server leaves the connection open after this answer
    cdef readonly bint is_reused       # it has answered before
    cdef bint asked_whole              # the request was sent to its end
    cdef readonly long long answers    # answers read to their end
    cdef bytes preface                 # sent in front of TLS; None: nothing
    cdef object shaken                 # future of dialling: None, or why TLS failed; None: nobody waits for it

    cdef int dial(self, Receiver receiver) except -1
    cdef void attach(self, Receiver receiver, Response response) noexcept
    cdef bint is_stale(self) noexcept
    cdef void read_answer(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_head(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_body(self, const char* at, Py_ssize_t size) noexcept
    cdef void over(self, bint clean) noexcept
    cdef void fail(self, object error) noexcept
    cdef void keep_partial(self, const char* at, Py_ssize_t size) noexcept
    cdef bint frame_answer(self, Head head) noexcept
    cdef void drop_out(self) noexcept
    cdef void tell_shaken(self, object error) noexcept
    cdef void catch_up(self) noexcept


cdef void put_chunk(Connection to, const char* at, Py_ssize_t size) noexcept
cdef object dial(Engine engine, Pool pool, Receiver receiver, bytes preface=*)
