# One request or response head: spans into the received bytes, edits laid over them, one exact write.

from .field cimport Field, FieldId
from .span cimport Span


cdef Py_ssize_t head_end(const char* at, Py_ssize_t size, Py_ssize_t start) noexcept nogil


cdef enum Parsed:
    BAD = -1                   # refused: fault_status and fault say how and why
    PARTIAL = 0                # nothing wrong so far, but the empty line has not come
    WHOLE = 1


cdef struct Scan:
    # What the parser's callbacks write to.
    Field* fields              # owned by the head
    int count
    int capacity
    int value_calls            # for the field in hand; a second one is a folded line
    const char* fault          # NULL: none


cdef class Head:
    # What was received. Spans point into `raw`, or before keep() into the buffer that was parsed.
    cdef bytes raw
    cdef readonly Py_ssize_t size      # bytes of the head in the buffer, its empty line included
    cdef const char* end       # behind the empty line
    cdef Span line             # the start line without its end
    cdef Span method           # request; empty in a response
    cdef Span target           # request
    cdef Span reason           # response; may be empty
    cdef readonly int status   # response
    cdef readonly int minor    # HTTP/1.<minor>

    # The fields, in the order of arrival, then those added.
    cdef Scan scan
    cdef unsigned long long present    # bit n: a field with FieldId n is there and not cut
    cdef list owned            # bytes that added fields point into; None until there are some

    # Why the last parse failed: the status to answer with and a constant text.
    cdef readonly int fault_status
    cdef const char* fault
    cdef bint fault_is_bare    # answered without a body

    cdef Parsed parse_request(self, const char* at, Py_ssize_t size) noexcept
    cdef Parsed parse_response(self, const char* at, Py_ssize_t size) noexcept
    cdef bint parse_trailer(self, bytes section) noexcept
    cdef Parsed read_fields(self, void* parser, const char* start, const char* at, Py_ssize_t size) noexcept
    cdef Parsed refuse(self, int status, const char* why) noexcept nogil
    cdef int keep(self) except -1      # copy the head out of the buffer into `raw`
    cdef void clear(self) noexcept

    cdef Field* find(self, FieldId wanted) noexcept nogil
    cdef Field* find_name(self, const char* lowered, Py_ssize_t size, Field* behind) noexcept nogil
    cdef void cut_field(self, Field* field) noexcept nogil
    cdef int cut(self, FieldId wanted) noexcept nogil
    cdef int cut_name(self, const char* lowered, Py_ssize_t size) noexcept nogil
    cdef bint add(self, Span name, Span value, FieldId known) noexcept nogil
    cdef int add_owned(self, bytes name, bytes value) except -1
    cdef int set_owned(self, bytes name, bytes value) except -1

    cdef Py_ssize_t fields_size(self) noexcept nogil
    cdef char* write_fields(self, char* at) noexcept nogil


cdef inline bint has(Head head, FieldId wanted) noexcept nogil:
    return (head.present >> <int>wanted) & 1
