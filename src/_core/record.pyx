"""One line of the access log: what it tells, and in which form.

A line is the work of a program, made once from the settings: one operation for each thing told, with the text that
stands before it. It runs over the facts of a request and writes straight into the journal; nothing is allocated.

What comes from a client cannot end a line, nor leave the quotes that it stands in; see `escape`.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcpy, memset

from .deadline cimport monotonic, realtime
from .escape cimport copied, copied_padded, put_text
from .field cimport CUT, F_HOST, F_X_FORWARDED_FOR, Field, OURS, name_of, spell, value_of
from .figures cimport put_clf, put_number, put_rfc3339
from .head cimport Head
from .journal cimport Journal
from .span cimport Span, find_byte, lower, same_folded, span_of, span_of_bytes

cdef extern from *:
    """
    static inline long long fp_next(long long *at) { return __atomic_add_fetch(at, 1, __ATOMIC_RELAXED); }
    """
    long long fp_next(long long* at) noexcept nogil

cdef enum Code:
    # What may be left out, with the text before it.
    C_FIELDS           # text[index], as it is
    C_POSSIBLE         # text[index]
    C_RATIO            # of the origin's size to ours, where they differ
    # What is told always; texts first.
    C_TEXT             # text[index]
    C_WORD             # the same; "-" where it is empty
    C_REDACTED         # that there is one; "-" where it is empty
    C_NUMBER           # number[index]
    C_NOTHING          # only the text before it
    C_CLIENT_ADDR
    C_CLIENT_PORT      # which is a text
    C_CLF_LOCAL        # the start, as common logs have it
    C_CLF_UTC
    C_START_LOCAL      # and of RFC 3339
    C_START_UTC
    C_TIME             # of the end

SOURCES = {
    "": (C_NOTHING, 0),
    "ClientAddr": (C_CLIENT_ADDR, 0),
    "ClientHost": (C_TEXT, D_WHO),
    "ClientPort": (C_CLIENT_PORT, 0),
    "ClientUsername": (C_TEXT, D_USER),
    "DownstreamContentSize": (C_NUMBER, N_SIZE),
    "DownstreamStatus": (C_NUMBER, N_STATUS),
    "Duration": (C_NUMBER, D_DURATION),
    "GzipRatio": (C_RATIO, 0),
    "OriginContentSize": (C_NUMBER, N_ORIGIN_SIZE),
    "OriginDuration": (C_NUMBER, N_ORIGIN_DURATION),
    "OriginStatus": (C_NUMBER, N_ORIGIN_STATUS),
    "Overhead": (C_NUMBER, D_OVERHEAD),
    "RequestAddr": (C_TEXT, T_HOST),
    "RequestContentSize": (C_NUMBER, N_ASKED_SIZE),
    "RequestCount": (C_NUMBER, N_COUNT),
    "RequestHost": (C_TEXT, D_HOST),
    "RequestMethod": (C_TEXT, T_METHOD),
    "RequestPath": (C_TEXT, D_PATH),
    "RequestPort": (C_TEXT, D_PORT),
    "RequestProtocol": (C_TEXT, D_PROTOCOL),
    "RequestScheme": (C_TEXT, D_SCHEME),
    "RetryAttempts": (C_NUMBER, N_RETRIES),
    "RouterName": (C_POSSIBLE, T_ROUTER),
    "ServiceAddr": (C_POSSIBLE, T_ADDRESS),
    "ServiceName": (C_POSSIBLE, T_SERVICE),
    "ServiceURL": (C_POSSIBLE, T_URL),
    "StartLocal": (C_START_LOCAL, 0),
    "StartUTC": (C_START_UTC, 0),
    "TLSCipher": (C_POSSIBLE, T_TLS_CIPHER),
    "TLSClientSubject": (C_POSSIBLE, T_TLS_SUBJECT),
    "TLSVersion": (C_POSSIBLE, T_TLS_VERSION),
    "entryPointName": (C_TEXT, T_ENTRY_POINT),
    "request_Referer": (C_TEXT, T_REFERER),
    "request_User-Agent": (C_TEXT, T_AGENT),
    "downstream_": (C_FIELDS, T_ANSWER_FIELDS),
    "origin_": (C_FIELDS, T_ORIGIN_FIELDS),
    "request_": (C_FIELDS, T_ASKED_FIELDS),
    "time": (C_TIME, 0),
}
"""What is told of JSON, in nanoseconds and dates of RFC 3339."""

FOR_PERSONS = {
    C_TEXT: C_WORD,
    C_POSSIBLE: C_WORD,
    C_START_LOCAL: C_CLF_LOCAL,
    C_START_UTC: C_CLF_UTC,
}
FORMS = ("plain", "quoted", "redacted", "json")

TEXT_NAMES = (
    "client", "forwarded", "user", "method", "target", "host", "router", "service", "url", "address", "entry_point",
    "referer", "agent", "tls_version", "tls_cipher", "tls_subject",
)
NUMBER_NAMES = (
    "port", "minor", "is_tls", "began", "ended", "status", "size", "asked_size", "origin_duration", "origin_status",
    "origin_size", "retries",
)

cdef enum Mode:
    M_KEEP
    M_DROP
    M_REDACT

MODES = {"keep": M_KEEP, "drop": M_DROP, "redact": M_REDACT}

cdef enum:
    MOST_TEXT = 16384          # bytes told of one text or field; a head may have a megabyte
    MOST_FIELDS_TEXT = 262144  # bytes of all fields of one head, as they are told
    MOST_FIELDS = 2000         # as a head has
    PADDING = 16
    MOST_OP = 80               # bytes that an operation writes beside its texts, and PADDING
    TIMES_TOLD = 12            # bytes that one of a text may become: told twice, each as six

cdef Field* chosen[2000]       # fields of the head in hand that are told


cdef class AccessLog:
    """What is told of each request, and of which requests, into a journal.

    program: (text before, name of SOURCES, name of FORMS) for each thing that a line tells; a line ends with what it
    ends with. fields: what is done with header fields, by lower-case name, and `default` with all others: a name of
    MODES. statuses: pairs of the lowest and highest that are kept; retried, and least (nanoseconds): requests that
    were are kept too; none of these: every one is. cuts_query: paths are told without it. counter: eight aligned
    bytes in which requests are counted, by whoever shares them. tls_of: called with the Session of a connection,
    returns version, cipher and subject of the client's certificate, as bytes.
    Source: `accessLog` of Traefik's static configuration.
    """

    def __init__(self, Journal journal not None, program, *, str default="drop", dict fields=None, statuses=None,
                 bint retried=False, long long least=0, bint cuts_query=False, object counter=None,
                 object tls_of=None):
        cdef Py_buffer view
        cdef int low, high
        if ALL_TEXTS != 26 or ALL_NUMBERS != 16:
            raise AssertionError("Facts has other members than it says")
        self.journal = journal
        self.counting = memoryview(bytearray(8) if counter is None else counter)
        PyObject_GetBuffer(self.counting, &view, PyBUF_WRITABLE)
        try:
            if view.len < 8 or <size_t>view.buf % 8:
                raise ValueError("a counter needs eight aligned bytes")
            self.counter = <long long*>view.buf
        finally:
            PyBuffer_Release(&view)
        self.literals = []
        self.tls_of = tls_of if any([name.startswith("TLS") for _, name, _ in program]) else None
        self.take_program(list(program))
        self.take_fields(default, fields or {})
        self.is_filtered = bool(statuses) or retried or least > 0
        for low, high in statuses or ():
            if not 0 <= low <= high < 1000:
                raise ValueError(f"{low}-{high} are no statuses")
            memset(self.kept_status + low, 1, high - low + 1)
        self.keeps_retried = retried
        self.least = least
        self.cuts_query = cuts_query

    def __dealloc__(self):
        free(self.ops)
        free(self.names)
        free(self.scratch)

    def take_program(self, list program):
        cdef Op* op
        self.ops = <Op*>calloc(len(program) + 1, sizeof(Op))
        if self.ops is NULL:
            raise MemoryError()
        for before, name, form in program:
            code, index = SOURCES[name]
            before, code, index, after = shaped(before, code, index, form)
            padded = before + bytes(PADDING)
            self.literals.append(padded)
            op = &self.ops[self.op_count]
            op.before = span_of(<const char*><bytes>padded, len(before))
            op.code = code
            op.index = index
            op.is_json = form == "json"
            op.after_size = len(after)
            memcpy(op.after, <const char*><bytes>after, len(after))
            self.op_count += 1
            self.most_fixed += op.before.size + MOST_OP
            self.wants_known |= name in ("request_Referer", "request_User-Agent")
            self.wants_fields |= op.code == C_FIELDS
            self.wants_origin |= name in ("OriginDuration", "Overhead")
            self.wants_host |= name in ("RequestHost", "RequestPort")

    def take_fields(self, str default, dict fields):
        cdef Named* named
        self.names = <Named*>calloc(len(fields) + 1, sizeof(Named))
        if self.names is NULL:
            raise MemoryError()
        for name, mode in fields.items():
            lowered = name.lower().encode()
            self.literals.append(lowered)
            named = &self.names[self.name_count]
            named.lowered = span_of_bytes(lowered)
            named.mode = MODES[mode]
            self.name_count += 1
        self.default_mode = MODES[default]

    cdef tuple tls_facts(self, object session):
        """What is told of a connection that has just shaken hands; None: nothing. May raise."""
        return None if self.tls_of is None else self.tls_of(session)

    # ---------------------------------------------------------------- writing

    cdef void write(self, Facts* facts, Head asked) noexcept:
        """Tell of a request that is over. asked: its head, None where its fields are among the facts already."""
        facts.number[N_COUNT] = fp_next(self.counter)
        if self.is_filtered and not self.is_kept(facts):
            return
        if asked is not None and self.wants_fields:
            self.add_asked(facts, asked)
        self.put_line(facts)

    cdef Receipt hold(self, Facts* facts, Head asked):
        """Keep what there is to tell of a request that goes on without its exchange; None: there is no memory."""
        cdef Receipt receipt = Receipt.__new__(Receipt)
        cdef Py_ssize_t size = 0
        cdef char* to
        cdef int i
        if self.wants_fields:
            self.add_asked(facts, asked)
        for i in range(TEXTS):
            size += facts.text[i].size
        receipt.log = self
        receipt.facts = facts[0]
        receipt.texts = PyBytes_FromStringAndSize(NULL, size)
        to = PyBytes_AS_STRING(receipt.texts)
        for i in range(TEXTS):
            memcpy(to, facts.text[i].at, facts.text[i].size)
            receipt.facts.text[i].at = to
            to += facts.text[i].size
        return receipt

    cdef bint is_kept(self, const Facts* facts) noexcept nogil:
        cdef long long status = facts.number[N_STATUS]
        if 0 <= status < 1000 and self.kept_status[status]:
            return True
        if self.keeps_retried and facts.number[N_RETRIES] > 0:
            return True
        return self.least > 0 and facts.number[N_ENDED] - facts.number[N_BEGAN] > self.least

    cdef void add_asked(self, Facts* facts, Head asked) noexcept:
        facts.text[T_ASKED_FIELDS] = self.fields_of(asked, b"request_", 8, facts.text[T_FORWARDED])

    cdef Py_ssize_t derive(self, Facts* facts) noexcept nogil:
        """Clip texts and add what follows from the facts; returns bytes that the line may have."""
        cdef Py_ssize_t size = 0
        cdef int i
        for i in range(T_ASKED_FIELDS):
            if facts.text[i].size > MOST_TEXT:
                facts.text[i].size = MOST_TEXT
            size += facts.text[i].size
        facts.text[D_WHO] = facts.text[T_FORWARDED] if facts.text[T_FORWARDED].size else or_dash(facts.text[T_CLIENT])
        facts.text[D_USER] = or_dash(facts.text[T_USER])
        facts.text[D_PATH] = path_of(facts.text[T_TARGET], self.cuts_query)
        if self.wants_host:
            split_port(facts.text[T_HOST], &facts.text[D_HOST], &facts.text[D_PORT])
        facts.text[D_PROTOCOL] = span_of(b"HTTP/1.1" if facts.number[N_MINOR] else b"HTTP/1.0", 8)
        facts.text[D_SCHEME] = span_of(b"https", 5) if facts.number[N_IS_TLS] else span_of(b"http", 4)
        facts.number[D_DURATION] = facts.number[N_ENDED] - facts.number[N_BEGAN]
        facts.number[D_MILLISECONDS] = facts.number[D_DURATION] // 1000000
        facts.number[D_OVERHEAD] = facts.number[D_DURATION] - facts.number[N_ORIGIN_DURATION]
        return (self.most_fixed + size * TIMES_TOLD + facts.text[T_ASKED_FIELDS].size
                + facts.text[T_ORIGIN_FIELDS].size + facts.text[T_ANSWER_FIELDS].size)

    cdef void put_line(self, Facts* facts) noexcept:
        """Write the line of a request."""
        cdef const Op* op = self.ops
        cdef const Op* last = op + self.op_count
        cdef char* begin = self.journal.reserve(self.derive(facts))
        cdef char* at = begin
        cdef int code
        cdef Span text
        if begin is NULL:
            return
        if self.journal.waiting == 0 or self.offset == 0:
            self.offset = realtime() - monotonic()
        while op < last:
            code = op.code
            if code <= C_RATIO:
                if code == C_FIELDS:
                    at = copied(at, facts.text[op.index])
                    op += 1
                    continue
                if (facts.text[op.index].size == 0 if code == C_POSSIBLE else
                        facts.number[N_SIZE] == 0 or facts.number[N_SIZE] == facts.number[N_ORIGIN_SIZE]):
                    op += 1
                    continue
            at = copied_padded(at, op.before)
            if code == C_NUMBER:
                at = put_number(at, facts.number[op.index])
            elif code == C_TEXT or code == C_WORD or code == C_POSSIBLE or code == C_REDACTED:
                text = facts.text[op.index]
                if code >= C_WORD:
                    if text.size == 0:
                        text = span_of(b"-", 1)
                    elif code == C_REDACTED:
                        text = span_of(b"REDACTED", 8)
                at = put_text(at, text, op.is_json)
            elif code != C_NOTHING:
                at = self.put_rare(at, code, facts)
            memcpy(at, op.after, 2)
            at += op.after_size
            op += 1
        self.journal.commit(at - begin)

    cdef char* put_rare(self, char* at, int code, const Facts* facts) noexcept:
        """Write what there is one of in a line."""
        if code == C_CLIENT_ADDR:
            return put_address(at, facts)
        elif code == C_CLIENT_PORT:
            return put_number(at, facts.number[N_PORT]) if facts.text[T_CLIENT].size else copied(at, span_of(b"-", 1))
        elif code == C_RATIO:
            return put_ratio(at, facts.number[N_ORIGIN_SIZE], facts.number[N_SIZE])
        elif code == C_CLF_LOCAL:
            return put_clf(at, &self.clf_local, facts.number[N_BEGAN] + self.offset, True)
        elif code == C_CLF_UTC:
            return put_clf(at, &self.clf_utc, facts.number[N_BEGAN] + self.offset, False)
        elif code == C_START_LOCAL:
            return put_rfc3339(at, &self.local, facts.number[N_BEGAN] + self.offset, True, True)
        elif code == C_START_UTC:
            return put_rfc3339(at, &self.utc, facts.number[N_BEGAN] + self.offset, False, True)
        return put_rfc3339(at, &self.end_local, facts.number[N_ENDED] + self.offset, True, False)

    # ---------------------------------------------------------------- header fields

    cdef int mode_of(self, Span name) noexcept nogil:
        cdef int i
        for i in range(self.name_count):
            if same_folded(name, self.names[i].lowered.at, self.names[i].lowered.size):
                return self.names[i].mode
        return self.default_mode

    cdef int choose(self, Head head) noexcept nogil:
        """Gather the fields that are told, in the order of their names."""
        cdef int i, count = 0
        cdef Field* field
        if self.default_mode == M_DROP and self.name_count == 0:
            return 0
        for i in range(head.scan.count):
            field = &head.scan.fields[i]
            if not field.flags & CUT and self.mode_of(name_of(field)) != M_DROP and count < MOST_FIELDS:
                chosen[count] = field
                count += 1
        if count > 1:
            qsort(chosen, count, sizeof(Field*), by_name)
        return count

    cdef Span fields_of(self, Head head, const char* prefix, Py_ssize_t prefix_size, Span forwarded) noexcept:
        """The fields of a head as members of JSON, each with its comma; valid until it is called again.

        Values of one name are joined by commas. Of a request, whose prefix begins with r, Host is not told, and of
        X-Forwarded-For what was believed: `forwarded`.
        """
        cdef bint of_request = prefix[0] == 114
        cdef int count = self.choose(head), i = 0, last
        cdef Py_ssize_t most = 0
        cdef char* at
        for last in range(count):
            most += prefix_size + chosen[last].name_size + 6 * min(value_size(chosen[last], forwarded), MOST_TEXT) + 16
            if most > MOST_FIELDS_TEXT:
                count = last
                break
        if count == 0 or not self.has_scratch(min(most, MOST_FIELDS_TEXT)):
            return span_of(NULL, 0)
        at = self.scratch
        while i < count:
            last = i + 1
            while last < count and compare(name_of(chosen[i]), name_of(chosen[last])) == 0:
                last += 1
            if not (of_request and (chosen[i].id == F_HOST or (
                    chosen[i].id == F_X_FORWARDED_FOR and forwarded.size == 0))):
                at = copied(at, span_of(b"\"", 1))
                at = copied(at, span_of(prefix, prefix_size))
                at = put_name(at, chosen[i])
                at = copied(at, span_of(b"\":\"", 3))
                if self.mode_of(name_of(chosen[i])) == M_REDACT:
                    at = copied(at, span_of(b"REDACTED", 8))
                elif of_request and chosen[i].id == F_X_FORWARDED_FOR:
                    at = put_text(at, clipped(forwarded), True)
                else:
                    at = put_text(at, clipped(value_of(chosen[i])), True)
                    for i in range(i + 1, last):
                        at = put_text(copied(at, span_of(b",", 1)), clipped(value_of(chosen[i])), True)
                at = copied(at, span_of(b"\",", 2))
            i = last
        return span_of(self.scratch, at - self.scratch)

    cdef bint has_scratch(self, Py_ssize_t size) noexcept:
        cdef char* grown
        if size > self.scratch_size:
            grown = <char*>realloc(self.scratch, size)
            if grown is NULL:
                return False
            self.scratch = grown
            self.scratch_size = size
        return True

    # ---------------------------------------------------------------- for Python

    def note(self, dict texts, dict numbers, bytes asked=None, bytes origin=None, bytes answered=None, int times=1):
        """Tell of a request by its facts, with names of TEXT_NAMES and NUMBER_NAMES, and whole heads. For tests."""
        cdef int _time
        cdef Facts facts
        cdef Head head = None if asked is None else Head.of_request(asked)
        memset(&facts, 0, sizeof(facts))
        for name, text in texts.items():
            facts.text[<int>TEXT_NAMES.index(name)] = span_of_bytes(text)
        for name, number in numbers.items():
            facts.number[<int>NUMBER_NAMES.index(name)] = number
        from_origin = b"" if origin is None else bytes_of_fields(self, Head.of_response(origin), b"origin_")
        facts.text[T_ORIGIN_FIELDS] = span_of_bytes(from_origin)
        to_client = b"" if answered is None else bytes_of_fields(self, Head.of_response(answered), b"downstream_")
        facts.text[T_ANSWER_FIELDS] = span_of_bytes(to_client)
        for _time in range(times):
            self.write(&facts, head)

    @property
    def epoch(self):
        """Nanoseconds since 1970 at which the monotonic clock stood at 0, as of the last line."""
        return self.offset


cdef class Receipt:
    """A line that is written when a tunnel ends."""

    cdef void finish(self, long long time) noexcept:
        self.facts.number[N_ENDED] = time
        self.log.write(&self.facts, None)


cdef bytes bytes_of_fields(AccessLog log, Head head, bytes prefix):
    """The fields of an answer's head as members of JSON."""
    cdef Span text = log.fields_of(head, prefix, len(prefix), span_of(NULL, 0))
    return PyBytes_FromStringAndSize(text.at, text.size)


