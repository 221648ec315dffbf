"""The fields a proxy adds, and those that end at it.

Two stages, as Traefik has them: `enter` when a request has come in, before any router looks at it, and `leave`
when it goes to a server. What is between them sees the fields as they will be sent.
Source: entryPoints.<name>.forwardedHeaders; RFC 9110, 7.6.1.
"""

from .field cimport (
    CUT, F_CONNECTION, F_CONTENT_LENGTH, F_HOST, F_KEEP_ALIVE, F_PROXY_AUTHENTICATE, F_PROXY_AUTHORIZATION,
    F_PROXY_CONNECTION, F_TE, F_TRAILER, F_TRANSFER_ENCODING, F_UPGRADE, F_X_FORWARDED_FOR,
    F_X_FORWARDED_HOST, F_X_FORWARDED_OTHER, F_X_FORWARDED_PORT, F_X_FORWARDED_PREFIX, F_X_FORWARDED_PROTO,
    F_X_FORWARDED_SERVER, F_X_FORWARDED_UNDERSCORE, F_X_REAL_IP, Field, name_of, value_of,
)
from .head cimport Head, has
from .message cimport Request
from .netset cimport NetSet
from .span cimport Span, bytes_of, find_byte, has_token, next_token, same_folded, span_of, span_of_bytes


cdef unsigned long long HOP_BY_HOP = (
    1ULL << <int>F_CONNECTION | 1ULL << <int>F_KEEP_ALIVE | 1ULL << <int>F_PROXY_CONNECTION
    | 1ULL << <int>F_PROXY_AUTHENTICATE | 1ULL << <int>F_PROXY_AUTHORIZATION | 1ULL << <int>F_TE
    | 1ULL << <int>F_TRAILER | 1ULL << <int>F_TRANSFER_ENCODING | 1ULL << <int>F_UPGRADE
)
# What an untrusted peer may not say.
cdef unsigned long long FORWARDED = (
    1ULL << <int>F_X_REAL_IP | 1ULL << <int>F_X_FORWARDED_FOR | 1ULL << <int>F_X_FORWARDED_PROTO
    | 1ULL << <int>F_X_FORWARDED_HOST | 1ULL << <int>F_X_FORWARDED_PORT | 1ULL << <int>F_X_FORWARDED_SERVER
    | 1ULL << <int>F_X_FORWARDED_PREFIX | 1ULL << <int>F_X_FORWARDED_OTHER
    | 1ULL << <int>F_X_FORWARDED_UNDERSCORE
)
# What a Connection field may not take away: the proxy says these itself, or lives by them.
cdef unsigned long long NOT_LISTED = (
    FORWARDED | 1ULL << <int>F_HOST | 1ULL << <int>F_CONTENT_LENGTH | 1ULL << <int>F_TRANSFER_ENCODING
    | 1ULL << <int>F_CONNECTION        # cut when all of its lines are read
)


