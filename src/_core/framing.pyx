"""Which bytes belong to this body: length, chunked, until close. What could be read in two ways is refused.

The decoder takes bytes as they come and never looks back: it hands out one run of data at a time, so that a
body is passed on without being collected. Chunk extensions are dropped and chunks are framed anew on the
other side, so that no server sees a chunk line that we did not write.
Source: RFC 9112, 6 and 7.
"""

from .field cimport F_CONTENT_LENGTH, F_TRANSFER_ENCODING, Field, is_token, value_of
from .head cimport Head, has
from .span cimport Span, hex_value, same_folded, span_of

cdef enum State:
    # Where in `chunk-size [ chunk-ext ] CRLF chunk-data CRLF ... last-chunk trailer-section CRLF` we are.
    SIZE_FIRST = 0         # the first digit
    SIZE_DIGITS            # further digits
    BLANK                  # blanks before an extension
    EXTENSION
    QUOTED                 # inside a quoted string of an extension
    ESCAPED                # behind a backslash in it
    SIZE_LF
    DATA
    DATA_CR
    DATA_LF
    TRAILER_START          # at the start of a trailer line
    TRAILER_NAME
    TRAILER_VALUE
    TRAILER_LF
    END_LF
    DONE

cdef enum:
    MOST_DIGITS = 15       # of a chunk size: 2^60 - 1
    MOST_LINE = 4096       # bytes of a chunk line with its extensions
    MOST_TRAILER = 16384   # bytes of a trailer section


cdef bint frame_request(Framing* framing, Head head) noexcept nogil:
    """Find how the body of a request is framed (RFC 9112, 6.3); False with head.fault set when refused."""
    start(framing)
    if has(head, F_TRANSFER_ENCODING):
        if head.minor == 0:
            return refused(head, 400, b"HTTP/1.0 has no Transfer-Encoding")
        if has(head, F_CONTENT_LENGTH):
            return refused(head, 400, b"both Content-Length and Transfer-Encoding are given")
        if not is_chunked(head):
            return refused(head, 501, b"a transfer coding other than chunked is not served")
        framing.kind = CHUNKED
    elif has(head, F_CONTENT_LENGTH):
        if not read_length(framing, head):
            return refused(head, 400, b"Content-Length is not one number")
    return True


cdef bint frame_response(Framing* framing, Head head, bint to_head) noexcept nogil:
    """Find how the body of an answer is framed; to_head: it answers a HEAD request. False: refused."""
    start(framing)
    if has(head, F_TRANSFER_ENCODING):
        if has(head, F_CONTENT_LENGTH):
            return refused(head, 500, b"both Content-Length and Transfer-Encoding are given")
        if head.minor == 0 or not is_chunked(head):
            return refused(head, 500, b"the transfer coding is not chunked")
        framing.kind = CHUNKED
    elif has(head, F_CONTENT_LENGTH):
        if not read_length(framing, head):
            return refused(head, 500, b"Content-Length is not one number")
    else:
        framing.kind = UNTIL_CLOSE
    if to_head or head.status < 200 or head.status == 204 or head.status == 304:
        framing.kind = NO_BODY
    return True


cdef void start(Framing* framing) noexcept nogil:
    framing.kind = NO_BODY
    framing.length = -1
    framing.left = 0
    framing.state = SIZE_FIRST
    framing.line = 0
    framing.trailer_size = 0
    framing.fault = NULL


cdef bint refused(Head head, int status, const char* why) noexcept nogil:
    head.refuse(status, why)
    return False


cdef bint is_chunked(Head head) noexcept nogil:
    """Say whether there is one Transfer-Encoding field and it says nothing but chunked."""
    cdef Field* field = head.find(F_TRANSFER_ENCODING)
    return (same_folded(value_of(field), b"chunked", 7)
            and head.find_name(b"transfer-encoding", 17, field) is NULL)