def shaped(bytes before, int code, int index, str form):
    """Return the text before, code, index and text behind of something that is told in a form.

    JSON has members, each with its comma, but for the last one, which is the time.
    """
    if form not in FORMS:
        raise ValueError(f"{form} is no form")
    if code in (C_FIELDS, C_NOTHING):
        return before, code, index, b""
    if form == "json":
        if code in (C_NUMBER, C_RATIO):
            return before, code, index, b","
        return before + b'"', code, index, b'"' if code == C_TIME else b'",'
    code = FOR_PERSONS.get(code, code)
    if code == C_NUMBER and index == D_DURATION:
        index = D_MILLISECONDS
    if form == "plain":
        return before, code, index, b""
    return before + b'"', C_REDACTED if form == "redacted" else code, index, b'"'


# -------------------------------------------------------------------- parts of a line

cdef inline Span or_dash(Span text) noexcept nogil:
    return text if text.size else span_of(b"-", 1)


cdef inline Span clipped(Span text) noexcept nogil:
    return span_of(text.at, min(text.size, MOST_TEXT))


cdef char* put_ratio(char* at, long long dividend, long long divisor) noexcept:
    """Write a quotient as the shortest decimal that means it."""
    cdef bytes text
    if dividend == 0:
        at[0] = 48
        return at + 1
    text = repr(<double>dividend / <double>divisor).encode()
    if text.endswith(b".0"):
        text = text[:len(text) - 2]
    return copied(at, span_of_bytes(text))