cdef class Forwarding:
    """What an entry point does to the fields of a request.

    insecure: trust X-Forwarded-* from anybody; trusted: from these peers; kept: names that stay until the proxy
    step although Connection lists them; appends: put the peer onto X-Forwarded-For; underscores: what happens to
    names with `_`; server: our host name.
    """

    def __init__(self, *, bint insecure=False, NetSet trusted=None, kept=(), bint appends=True,
                 str underscores="keep", str server="localhost"):
        if underscores not in ("keep", "delete", "reject"):
            raise ValueError(f'underscoreHeadersStrategy is "keep", "delete" or "reject", not "{underscores}"')
        self.insecure = insecure
        self.trusted = trusted
        self.kept = tuple([name.lower().encode("latin-1") for name in kept])
        self.appends = appends
        self.underscores = underscores
        self.server = server.encode("ascii", "replace")

    cdef bint enter(self, Request request) noexcept:
        """Cut what the peer may not say, add what it did not; False with head.fault set when refused."""
        cdef Head head = request.head
        if self.underscores != "keep" and not self.sort_underscores(head):
            return False
        if head.present & FORWARDED:
            if not (self.insecure or (self.trusted is not None and self.trusted.has(&request.client))):
                cut_ids(head, FORWARDED)
            elif has(head, F_X_FORWARDED_FOR):
                join_lines(head)
        if has(head, F_CONNECTION) or has(head, F_UPGRADE) or has(head, F_TE):
            self.read_hops(request)
        if not self.add_ours(request):
            head.refuse(431, b"more than 1000 header fields")
            return False
        return True

    cdef bint sort_underscores(self, Head head) noexcept:
        """Source: entryPoints.<name>.http.underscoreHeadersStrategy."""
        cdef int i
        for i in range(head.scan.count):
            if find_byte(name_of(&head.scan.fields[i]), 95) >= 0:
                if self.underscores == "reject":
                    head.refuse(400, b"a header name has an underscore")
                    return False
                head.cut_field(&head.scan.fields[i])
        return True

    cdef void read_hops(self, Request request) noexcept:
        """Read Connection, Upgrade and TE; cut the fields that Connection names, then itself."""
        cdef Head head = request.head
        cdef Field* field
        cdef bint asks_upgrade = False
        cdef bint listed = read_connection(head, &request.asks_close, &request.asks_keep, &asks_upgrade)
        if asks_upgrade and head.minor == 1 and has(head, F_UPGRADE):
            field = head.find(F_UPGRADE)
            # Several protocols to choose from cannot be checked against one answer: then none is asked for. Nor
            # is h2c, whose later requests would reach the server past every router.
            if (field.value_size and find_byte(value_of(field), 44) < 0
                    and not same_folded(value_of(field), b"h2c", 3)):
                request.upgrade = value_of(field)
        if has(head, F_TE):
            field = head.find(F_TE)
            request.takes_trailers = has_token(value_of(field), b"trailers", 8)
        if listed:
            cut_listed(head, self.kept)
        else:
            head.cut(F_CONNECTION)
        if request.upgrade.size and not has(head, F_CONNECTION):
            # Rules and steps may still ask whether this is a handshake.
            head.add(span_of(b"Connection", 10), span_of(b"Upgrade", 7), F_CONNECTION)

    cdef bint add_ours(self, Request request) noexcept:
        cdef Head head = request.head
        cdef Span proto
        cdef bint websocket = request.upgrade.size and same_folded(request.upgrade, b"websocket", 9)
        cdef bint added = True
        if not has(head, F_X_REAL_IP) and len(request.client_text):
            added = head.add(span_of(b"X-Real-Ip", 9), span_of_bytes(request.client_text), F_X_REAL_IP)
        if has(head, F_X_FORWARDED_PROTO):
            proto = value_of(head.find(F_X_FORWARDED_PROTO))
        else:
            if websocket:
                proto = span_of(b"wss", 3) if request.is_tls else span_of(b"ws", 2)
            else:
                proto = span_of(b"https", 5) if request.is_tls else span_of(b"http", 4)
            added = added and head.add(span_of(b"X-Forwarded-Proto", 17), proto, F_X_FORWARDED_PROTO)
        if not has(head, F_X_FORWARDED_PORT):
            added = added and head.add(span_of(b"X-Forwarded-Port", 16), port_of(request, proto),
                                       F_X_FORWARDED_PORT)
        if not has(head, F_X_FORWARDED_HOST) and request.host_sent.size:
            added = added and head.add(span_of(b"X-Forwarded-Host", 16), request.host_sent, F_X_FORWARDED_HOST)
        head.cut(F_X_FORWARDED_SERVER)
        return added and head.add(span_of(b"X-Forwarded-Server", 18), span_of_bytes(self.server),
                                  F_X_FORWARDED_SERVER)

    cdef int leave(self, Request request) except -1:
        """Make the fields those that a server is sent: ours appended, hop-by-hop ones cut."""
        cdef Head head = request.head
        cdef Field* field
        cdef bytes joined
        if has(head, F_CONNECTION):
            cut_listed(head, ())
        if head.present & HOP_BY_HOP:
            cut_ids(head, HOP_BY_HOP)
        if self.appends and not request.no_forwarded_for and len(request.client_text):
            field = head.find(F_X_FORWARDED_FOR)
            if field is NULL or field.value_size == 0:
                head.cut(F_X_FORWARDED_FOR)
                head.add(span_of(b"X-Forwarded-For", 15), span_of_bytes(request.client_text), F_X_FORWARDED_FOR)
            else:
                joined = bytes_of(value_of(field)) + b", " + request.client_text
                head.cut(F_X_FORWARDED_FOR)
                head.add_owned(b"X-Forwarded-For", joined)
        if request.takes_trailers:
            head.add(span_of(b"Te", 2), span_of(b"trailers", 8), F_TE)
        if request.upgrade.size:
            head.add(span_of(b"Connection", 10), span_of(b"Upgrade", 7), F_CONNECTION)
            head.add(span_of(b"Upgrade", 7), request.upgrade, F_UPGRADE)
        return 0

    # -------- for tests, and for whoever leads a request through the proxy that nobody sent

    def entered(self, Request request not None):
        """`enter`. ValueError with status and reason when the request is refused."""
        if not self.enter(request):
            raise ValueError(f"{request.head.fault_status}: {request.head.fault.decode()}")

    def left(self, Request request not None):
        """`leave`."""
        self.leave(request)


