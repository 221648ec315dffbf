"""Rules: a program compiled by fastproxy.rules.compile, run over what a request asks for."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcmp, memcpy

from .field cimport Field, value_of
from .head cimport Head
from .index cimport hash_of
from .netset cimport NetSet
from .span cimport Span, bytes_of, find_byte, hex_value, span_of


cdef enum Kind:
    ALWAYS
    HOST
    WILDCARD
    HOST_REGEXP
    PATH
    PREFIX
    PATH_REGEXP
    METHOD
    HEADER
    HEADER_REGEXP
    QUERY
    QUERY_REGEXP
    CLIENT
    ALPN

cdef enum:
    MATCH = -1                 # jumps out of the program
    MISS = -2

cdef enum:
    MEMO_SHIFT = 54            # 64 - log2 of MEMOS
    MEMOS = 1024
    MEMO_HOST = 62             # bytes; longer hosts are searched each time

KINDS = {
    "always": ALWAYS, "host": HOST, "wildcard": WILDCARD, "host_regexp": HOST_REGEXP, "path": PATH,
    "prefix": PREFIX, "path_regexp": PATH_REGEXP, "method": METHOD, "header": HEADER,
    "header_regexp": HEADER_REGEXP, "query": QUERY, "query_regexp": QUERY_REGEXP, "client": CLIENT,
    "alpn": ALPN,
}


# -- tests -----------------------------------------------------------------------------------------------


cdef bint equal(Span a, const char* text, Py_ssize_t size) noexcept nogil:
    return a.size == size and (size == 0 or memcmp(a.at, text, size) == 0)


cdef int searched(const Op* op, Span part) noexcept:
    """Search the pattern in the text: found, not found, or -1 when that failed (out of memory)."""
    try:
        return (<object>op.held)(bytes_of(part)) is not None
    except Exception:
        return -1


cdef bint found(const Op* op, Span part) noexcept:
    return searched(op, part) == 1


cdef struct Memo:
    unsigned long long asker   # 0: unused
    bint answer
    unsigned char size
    char[MEMO_HOST] host

# What patterns last said of hosts. A search costs more than a microsecond, most of it in the binding, and
# the same few hosts come all day. One for the process: its size must not follow the number of rules.
cdef Memo[MEMOS] memos
cdef unsigned long long askers = 0


cdef bint found_in_host(const Op* op, Span host) noexcept:
    cdef Memo* memo
    cdef int answer
    if host.size > MEMO_HOST:
        return found(op, host)
    memo = &memos[(hash_of(host) + op.asker * 0x9E3779B97F4A7C15ULL) >> MEMO_SHIFT]
    if memo.asker == op.asker and equal(host, memo.host, memo.size):
        return memo.answer
    answer = searched(op, host)
    if answer >= 0:
        memo.asker, memo.answer, memo.size = op.asker, answer, <unsigned char>host.size
        memcpy(memo.host, host.at, host.size)
    return answer == 1


cdef bint is_below(const Op* op, Span host) noexcept nogil:
    """Say whether the host is one label and the text, which begins with a dot."""
    cdef Py_ssize_t dot = find_byte(host, 46)
    return dot >= 0 and equal(span_of(host.at + dot, host.size - dot), op.text, op.text_size)


cdef bint has_line(const Op* op, Head head) noexcept nogil:
    cdef Field* field = head.find_name(op.name, op.name_size, NULL)
    while field is not NULL:
        if equal(value_of(field), op.text, op.text_size):
            return True
        field = head.find_name(op.name, op.name_size, field)
    return False


cdef bint finds_line(const Op* op, Head head) noexcept:
    cdef Field* field = head.find_name(op.name, op.name_size, NULL)
    while field is not NULL:
        if found(op, value_of(field)):
            return True
        field = head.find_name(op.name, op.name_size, field)
    return False


cdef bint offers(Span protocols, const char* name, Py_ssize_t size) noexcept nogil:
    """Say whether a list of protocols, each behind its length (RFC 7301, 3.1), holds one."""
    cdef Py_ssize_t length
    while protocols.size:
        length = <unsigned char>protocols.at[0]
        if length >= protocols.size:
            return False
        if equal(span_of(protocols.at + 1, length), name, size):
            return True
        protocols.at += length + 1
        protocols.size -= length + 1
    return False


# -- queries: Go's url.ParseQuery, pair by pair and without a map -----------------------------------------


cdef int next_char(Span* rest) noexcept nogil:
    """Take one decoded byte off a query component; -1 at a malformed escape."""
    cdef char c = rest.at[0]
    cdef int high, low
    cdef Py_ssize_t taken = 1
    cdef int out = <unsigned char>c
    if c == 43:                # '+'
        out = 32
    elif c == 37:              # '%'
        high = hex_value(rest.at[1]) if rest.size > 2 else -1
        low = hex_value(rest.at[2]) if rest.size > 2 else -1
        if high < 0 or low < 0:
            return -1
        out = high << 4 | low
        taken = 3
    rest.at += taken
    rest.size -= taken
    return out


cdef bint decodes_to(Span part, const char* text, Py_ssize_t size) noexcept nogil:
    """Compare a component, percent-decoded, with the text; a malformed one equals nothing."""
    cdef Py_ssize_t i = 0
    while part.size:
        if i == size or next_char(&part) != <unsigned char>text[i]:
            return False
        i += 1
    return i == size


cdef bytes decoded(Span part):
    """Return a component percent-decoded; None for a malformed one."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, part.size)
    cdef char* at = PyBytes_AS_STRING(out)      # ours alone until returned
    cdef Py_ssize_t used = 0
    cdef int c
    while part.size:
        c = next_char(&part)
        if c < 0:
            return None
        at[used] = <char>c
        used += 1
    return out[:used]


