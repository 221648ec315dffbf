# Steps that edit, answer or judge by header fields. Traefik's `headers` is up to three of them.

from .message cimport Request
from .step cimport Step


cdef class HeaderEdits(Step):
    cdef readonly tuple request_fields     # (name, value), canonical spelling; an empty value deletes
    cdef readonly tuple response_fields    # (name, name in lower case, value)


cdef class PassClientCert(Step):
    cdef object fields_of
    cdef tuple chain                   # that `fields` tells of
    cdef list fields


cdef class Cors(Step):
    cdef readonly bint credentials
    cdef readonly bytes allow_headers      # joined; b"": none
    cdef readonly bytes allow_methods
    cdef readonly bytes expose_headers     # b"" too when credentials forbid it
    cdef readonly bytes max_age            # None: not sent
    cdef readonly bint any_header          # with credentials: what is asked for is allowed
    cdef readonly bint any_method
    cdef readonly bint vary
    cdef readonly tuple origins
    cdef readonly tuple patterns           # compiled by re2, from bytes

    cdef bint is_preflight(self, Request request) noexcept
    cdef bytes origin_allowed(self, bytes origin)
    cdef list preflight_fields(self, Request request)


cdef class SecurityHeaders(Step):
    cdef readonly tuple fields             # (name, name in lower case, value) of every answer
    cdef readonly bint has_nonce           # some value holds $NONCE
    cdef readonly bytes sts                # b"": none
    cdef readonly bint force_sts
    cdef readonly bytes public_key         # b"": none
    cdef readonly frozenset allowed_hosts  # lower case; empty: all
    cdef readonly tuple host_headers       # lower case
    cdef readonly tuple proxy_headers      # (name in lower case, value): the client spoke TLS to somebody

    cdef bytes host_of(self, Request request)
    cdef bint is_https(self, Request request)
