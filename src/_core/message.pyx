"""Request and Response as rules, steps and plugins see them."""

from libc.string cimport memchr

from .field cimport F_CONTENT_LENGTH, F_HOST, F_TRANSFER_ENCODING, Field, spelled, value_of
from .head cimport Head, WHOLE, has
from .netset cimport address_of_text
from .path cimport is_plain, normalised, routed, sanitized
from .phrase cimport phrase_of
from .span cimport Span, bytes_of, find_byte, lower, same_folded, span_of, span_of_bytes

cdef unsigned char[256] HOST_CHAR      # 1: allowed in a Host field; the list is Go's httpguts.ValidHostHeader


cdef void fill_table() noexcept:
    cdef int c
    cdef const char* marks = b"!$%&'()*+,-.:;=[]_~"
    for c in range(256):
        HOST_CHAR[c] = (48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122
                        or (c != 0 and memchr(marks, c, 19) is not NULL))


fill_table()


cdef class Answer:
    """An answer that a step or a plugin gives instead of a server.

    status: 200..999; headers: pairs of bytes, names spelled as they go out; body: sent with its length.
    """

    def __init__(self, int status, headers=(), bytes body=b""):
        if not 200 <= status <= 999:
            raise ValueError(f"the status of an answer is a number from 200 to 999, not {status}")
        self.status = status
        self.headers = [(bytes(name), bytes(value)) for name, value in headers]
        self.body = body


cdef Answer plain_answer(int status):
    """Answer with the phrase of *status* as body and nothing else, as Traefik's own handlers do."""
    return Answer(status, (), phrase_of(status) if status not in (204, 304) else b"")


cdef Answer error_answer(int status, bytes text):
    """Answer with *text* and a line end, in the form of Go's http.Error."""
    return Answer(status, ((b"Content-Type", b"text/plain; charset=utf-8"),
                           (b"X-Content-Type-Options", b"nosniff")), text + b"\n")