cdef bint next_value(const Op* op, Span* rest, Span* value) noexcept nogil:
    """Step to the next pair of the query whose key is the op's name; `value` is still escaped."""
    cdef Span pair, key
    cdef Py_ssize_t cut
    while rest.size:
        cut = find_byte(rest[0], 38)                      # '&'
        pair = span_of(rest.at, rest.size if cut < 0 else cut)
        cut = pair.size if cut < 0 else pair.size + 1
        rest.at += cut
        rest.size -= cut
        cut = find_byte(pair, 61)                         # '='
        key = span_of(pair.at, pair.size if cut < 0 else cut)
        if pair.size and decodes_to(key, op.name, op.name_size):
            cut = pair.size if cut < 0 else cut + 1
            value[0] = span_of(pair.at + cut, pair.size - cut)
            return True
    return False


cdef bint has_value(const Op* op, Span query) noexcept nogil:
    cdef Span value
    while next_value(op, &query, &value):
        if decodes_to(value, op.text, op.text_size):
            return True
    return False


cdef bint finds_value(const Op* op, Span query) noexcept:
    cdef Span value
    cdef bytes text
    while next_value(op, &query, &value):
        try:
            text = decoded(value)
        except MemoryError:
            return False
        if text is not None and found(op, span_of(<const char*>text, len(text))):
            return True
    return False


# -- programs --------------------------------------------------------------------------------------------


cdef bint holds_plain(const Op* op, Request request) noexcept nogil:
    """Run a test that needs no interpreter."""
    if op.kind == HOST:
        return equal(request.host, op.text, op.text_size)
    if op.kind == PREFIX:
        return request.routing_path.size >= op.text_size and memcmp(
            request.routing_path.at, op.text, op.text_size) == 0
    if op.kind == PATH:
        return equal(request.routing_path, op.text, op.text_size)
    if op.kind == WILDCARD:
        return is_below(op, request.host)
    if op.kind == METHOD:
        return equal(request.method, op.text, op.text_size)
    if op.kind == HEADER:
        return has_line(op, request.head)
    if op.kind == QUERY:
        return has_value(op, request.query)
    if op.kind == ALPN:
        return offers(request.protocols, op.text, op.text_size)
    return op.kind == ALWAYS


