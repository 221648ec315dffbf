"""One request or response head: spans into the received bytes, edits laid over them, one exact write.

Header lines go through llhttp, whose callbacks fill an array of spans; no Python object is made per field. The
request line is read here, because llhttp knows a closed list of methods and HTTP does not (RFC 9110, 9.1):
its parser is started behind a request line of our own, from a copy made once.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcpy

from .field cimport CUT, F_OTHER, Field, FieldId, OURS, id_of, is_token, name_of, spell, value_of
from .llhttp cimport (
    HPE_OK, HPE_PAUSED, HTTP_REQUEST, HTTP_RESPONSE, llhttp_execute, llhttp_get_error_pos,
    llhttp_get_error_reason, llhttp_init, llhttp_settings_init, llhttp_settings_t, llhttp_t,
)
from .span cimport Span, bytes_of, same_folded, span_of, span_of_bytes, trimmed

cdef extern from "string.h" nogil:
    void* memmem(const void* haystack, size_t haystack_size, const void* needle, size_t needle_size)

cdef enum:
    FIRST_FIELDS = 24          # room made at first; a browser sends 13, we add 6
    KEPT_FIELDS = 192          # room kept for the next message; more is given back
    MOST_FIELDS = 1000         # fields in one head; as many as a head of 64 KiB could sensibly hold
    MOST_METHOD = 64           # bytes of a method; the longest registered one has 17
    MOST_ADDED = 1000          # room above that for what we add ourselves, so that it fits into the fullest head

cdef llhttp_settings_t request_settings
cdef llhttp_settings_t response_settings
cdef llhttp_t request_parser       # as it is right behind a request line
cdef llhttp_t response_parser      # as it is before a status line


cdef struct Reading:
    Scan* scan
    Span reason


# ---------------------------------------------------------------- characters

cdef unsigned char[256] TARGET_CHAR    # 1: allowed in a request target: visible ASCII and obs-text


cdef void fill_table() noexcept:
    cdef int c
    for c in range(256):
        TARGET_CHAR[c] = c > 32 and c != 127


fill_table()


cdef Py_ssize_t head_end(const char* at, Py_ssize_t size, Py_ssize_t start) noexcept nogil:
    """Return the index behind the first empty line at or after `start`, or -1."""
    cdef const char* hit
    if size - start < 4:
        return -1
    hit = <const char*>memmem(at + start, size - start, b"\r\n\r\n", 4)
    return hit + 4 - at if hit is not NULL else -1


# ---------------------------------------------------------------- llhttp

cdef int on_field(llhttp_t* parser, const char* at, size_t size) noexcept nogil:
    cdef Scan* scan = (<Reading*>parser.data).scan
    cdef Field* field
    if scan.count == MOST_FIELDS or (scan.count == scan.capacity and not make_room(scan)):
        if scan.fault is NULL:
            scan.fault = b"more than 1000 header fields"
        return -1
    field = &scan.fields[scan.count]
    field.name = at
    field.name_size = <unsigned int>size
    field.value = at + size
    field.value_size = 0
    field.id = id_of(at, size)
    field.flags = 0
    scan.count += 1
    scan.value_calls = 0
    return 0


cdef int on_value(llhttp_t* parser, const char* at, size_t size) noexcept nogil:
    cdef Scan* scan = (<Reading*>parser.data).scan
    cdef Field* field = &scan.fields[scan.count - 1]
    cdef Span value
    if scan.value_calls:
        scan.fault = b"a header line is folded"
        return -1
    scan.value_calls = 1
    value = trimmed(span_of(at, size))
    field.value = value.at
    field.value_size = <unsigned int>value.size
    return 0


cdef int on_reason(llhttp_t* parser, const char* at, size_t size) noexcept nogil:
    """llhttp lets any byte stand in a reason phrase; it goes on to the client (RFC 9112, 4)."""
    cdef Reading* reading = <Reading*>parser.data
    cdef size_t i
    for i in range(size):
        if (<unsigned char>at[i] < 32 and at[i] != 9) or at[i] == 127:
            reading.scan.fault = b"the reason phrase holds a control character"
            return -1
    reading.reason = span_of(at, size)
    return 0


cdef int on_whole(llhttp_t* parser) noexcept nogil:
    # The body is the framing's affair: stop here, whatever llhttp thinks comes next.
    return HPE_PAUSED


cdef bint make_room(Scan* scan) noexcept nogil:
    """Double the array; False at the limit or without memory, with the reason in scan.fault."""
    cdef int wanted = 2 * scan.capacity if scan.capacity else FIRST_FIELDS
    cdef Field* grown
    if scan.capacity >= MOST_FIELDS + MOST_ADDED:
        scan.fault = b"more than 2000 header fields"
        return False
    wanted = min(wanted, MOST_FIELDS + MOST_ADDED)
    grown = <Field*>realloc(scan.fields, wanted * sizeof(Field))
    if grown is NULL:
        scan.fault = b"out of memory"
        return False
    scan.fields = grown
    scan.capacity = wanted
    return True


cdef void set_up_parsers() noexcept:
    llhttp_settings_init(&request_settings)
    request_settings.on_header_field = on_field
    request_settings.on_header_value = on_value
    request_settings.on_headers_complete = on_whole
    llhttp_settings_init(&response_settings)
    response_settings.on_status = on_reason
    response_settings.on_header_field = on_field
    response_settings.on_header_value = on_value
    response_settings.on_headers_complete = on_whole
    llhttp_init(&request_parser, HTTP_REQUEST, &request_settings)
    llhttp_execute(&request_parser, b"GET / HTTP/1.1\r\n", 16)
    llhttp_init(&response_parser, HTTP_RESPONSE, &response_settings)


set_up_parsers()


# ---------------------------------------------------------------- the head

cdef class Head:
    """The head of one message. Reused from message to message by its owner; see clear()."""

    def __dealloc__(self):
        free(self.scan.fields)

    cdef void clear(self) noexcept:
        """Forget the message; keep the array of fields, unless it is large."""
        if self.scan.capacity > KEPT_FIELDS:
            free(self.scan.fields)
            self.scan.fields = NULL
            self.scan.capacity = 0
        # Nothing may point to where the message was: whoever looks finds an empty one.
        self.line = span_of(NULL, 0)
        self.method = span_of(NULL, 0)
        self.target = span_of(NULL, 0)
        self.end = NULL
        self.raw = None
        self.owned = None
        self.size = 0
        # An answer of ours is written with the same head as a server's before it, whose phrase is gone by then.
        self.reason = span_of(NULL, 0)
        self.scan.count = 0
        self.scan.fault = NULL
        self.present = 0
        self.status = 0
        self.fault = NULL
        self.fault_status = 0
        self.fault_is_bare = False

    cdef Parsed refuse(self, int status, const char* why) noexcept nogil:
        self.fault_status = status
        self.fault = why
        return BAD

    # -------- reading

    cdef Parsed parse_request(self, const char* at, Py_ssize_t size) noexcept:
        """Read a request head from its first byte. A fault is answered with fault_status (RFC 9112, 3)."""
        cdef const char* start = at
        cdef const char* end = at + size
        cdef const char* cursor
        cdef const char* line_end
        self.scan.count = 0
        self.scan.fault = NULL
        # One empty line before a request is let pass (RFC 9112, 2.2).
        if size >= 2 and at[0] == 13 and at[1] == 10:
            at += 2
        cursor = at
        while cursor < end and is_token(<unsigned char>cursor[0]):
            cursor += 1
        if cursor - at > MOST_METHOD:
            return self.refuse(400, b"the method is longer than 64 bytes")
        if cursor == end:
            return PARTIAL
        if cursor == at or cursor[0] != 32:
            if cursor == at and at[0] == 13 and end - at == 1:
                return PARTIAL
            return self.refuse(400, b"the request line does not begin with a method")
        self.method = span_of(at, cursor - at)
        cursor += 1
        self.target.at = cursor
        while cursor < end and TARGET_CHAR[<unsigned char>cursor[0]]:
            cursor += 1
        if cursor == end:
            return PARTIAL
        self.target.size = cursor - self.target.at
        if cursor[0] != 32 or self.target.size == 0:
            return self.refuse(400, b"the request target is empty or holds a character that must be encoded")
        cursor += 1
        line_end = cursor + 8
        if line_end + 2 > end:
            if memchr(cursor, 10, end - cursor) is not NULL:
                return self.refuse(400, b"the request line does not end with a version")
            return PARTIAL
        if not (cursor[0] == 72 and cursor[1] == 84 and cursor[2] == 84 and cursor[3] == 80
                and cursor[4] == 47 and cursor[6] == 46 and line_end[0] == 13 and line_end[1] == 10
                and 48 <= cursor[5] <= 57 and 48 <= cursor[7] <= 57):
            return self.refuse(400, b"the request line does not end with a version")
        if cursor[5] != 49 or cursor[7] > 49:
            return self.refuse(505, b"the version is neither HTTP/1.0 nor HTTP/1.1")
        self.minor = cursor[7] - 48
        self.line = span_of(at, line_end - at)
        cdef llhttp_t parser = request_parser
        return self.read_fields(&parser, start, line_end + 2, end - line_end - 2)

    cdef Parsed parse_response(self, const char* at, Py_ssize_t size) noexcept:
        """Read a response head from its first byte (RFC 9112, 4)."""
        cdef llhttp_t parser = response_parser
        cdef Parsed parsed
        cdef const char* end
        self.scan.count = 0
        self.scan.fault = NULL
        if size and at[0] != 72:
            # llhttp would skip leading line ends.
            return self.refuse(502, b"the answer does not begin with HTTP/")
        parsed = self.read_fields(&parser, at, at, size)
        if parsed != WHOLE:
            return parsed
        if parser.http_major != 1 or parser.http_minor > 1:
            return self.refuse(502, b"the answer's version is neither HTTP/1.0 nor HTTP/1.1")
        if parser.status_code < 100 or parser.status_code > 999:
            return self.refuse(502, b"the answer's status is not a number from 100 to 999")
        self.status = parser.status_code
        self.minor = parser.http_minor
        end = <const char*>memchr(at, 13, size)
        self.line = span_of(at, end - at)
        return WHOLE

    cdef bint parse_trailer(self, bytes section) noexcept:
        """Read a trailer section without its empty line; False when it is refused (RFC 9112, 7.1.2).

        Fields that a recipient would act on as if they had stood in the head are cut (RFC 9110, 6.5.1).
        """
        cdef llhttp_t parser = request_parser
        cdef bytes whole = section + b"\r\n"
        cdef int i
        self.scan.count = 0
        self.scan.fault = NULL
        if self.read_fields(&parser, whole, whole, len(whole)) != WHOLE or self.size != len(whole):
            self.refuse(500, b"the trailer section is malformed")
            return False
        self.raw = whole
        for i in range(self.scan.count):
            if self.scan.fields[i].id != F_OTHER:
                self.cut_field(&self.scan.fields[i])
        return True

    cdef Parsed read_fields(self, void* parser_, const char* start, const char* at, Py_ssize_t size) noexcept:
        """Run llhttp over what follows; `start` is where the head began."""
        cdef llhttp_t* parser = <llhttp_t*>parser_
        cdef Reading reading
        cdef int result, i
        cdef Field* field
        reading.scan = &self.scan
        reading.reason = span_of(NULL, 0)
        parser.data = &reading
        result = llhttp_execute(parser, at, size)
        self.reason = reading.reason
        if result == HPE_OK:
            return PARTIAL
        if result != HPE_PAUSED:
            if self.scan.fault is not NULL:
                return self.refuse(431 if self.scan.count >= MOST_FIELDS else 400, self.scan.fault)
            return self.refuse(400, llhttp_get_error_reason(parser))
        self.end = llhttp_get_error_pos(parser)
        self.size = self.end - start
        self.present = 0
        for i in range(self.scan.count):
            field = &self.scan.fields[i]
            self.present |= 1ULL << field.id
        return WHOLE

    cdef int keep(self) except -1:
        """Copy the head out of the buffer it was parsed in; what points into that points into `raw` then."""
        cdef const char* old = self.line.at
        cdef const char* old_end = self.end
        cdef Py_ssize_t moved
        cdef Field* field
        cdef int i
        if self.raw is not None or old is NULL:
            return 0       # kept already, or made by us: nothing was parsed
        # Nothing points before the start line: an empty line there was skipped.
        self.raw = PyBytes_FromStringAndSize(old, old_end - old)
        moved = PyBytes_AS_STRING(self.raw) - old
        self.end += moved
        self.line.at += moved
        if self.method.at is not NULL:
            self.method.at += moved
            self.target.at += moved
        if self.reason.at is not NULL:
            self.reason.at += moved
        for i in range(self.scan.count):
            # Fields that were added since point elsewhere, and so may values that were put in place.
            field = &self.scan.fields[i]
            if old <= field.name < old_end:
                field.name += moved
            if old <= field.value < old_end:
                field.value += moved
        return 0

    # -------- looking and editing

    cdef Field* find(self, FieldId wanted) noexcept nogil:
        """The first field with this id that is not cut, or NULL."""
        cdef int i
        if not (self.present >> <int>wanted) & 1:
            return NULL
        for i in range(self.scan.count):
            if self.scan.fields[i].id == wanted and not self.scan.fields[i].flags & CUT:
                return &self.scan.fields[i]
        return NULL

    cdef Field* find_name(self, const char* lowered, Py_ssize_t size, Field* behind) noexcept nogil:
        """The first field of this name behind `behind` (NULL: from the start) that is not cut, or NULL."""
        cdef Field* field = behind + 1 if behind is not NULL else self.scan.fields
        cdef Field* end = self.scan.fields + self.scan.count
        while field < end:
            if not field.flags & CUT and same_folded(name_of(field), lowered, size):
                return field
            field += 1
        return NULL

    cdef void cut_field(self, Field* field) noexcept nogil:
        cdef int i
        field.flags |= CUT
        if field.id != F_OTHER:
            self.present &= ~(1ULL << field.id)
            # A second field of the same name may still be there.
            for i in range(self.scan.count):
                if self.scan.fields[i].id == field.id and not self.scan.fields[i].flags & CUT:
                    self.present |= 1ULL << field.id
                    return

    cdef int cut(self, FieldId wanted) noexcept nogil:
        """Cut every field with this id; say how many there were."""
        cdef int i, gone = 0
        if not (self.present >> <int>wanted) & 1:
            return 0
        for i in range(self.scan.count):
            if self.scan.fields[i].id == wanted and not self.scan.fields[i].flags & CUT:
                self.scan.fields[i].flags |= CUT
                gone += 1
        self.present &= ~(1ULL << <int>wanted)
        return gone

    cdef int cut_name(self, const char* lowered, Py_ssize_t size) noexcept nogil:
        """Cut every field of this name; say how many there were."""
        cdef Field* field = self.find_name(lowered, size, NULL)
        cdef int gone = 0
        while field is not NULL:
            self.cut_field(field)
            gone += 1
            field = self.find_name(lowered, size, field)
        return gone

    cdef bint add(self, Span name, Span value, FieldId known) noexcept nogil:
        """Lay a field behind the others. The caller owns both texts until the head is cleared.

        name: spelled as it is to be written. False: no room left, nothing was added.
        """
        cdef Field* field
        if self.scan.count == self.scan.capacity and not make_room(&self.scan):
            return False
        field = &self.scan.fields[self.scan.count]
        field.name = name.at
        field.name_size = <unsigned int>name.size
        field.value = value.at
        field.value_size = <unsigned int>value.size
        field.id = known
        field.flags = OURS
        self.scan.count += 1
        self.present |= 1ULL << <int>known
        return True

    cdef int add_owned(self, bytes name, bytes value) except -1:
        """Lay a field behind the others and hold on to both texts."""
        if self.owned is None:
            self.owned = []
        self.owned.append(name)
        self.owned.append(value)
        if not self.add(span_of_bytes(name), span_of_bytes(value), id_of(name, len(name))):
            raise ValueError("more than 2000 header fields")
        return 0

    cdef int set_owned(self, bytes name, bytes value) except -1:
        """Put one field in the place of all of this name."""
        cdef bytes lowered = name.lower()
        self.cut_name(lowered, len(lowered))
        return self.add_owned(name, value)

    # -------- writing

    cdef Py_ssize_t fields_size(self) noexcept nogil:
        """Bytes that write_fields will write."""
        cdef Py_ssize_t size = 0
        cdef Field* field = self.scan.fields
        cdef Field* end = field + self.scan.count
        while field < end:
            if not field.flags & CUT:
                size += field.name_size + field.value_size + 4
            field += 1
        return size

    cdef char* write_fields(self, char* at) noexcept nogil:
        """Write every field that is not cut, names spelled canonically; return the place behind the last."""
        cdef Field* field = self.scan.fields
        cdef Field* end = field + self.scan.count
        while field < end:
            if not field.flags & CUT:
                if field.flags & OURS:
                    memcpy(at, field.name, field.name_size)
                else:
                    spell(at, field.name, field.name_size)
                at += field.name_size
                at[0] = 58
                at[1] = 32
                memcpy(at + 2, field.value, field.value_size)
                at += field.value_size + 2
                at[0] = 13
                at[1] = 10
                at += 2
            field += 1
        return at

    # -------- for Python: tests, plugins

    @staticmethod
    def of_request(bytes data not None):
        """Parse *data* as a request head: a Head, or None when it is not whole. ValueError when it is refused."""
        cdef Head head = Head.__new__(Head)
        return head_or_error(head, head.parse_request(data, len(data)))

    @staticmethod
    def of_response(bytes data not None):
        """Parse *data* as a response head: a Head, or None when it is not whole. ValueError when it is refused."""
        cdef Head head = Head.__new__(Head)
        return head_or_error(head, head.parse_response(data, len(data)))

    @property
    def start_line(self):
        return bytes_of(self.line)

    @property
    def method_text(self):
        return bytes_of(self.method)

    @property
    def target_text(self):
        return bytes_of(self.target)

    @property
    def reason_text(self):
        return bytes_of(self.reason)

    @property
    def fields(self):
        """The fields that are not cut: [(name as written out, value)]."""
        cdef int i
        cdef bytes name
        cdef Field* field
        out = []
        for i in range(self.scan.count):
            field = &self.scan.fields[i]
            if not field.flags & CUT:
                # Made empty: a bytes made of one known byte is shared by all of Python, not ours to spell in.
                name = PyBytes_FromStringAndSize(NULL, field.name_size)
                if field.flags & OURS:
                    memcpy(PyBytes_AS_STRING(name), field.name, field.name_size)
                else:
                    spell(PyBytes_AS_STRING(name), field.name, field.name_size)
                out.append((name, bytes_of(value_of(field))))
        return out


cdef head_or_error(Head head, Parsed parsed):
    if parsed == BAD:
        raise ValueError(f"{head.fault_status}: {head.fault.decode()}")
    if parsed == PARTIAL:
        return None
    head.keep()
    return head