cdef char* put_address(char* at, const Facts* facts) noexcept nogil:
    """Write ClientAddr: address and port, an IPv6 address in brackets."""
    cdef Span client = facts.text[T_CLIENT]
    if client.size == 0:
        return copied(at, span_of(b"-", 1))
    if find_byte(client, 58) >= 0:
        at[0] = 91
        at = put_text(at + 1, client, True)
        at[0] = 93
        at += 1
    else:
        at = put_text(at, client, True)
    at[0] = 58
    return put_number(at + 1, facts.number[N_PORT])


cdef Span path_of(Span target, bint cuts_query) noexcept nogil:
    """Path and query of a request target, as it came; that of an absolute URL is what follows the host."""
    cdef Py_ssize_t cut
    if target.size and target.at[0] != 47 and target.at[0] != 42:
        cut = find_byte(target, 58) + 3
        if 3 <= cut <= target.size:
            target = span_of(target.at + cut, target.size - cut)
        cut = find_byte(target, 47)
        target = span_of(target.at + cut, target.size - cut) if cut >= 0 else span_of(b"/", 1)
    if cuts_query:
        cut = find_byte(target, 63)
        if cut >= 0:
            target.size = cut
    return target


cdef void split_port(Span address, Span* host, Span* port) noexcept nogil:
    """Take host and port apart; without a port all is host, and the port is "-". As Go's net.SplitHostPort."""
    cdef Py_ssize_t colon
    host[0] = address
    port[0] = span_of(b"-", 1)
    if address.size and address.at[0] == 91:
        colon = find_byte(address, 93) + 1
        if colon < 1 or colon == address.size or address.at[colon] != 58:
            return
        host[0] = span_of(address.at + 1, colon - 2)
    else:
        colon = find_byte(address, 58)
        if colon < 0 or find_byte(span_of(address.at + colon + 1, address.size - colon - 1), 58) >= 0:
            return
        host[0] = span_of(address.at, colon)
    port[0] = span_of(address.at + colon + 1, address.size - colon - 1)


# -------------------------------------------------------------------- header fields

cdef int compare(Span a, Span b) noexcept nogil:
    """Compare two names, letters folded."""
    cdef Py_ssize_t i
    for i in range(min(a.size, b.size)):
        if lower(a.at[i]) != lower(b.at[i]):
            return <int>(<unsigned char>lower(a.at[i])) - <int>(<unsigned char>lower(b.at[i]))
    return (a.size > b.size) - (a.size < b.size)


cdef int by_name(const void* a, const void* b) noexcept nogil:
    """Order fields by their names, and those of one name as they came."""
    cdef Field* one = (<Field**>a)[0]
    cdef Field* other = (<Field**>b)[0]
    cdef int side = compare(name_of(one), name_of(other))
    return side if side else (one > other) - (one < other)


cdef Py_ssize_t value_size(const Field* field, Span forwarded) noexcept nogil:
    return max(<Py_ssize_t>field.value_size, forwarded.size) if field.id == F_X_FORWARDED_FOR else field.value_size


cdef char* put_name(char* at, const Field* field) noexcept nogil:
    if field.flags & OURS:
        memcpy(at, field.name, field.name_size)
    else:
        spell(at, field.name, field.name_size)
    return at + field.name_size
