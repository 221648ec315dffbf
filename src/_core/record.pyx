"""One line of the access log: what it tells, and in which form.

A line is the work of a program, made once from the settings: one operation for each thing told, with the text that
stands before it. It runs over the facts of a request and writes straight into the journal; nothing is allocated.

What comes from a client cannot end a line, nor leave the quotes that it stands in, nor steer a terminal: quotes and
backslashes are escaped, control characters and bytes that are no UTF-8 written as `\\xNN`, in JSON as `\\u00NN` and
U+FFFD.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcpy, memset

from .deadline cimport monotonic, realtime
from .field cimport CUT, F_HOST, F_X_FORWARDED_FOR, Field, OURS, name_of, spell, value_of
from .head cimport Head
from .journal cimport Journal
from .span cimport Span, find_byte, lower, same_folded, span_of, span_of_bytes

cdef extern from *:
    """
    static inline long long fp_next(long long *at) { return __atomic_add_fetch(at, 1, __ATOMIC_RELAXED); }
    """
    long long fp_next(long long* at) noexcept nogil

cdef extern from "time.h" nogil:
    ctypedef long time_t
    cdef struct tm:
        int tm_sec
        int tm_min
        int tm_hour
        int tm_mday
        int tm_mon
        int tm_year
        long tm_gmtoff
    tm* gmtime_r(const time_t* time, tm* out)
    tm* localtime_r(const time_t* time, tm* out)

cdef enum Form:
    F_PLAIN            # for a person: "-" where there is nothing, milliseconds, the date of common logs
    F_QUOTED           # the same between quotes
    F_REDACTED         # the same, but not what it is
    F_JSON             # a value and a comma, nanoseconds, dates of RFC 3339

cdef enum Source:
    S_NOTHING          # only the text before it
    S_TEXT             # facts.text[index]
    S_POSSIBLE_TEXT    # the same; in JSON left out with its name where it is empty
    S_NUMBER           # facts.number[index]
    S_FIELDS           # facts.text[index], as it is
    S_CLIENT_ADDR
    S_CLIENT_HOST
    S_CLIENT_PORT
    S_CLIENT_USERNAME
    S_DURATION
    S_GZIP_RATIO
    S_OVERHEAD
    S_REQUEST_HOST
    S_REQUEST_PATH
    S_REQUEST_PORT
    S_REQUEST_PROTOCOL
    S_REQUEST_SCHEME
    S_START_LOCAL
    S_START_UTC
    S_TIME             # of the end; closes a line of JSON, so no comma follows

SOURCES = {
    "": (S_NOTHING, 0),
    "ClientAddr": (S_CLIENT_ADDR, 0),
    "ClientHost": (S_CLIENT_HOST, 0),
    "ClientPort": (S_CLIENT_PORT, 0),
    "ClientUsername": (S_CLIENT_USERNAME, 0),
    "DownstreamContentSize": (S_NUMBER, N_SIZE),
    "DownstreamStatus": (S_NUMBER, N_STATUS),
    "Duration": (S_DURATION, 0),
    "GzipRatio": (S_GZIP_RATIO, 0),
    "OriginContentSize": (S_NUMBER, N_ORIGIN_SIZE),
    "OriginDuration": (S_NUMBER, N_ORIGIN_DURATION),
    "OriginStatus": (S_NUMBER, N_ORIGIN_STATUS),
    "Overhead": (S_OVERHEAD, 0),
    "RequestAddr": (S_TEXT, T_HOST),
    "RequestContentSize": (S_NUMBER, N_ASKED_SIZE),
    "RequestCount": (S_NUMBER, N_COUNT),
    "RequestHost": (S_REQUEST_HOST, 0),
    "RequestMethod": (S_TEXT, T_METHOD),
    "RequestPath": (S_REQUEST_PATH, 0),
    "RequestPort": (S_REQUEST_PORT, 0),
    "RequestProtocol": (S_REQUEST_PROTOCOL, 0),
    "RequestScheme": (S_REQUEST_SCHEME, 0),
    "RetryAttempts": (S_NUMBER, N_RETRIES),
    "RouterName": (S_POSSIBLE_TEXT, T_ROUTER),
    "ServiceAddr": (S_POSSIBLE_TEXT, T_ADDRESS),
    "ServiceName": (S_POSSIBLE_TEXT, T_SERVICE),
    "ServiceURL": (S_POSSIBLE_TEXT, T_URL),
    "StartLocal": (S_START_LOCAL, 0),
    "StartUTC": (S_START_UTC, 0),
    "entryPointName": (S_TEXT, T_ENTRY_POINT),
    "request_Referer": (S_TEXT, T_REFERER),
    "request_User-Agent": (S_TEXT, T_AGENT),
    "downstream_": (S_FIELDS, T_ANSWER_FIELDS),
    "origin_": (S_FIELDS, T_ORIGIN_FIELDS),
    "request_": (S_FIELDS, T_ASKED_FIELDS),
    "time": (S_TIME, 0),
}
FORMS = {"plain": F_PLAIN, "quoted": F_QUOTED, "redacted": F_REDACTED, "json": F_JSON}

TEXT_NAMES = (
    "client", "forwarded", "user", "method", "target", "host", "router", "service", "url", "address", "entry_point",
    "referer", "agent",
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
cdef uint64_t ONES = 0x0101010101010101ULL
cdef unsigned char[256] SPECIAL    # 1: cannot be told as it is
cdef bytes pairs = b"".join([b"%02d" % number for number in range(100)])
cdef const char* PAIRS = pairs
cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"


cdef void fill_table() noexcept:
    cdef int c
    for c in range(256):
        SPECIAL[c] = c < 32 or c >= 127 or c == 34 or c == 92


fill_table()


cdef class AccessLog:
    """What is told of each request, and of which requests, into a journal.

    program: (text before, name of SOURCES, name of FORMS) for each thing that a line tells; a line ends with what it
    ends with. fields: what is done with header fields, by lower-case name, and `default` with all others: a name of
    MODES. statuses: pairs of the lowest and highest that are kept; retried, and least (nanoseconds): requests that
    were are kept too; none of these: every one is. cuts_query: paths are told without it. counter: eight aligned
    bytes in which requests are counted, by whoever shares them.
    Source: `accessLog` of Traefik's static configuration.
    """

    def __init__(self, Journal journal not None, program, *, str default="drop", dict fields=None, statuses=None,
                 bint retried=False, long long least=0, bint cuts_query=False, object counter=None):
        cdef Py_buffer view
        cdef int low, high
        if TEXTS != 16 or NUMBERS != 13:
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
            padded = before + bytes(PADDING)
            self.literals.append(padded)
            op = &self.ops[self.op_count]
            op.before = span_of(<const char*><bytes>padded, len(before))
            op.source, op.index = SOURCES[name]
            op.form = FORMS[form]
            self.op_count += 1
            self.most_fixed += op.before.size + MOST_OP
            self.wants_known |= name in ("request_Referer", "request_User-Agent")
            self.wants_fields |= op.source == S_FIELDS
            self.wants_origin |= name in ("OriginDuration", "Overhead")

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

    cdef void put_line(self, Facts* facts) noexcept:
        """Write the line of a request."""
        cdef Py_ssize_t most = self.most_fixed
        cdef char* begin
        cdef char* at
        cdef int i
        if self.journal.waiting == 0 or self.offset == 0:
            self.offset = realtime() - monotonic()
        for i in range(T_ASKED_FIELDS):
            if facts.text[i].size > MOST_TEXT:
                facts.text[i].size = MOST_TEXT
            most += facts.text[i].size * TIMES_TOLD
        for i in range(T_ASKED_FIELDS, TEXTS):
            most += facts.text[i].size
        begin = self.journal.reserve(most)
        if begin is NULL:
            return
        at = begin
        for i in range(self.op_count):
            at = self.put(at, &self.ops[i], facts)
        self.journal.commit(at - begin)

    cdef char* put(self, char* at, const Op* op, const Facts* facts) noexcept:
        """Write one thing."""
        cdef int source = op.source
        cdef Span text, port
        # What a request may have or not is left out with the text before it.
        if source == S_FIELDS:
            return copied(at, facts.text[op.index])
        elif source == S_POSSIBLE_TEXT:
            if op.form == F_JSON and facts.text[op.index].size == 0:
                return at
        elif source == S_GZIP_RATIO:
            if facts.number[N_SIZE] == 0 or facts.number[N_SIZE] == facts.number[N_ORIGIN_SIZE]:
                return at
        at = copied_padded(at, op.before)
        if source == S_NOTHING:
            return at
        elif source == S_TEXT or source == S_POSSIBLE_TEXT:
            return put_text(at, facts.text[op.index], op.form)
        elif source == S_NUMBER:
            return ended(put_number(at, facts.number[op.index]), op.form)
        elif source == S_DURATION:
            if op.form == F_JSON:
                return ended(put_number(at, facts.number[N_ENDED] - facts.number[N_BEGAN]), op.form)
            return put_number(at, (facts.number[N_ENDED] - facts.number[N_BEGAN]) // 1000000)
        elif source == S_OVERHEAD:
            return ended(put_number(
                at, facts.number[N_ENDED] - facts.number[N_BEGAN] - facts.number[N_ORIGIN_DURATION]), op.form)
        elif source == S_CLIENT_HOST:
            text = facts.text[T_FORWARDED]
            return put_text(at, text if text.size else or_dash(facts.text[T_CLIENT]), op.form)
        elif source == S_CLIENT_USERNAME:
            return put_text(at, or_dash(facts.text[T_USER]), op.form)
        elif source == S_REQUEST_PATH:
            return put_text(at, path_of(facts.text[T_TARGET], self.cuts_query), op.form)
        elif source == S_REQUEST_PROTOCOL:
            return put_text(at, span_of(b"HTTP/1.1" if facts.number[N_MINOR] else b"HTTP/1.0", 8), op.form)
        elif source == S_REQUEST_SCHEME:
            return put_text(at, span_of(b"https", 5) if facts.number[N_IS_TLS] else span_of(b"http", 4), op.form)
        elif source == S_REQUEST_HOST:
            split_port(facts.text[T_HOST], &text, &port)
            return put_text(at, text, op.form)
        elif source == S_REQUEST_PORT:
            split_port(facts.text[T_HOST], &text, &port)
            return put_text(at, port, op.form)
        elif source == S_CLIENT_ADDR:
            return put_address(at, facts)
        elif source == S_CLIENT_PORT:
            return put_port(at, facts)
        elif source == S_START_UTC:
            return self.put_start(at, facts, op.form, False)
        elif source == S_START_LOCAL:
            return self.put_start(at, facts, op.form, True)
        elif source == S_GZIP_RATIO:
            return ended(put_ratio(at, facts.number[N_ORIGIN_SIZE], facts.number[N_SIZE]), op.form)
        return put_rfc3339(at, &self.end_local, facts.number[N_ENDED] + self.offset, True, False)

    cdef char* put_start(self, char* at, const Facts* facts, int form, bint is_local) noexcept:
        cdef long long time = facts.number[N_BEGAN] + self.offset
        if form != F_JSON:
            return put_clf(at, &self.clf_local if is_local else &self.clf_utc, time, is_local)
        at = put_rfc3339(at, &self.local if is_local else &self.utc, time, is_local, True)
        at[0] = 44
        return at + 1

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
                    at = put_escaped(at, clipped(forwarded), True)
                else:
                    at = put_escaped(at, clipped(value_of(chosen[i])), True)
                    for i in range(i + 1, last):
                        at = put_escaped(copied(at, span_of(b",", 1)), clipped(value_of(chosen[i])), True)
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


# -------------------------------------------------------------------- parts of a line

cdef inline char* copied(char* at, Span text) noexcept nogil:
    memcpy(at, text.at, text.size)
    return at + text.size


cdef inline char* copied_padded(char* at, Span text) noexcept nogil:
    """Copy a text behind which PADDING bytes may be read, to where as many may be written."""
    cdef Py_ssize_t done = 0
    while done < text.size:
        memcpy(at + done, text.at + done, 16)
        done += 16
    return at + text.size


cdef inline char* ended(char* at, int form) noexcept nogil:
    """Write the comma behind a member of JSON."""
    if form == F_JSON:
        at[0] = 44
        return at + 1
    return at


cdef inline Span or_dash(Span text) noexcept nogil:
    return text if text.size else span_of(b"-", 1)


cdef inline Span clipped(Span text) noexcept nogil:
    return span_of(text.at, min(text.size, MOST_TEXT))


cdef char* put_text(char* at, Span text, int form) noexcept nogil:
    if form == F_JSON:
        at[0] = 34
        at = put_escaped(at + 1, text, True)
        at[0] = 34
        at[1] = 44
        return at + 2
    if form == F_PLAIN:
        return put_escaped(at, or_dash(text), False)
    at[0] = 34
    at += 1
    if text.size == 0:
        at = copied(at, span_of(b"-", 1))
    elif form == F_REDACTED:
        at = copied(at, span_of(b"REDACTED", 8))
    else:
        at = put_escaped(at, text, False)
    at[0] = 34
    return at + 1


cdef char* put_escaped(char* at, Span text, bint json) noexcept nogil:
    """Write a text so that it ends neither line nor quotes; at most six bytes for one."""
    cdef const char* cursor = text.at
    cdef const char* end = text.at + text.size
    cdef const char* run
    cdef unsigned char c
    cdef uint64_t eight
    cdef int size
    # Nearly always there is nothing to escape, and eight bytes are seen to be plain at once.
    while end - cursor >= 8:
        memcpy(&eight, cursor, 8)
        if has_special(eight):
            break
        memcpy(at, &eight, 8)
        cursor += 8
        at += 8
    while cursor < end and not SPECIAL[<unsigned char>cursor[0]]:
        at[0] = cursor[0]
        cursor += 1
        at += 1
    run = cursor
    while cursor < end:
        c = <unsigned char>cursor[0]
        if not SPECIAL[c]:
            cursor += 1
            continue
        size = utf8_size(cursor, end) if c >= 128 else 1
        if size > 1 and not is_hidden(cursor, size):
            cursor += size
            continue
        at = copied(at, span_of(run, cursor - run))
        if c == 34 or c == 92:
            at[0] = 92
            at[1] = c
            at += 2
        elif not json:
            at[0] = 92
            at[1] = 120
            at[2] = b"0123456789abcdef"[c >> 4]
            at[3] = b"0123456789abcdef"[c & 15]
            at += 4
            size = 1
        elif size == 0:
            at = copied(at, span_of(b"\\ufffd", 6))
            size = 1
        else:
            at = put_unicode_escape(at, cursor, size)
        cursor += size
        run = cursor
    return copied(at, span_of(run, cursor - run))


cdef inline bint has_special(uint64_t eight) noexcept nogil:
    """Say whether one of eight bytes is SPECIAL; may say so of eight plain ones, never the other way.

    A byte less than n shows in its highest bit when n is taken away from it, and one of 127 and more when 1 is
    added; borrows and carries reach neighbours only where there is something special.
    """
    cdef uint64_t quotes = eight ^ (ONES * 34)
    cdef uint64_t slashes = eight ^ (ONES * 92)
    return (((eight - ONES * 32) | (quotes - ONES) | (slashes - ONES) | (eight + ONES) | eight) & ONES * 128) != 0


cdef char* put_unicode_escape(char* at, const char* from_, int size) noexcept nogil:
    """Write a character that is hidden: a control, or a line end of Unicode."""
    cdef unsigned int code = <unsigned char>from_[0]
    cdef int i
    if size == 2:
        code = (code & 31) << 6 | (<unsigned char>from_[1] & 63)
    elif size == 3:
        code = (code & 15) << 12 | (<unsigned char>from_[1] & 63) << 6 | (<unsigned char>from_[2] & 63)
    at[0] = 92
    at[1] = 117
    for i in range(4):
        at[2 + i] = b"0123456789abcdef"[(code >> (12 - 4 * i)) & 15]
    return at + 6


cdef int utf8_size(const char* at, const char* end) noexcept nogil:
    """Bytes of the character that begins here, 0: it is no UTF-8 (RFC 3629, 4)."""
    cdef unsigned char first = <unsigned char>at[0]
    cdef unsigned char low = 128, high = 191
    cdef int size, i
    if 194 <= first <= 223:
        size = 2
    elif 224 <= first <= 239:
        size = 3
        if first == 224:
            low = 160
        elif first == 237:
            high = 159         # half of a surrogate pair
    elif 240 <= first <= 244:
        size = 4
        if first == 240:
            low = 144
        elif first == 244:
            high = 143
    else:
        return 0
    if end - at < size or not low <= <unsigned char>at[1] <= high:
        return 0
    for i in range(2, size):
        if not 128 <= <unsigned char>at[i] <= 191:
            return 0
    return size


cdef bint is_hidden(const char* at, int size) noexcept nogil:
    """Say whether a character is a control (U+0080 to U+009F) or ends a line (U+2028, U+2029)."""
    cdef unsigned char first = <unsigned char>at[0]
    if size == 2:
        return first == 194 and <unsigned char>at[1] < 160
    return (size == 3 and first == 226 and <unsigned char>at[1] == 128
            and <unsigned char>at[2] in (168, 169))


cdef char* put_number(char* at, long long number) noexcept nogil:
    cdef char[24] digits
    cdef unsigned long long rest = number if number > 0 else 0      # below 0: a clock that was set back
    cdef int begin = 24
    while rest >= 100:
        begin -= 2
        memcpy(&digits[begin], PAIRS + 2 * (rest % 100), 2)
        rest //= 100
    if rest >= 10:
        begin -= 2
        memcpy(&digits[begin], PAIRS + 2 * rest, 2)
    else:
        begin -= 1
        digits[begin] = 48 + <char>rest
    memcpy(at, &digits[begin], 24 - begin)
    return at + 24 - begin


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
    cdef bint bracketed
    if client.size == 0:
        return put_text(at, span_of(b"-", 1), F_JSON)
    bracketed = find_byte(client, 58) >= 0
    at = copied(at, span_of(b"\"[", 2) if bracketed else span_of(b"\"", 1))
    at = put_escaped(at, client, True)
    at = copied(at, span_of(b"]:", 2) if bracketed else span_of(b":", 1))
    at = put_number(at, facts.number[N_PORT])
    return copied(at, span_of(b"\",", 2))


cdef char* put_port(char* at, const Facts* facts) noexcept nogil:
    """Write ClientPort, which is a text."""
    if facts.text[T_CLIENT].size == 0:
        return put_text(at, span_of(b"-", 1), F_JSON)
    at[0] = 34
    at = put_number(at + 1, facts.number[N_PORT])
    at[0] = 34
    at[1] = 44
    return at + 2


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


# -------------------------------------------------------------------- dates

cdef void read_clock(time_t second, bint is_local, tm* out) noexcept nogil:
    if is_local:
        localtime_r(&second, out)
    else:
        gmtime_r(&second, out)
        out.tm_gmtoff = 0


cdef char* put_clf(char* at, Second* known, long long time, bint is_local) noexcept nogil:
    """Write the date of common logs: 04/Mar/2026:10:11:12 +0000."""
    cdef long long second = time // 1000000000
    cdef tm clock
    cdef long zone
    if known.second != second or known.size == 0:
        read_clock(second, is_local, &clock)
        zone = clock.tm_gmtoff if clock.tm_gmtoff >= 0 else -clock.tm_gmtoff
        known.second = second
        known.size = snprintf(known.text, 40, "%02d/%.3s/%04d:%02d:%02d:%02d %c%02d%02d", clock.tm_mday,
                              MONTHS + 3 * clock.tm_mon, clock.tm_year + 1900, clock.tm_hour, clock.tm_min,
                              clock.tm_sec, <int>(45 if clock.tm_gmtoff < 0 else 43), <int>(zone // 3600),
                              <int>(zone // 60 % 60))
    return copied(at, span_of(known.text, known.size))


cdef char* put_rfc3339(char* at, Second* known, long long time, bint is_local, bint is_fine) noexcept nogil:
    """Write a date of RFC 3339 between quotes. is_fine: with the parts of a second, no zeros at their end."""
    cdef long long second = time // 1000000000
    cdef long long part = time % 1000000000
    cdef tm clock
    cdef long zone
    cdef int size
    cdef char* digit
    if known.second != second or known.size == 0:
        read_clock(second, is_local, &clock)
        zone = clock.tm_gmtoff if clock.tm_gmtoff >= 0 else -clock.tm_gmtoff
        known.second = second
        known.size = snprintf(known.text, 40, "\"%04d-%02d-%02dT%02d:%02d:%02d", clock.tm_year + 1900,
                              clock.tm_mon + 1, clock.tm_mday, clock.tm_hour, clock.tm_min, clock.tm_sec)
        if clock.tm_gmtoff:
            known.end_size = snprintf(known.end, 8, "%c%02d:%02d\"", <int>(45 if clock.tm_gmtoff < 0 else 43),
                                      <int>(zone // 3600), <int>(zone // 60 % 60))
        else:
            known.end_size = snprintf(known.end, 8, "Z\"")
    at = copied(at, span_of(known.text, known.size))
    if is_fine and part:
        at[0] = 46
        size = 10
        while part % 10 == 0:
            part //= 10
            size -= 1
        digit = at + size
        while digit > at + 1:
            digit -= 1
            digit[0] = 48 + part % 10
            part //= 10
        at += size
    return copied(at, span_of(known.end, known.end_size))


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