cdef bint read_length(Framing* framing, Head head) noexcept nogil:
    """Read the one Content-Length of at most 18 digits (RFC 9110, 8.6)."""
    cdef Field* field = head.find(F_CONTENT_LENGTH)
    cdef Span text = value_of(field)
    cdef long long length = 0
    cdef Py_ssize_t i
    if text.size == 0 or text.size > 18 or head.find_name(b"content-length", 14, field) is not NULL:
        return False
    for i in range(text.size):
        if text.at[i] < 48 or text.at[i] > 57:
            return False
        length = length * 10 + (text.at[i] - 48)
    framing.length = length
    framing.left = length
    framing.kind = LENGTH if length else NO_BODY
    return True


cdef Fed feed(Framing* framing, const char* at, Py_ssize_t size, Py_ssize_t* used, Span* data,
              Span* trailer) noexcept nogil:
    """Take some of the bytes at hand: at most one run of data, or one piece of the trailer section.

    used: how many bytes were taken. data: a run of body bytes, empty when there was none in what was taken.
    trailer: a piece of the trailer section, to be put together by the caller; empty likewise.
    Call again with the rest until it answers OVER or all is used.
    """
    data[0] = span_of(NULL, 0)
    trailer[0] = span_of(NULL, 0)
    used[0] = 0
    if framing.kind == NO_BODY:
        return OVER
    if framing.kind == UNTIL_CLOSE:
        data[0] = span_of(at, size)
        used[0] = size
        return MORE
    if framing.kind == LENGTH:
        data[0] = span_of(at, min(framing.left, size))
        used[0] = data.size
        framing.left -= data.size
        return OVER if framing.left == 0 else MORE
    return feed_chunked(framing, at, size, used, data, trailer)


cdef Fed feed_chunked(Framing* framing, const char* at, Py_ssize_t size, Py_ssize_t* used, Span* data,
                      Span* trailer) noexcept nogil:
    cdef Py_ssize_t i = 0
    cdef Fed fed
    while i < size:
        if framing.state == DATA:
            data[0] = span_of(at + i, min(framing.left, size - i))
            framing.left -= data.size
            if framing.left == 0:
                framing.state = DATA_CR
            used[0] = i + data.size
            return MORE
        if TRAILER_START <= framing.state <= TRAILER_LF:
            fed = feed_trailer(framing, at, size, &i, trailer)
            used[0] = i
            if fed == BROKEN or trailer.size:
                return fed
            continue
        if not step(framing, at[i]):
            used[0] = i
            return BROKEN
        i += 1
        used[0] = i
        if framing.state == DONE:
            return OVER
    return MORE


cdef Fed feed_trailer(Framing* framing, const char* at, Py_ssize_t size, Py_ssize_t* i,
                      Span* trailer) noexcept nogil:
    """Take trailer lines up to the end of what is at hand or to the CR of the empty line."""
    cdef Py_ssize_t begin = i[0]
    while i[0] < size:
        if framing.state == TRAILER_START and at[i[0]] == 13:
            if i[0] == begin:
                i[0] += 1
            else:
                # The lines first; the empty line comes with the next call.
                break
            framing.state = END_LF
            return MORE
        if not step_trailer(framing, at[i[0]]):
            return BROKEN
        i[0] += 1
        framing.trailer_size += 1
        if framing.trailer_size > MOST_TRAILER:
            framing.fault = b"the trailer section is longer than 16384 bytes"
            return BROKEN
    trailer[0] = span_of(at + begin, i[0] - begin)
    return MORE


cdef bint step_trailer(Framing* framing, unsigned char c) noexcept nogil:
    """Move by one byte of a trailer line. A request's trailers are dropped, but where they end must be beyond
    doubt all the same: what one reader takes for a line end and another does not would hide a request."""
    cdef int state = framing.state
    if state == TRAILER_LF:
        framing.state = TRAILER_START
        return c == 10 or broken(framing, b"a trailer line does not end with CRLF")
    if state == TRAILER_VALUE:
        if c == 13:
            framing.state = TRAILER_LF
        return c == 13 or c == 9 or 32 <= c != 127 or broken(framing, b"a trailer holds a control character")
    framing.state = TRAILER_NAME
    if state == TRAILER_NAME and c == 58:
        framing.state = TRAILER_VALUE
        return True
    return is_token(c) or broken(framing, b"a trailer line is none")


