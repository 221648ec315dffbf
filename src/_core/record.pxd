# One line of the access log: what it tells, and in which form.

from .head cimport Head
from .journal cimport Journal
from .span cimport Span


cdef enum:
    # What is told in words. An empty one is not told, or told as "-".
    T_CLIENT                   # address of the peer
    T_FORWARDED                # X-Forwarded-For as it is believed
    T_USER                     # who the client says to be, and was believed
    T_METHOD
    T_TARGET                   # of the request line, as it came
    T_HOST                     # with its port, as it came
    T_ROUTER
    T_SERVICE
    T_URL                      # of the server
    T_ADDRESS                  # host and port of that
    T_ENTRY_POINT
    T_REFERER
    T_AGENT
    T_ASKED_FIELDS             # whole JSON members, each with its comma: header fields of the request,
    T_ORIGIN_FIELDS            # of the server's answer,
    T_ANSWER_FIELDS            # and of that to the client
    TEXTS


cdef enum:
    N_PORT                     # of the peer
    N_MINOR                    # HTTP/1.<minor>
    N_IS_TLS
    N_BEGAN                    # nanoseconds of the monotonic clock
    N_ENDED
    N_STATUS                   # to the client; 499: it left
    N_SIZE                     # bytes of body, to the client
    N_ASKED_SIZE               # and from it
    N_ORIGIN_DURATION          # nanoseconds that the service took
    N_ORIGIN_STATUS            # 0: no server answered
    N_ORIGIN_SIZE
    N_RETRIES
    N_COUNT                    # of this request, in the whole instance
    NUMBERS


cdef struct Facts:
    # Of one request. The texts are borrowed.
    Span[16] text
    long long[13] number


cdef struct Op:
    # One thing that a line tells.
    Span before                # written before it, and with it left out
    int source                 # a Source
    int index                  # of a text or number, for those that are told as they are
    int form                   # a Form


cdef struct Named:
    # What is to be done with a header field.
    Span lowered
    int mode                   # a Mode


cdef struct Second:
    # The text of a second, made once.
    long long second           # since 1970
    int size
    int end_size
    char[40] text              # up to the seconds
    char[8] end                # the zone


cdef class AccessLog:
    cdef readonly Journal journal
    cdef Op* ops               # owned
    cdef int op_count
    cdef Py_ssize_t most_fixed     # bytes of a line without its texts
    cdef list literals         # what the spans of ops and names point into
    cdef Named* names          # owned: header fields with a mode of their own
    cdef int name_count
    cdef int default_mode
    cdef bint cuts_query
    cdef readonly bint wants_fields        # header fields are told, beside these two of the request
    cdef readonly bint wants_known
    cdef readonly bint wants_origin    # durations of services are told

    # Which lines are kept: any of these.
    cdef bint is_filtered
    cdef char[1000] kept_status
    cdef bint keeps_retried
    cdef long long least       # nanoseconds; 0: none for its duration

    cdef long long* counter    # borrowed: requests of the whole instance
    cdef object counting       # the memory it lies in
    cdef long long offset      # of the real-time clock from the monotonic one
    cdef Second utc, local, end_local, clf_utc, clf_local
    cdef char* scratch         # owned
    cdef Py_ssize_t scratch_size

    cdef void write(self, Facts* facts, Head asked) noexcept
    cdef Receipt hold(self, Facts* facts, Head asked)
    cdef Span fields_of(self, Head head, const char* prefix, Py_ssize_t prefix_size, Span forwarded) noexcept

    cdef bint is_kept(self, const Facts* facts) noexcept nogil
    cdef void add_asked(self, Facts* facts, Head asked) noexcept
    cdef void put_line(self, Facts* facts) noexcept
    cdef char* put(self, char* at, const Op* op, const Facts* facts) noexcept
    cdef char* put_start(self, char* at, const Facts* facts, int form, bint is_local) noexcept
    cdef bint has_scratch(self, Py_ssize_t size) noexcept
    cdef int mode_of(self, Span name) noexcept nogil
    cdef int choose(self, Head head) noexcept nogil


cdef class Receipt:
    # A line that is written later: what it tells, its texts copied.
    cdef AccessLog log
    cdef Facts facts
    cdef bytes texts

    cdef void finish(self, long long time) noexcept


cdef bytes bytes_of_fields(AccessLog log, Head head, bytes prefix)
