"""Steps that answer instead of letting through: redirectScheme, redirectRegex, ipAllowList, inFlightConn."""

from .field cimport F_X_FORWARDED_FOR, F_X_FORWARDED_PROTO, Field, value_of
from .ledger cimport Ledger, place_in
from .location cimport location_of
from .message cimport Answer, Request, plain_answer
from .netset cimport Address, NetSet, address_of_text, is_v4, no_address
from .phrase cimport phrase_of
from .rewrite cimport Rewrite
from .siphash cimport hash_key, hash_of
from .span cimport Span, bytes_of, find_byte, same, same_folded, span_of, trimmed
from .step cimport ANSWER, FAULT, NEXT, Step, Verdict


# -- redirects -------------------------------------------------------------------------------------------


cdef bytes target_of(Request request):
    """Return path and query as they stand; a `;` that a client sent in the query is shown as it was sent."""
    cdef bytes path = bytes_of(request.path) or b"/"
    cdef bytes query = bytes_of(request.query)
    if not request.has_query:
        return path
    # Semicolons became `&` for those who read the query; as %3B they would be longer, and are meant to stay.
    if request.query_owner is not None:
        sent = bytes_of(request.head.target).partition(b"?")[2]
        query = sent if len(sent) == len(query) else query
    return path + b"?" + query


cdef Verdict redirect(Request request, bytes url, bint permanent) except FAULT:
    """Answer with another URL, or with 502 when *url* is none: Traefik counts that as a network error."""
    cdef bytes location = location_of(url)
    cdef bint is_get = same(request.method, span_of(b"GET", 3))
    cdef int status
    if location is None:
        request.answer = plain_answer(502)
        return ANSWER
    if permanent:
        status = 301 if is_get else 308
    else:
        status = 302 if is_get else 307
    request.answer = Answer(status, ((b"Location", location),), phrase_of(status))
    return ANSWER


cdef class RedirectRegex(Step):
    """RedirectRegex(name, rewrite): redirect to what the absolute URL becomes by *rewrite*, if it changes.

    The URL is scheme://host/path?query: https over TLS, the host as sent.
    Source: `http.middlewares.<name>.redirectRegex`.
    """

    def __init__(self, str name not None, Rewrite rewrite not None, *, bint permanent=False):
        super().__init__(name)
        self.rewrite = rewrite
        self.permanent = permanent

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes scheme = b"https://" if request.is_tls else b"http://"
        cdef bytes old = scheme + bytes_of(request.host_sent) + target_of(request)
        cdef bytes new = self.rewrite.replaced(old)
        if new is None or new == old:
            return NEXT
        return redirect(request, new, self.permanent)


cdef class RedirectScheme(Step):
    """RedirectScheme(name, scheme, port): redirect to the same host, path and query under *scheme* and *port*.

    scheme: lower case; port: digits, b"" for the scheme's own. What the client used is taken from the connection,
    or from X-Forwarded-Proto; a request that is there already passes.
    Source: `http.middlewares.<name>.redirectScheme`.
    """

    def __init__(self, str name not None, bytes scheme not None, bytes port=b"", *, bint permanent=False):
        super().__init__(name)
        self.scheme = scheme
        self.port = port_shown(scheme, b":" + port)
        self.permanent = permanent

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes scheme = b"https" if is_https(request) else b"http"
        cdef bytes host, port
        host, port = split_port(bytes_of(request.host_sent))
        if scheme == self.scheme and port_shown(scheme, port) == self.port:
            return NEXT
        return redirect(request, self.scheme + b"://" + host + self.port + target_of(request), self.permanent)


cdef bytes port_shown(bytes scheme, bytes port):
    """Return a port with its colon as a URL shows it: not at all when it is empty or the scheme's own."""
    if port == b":" or (scheme == b"http" and port == b":80") or (scheme == b"https" and port == b":443"):
        return b""
    return port


cdef tuple split_port(bytes host):
    """Split a Host: (name with its brackets, port with its colon or b"")."""
    cdef bytes name, colon, port
    if host.startswith(b"[") and b"]" in host:
        name, _, port = host.partition(b"]")
        return name + b"]", port
    name, colon, port = host.partition(b":")
    # More than one colon without brackets: an address, which has no port.
    return (host, b"") if b":" in port else (name, colon + port)


cdef bint is_https(Request request) noexcept:
    """Say how the client reached us, or whoever forwarded it; a web socket handshake counts as plain HTTP."""
    cdef Field* field = request.head.find(F_X_FORWARDED_PROTO)
    cdef Span proto
    if field is not NULL:
        proto = value_of(field)
        if same_folded(proto, b"http", 4) or same_folded(proto, b"ws", 2):
            return False
        if same_folded(proto, b"https", 5) or same_folded(proto, b"wss", 3):
            return True
    return request.is_tls


# -- addresses -------------------------------------------------------------------------------------------