cdef bint step(Framing* framing, unsigned char c) noexcept nogil:
    """Move by one byte outside data and trailer lines; False: malformed."""
    cdef int digit
    cdef int state = framing.state
    if state == SIZE_FIRST or state == SIZE_DIGITS:
        digit = hex_value(c)
        if digit >= 0:
            framing.left = digit if state == SIZE_FIRST else framing.left * 16 + digit
            framing.line = 1 if state == SIZE_FIRST else framing.line + 1
            framing.state = SIZE_DIGITS
            return framing.line <= MOST_DIGITS or broken(framing, b"a chunk size has more than 15 digits")
        if state == SIZE_FIRST:
            return broken(framing, b"a chunk does not begin with its size")
        return behind_size(framing, c)
    if state == BLANK:
        return behind_size(framing, c) and c != 13 or broken(framing, b"blanks stand behind a chunk size")
    if state == EXTENSION or state == QUOTED or state == ESCAPED:
        return in_extension(framing, c)
    if state == SIZE_LF:
        framing.state = DATA if framing.left else TRAILER_START
        return c == 10 or broken(framing, b"a chunk line does not end with CRLF")
    if state == DATA_CR:
        framing.state = DATA_LF
        return c == 13 or broken(framing, b"a chunk is longer than its size")
    if state == DATA_LF:
        framing.state = SIZE_FIRST
        return c == 10 or broken(framing, b"a chunk does not end with CRLF")
    framing.state = DONE
    return c == 10 or broken(framing, b"the trailer section does not end with CRLF")


cdef bint behind_size(Framing* framing, unsigned char c) noexcept nogil:
    framing.line += 1
    if c == 13:
        framing.state = SIZE_LF
    elif c == 59:
        framing.state = EXTENSION
    elif (c == 32 or c == 9) and framing.line < MOST_LINE:
        framing.state = BLANK
    else:
        return broken(framing, b"a chunk size is not a hexadecimal number")
    return True


cdef bint in_extension(Framing* framing, unsigned char c) noexcept nogil:
    framing.line += 1
    if framing.line > MOST_LINE:
        return broken(framing, b"a chunk line is longer than 4096 bytes")
    if framing.state == EXTENSION and c == 13:
        framing.state = SIZE_LF
        return True
    if (c < 32 and c != 9) or c == 127:
        return broken(framing, b"a chunk extension holds a control character")
    if framing.state == ESCAPED:
        framing.state = QUOTED
    elif c == 34:
        framing.state = EXTENSION if framing.state == QUOTED else QUOTED
    elif c == 92 and framing.state == QUOTED:
        framing.state = ESCAPED
    return True


cdef bint broken(Framing* framing, const char* why) noexcept nogil:
    framing.fault = why
    return False


# ---------------------------------------------------------------- for Python: tests against twins

KINDS = {NO_BODY: "none", LENGTH: "length", CHUNKED: "chunked", UNTIL_CLOSE: "until-close"}


cdef class Body:
    """One body, decoded piece by piece. For tests and benchmarks; the connections embed a Framing.

    head: of the message; to_head: an answer to HEAD. ValueError when the framing is refused.
    """

    cdef Framing framing
    cdef readonly bint over
    cdef readonly bytes trailer

    def __init__(self, Head head not None, *, bint to_head=False):
        cdef bint good = (frame_response(&self.framing, head, to_head) if head.status
                          else frame_request(&self.framing, head))
        if not good:
            raise ValueError(f"{head.fault_status}: {head.fault.decode()}")
        self.over = self.framing.kind == NO_BODY
        self.trailer = b""

    @property
    def kind(self):
        return KINDS[self.framing.kind]

    def feed(self, bytes piece not None):
        """Decode *piece*: (data, what lies behind the body). ValueError when it is malformed."""
        cdef const char* at = piece
        cdef Py_ssize_t size = len(piece)
        cdef Py_ssize_t used
        cdef Span data, trailer
        cdef Fed fed
        out = []
        while size and not self.over:
            fed = feed(&self.framing, at, size, &used, &data, &trailer)
            if fed == BROKEN:
                raise ValueError(self.framing.fault.decode())
            if data.size:
                out.append(data.at[:data.size])
            if trailer.size:
                self.trailer += trailer.at[:trailer.size]
            self.over = fed == OVER
            at += used
            size -= used
        return b"".join(out), at[:size]
