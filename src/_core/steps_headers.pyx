"""Steps on header fields: custom fields, cross-origin requests, security headers.

The three of them, in this order, are Traefik's `headers`: on its way in a request meets the preflight answer, the
custom request headers, the check of the host; on its way out an answer gets the security headers, then the custom
response headers, then those for cross-origin requests, each in the place of what was there.
"""

from base64 import b64encode
from os import urandom

from .field cimport F_ORIGIN, Field, spelled, value_of
from .head cimport Head
from .message cimport Answer, Request, Response, error_answer, host_is_valid, plain_answer
from .span cimport bytes_of, same, span_of, span_of_bytes
from .step cimport ANSWER, FAULT, NEXT, Step, Verdict

cdef tuple FRAMING = (b"content-length", b"transfer-encoding")


cdef tuple triples(pairs):
    """Return (name in canonical spelling, name in lower case, value) of each pair."""
    return tuple([(spelled(name), name.lower(), value) for name, value in pairs])


cdef int refuse_framing(pairs) except -1:
    for name, _ in pairs:
        if name.lower() in FRAMING:
            raise ValueError(f"{name.decode('latin-1')} belongs to the proxy: it tells where the body ends; remove it")
    return 0


cdef int put(Head head, bytes name, bytes lowered, bytes value) except -1:
    """Put one field in the place of all of its name; only delete those when *value* is empty."""
    head.cut_name(lowered, len(lowered))
    if value:
        head.add_owned(name, value)
    return 0


cdef bytes first_value(Head head, bytes lowered):
    """Return the first value of a field, b"" when it is not there."""
    cdef Field* field = head.find_name(lowered, len(lowered), NULL)
    return bytes_of(value_of(field)) if field is not NULL else b""


cdef class HeaderEdits(Step):
    """HeaderEdits(name, request_fields, response_fields): set and delete fields on both ways.

    Each is pairs (name, value) of bytes, applied in order; an empty value deletes. `Host` sets the host of the
    request, and an empty one is no edit; an empty X-Forwarded-For keeps the proxy from adding its own. ValueError
    for a field that tells where a body ends, and for a Host that is none.
    Source: `http.middlewares.<name>.headers`, customRequestHeaders and customResponseHeaders.
    """

    def __init__(self, str name not None, request_fields=(), response_fields=()):
        refuse_framing(request_fields)
        refuse_framing(response_fields)
        self.request_fields = tuple([(spelled(field), value) for field, value in request_fields
                                     if value or field.lower() != b"host"])
        self.response_fields = triples(response_fields)
        for field, value in self.request_fields:
            if field == b"Host" and not (len(value) < 256 and host_is_valid(span_of_bytes(value))):
                raise ValueError(f'"{value.decode("latin-1")}" is not a host; write one like shop.example:8080')
        super().__init__(name, wants_request=bool(self.request_fields), wants_response=bool(self.response_fields))

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes name, value
        for name, value in self.request_fields:
            request.set_field(name, value)
        return NEXT

    cdef Verdict on_response(self, Request request, Response response) except FAULT:
        cdef bytes name, lowered, value
        for name, lowered, value in self.response_fields:
            put(response.head, name, lowered, value)
        return NEXT


cdef class PassClientCert(Step):
    """PassClientCert(name, fields_of): tell servers which certificate the client has shown.

    fields_of: called with the chain, DER, gives pairs (name, value) of bytes; once for requests of one connection
    that follow one another. Without a certificate nothing is told; with one that is none (ValueError) 400 is answered.
    Source: `http.middlewares.<name>.passTLSClientCert`.
    """

    def __init__(self, str name not None, fields_of not None):
        super().__init__(name)
        self.fields_of = fields_of

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes name, value
        if request.chain is None:
            return NEXT
        if request.chain is not self.chain:
            try:
                self.fields = list(self.fields_of(request.chain))
            except ValueError:
                # OpenSSL lets pass what no rule of it asks for. Go's TLS does not, and nobody is served then.
                request.answer = plain_answer(400)
                return ANSWER
            self.chain = request.chain
        for name, value in self.fields:
            request.set_field(name, value)
        return NEXT


