# What the logs are told of a request.

from .entry cimport Entry
from .message cimport Request, Response
from .port cimport Receiver
from .record cimport AccessLog, Facts, Receipt
from .span cimport Span
from .step cimport Step
from .table cimport Route, Table
from .target cimport Target


cdef class Account(Receiver):
    cdef readonly Request request
    cdef readonly Response response
    cdef Entry entry
    cdef Route route                   # None: no router takes it
    cdef Target target                 # None before a server is chosen
    cdef bint was_retried

    cdef AccessLog log                 # None: nothing is told there
    cdef long long began               # nanoseconds of the monotonic clock; only where something is told
    cdef long long served_from         # when the service got it; 0: it did not, or nobody wants to know
    cdef Span host                     # as the client wrote it
    cdef tuple tls                     # version, cipher, subject of the client's certificate; None: not told
    cdef Span forwarded                # X-Forwarded-For as it is believed
    cdef int status                    # answered; 499: the client left before
    cdef int origin_status             # of the server's answer; 0: there is none
    cdef long long received            # bytes of body
    cdef long long sent
    cdef bytes origin_fields           # of the server's answer, as they are told; None: they are not
    cdef bytes answer_fields           # of the answer as it went out

    cdef void begin_record(self) noexcept
    cdef bint is_told(self) noexcept
    cdef void gather(self, Facts* facts) noexcept
    cdef void record(self) noexcept
    cdef Receipt record_later(self)
    cdef void keep_fields(self, bint of_origin) noexcept
    cdef void forget(self) noexcept

    cdef dict about(self)
    cdef void note(self, str what, object error) noexcept
    cdef void tell_unrouted(self, Table table) noexcept
    cdef void tell_failed(self, Step step, object error) noexcept