cdef class Request:
    """A request on its way: the received head, the edits so far, and what rules ask for.

    Plugins keep it no longer than their own call: once the exchange is over every member raises RuntimeError.
    """

    def __cinit__(self):
        self.head = Head.__new__(Head)
        self.client_text = b""

    cdef void clear(self) noexcept:
        """Forget the request; the object is used for the next one."""
        self.head.clear()
        self.host_owner = None
        self.path_owner = None
        self.routing_owner = None
        self.query_owner = None
        self.answer = None
        self.pending = None
        self.held = None
        self.no_forwarded_for = False
        self.asks_close = False
        self.asks_keep = False
        self.upgrade = span_of(NULL, 0)
        self.takes_trailers = False
        self.protocols = span_of(NULL, 0)
        self.over = False

    cdef void name_connection(self, Span name, Span protocols, Address client) noexcept:
        """Stand for a connection of which no request is known, before the rules of TCP routers.

        name: the server name that TLS asked for, empty when there is none; protocols: what ALPN offers, each
        behind its length, borrowed until `clear`. A name too long for DNS is none that a rule could mean.
        """
        cdef Py_ssize_t i
        if name.size and name.at[name.size - 1] == 46:
            name.size -= 1
        if name.size > HOST_MAX:
            name.size = 0
        for i in range(name.size):
            self.host_text[i] = name.at[i] | 32 if 65 <= name.at[i] <= 90 else name.at[i]
        self.host = span_of(self.host_text, name.size)
        self.protocols = protocols
        self.client = client

    cdef int alive(self) except -1:
        if self.over:
            raise RuntimeError("this request is over")
        return 0

    # -------- what rules ask for

    cdef bint refused(self, int status, const char* why) noexcept nogil:
        """Note why the request is refused; False, for the caller to return."""
        self.head.refuse(status, why)
        return False

    cdef bint prepare(self, bint sanitize, bint encode_semicolons):
        """Derive method, host, paths and query from the kept head; False with head.fault set when refused.

        sanitize: resolve dot segments and double slashes; encode_semicolons: `;` in the query becomes %3B,
        else `&`. Source: entryPoints.<name>.http.sanitizePath and .encodeQuerySemicolons.
        """
        self.method = self.head.method
        return self.read_target(sanitize, encode_semicolons) and self.read_host()

    cdef bint read_target(self, bint sanitize, bint encode_semicolons):
        cdef Span target = self.head.target
        cdef Py_ssize_t cut
        cdef bytes normal
        self.host_sent = span_of(NULL, 0)
        if target.at[0] != 47:
            if not self.read_other_form(&target):
                return False
        # A target never has a fragment (RFC 9112, 3.2); forwarding one would hide what follows from somebody.
        if memchr(target.at, 35, target.size) is not NULL:
            self.head.fault_is_bare = True
            return self.refused(400, b"the request target has a fragment")
        cut = find_byte(target, 63)
        self.has_query = cut >= 0
        self.query = span_of(target.at + cut + 1, target.size - cut - 1) if cut >= 0 else span_of(NULL, 0)
        self.path = span_of(target.at, cut) if cut >= 0 else target
        if self.query.size and memchr(self.query.at, 59, self.query.size) is not NULL:
            self.query_owner = bytes_of(self.query).replace(b";", b"%3B" if encode_semicolons else b"&")
            self.query = span_of_bytes(self.query_owner)
        self.routing_path = self.path
        if is_plain(self.path):
            return True
        if self.path.size == 1 and self.path.at[0] == 42:
            return True
        normal = normalised(self.path)
        if normal is None:
            return self.refused(400, b"an escape in the path is malformed")
        self.set_path(sanitized(normal) if sanitize else normal)
        return True

    cdef bint read_other_form(self, Span* target) noexcept:
        """Read an asterisk-, absolute- or authority-form; `target` becomes the path and query in it."""
        cdef Py_ssize_t scheme = 0
        cdef const char* at = target.at
        cdef Py_ssize_t end
        if same_folded(self.method, b"connect", 7):
            self.head.fault_is_bare = True
            return self.refused(501, b"CONNECT is not served")
        if target.size == 1 and at[0] == 42:
            if same_folded(self.method, b"options", 7):
                return True
            return self.refused(400, b"only OPTIONS may ask for *")
        if target.size > 7 and same_folded(span_of(at, 7), b"http://", 7):
            scheme = 7
        elif target.size > 8 and same_folded(span_of(at, 8), b"https://", 8):
            scheme = 8
        else:
            return self.refused(400, b"the request target is neither a path nor an http URL")
        end = scheme
        while end < target.size and at[end] != 47 and at[end] != 63:
            end += 1
        self.host_sent = span_of(at + scheme, end - scheme)
        if end == target.size:
            target[0] = span_of(b"/", 1)
        elif at[end] == 63:
            # "http://host?query": the path is empty, which is "/" on the wire.
            return self.refused(400, b"the request target has a query without a path")
        else:
            target[0] = span_of(at + end, target.size - end)
        return True

    cdef bint read_host(self) noexcept:
        """Find the host of the request (the target beats the field), check and canonicalise it."""
        cdef Field* field = self.head.find(F_HOST)
        cdef Field* second
        cdef bint absolute = self.host_sent.size > 0
        if field is NULL:
            if self.head.minor == 1:
                return self.refused(400, b"the Host field is missing")
        else:
            second = self.head.find_name(b"host", 4, field)
            if second is not NULL:
                return self.refused(400, b"there is more than one Host field")
            if not host_is_valid(value_of(field)):
                return self.refused(400, b"the Host field is malformed")
            if not absolute:
                self.host_sent = value_of(field)
        if absolute:
            if not host_is_valid(self.host_sent):
                return self.refused(400, b"the host in the request target is malformed")
            if field is not NULL:
                field.value = self.host_sent.at
                field.value_size = <unsigned int>self.host_sent.size
        return self.canonicalise() or self.refused(400, b"the host is longer than 255 bytes")

    cdef bint canonicalise(self) noexcept nogil:
        """Write `host_sent` into host_text: lower case, no port, no brackets, no trailing dot."""
        cdef Span name = without_port(self.host_sent)
        cdef Py_ssize_t i
        if name.size and name.at[name.size - 1] == 46:
            name.size -= 1
        if name.size > HOST_MAX:
            return False
        for i in range(name.size):
            self.host_text[i] = lower(name.at[i])
        self.host = span_of(self.host_text, name.size)
        return True

    # -------- edits by steps

    cdef int set_path(self, bytes path) except -1:
        """Put another escaped path in place; the path that rules see follows it."""
        self.path_owner = path
        self.path = span_of_bytes(path)
        if memchr(self.path.at, 37, self.path.size) is NULL:
            self.routing_owner = None
            self.routing_path = self.path
        else:
            self.routing_owner = routed(self.path)
            self.routing_path = span_of_bytes(self.routing_owner)
        return 0

    cdef int set_host(self, bytes host) except -1:
        """Put another host in place, in the Host field too. ValueError when it is none."""
        if not host or not host_is_valid(span_of_bytes(host)):
            raise ValueError(f'"{host.decode("latin-1")}" is not a host')
        self.head.set_owned(b"Host", host)
        self.host_owner = host
        self.host_sent = span_of_bytes(host)
        if not self.canonicalise():
            raise ValueError(f"the host is longer than {HOST_MAX} bytes")
        return 0

    cdef int set_field(self, bytes name, bytes value) except -1:
        """Set one field, or cut it when *value* is empty; Host and X-Forwarded-For keep their meaning.

        ValueError for a field that tells how long the body is, and for a Host that is none.
        """
        cdef bytes lowered = name.lower()
        if lowered in (b"content-length", b"transfer-encoding"):
            raise ValueError(f"{name.decode('latin-1')} belongs to the proxy: it tells where the body ends")
        if lowered == b"host":
            return self.set_host(value)
        if lowered == b"x-forwarded-for":
            self.no_forwarded_for = not value
        self.head.cut_name(lowered, len(lowered))
        if value:
            self.head.add_owned(name, value)
        return 0

    # -------- for Python: plugins and tests

    @staticmethod
    def of_connection(bytes name=b"", *, protocols=(), str client="127.0.0.1"):
        """Make what the rules of TCP routers see of a connection. For tests."""
        cdef Request request = Request.__new__(Request)
        cdef bytes offered = b"".join([bytes([len(each)]) + each for each in protocols])
        cdef bytes text = client.encode()
        request.path_owner = offered           # keeps it
        request.name_connection(span_of_bytes(name), span_of_bytes(offered), address_of_text(text, len(text)))
        return request

    @staticmethod
    def of(bytes data not None, *, str client="127.0.0.1", bint is_tls=False, bint sanitize=True,
           bint encode_semicolons=False):
        """Make a Request of raw bytes as the entry point would. ValueError when it is refused, or not whole."""
        cdef Request request = Request.__new__(Request)
        cdef int parsed = request.head.parse_request(data, len(data))
        request.client_text = client.encode()
        request.client = address_of_text(<const char*>request.client_text, len(request.client_text))
        request.is_tls = is_tls
        if parsed == WHOLE:
            request.head.keep()
            if request.prepare(sanitize, encode_semicolons):
                return request
        if request.head.fault is NULL:
            raise ValueError("the head is not whole")
        raise ValueError(f"{request.head.fault_status}: {request.head.fault.decode()}")

    @property
    def method_name(self):
        self.alive()
        return bytes_of(self.method).decode("ascii")

    @property
    def host_name(self):
        """The host asked for: lower case, without port."""
        self.alive()
        return bytes_of(self.host).decode("ascii")

    @property
    def escaped_path(self):
        """The path as it will be sent on."""
        self.alive()
        return bytes_of(self.path).decode("ascii")

    @property
    def matched_path(self):
        """The path that Path, PathPrefix and PathRegexp look at, as bytes."""
        self.alive()
        return bytes_of(self.routing_path)

    @property
    def query_string(self):
        """The query without its question mark, as sent; "" without one."""
        self.alive()
        return bytes_of(self.query).decode("latin-1")

    @property
    def client_ip(self):
        """Address of the peer, "" for a unix socket."""
        self.alive()
        return self.client_text.decode("ascii")

    @property
    def scheme(self):
        self.alive()
        return "https" if self.is_tls else "http"

    @property
    def has_body(self):
        self.alive()
        return has(self.head, F_CONTENT_LENGTH) or has(self.head, F_TRANSFER_ENCODING)

    def headers(self):
        """All fields as they stand: [(name, value)]."""
        self.alive()
        return text_fields(self.head)

    def header(self, str name not None):
        """The first value of the field, or None."""
        self.alive()
        return first_value(self.head, name)

    def set_header(self, str name not None, str value not None):
        """Put one field in the place of all of this name; "" removes it. ValueError for bad text."""
        self.alive()
        self.set_field(field_name(name), field_value(value))

    def set_escaped_path(self, str path not None):
        """Send another path on, escaped already. ValueError when it is not an absolute escaped path."""
        self.alive()
        cdef bytes raw = path.encode("ascii")
        cdef bytes normal = normalised(span_of_bytes(raw)) if raw.startswith(b"/") else None
        if normal is None or b"?" in raw or b"#" in raw:
            raise ValueError(f"{path!r} is not an absolute escaped path")
        self.set_path(normal)