cdef class Cors(Step):
    """Cors(name, ...): answers preflight requests and marks answers for other origins.

    origins: exact, or b"*"; patterns: searched for in the origin; allow_headers, allow_methods, expose_headers:
    lists of bytes; max_age: seconds, None to send none; vary: add Origin to Vary. With credentials a browser
    takes no `*`, so what was asked for is sent in its place.
    Source: `http.middlewares.<name>.headers`, accessControl... and addVaryHeader; Fetch, 3.3.
    """

    def __init__(self, str name not None, *, bint credentials=False, allow_headers=(), allow_methods=(),
                 origins=(), patterns=(), expose_headers=(), max_age=None, bint vary=False):
        super().__init__(name, wants_response=True)
        self.credentials = credentials
        self.allow_headers = b",".join(allow_headers)
        self.allow_methods = b",".join(allow_methods)
        self.any_header = credentials and b"*" in allow_headers
        self.any_method = credentials and b"*" in allow_methods
        self.expose_headers = b"" if credentials and b"*" in expose_headers else b",".join(expose_headers)
        self.max_age = b"%d" % max_age if max_age is not None else None
        self.origins = tuple(origins)
        self.patterns = tuple(patterns)
        self.vary = vary

    cdef Verdict on_request(self, Request request) except FAULT:
        if not self.is_preflight(request):
            return NEXT
        request.answer = Answer(200, self.preflight_fields(request))
        return ANSWER

    cdef bint is_preflight(self, Request request) noexcept:
        cdef Field* field
        if not same(request.method, span_of(b"OPTIONS", 7)):
            return False
        field = request.head.find(F_ORIGIN)
        if field is NULL or not field.value_size:
            return False
        field = request.head.find_name(b"access-control-request-method", 29, NULL)
        return field is not NULL and field.value_size > 0

    cdef list preflight_fields(self, Request request):
        """The fields of a preflight answer; it goes out whether or not the origin is allowed."""
        cdef list out = []
        cdef bytes headers = self.allow_headers
        cdef bytes methods = self.allow_methods
        cdef bytes origin = self.origin_allowed(first_value(request.head, b"origin"))
        if self.any_header:
            headers = first_value(request.head, b"access-control-request-headers")
        if self.any_method:
            methods = first_value(request.head, b"access-control-request-method")
        if self.credentials:
            out.append((b"Access-Control-Allow-Credentials", b"true"))
        if headers:
            out.append((b"Access-Control-Allow-Headers", headers))
        if methods:
            out.append((b"Access-Control-Allow-Methods", methods))
        if origin is not None:
            out.append((b"Access-Control-Allow-Origin", origin))
        if self.expose_headers:
            out.append((b"Access-Control-Expose-Headers", self.expose_headers))
        if self.max_age is not None:
            out.append((b"Access-Control-Max-Age", self.max_age))
        return out

    cdef bytes origin_allowed(self, bytes origin):
        """Return what to send in Access-Control-Allow-Origin, or None when the origin is not allowed."""
        cdef bytes item
        for item in self.origins:
            if item == origin:
                return item
            if item == b"*":
                return origin if self.credentials else item
        for pattern in self.patterns:
            if pattern.search(origin) is not None:
                return origin
        return None

    cdef Verdict on_response(self, Request request, Response response) except FAULT:
        cdef Head head = response.head
        cdef bytes origin = self.origin_allowed(first_value(request.head, b"origin"))
        if origin is not None:
            head.set_owned(b"Access-Control-Allow-Origin", origin)
        if self.credentials:
            head.set_owned(b"Access-Control-Allow-Credentials", b"true")
        if self.expose_headers:
            head.set_owned(b"Access-Control-Expose-Headers", self.expose_headers)
        if self.vary:
            add_origin_to_vary(head)
        return NEXT


cdef int add_origin_to_vary(Head head) except -1:
    """Add Origin to Vary, unless it is all that stands there. Several lines become one, and none is lost."""
    cdef list values = []
    cdef Field* field = head.find_name(b"vary", 4, NULL)
    while field is not NULL:
        values.append(bytes_of(value_of(field)))
        field = head.find_name(b"vary", 4, field)
    if values != [b"Origin"]:
        head.set_owned(b"Vary", b",".join([*values, b"Origin"]))
    return 0


cdef class SecurityHeaders(Step):
    """SecurityHeaders(name, fields, ...): fields for every answer, and a check of the host asked for.

    fields: pairs put in the place of the server's; $NONCE in a value becomes a new 'nonce-...' for each answer.
    sts, public_key: values sent only to who came by TLS (sts with force_sts to everybody), b"" for none.
    allowed_hosts: with port if the client sends one, letters folded; empty: all are. A host that is not allowed
    is answered 500 `Bad Host`. host_headers: the first of these fields that is there is the host instead.
    proxy_headers: pairs (field, value) that mean the client came by TLS to a proxy before us.
    Source: `http.middlewares.<name>.headers`; defaults and wording are those of the library Traefik uses.
    """

    def __init__(self, str name not None, fields=(), *, bytes sts=b"", bint force_sts=False, bytes public_key=b"",
                 allowed_hosts=(), host_headers=(), proxy_headers=()):
        self.fields = triples(fields)
        self.has_nonce = any([b"$NONCE" in value for _, _, value in self.fields])
        self.sts = sts
        self.force_sts = force_sts
        self.public_key = public_key
        self.allowed_hosts = frozenset([host.lower() for host in allowed_hosts])
        self.host_headers = tuple([header.lower() for header in host_headers])
        self.proxy_headers = tuple([(header.lower(), value) for header, value in proxy_headers])
        super().__init__(name, wants_request=bool(self.allowed_hosts),
                         wants_response=bool(self.fields or sts or public_key))

    cdef Verdict on_request(self, Request request) except FAULT:
        if self.host_of(request).lower() in self.allowed_hosts:
            return NEXT
        request.answer = error_answer(500, b"Bad Host")
        return ANSWER

    cdef bytes host_of(self, Request request):
        cdef bytes lowered, value
        for lowered in self.host_headers:
            value = first_value(request.head, lowered)
            if value:
                return value
        return bytes_of(request.host_sent)

    cdef bint is_https(self, Request request):
        cdef bytes lowered, value
        if request.is_tls:
            return True
        # Read when the answer comes: a step may not keep what belongs to one request.
        for lowered, value in self.proxy_headers:
            if first_value(request.head, lowered) == value:
                return True
        return False

    cdef Verdict on_response(self, Request request, Response response) except FAULT:
        cdef Head head = response.head
        cdef bytes name, lowered, value, nonce = b""
        cdef bint https = self.is_https(request)
        if self.has_nonce:
            nonce = b"'nonce-" + b64encode(urandom(16)) + b"'"
        for name, lowered, value in self.fields:
            put(head, name, lowered, value.replace(b"$NONCE", nonce) if self.has_nonce else value)
        if self.sts and (https or self.force_sts):
            head.set_owned(b"Strict-Transport-Security", self.sts)
        if self.public_key and https:
            head.set_owned(b"Public-Key-Pins", self.public_key)
        return NEXT
