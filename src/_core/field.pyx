"""Header field names: which of them the proxy knows, and how they are spelled on the wire."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memchr

from .span cimport Span, lower, same_folded, span_of, upper

cdef unsigned char[256] TCHAR          # 1: allowed in a token (RFC 9110, 5.6.2)


cdef void fill_table() noexcept:
    cdef int c
    cdef const char* others = b"!#$%&'*+-.^_`|~"
    for c in range(256):
        TCHAR[c] = (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122
                    or (c != 0 and memchr(others, c, 15) is not NULL))


fill_table()


cdef bint is_token(unsigned char c) noexcept nogil:
    return TCHAR[c]


cdef FieldId id_of(const char* name, Py_ssize_t size) noexcept nogil:
    """Classify a field name by its length and first letter; one comparison for nearly every name."""
    cdef Span field = span_of(name, size)
    cdef char first
    if size < 2 or size > 32:
        return F_OTHER
    first = lower(name[0])
    if first == 120:
        return x_id_of(field)
    if size == 2:
        return F_TE if same_folded(field, b"te", 2) else F_OTHER
    if size == 4:
        if same_folded(field, b"host", 4):
            return F_HOST
        return F_DATE if same_folded(field, b"date", 4) else F_OTHER
    if size == 6:
        if same_folded(field, b"expect", 6):
            return F_EXPECT
        return F_ORIGIN if same_folded(field, b"origin", 6) else F_OTHER
    if size == 7:
        if same_folded(field, b"upgrade", 7):
            return F_UPGRADE
        return F_TRAILER if same_folded(field, b"trailer", 7) else F_OTHER
    if size == 10:
        if same_folded(field, b"connection", 10):
            return F_CONNECTION
        return F_KEEP_ALIVE if same_folded(field, b"keep-alive", 10) else F_OTHER
    if size == 12:
        return F_CONTENT_TYPE if same_folded(field, b"content-type", 12) else F_OTHER
    if size == 14:
        return F_CONTENT_LENGTH if same_folded(field, b"content-length", 14) else F_OTHER
    if size == 15:
        return F_IDEMPOTENCY_KEY if same_folded(field, b"idempotency-key", 15) else F_OTHER
    if size == 16:
        return F_PROXY_CONNECTION if same_folded(field, b"proxy-connection", 16) else F_OTHER
    if size == 17:
        return F_TRANSFER_ENCODING if same_folded(field, b"transfer-encoding", 17) else F_OTHER
    if size == 18:
        return F_PROXY_AUTHENTICATE if same_folded(field, b"proxy-authenticate", 18) else F_OTHER
    if size == 19:
        return F_PROXY_AUTHORIZATION if same_folded(field, b"proxy-authorization", 19) else F_OTHER
    return F_OTHER


cdef FieldId x_id_of(Span field) noexcept nogil:
    """Classify a name that begins with x: the forwarded family, in either spelling."""
    cdef char[32] dashed
    cdef Py_ssize_t i
    cdef bint underscored = False
    cdef FieldId found
    for i in range(field.size):
        dashed[i] = lower(field.at[i])
        if dashed[i] == 95:
            dashed[i] = 45
            underscored = True
    found = dashed_id_of(span_of(dashed, field.size))
    if underscored and found != F_OTHER and found != F_IDEMPOTENCY_KEY:
        return F_X_FORWARDED_UNDERSCORE
    return F_OTHER if underscored else found


cdef FieldId dashed_id_of(Span name) noexcept nogil:
    if same_folded(name, b"x-real-ip", 9):
        return F_X_REAL_IP
    if same_folded(name, b"x-forwarded-for", 15):
        return F_X_FORWARDED_FOR
    if same_folded(name, b"x-forwarded-proto", 17):
        return F_X_FORWARDED_PROTO
    if same_folded(name, b"x-forwarded-host", 16):
        return F_X_FORWARDED_HOST
    if same_folded(name, b"x-forwarded-port", 16):
        return F_X_FORWARDED_PORT
    if same_folded(name, b"x-forwarded-server", 18):
        return F_X_FORWARDED_SERVER
    if same_folded(name, b"x-forwarded-prefix", 18):
        return F_X_FORWARDED_PREFIX
    if same_folded(name, b"x-idempotency-key", 17):
        return F_IDEMPOTENCY_KEY
    if (same_folded(name, b"x-forwarded-uri", 15) or same_folded(name, b"x-forwarded-method", 18)
            or same_folded(name, b"x-forwarded-scheme", 18) or same_folded(name, b"x-scheme", 8)
            or same_folded(name, b"x-forwarded-tls-client-cert", 27)
            or same_folded(name, b"x-forwarded-tls-client-cert-info", 32)):
        return F_X_FORWARDED_OTHER
    return F_OTHER


cdef bytes spelled(bytes name):
    """Return *name* in its canonical spelling; see `spell`."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, len(name))
    spell(PyBytes_AS_STRING(out), name, len(name))
    return out


cdef void spell(char* out, const char* name, Py_ssize_t size) noexcept nogil:
    """Write a name as Go's net/http spells it: a capital at the start and after each dash, small letters
    elsewhere; WebSocket's names with their two capitals, as RFC 6455 has them."""
    cdef Py_ssize_t i
    cdef bint first = True
    for i in range(size):
        out[i] = upper(name[i]) if first else lower(name[i])
        first = name[i] == 45
    if size > 14 and same_folded(span_of(out, 14), b"sec-websocket-", 14):
        out[7] = 83
