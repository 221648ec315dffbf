# Which bytes belong to this body: length, chunked, until close.

from .head cimport Head
from .span cimport Span


cdef enum BodyKind:
    NO_BODY = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3


cdef enum Fed:
    BROKEN = -1            # malformed; `fault` says why
    MORE = 0               # the body goes on
    OVER = 1               # the body ended; what lies behind `used` belongs to the next message


cdef struct Framing:
    BodyKind kind
    long long length       # LENGTH: as announced; -1 otherwise
    long long left         # LENGTH: bytes to come; CHUNKED: of the chunk in hand
    int state              # CHUNKED: where in the grammar
    int line               # CHUNKED: bytes of the size or trailer line read so far
    int trailer_size       # CHUNKED: bytes of the trailer section so far
    const char* fault      # constant text


cdef bint frame_request(Framing* framing, Head head) noexcept nogil
cdef bint frame_response(Framing* framing, Head head, bint to_head) noexcept nogil
cdef Fed feed(Framing* framing, const char* at, Py_ssize_t size, Py_ssize_t* used, Span* data,
              Span* trailer) noexcept nogil