cdef void cut_ids(Head head, unsigned long long ids) noexcept:
    cdef int i
    for i in range(head.scan.count):
        if (ids >> head.scan.fields[i].id) & 1:
            head.scan.fields[i].flags |= CUT
    head.present &= ~ids


cdef void cut_hop_by_hop(Head head, bint listed) noexcept:
    """Cut the fields of an answer that speak of one connection only, but for the announcement of trailers.

    listed: Connection names others than the usual.
    """
    if listed:
        cut_listed(head, ())
    if head.present & HOP_BY_HOP:
        cut_ids(head, HOP_BY_HOP & ~(1ULL << <int>F_TRAILER))


cdef bint read_connection(Head head, bint* close, bint* keep, bint* upgrade) noexcept nogil:
    """Read the Connection fields; True when they name anything but close, keep-alive and upgrade."""
    cdef Field* field = head.find(F_CONNECTION)
    cdef Span rest, token
    cdef bint listed = False
    close[0] = False
    keep[0] = False
    upgrade[0] = False
    while field is not NULL:
        rest = value_of(field)
        while next_token(&rest, &token):
            if same_folded(token, b"keep-alive", 10):
                keep[0] = True
            elif same_folded(token, b"close", 5):
                close[0] = True
            elif same_folded(token, b"upgrade", 7):
                upgrade[0] = True
            else:
                listed = True
        field = head.find_name(b"connection", 10, field)
    return listed


cdef void cut_listed(Head head, tuple kept) noexcept:
    """Cut the fields that Connection names; those in `kept` stay, and Connection then names only them."""
    cdef Field* field = head.find(F_CONNECTION)
    cdef Span rest, token
    cdef bytes name
    cdef list staying = []
    cdef set names = set()
    cdef int i
    # All names first, then one look at each field: a peer can send thousands of both.
    while field is not NULL:
        rest = value_of(field)
        while next_token(&rest, &token):
            name = bytes_of(token).lower()
            if name in kept:
                staying.append(name)
            else:
                names.add(name)
        field = head.find_name(b"connection", 10, field)
    for i in range(head.scan.count):
        field = &head.scan.fields[i]
        if field.flags & CUT or (NOT_LISTED >> field.id) & 1:
            continue
        if bytes_of(name_of(field)).lower() in names:
            head.cut_field(field)
    head.cut(F_CONNECTION)
    if staying:
        try:
            head.add_owned(b"Connection", b", ".join(staying))
        except ValueError:
            pass       # no room for one more field: then nobody is told of what stayed


cdef void join_lines(Head head) noexcept:
    """Make one X-Forwarded-For of several, in their order."""
    cdef Field* field = head.find(F_X_FORWARDED_FOR)
    cdef list values = []
    if head.find_name(b"x-forwarded-for", 15, field) is NULL:
        return
    while field is not NULL:
        values.append(bytes_of(value_of(field)))
        field = head.find_name(b"x-forwarded-for", 15, field)
    head.cut(F_X_FORWARDED_FOR)
    try:
        head.add_owned(b"X-Forwarded-For", b", ".join(values))
    except ValueError:
        pass           # cannot be: more than one field was just cut


cdef Span port_of(Request request, Span proto) noexcept nogil:
    """The port the client asked for: that in Host, else the default of the scheme."""
    cdef Span host = request.host_sent
    cdef Py_ssize_t i = host.size
    while i > 0 and 48 <= host.at[i - 1] <= 57:
        i -= 1
    # Digits behind a colon are a port, but for an IPv6 address without brackets, which has several colons.
    if 0 < i < host.size and host.at[i - 1] == 58 and (host.at[0] == 91 or find_byte(host, 58) == i - 1):
        return span_of(host.at + i, host.size - i)
    if request.is_tls or same_folded(proto, b"https", 5) or same_folded(proto, b"wss", 3):
        return span_of(b"443", 3)
    return span_of(b"80", 2)
