# One header field: two spans and what the proxy knows of its name.

from .span cimport Span


cdef enum FieldId:
    # The names the proxy itself has a reason to know. Order is free; every id fits in the `present` mask.
    F_OTHER = 0
    F_HOST
    F_CONNECTION
    F_CONTENT_LENGTH
    F_TRANSFER_ENCODING
    F_UPGRADE
    F_EXPECT
    F_TE
    F_TRAILER
    F_KEEP_ALIVE
    F_PROXY_CONNECTION
    F_PROXY_AUTHENTICATE
    F_PROXY_AUTHORIZATION
    F_DATE
    F_CONTENT_TYPE
    F_ORIGIN
    F_IDEMPOTENCY_KEY          # and X-Idempotency-Key
    F_X_REAL_IP
    F_X_FORWARDED_FOR
    F_X_FORWARDED_PROTO
    F_X_FORWARDED_HOST
    F_X_FORWARDED_PORT
    F_X_FORWARDED_SERVER
    F_X_FORWARDED_PREFIX
    F_X_FORWARDED_OTHER        # Uri, Method, Scheme, Tls-Client-Cert, Tls-Client-Cert-Info and X-Scheme
    F_X_FORWARDED_UNDERSCORE   # any of the X- names above, spelled with underscores
    F_IDS


cdef enum FieldFlag:
    CUT = 1                    # not to be written
    OURS = 2                   # the name is spelled canonically already


cdef struct Field:
    const char* name           # borrowed from Head.raw, from Head.owned or from a constant
    const char* value          # likewise
    unsigned int name_size
    unsigned int value_size
    unsigned short id          # a FieldId
    unsigned short flags       # FieldFlag bits


cdef bint is_token(unsigned char c) noexcept nogil     # may stand in a field name
cdef FieldId id_of(const char* name, Py_ssize_t size) noexcept nogil
cdef bytes spelled(bytes name)
cdef void spell(char* out, const char* name, Py_ssize_t size) noexcept nogil


cdef inline Span value_of(Field* field) noexcept nogil:
    cdef Span out
    out.at = field.value
    out.size = field.value_size
    return out


cdef inline Span name_of(Field* field) noexcept nogil:
    cdef Span out
    out.at = field.name
    out.size = field.name_size
    return out
