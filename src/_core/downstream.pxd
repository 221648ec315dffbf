# A client that speaks HTTP/1: bytes in, heads out, pipelining, keep-alive, hand-over to splice.

from .client cimport Client
from .entrypoint cimport EntryPoint
from .exchange cimport Exchange
from .framing cimport Framing
from .head cimport Parsed
from .message cimport Response


cdef class Downstream(Client):
    cdef Exchange exchange                     # None: a head is awaited
    cdef Py_ssize_t tried                      # bytes of `kept` when its head was last parsed
    cdef Py_ssize_t searched                   # bytes of `kept` in which no head ends
    cdef Framing body                          # of the request in hand
    cdef bint body_over
    cdef long long body_taken                  # bytes of it so far, without their framing
    cdef bint chunks                           # the answer's body is written in chunks
    cdef bint is_old                           # the request in hand is HTTP/1.0
    cdef bint is_last                          # close after the answer in hand
    cdef bint is_asked_to_close                # by the client, with the request in hand
    cdef bint is_pumping                       # data is being worked on further up the stack
    cdef int requests                          # heads read
    cdef double read_due                       # when the request must be whole; 1e300: no limit
    cdef double write_due                      # when the answer must be whole

    cdef void pump(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_head(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t read_body(self, const char* at, Py_ssize_t size) noexcept
    cdef void begin(self, Exchange exchange) noexcept
    cdef void refuse(self, Exchange exchange) noexcept
    cdef void next(self) noexcept
    cdef void client_is_gone(self) noexcept
    cdef bint is_worth_parsing(self) noexcept
    cdef void pump_kept(self) noexcept
    cdef Parsed prepare(self, Exchange exchange) noexcept
    cdef void set_exchange_deadlines(self) noexcept
    cdef void arm_exchange(self) noexcept
    cdef bint write_head(self, Response response, const char* extra, Py_ssize_t extra_size) noexcept
    cdef void pass_kept_on(self) noexcept
    cdef void refuse_late(self) noexcept
    cdef void say_refused(self, int status, const char* why, bint bare) noexcept


cpdef Downstream newcomer(EntryPoint entry)