cdef class Response:
    """A response on its way back: the server's head, or ours, with the edits so far."""

    def __cinit__(self):
        self.head = Head.__new__(Head)

    cdef void clear(self) noexcept:
        self.head.clear()
        self.is_ours = False
        self.over = False

    @staticmethod
    def of(bytes data not None):
        """Make a Response of the raw bytes of a head. ValueError when it is refused, or not whole. For tests."""
        cdef Response response = Response.__new__(Response)
        response.head = Head.of_response(data)
        if response.head is None:
            raise ValueError("the head is not whole")
        return response

    cdef int alive(self) except -1:
        if self.over:
            raise RuntimeError("this response is over")
        return 0

    @property
    def status(self):
        self.alive()
        return self.head.status

    def headers(self):
        """All fields as they stand: [(name, value)]."""
        self.alive()
        return text_fields(self.head)

    def header(self, str name not None):
        """The first value of the field, or None."""
        self.alive()
        return first_value(self.head, name)

    def set_header(self, str name not None, str value not None):
        """Put one field in the place of all of this name; "" removes it. ValueError for bad text."""
        cdef bytes raw = field_name(name)
        cdef bytes lowered = raw.lower()
        cdef bytes text = field_value(value)
        self.alive()
        if lowered in (b"content-length", b"transfer-encoding"):
            raise ValueError(f"{name} belongs to the proxy: it tells where the body ends")
        self.head.cut_name(lowered, len(lowered))
        if text:
            self.head.add_owned(raw, text)