cdef class IPAllowList(Step):
    """IPAllowList(name, allowed): let in clients whose address is in *allowed*; answer others with *status*.

    depth > 0: the client is the entry of X-Forwarded-For that stands there, counted from the right. excluded:
    else it is the first entry from the right that is not in these networks. ipv6_bits: an IPv6 address counts as
    the network of so many bits it is in; not with excluded. Without an address nobody is let in.
    Source: `http.middlewares.<name>.ipAllowList` and ipWhiteList; ipStrategy.
    """

    def __init__(self, str name not None, NetSet allowed not None, *, int depth=0, NetSet excluded=None,
                 int ipv6_bits=0, int status=403):
        super().__init__(name)
        self.allowed = allowed
        self.depth = depth
        self.excluded = excluded
        self.ipv6_bits = ipv6_bits
        self.status = status

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef Address client = self.client_of(request)
        if self.allowed.has(&client):
            return NEXT
        request.answer = plain_answer(self.status)
        return ANSWER

    cdef Address client_of(self, Request request) noexcept:
        cdef Address client = request.client
        cdef Field* field
        cdef Span entries = span_of(NULL, 0)
        if self.depth > 0 or self.excluded is not None:
            # Only the first line counts; several were made one where the request came in.
            field = request.head.find(F_X_FORWARDED_FOR)
            if field is not NULL:
                entries = value_of(field)
        if self.depth > 0:
            client = address_of_entry(entry_at(entries, self.depth))
        elif self.excluded is not None:
            return first_outside(entries, self.excluded)
        if self.ipv6_bits and client.known and not is_v4(&client):
            reduce_to(&client, self.ipv6_bits)
        return client


cdef class InFlightConn(Step):
    """InFlightConn(name, ledger, key, amount): let in no more than *amount* connections of an address at a time.

    They are counted in all workers, for as long as the request, or who takes its places over, lives. key: 16 bytes
    that nobody else knows, the same in all workers; middlewares with different keys count apart. Clients without
    an address (unix sockets) count as one.
    Source: `tcp.middlewares.<name>.inFlightConn`.
    """

    def __init__(self, str name not None, Ledger ledger not None, bytes key not None, long long amount):
        super().__init__(name)
        self.ledger = ledger
        self.key = hash_key(key)
        self.amount = amount

    cdef Verdict on_request(self, Request request) except FAULT:
        name = hash_of(&self.key, request.client.bytes, sizeof(request.client.bytes))
        held = place_in(self.ledger, name, self.amount, request.held)
        if held is None:
            request.answer = plain_answer(429)
            return ANSWER
        request.held = held
        return NEXT


cdef bint last_entry(Span* rest, Span* entry) noexcept nogil:
    """Take the last entry, which may be empty, off a list with commas; False when it was the only one."""
    cdef Py_ssize_t comma = rest.size - 1
    while comma >= 0 and rest.at[comma] != 44:
        comma -= 1
    entry[0] = trimmed(span_of(rest.at + comma + 1, rest.size - comma - 1))
    rest.size = comma if comma > 0 else 0
    return comma >= 0


cdef Span entry_at(Span entries, int depth) noexcept nogil:
    """The entry *depth* places from the right, the last being 1; empty when there are fewer."""
    cdef Span entry = span_of(NULL, 0)
    cdef bint more = True
    while depth > 0 and more:
        more = last_entry(&entries, &entry)
        depth -= 1
    return entry if depth == 0 else span_of(NULL, 0)


cdef Address first_outside(Span entries, NetSet networks) noexcept nogil:
    """The first entry from the right that is not in *networks*; none when all are."""
    cdef Span entry
    cdef Address address
    cdef bint more = True
    while more:
        more = last_entry(&entries, &entry)
        if not entry.size:
            continue
        # As in Traefik an entry with a port is in no network, whoever it is: it is the client.
        address = address_of_bare(entry)
        if not networks.has(&address):
            return address_of_entry(entry)
    return no_address()


cdef Address address_of_entry(Span entry) noexcept nogil:
    """Read an address that may have a port (10.0.0.1:80, [::1]:80) and a zone (fe80::1%eth0)."""
    cdef Py_ssize_t colon = find_byte(entry, 58)
    cdef Py_ssize_t end
    if entry.size and entry.at[0] == 91:
        end = find_byte(entry, 93)
        if end < 0 or end + 1 >= entry.size or entry.at[end + 1] != 58:
            return no_address()
        entry = span_of(entry.at + 1, end - 1)
    elif colon >= 0 and find_byte(span_of(entry.at + colon + 1, entry.size - colon - 1), 58) < 0:
        entry.size = colon
    return address_of_bare(entry)


cdef Address address_of_bare(Span entry) noexcept nogil:
    """Read an address that may have a zone, which is not looked at."""
    cdef Py_ssize_t zone = find_byte(entry, 37)
    if zone >= 0 and find_byte(entry, 58) >= 0:
        entry.size = zone
    return address_of_text(entry.at, entry.size)


cdef void reduce_to(Address* address, int bits) noexcept nogil:
    """Clear every bit behind the first *bits*."""
    cdef int i
    for i in range(16):
        if bits >= 8:
            bits -= 8
            continue
        address.bytes[i] &= <unsigned char>(0xFF00 >> bits)
        bits = 0
