# Request and Response as rules, steps and plugins see them.

from .head cimport Head
from .ledger cimport Place
from .netset cimport Address
from .span cimport Span


cdef enum:
    HOST_MAX = 255                     # bytes of a host without port; a DNS name has at most 253


cdef class Request:
    cdef readonly Head head            # the received head with the edits so far
    cdef Address client                # peer of the connection
    cdef bytes client_text             # the same as text, without port and zone; b"" for a unix socket
    cdef int client_port
    cdef readonly bint is_tls
    cdef readonly str terms            # name of the connection's TLS options; None without TLS
    cdef readonly tuple chain          # certificates that the client has shown, DER, its own first; None: none
    cdef bint over                     # the exchange has ended: a plugin that still holds us is refused

    # What rules ask for. Borrowed from head.raw or from the bytes named beside.
    cdef Span method                   # head.raw
    cdef Span host                     # canonical: lower case, no port, brackets or trailing dot; host_text
    cdef Span host_sent                # as the client wrote it, with port; head.raw or host_owner
    cdef Span path                     # escaped, normalised; what is sent on; path_owner or head.raw. Empty when
                                       # a step took all of it away: "/" on the wire
    cdef Span routing_path             # decoded but for reserved characters; routing_owner or path
    cdef Span query                    # without the question mark; query_owner or head.raw
    cdef bint has_query                # a question mark was there
    cdef Span protocols                # of a TLS client: what it offers, each behind its length (RFC 7301, 3.1)
    cdef char[256] host_text
    cdef bytes host_owner
    cdef bytes path_owner
    cdef bytes routing_owner
    cdef bytes query_owner

    # What the Connection field asked for; read before it is cut.
    cdef bint asks_close               # the client closes after this answer
    cdef bint asks_keep                # an HTTP/1.0 client wants to go on
    cdef Span upgrade                  # the one protocol to change to; empty: none
    cdef bint takes_trailers           # TE: trailers

    # What steps leave behind.
    cdef public object answer          # Answer or None
    cdef public object pending         # coroutine waited for, or None
    cdef Place held                    # places that steps have taken for it; None: none
    cdef bint no_forwarded_for         # X-Forwarded-For was deleted: the proxy adds none

    cdef void clear(self) noexcept
    cdef void name_connection(self, Span name, Span protocols, Address client) noexcept
    cdef bint refused(self, int status, const char* why) noexcept nogil
    cdef bint prepare(self, bint sanitize, bint encode_semicolons)
    cdef bint read_host(self) noexcept
    cdef bint read_other_form(self, Span* target) noexcept
    cdef bint canonicalise(self) noexcept nogil
    cdef bint read_target(self, bint sanitize, bint encode_semicolons)
    cdef int set_path(self, bytes path) except -1
    cdef int set_host(self, bytes host) except -1
    cdef int set_field(self, bytes name, bytes value) except -1
    cdef int alive(self) except -1


cdef class Response:
    cdef readonly Head head
    cdef readonly bint is_ours         # made by the proxy, not by a server
    cdef bint over

    cdef void clear(self) noexcept
    cdef int alive(self) except -1


cdef class Answer:
    # An answer given instead of asking a server.
    cdef readonly int status
    cdef readonly list headers         # [(bytes, bytes)]
    cdef readonly bytes body


cdef Answer plain_answer(int status)                   # the phrase as body, no Content-Type
cdef Answer error_answer(int status, bytes text)       # as Go's http.Error writes it
cdef bint host_is_valid(Span host) noexcept nogil