cdef bint holds(const Op* op, Request request) noexcept:
    if op.held is NULL:
        return holds_plain(op, request)
    if op.kind == CLIENT:
        return (<NetSet>op.held).has(&request.client)
    if op.kind == HOST_REGEXP:
        return found_in_host(op, request.host)
    if op.kind == PATH_REGEXP:
        return found(op, request.routing_path)
    if op.kind == HEADER_REGEXP:
        return finds_line(op, request.head)
    return finds_value(op, request.query)


cdef class Rule:
    """Rule(text, tests, keys): the rule as written, and what fastproxy.rules.compile made of it.

    The program is checked once, so that running it needs no checks: kinds are known, and jumps lead to later
    tests only, so every run ends. Raises ValueError for a program that is none.
    """

    def __cinit__(self, str text not None, tests, keys):
        cdef list parts = [parted(test) for test in tests]
        cdef Py_ssize_t size = 0
        if not parts:
            raise ValueError("a program has at least one test")
        for _, name, value, _ in parts:
            size += len(<bytes?>name) + len(<bytes?>value)
        self.text = text
        self.keys = tuple([checked(*key) for key in keys])
        self.held = tuple([part[3] for part in parts])
        self.ops = <Op*>PyMem_Malloc(len(parts) * sizeof(Op) + size)
        if self.ops is NULL:
            raise MemoryError()
        fill(self, parts)

    def __dealloc__(self):
        PyMem_Free(self.ops)

    cdef bint matches(self, Request request) noexcept:
        """Run the program. Never raises: a test that cannot be made does not hold."""
        cdef int at = 0
        cdef const Op* op
        while at >= 0:
            op = &self.ops[at]
            at = op.on_true if holds(op, request) else op.on_false
        return at == MATCH

    def __call__(self, Request request not None):
        """Say whether the rule matches the request: for tests and tools; the table calls `matches`."""
        return self.matches(request)

    def __repr__(self):
        return f"Rule({self.text!r})"


cdef tuple parted(test):
    """Split `(kind, yes, no, *arguments)` into the jumps and kind, the name, the text and what is held."""
    cdef tuple arguments = tuple(test[3:])
    kind = KINDS.get(test[0])
    if kind is None:
        raise ValueError(f"there is no test {test[0]!r}; known are {', '.join(KINDS)}")
    first = (kind, test[1], test[2])
    if kind == ALWAYS:
        return first, b"", b"", None
    if kind == CLIENT:
        return first, b"", b"", NetSet(arguments)
    name = arguments[0] if kind in (HEADER, HEADER_REGEXP, QUERY, QUERY_REGEXP) else b""
    last = arguments[1] if name else arguments[0]
    if kind in (HOST_REGEXP, PATH_REGEXP, HEADER_REGEXP, QUERY_REGEXP):
        return first, name, b"", last.search
    return first, name, last, None


def checked(int host_kind, bytes host not None, int path_kind, bytes path not None):
    """Return a key after a look at its types: the table relies on them."""
    if not 0 <= host_kind <= 2 or not 0 <= path_kind <= 2:
        raise ValueError(f"the kinds of a key are 0 to 2, not {host_kind} and {path_kind}")
    return host_kind, host, path_kind, path


cdef int fill(Rule rule, list parts) except -1:
    cdef char* free = <char*>(rule.ops + len(parts))
    cdef Op* op
    cdef bytes name, text
    cdef int yes, no
    global askers
    for (kind, yes, no), name, text, held in parts:
        op = &rule.ops[rule.count]
        rule.count += 1
        for jump in (yes, no):
            if not (jump == MATCH or jump == MISS or rule.count <= jump < len(parts)):
                raise ValueError(f"the jump {jump} of test {rule.count - 1} leads to no later test")
        op.kind, op.on_true, op.on_false = kind, yes, no
        op.held = NULL if held is None else <void*>held
        askers += 1
        op.asker = askers
        op.name, op.name_size = free, len(name)
        free = put(free, name)
        op.text, op.text_size = free, len(text)
        free = put(free, text)
    return 0


cdef char* put(char* at, bytes text) noexcept:
    memcpy(at, <const char*>text, len(text))
    return at + len(text)