cdef list text_fields(Head head):
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.fields]


cdef first_value(Head head, str name):
    cdef bytes lowered = name.lower().encode("latin-1")
    cdef Field* field = head.find_name(lowered, len(lowered), NULL)
    return bytes_of(value_of(field)).decode("latin-1") if field is not NULL else None


def field_name(str name not None):
    """The bytes of a field name, in canonical spelling. ValueError when it is no token (RFC 9110, 5.1)."""
    cdef bytes raw = name.encode("latin-1", "replace")
    if not raw or raw.translate(None, b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                      b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        raise ValueError(f"{name!r} is not a header name")
    return spelled(raw)


def field_value(str value not None):
    """The bytes of a field value, trimmed. ValueError when it holds a control character (RFC 9110, 5.5)."""
    cdef bytes raw = value.encode("utf-8").strip(b" \t")
    cdef unsigned char c
    for c in raw:
        if (c < 32 and c != 9) or c == 127:
            raise ValueError(f"{value!r} holds a control character, which no header value may")
    return raw


cdef bint host_is_valid(Span host) noexcept nogil:
    """Go's rule for Host: a closed list of characters; beyond it, a port that is a number and paired brackets."""
    cdef Py_ssize_t i
    cdef Span name
    for i in range(host.size):
        if not HOST_CHAR[<unsigned char>host.at[i]]:
            return False
    if host.size and host.at[0] == 91:
        i = find_byte(host, 93)
        if i < 0 or (i + 1 < host.size and host.at[i + 1] != 58):
            return False
    name = without_port(host)
    i = host.size - 1
    while i >= 0 and 48 <= host.at[i] <= 57:
        i -= 1
    # What stands behind a single colon is a port: digits only, possibly none.
    return name.size == host.size or i < 0 or host.at[i] == 58 or host.at[i] == 93


cdef Span without_port(Span host) noexcept nogil:
    """Cut the port and the brackets of an IPv6 address; more colons than one without brackets are an address."""
    cdef Py_ssize_t colon
    if host.size and host.at[0] == 91:
        colon = find_byte(host, 93)
        return span_of(host.at + 1, colon - 1) if colon > 0 else host
    colon = find_byte(host, 58)
    if colon < 0 or find_byte(span_of(host.at + colon + 1, host.size - colon - 1), 58) >= 0:
        return host
    return span_of(host.at, colon)
