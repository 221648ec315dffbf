# One line of the access log: what it tells, and in which form.

from .figures cimport Second
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
    T_TLS_VERSION              # of the connection
    T_TLS_CIPHER
    T_TLS_SUBJECT              # of the certificate that the client has shown
    T_ASKED_FIELDS             # whole JSON members, each with its comma: header fields of the request,
    T_ORIGIN_FIELDS            # of the server's answer,
    T_ANSWER_FIELDS            # and of that to the client
    TEXTS

    # What follows from these, once a line is written.
    D_WHO = TEXTS              # the forwarded client, or the peer
    D_USER
    D_PATH
    D_HOST
    D_PORT
    D_PROTOCOL
    D_SCHEME
    ALL_TEXTS


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

    D_DURATION = NUMBERS       # nanoseconds
    D_MILLISECONDS
    D_OVERHEAD
    ALL_NUMBERS


cdef struct Facts:
    # Of one request. The texts are borrowed.
    Span[26] text
    long long[16] number


cdef struct Op:
    # One thing that a line tells.
    Span before                # written before it, and with it left out
    int code                   # a Code
    int index                  # of a text or number
    char[2] after              # what is written behind it, and of that
    char after_size
    bint is_json


cdef struct Named:
    # What is to be done with a header field.
    Span lowered
    int mode                   # a Mode


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
    cdef object tls_of         # None: nothing is told of TLS
    cdef bint wants_host

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

    cdef tuple tls_facts(self, object session)
    cdef void write(self, Facts* facts, Head asked) noexcept
    cdef Receipt hold(self, Facts* facts, Head asked)
    cdef Span fields_of(self, Head head, const char* prefix, Py_ssize_t prefix_size, Span forwarded) noexcept

    cdef bint is_kept(self, const Facts* facts) noexcept nogil
    cdef void add_asked(self, Facts* facts, Head asked) noexcept
    cdef Py_ssize_t derive(self, Facts* facts) noexcept nogil
    cdef void put_line(self, Facts* facts) noexcept
    cdef char* put_rare(self, char* at, int code, const Facts* facts) noexcept
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
