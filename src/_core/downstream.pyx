"""A client that speaks HTTP/1: bytes in, heads out, pipelining, keep-alive, hand-over to a splice.

Speaks HTTP/1.0 and 1.1 (RFC 9112). One request is served at a time; what a client sends ahead is kept, up to one
read's worth, and then no more is read.
"""

from socket import SO_LINGER, SOL_SOCKET
from struct import pack

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

from .client cimport LINGER, NEVER, T_EXCHANGE, T_HEAD, T_IDLE, T_LINGER, T_SHAKE, Client
from .deadline cimport now
from .door cimport R_BUSY, R_IDLE, R_SILENT, Rank
from .entrypoint cimport EntryPoint
from .exchange cimport Exchange, keep_exchange, new_exchange
from .field cimport F_DATE, F_EXPECT, Field, value_of
from .framing cimport BROKEN, CHUNKED, Fed, LENGTH, NO_BODY, OVER, UNTIL_CLOSE, feed, frame_request
from .head cimport BAD, Head, PARTIAL, Parsed, WHOLE, has, head_end
from .message cimport Request, Response
from .phrase cimport phrase_of
from .port cimport Peer
from .span cimport Span, same_folded, span_of
from .tally cimport C_REFUSED, count
from .upstream cimport put_chunk

cdef enum:
    SLOP = 4096                # a head may pass its limit by so much, as Go's server lets it
    MOST_AHEAD = 65536         # bytes of further requests kept while one is served

cdef double COMING = 0.1       # seconds until bytes that the kernel holds have been read
cdef bytes RESET = pack("ii", 1, 0)    # of SO_LINGER: closing drops what was not sent and says so
cdef const char* TOO_LARGE = b"the body is longer than core.limits.requestBody"


cdef class Downstream(Client):
    """One connection of a client, in HTTP/1."""

    # ---------------------------------------------------------------- coming and going

    cdef Rank rank(self, double* since) noexcept:
        if (self.exchange is not None or self.tunnel is not None or self.is_held or self.is_closing
                or self.is_lingering or self.is_full):
            return R_BUSY
        if self.timer.what == T_HEAD:
            if self.timer.due < NEVER:
                since[0] = self.timer.due - self.entry.read_timeout
                return R_SILENT
            since[0] = self.made_at
            return R_BUSY if self.requests else R_SILENT
        if self.timer.what == T_SHAKE:
            since[0] = self.made_at
            return R_SILENT
        if self.timer.what == T_IDLE and self.timer.due < NEVER:
            since[0] = self.timer.due - self.entry.idle_timeout
            return R_IDLE
        return R_BUSY

    cdef void end_soon(self) noexcept:
        cdef double due
        if (self.tunnel is not None or self.exchange is not None or self.is_lingering or self.is_closing
                or (self.kept is not None and self.usher is None)):
            return             # ends behind its answer, or has a deadline of its own
        due = now() + (self.entry.idle_rest if self.requests else self.entry.silent_rest)
        if due < self.timer.due:
            self.engine.wheel.arm(&self.timer, self, due, self.timer.what)

    cdef void on_eof(self) noexcept:
        if self.usher is not None and self.kept is not None:
            self.note("the client ended within its first words")
        if self.exchange is not None:
            self.client_is_gone()
        self.close()

    cdef void on_broken(self, object error) noexcept:
        self.note(f"TLS: {error}")
        if self.tunnel is not None:
            self.close()
            return
        if self.exchange is not None:
            self.client_is_gone()
        self.linger()          # the client can read OpenSSL's alert

    cdef void on_lost(self, object error) noexcept:
        if self.exchange is not None:
            self.client_is_gone()
        self.kept = None
        self.usher = None
        self.entry.remove(self)

    cdef void client_is_gone(self) noexcept:
        cdef Exchange exchange = self.exchange
        self.exchange = None
        exchange.on_client_lost()
        keep_exchange(self.engine, exchange)

    cdef void on_writable(self) noexcept:
        if self.exchange is not None:
            self.exchange.on_client_writable()
        elif self.is_lingering:
            self.arm(LINGER, T_LINGER)
        elif not self.is_closing:
            self.go_on()

    cdef void on_deadline(self, int what) noexcept:
        cdef double time
        if self.is_closing:
            self.abort()
        elif self.tunnel is not None:
            self.close()           # whatever it is still saying: it was told that the other side has ended
        elif what == T_EXCHANGE and self.exchange is not None:
            time = now()
            if self.write_due <= time:
                self.abort()
            elif self.read_due <= time and not self.body_over:
                self.is_last = True
                self.read_due = NEVER
                self.exchange.on_request_late()
                if self.exchange is not None:
                    self.arm_exchange()
            else:
                self.arm_exchange()
        elif (what == T_HEAD and self.kept is not None and self.exchange is None and not self.awaits_line
              and self.usher is None):
            self.refuse_late()
        elif what == T_LINGER:
            self.abort()
        elif what == T_SHAKE:
            self.note("TLS: the handshake did not end in time")
            self.abort()
        elif self.has_unread():
            self.arm(COMING, what)
        else:
            if self.usher is not None:
                self.note("the first bytes did not come in time")
            self.close()

    # ---------------------------------------------------------------- bytes in

    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept:
        if self.is_held or self.awaits_line or self.usher is not None:
            Client.on_data(self, at, size)
        elif self.kept is not None:
            self.keep(at, size)
            if self.exchange is None and not self.is_full and self.is_worth_parsing():
                self.pump_kept()
        elif self.is_lingering:
            self.throw_away(size)
        else:
            self.pump(at, size)

    cdef bint is_worth_parsing(self) noexcept:
        """A head in pieces is parsed when it is whole, and for its faults each time it has doubled."""
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(self.kept)
        cdef Py_ssize_t from_here = max(0, self.searched - 3)
        self.searched = size
        return (head_end(PyByteArray_AS_STRING(self.kept), size, from_here) >= 0 or size >= 2 * self.tried
                or size > self.entry.max_head)

    cdef void pump_kept(self) noexcept:
        """Work on what was kept."""
        cdef bytearray waiting = self.kept
        self.kept = None
        self.pump(PyByteArray_AS_STRING(waiting), PyByteArray_GET_SIZE(waiting))

    cdef void pump(self, const char* at, Py_ssize_t size) noexcept:
        """Work through bytes: heads, bodies, and what must wait."""
        cdef Py_ssize_t used
        self.is_pumping = True
        while size > 0 and not self.is_closing:
            if self.is_lingering:
                self.throw_away(size)
                break
            if self.exchange is None and self.is_full:
                # The client has yet to take what it was answered before: whoever only asks gets no more.
                self.keep(at, size)
                break
            if self.exchange is None:
                used = self.read_head(at, size)
            elif not self.body_over:
                used = self.read_body(at, size)
            else:
                self.keep(at, size)
                break
            if used < 0:
                break
            at += used
            size -= used
        self.is_pumping = False
        if self.exchange is not None:
            self.exchange.flush_request()
        else:
            self.flush()

    cdef void keep(self, const char* at, Py_ssize_t size) noexcept:
        """Keep bytes for later; no more are read beyond a limit while an exchange is in hand, nor while the
        client takes nothing."""
        if self.kept is None:
            self.tried = 0
            self.searched = 0
        Client.keep(self, at, size)
        if self.kept is not None and (
                PyByteArray_GET_SIZE(self.kept) > MOST_AHEAD if self.exchange is not None else self.is_full):
            self.pause()

    cdef Py_ssize_t read_head(self, const char* at, Py_ssize_t size) noexcept:
        """Read one head and begin its exchange; return the bytes used, or -1 when nothing more can be done."""
        cdef Exchange exchange = new_exchange(self.engine)
        cdef Head head = exchange.request.head
        cdef Parsed parsed = head.parse_request(at, size)
        cdef Py_ssize_t limit = self.entry.max_head + SLOP
        if (parsed == PARTIAL and size > limit) or (parsed == WHOLE and head.size > limit):
            parsed = head.refuse(431, b"the head is longer than maxHeaderBytes")
        if parsed == PARTIAL:
            if self.kept is None and self.timer.what != T_HEAD:
                self.arm(self.entry.read_timeout, T_HEAD)
            self.keep(at, size)
            self.tried = size
            self.searched = size
            keep_exchange(self.engine, exchange)
            return -1
        if parsed == WHOLE:
            head.keep()
            parsed = self.prepare(exchange)
        if parsed == BAD:
            self.refuse(exchange)
            return -1
        size = head.size
        self.begin(exchange)
        return size

    cdef Parsed prepare(self, Exchange exchange) noexcept:
        """Everything about a whole head that may be refused, and what the entry point adds to it."""
        cdef Request request = exchange.request
        cdef Head head = request.head
        cdef Field* field
        request.client = self.client
        request.client_text = self.client_text
        request.client_port = self.client_port
        request.is_tls = self.is_secure
        request.terms = self.terms
        request.chain = self.chain
        try:
            if not request.prepare(self.entry.sanitize, self.entry.encode_semicolons):
                return BAD
        except Exception as error:
            self.report(error)
            return head.refuse(500, b"the request cannot be prepared")
        if not frame_request(&self.body, head):
            return BAD
        self.body_taken = 0
        if self.entry.max_body and self.body.kind == LENGTH and self.body.length > self.entry.max_body:
            return head.refuse(413, TOO_LARGE)
        if has(head, F_EXPECT):
            field = head.find(F_EXPECT)
            if not same_folded(value_of(field), b"100-continue", 12):
                return head.refuse(417, b"Expect asks for something other than 100-continue")
            if head.minor == 0:
                head.cut(F_EXPECT)
        if not self.entry.forwarding.enter(request):
            return BAD
        return WHOLE

    cdef void begin(self, Exchange exchange) noexcept:
        """Let the exchange start; it may be over when this returns."""
        cdef Request request = exchange.request
        self.exchange = exchange
        self.requests += 1
        self.body_over = self.body.kind == NO_BODY
        self.is_old = request.head.minor == 0
        self.is_asked_to_close = request.asks_close or (self.is_old and not request.asks_keep)
        if (self.is_asked_to_close or self.entry.is_draining or self.requests == self.entry.max_requests
                or (self.entry.max_age > 0 and now() - self.made_at > self.entry.max_age)):
            self.is_last = True
        if self.entry.write_timeout > 0 or (self.entry.read_timeout > 0 and not self.body_over):
            self.set_exchange_deadlines()
        else:
            self.timer.due = NEVER
        if self.tls is not None:
            exchange.tls = self.tls
        exchange.start(self.entry, self, &self.body)

    cdef void set_exchange_deadlines(self) noexcept:
        cdef double time = now()
        self.read_due = time + self.entry.read_timeout if self.entry.read_timeout > 0 else NEVER
        self.write_due = time + self.entry.write_timeout if self.entry.write_timeout > 0 else NEVER
        self.arm_exchange()

    cdef void arm_exchange(self) noexcept:
        cdef double due = min(self.write_due, NEVER if self.body_over else self.read_due)
        if due < NEVER:
            self.engine.wheel.arm(&self.timer, self, due, T_EXCHANGE)
        else:
            self.timer.due = NEVER

    cdef Py_ssize_t read_body(self, const char* at, Py_ssize_t size) noexcept:
        """Pass one run of the request's body on; return the bytes used, or -1."""
        cdef Py_ssize_t used
        cdef Span run, trailer
        cdef Fed fed = feed(&self.body, at, size, &used, &run, &trailer)
        if fed == BROKEN:
            self.is_last = True
            self.exchange.on_body_broken(400, self.body.fault)
            return -1
        if run.size:
            self.body_taken += run.size
            if self.entry.max_body and self.body_taken > self.entry.max_body:
                self.is_last = True
                self.exchange.on_body_broken(413, TOO_LARGE)
                return -1
            self.exchange.on_body(run.at, run.size)
        if fed == OVER and self.exchange is not None:
            self.body_over = True
            self.exchange.on_body_end()
        return used

    # ---------------------------------------------------------------- answers out

    cdef void interim(self, Response response) noexcept:
        """Pass a 1xx head on."""
        self.write_head(response, b"", 0)
        self.flush()

    cdef bint begin_answer(self, Response response, Framing* body) noexcept:
        """Gather the head of the answer, framed for this client."""
        cdef char[128] extra
        cdef Py_ssize_t size = 0
        cdef bytes date
        if response.head.status == 101:
            return self.write_head(response, b"", 0)
        self.chunks = False
        if body.kind == CHUNKED or body.kind == UNTIL_CLOSE:
            if self.is_old:
                self.is_last = True
            else:
                self.chunks = True
                size = add_text(extra, size, b"Transfer-Encoding: chunked\r\n", 28)
        # An answer of ours is over at once: when the request is not, nothing can follow. A server's may outlast it.
        # But a body that was held back, and now is not wanted, may come or not: what follows could be either.
        if self.entry.is_draining or (not self.body_over and (response.is_ours or self.exchange.holds_back())):
            self.is_last = True
        if self.is_last:
            size = add_text(extra, size, b"Connection: close\r\n", 19)
        elif self.is_old:
            size = add_text(extra, size, b"Connection: keep-alive\r\n", 24)
        if not has(response.head, F_DATE):
            try:
                date = self.engine.date_line()
                size = add_text(extra, size, date, len(date))
            except Exception as error:
                self.report(error)
        return self.write_head(response, extra, size)

    cdef bint write_head(self, Response response, const char* extra, Py_ssize_t extra_size) noexcept:
        """Gather a status line, the fields, and `extra` lines of ours."""
        cdef Head head = response.head
        cdef Span reason = head.reason
        cdef bytes phrase, large = None
        cdef Py_ssize_t size
        cdef char* begin
        cdef char* at
        cdef int status = head.status
        if reason.size == 0:
            phrase = phrase_of(status)
            reason = span_of(<const char*>phrase, len(phrase))
        size = 16 + reason.size + head.fields_size() + extra_size + 2
        begin = self.reserve(size)
        if begin is NULL:
            large = PyBytes_FromStringAndSize(NULL, size)
            begin = PyBytes_AS_STRING(large)
        at = begin
        memcpy(at, b"HTTP/1.0 " if self.is_old else b"HTTP/1.1 ", 9)
        at[9] = 48 + status // 100
        at[10] = 48 + status // 10 % 10
        at[11] = 48 + status % 10
        at[12] = 32
        at += 13
        memcpy(at, reason.at, reason.size)
        at += reason.size
        at[0] = 13
        at[1] = 10
        at = head.write_fields(at + 2)
        memcpy(at, extra, extra_size)
        at += extra_size
        at[0] = 13
        at[1] = 10
        size = at + 2 - begin
        if large is None:
            self.commit(size)
        else:
            self.put(begin, size)
        return True

    cdef void give_up(self) noexcept:
        """End a body that cannot be completed. A client of HTTP/1.0 knows no sign but a reset that it is short."""
        if self.is_old and self.transport is not None:
            try:
                self.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            except Exception as error:
                self.report(error)
        self.abort()

    cdef void data(self, const char* at, Py_ssize_t size) noexcept:
        if self.chunks:
            put_chunk(self, at, size)
        else:
            self.put(at, size)

    cdef void finish(self, Head trailer) noexcept:
        """The answer's body is whole."""
        cdef Py_ssize_t size
        cdef char* at
        if not self.chunks:
            return
        if trailer is None:
            self.put(b"0\r\n\r\n", 5)
            return
        self.put(b"0\r\n", 3)
        size = trailer.fields_size()
        at = self.reserve(size)
        if at is not NULL:
            trailer.write_fields(at)
            self.commit(size)
        self.put(b"\r\n", 2)

    cdef Peer upgrade(self):
        """Give the connection away: what the client sent ahead goes to whoever takes it over."""
        self.timer.due = NEVER
        return self

    cdef void on_answered(self, bint body_over) noexcept:
        """The exchange is over: close, or wait for the next head."""
        cdef Exchange exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            keep_exchange(self.engine, exchange)
        self.read_due = NEVER
        self.write_due = NEVER
        if self.tunnel is not None:
            self.pass_kept_on()
            return
        if self.is_closing:
            return
        if self.is_last or not body_over:
            # A client that did not ask for the end may have sent more before it can know of it; bytes that
            # nobody has read would make of the end a reset, which may overtake the answer.
            if body_over and self.kept is None and self.is_asked_to_close:
                self.close()
            else:
                self.linger()
            return
        self.next()

    cdef void next(self) noexcept:
        """Wait for the next head, or take it from what is kept."""
        self.arm(self.entry.idle_rest if self.entry.is_draining else self.entry.idle_timeout, T_IDLE)
        if not self.is_full:
            self.go_on()

    cdef void go_on(self) noexcept:
        """Read again, and work on what is kept."""
        if self.is_paused:
            self.resume()
        if self.kept is not None and not self.is_pumping:
            self.pump_kept()

    cdef void pass_kept_on(self) noexcept:
        cdef bytearray waiting = self.kept
        self.kept = None
        if waiting is not None:
            self.tunnel.on_data(self, PyByteArray_AS_STRING(waiting), PyByteArray_GET_SIZE(waiting))

    # ---------------------------------------------------------------- refusing

    cdef void refuse(self, Exchange exchange) noexcept:
        """Answer what the head's fault says and close. The exchange never began."""
        cdef Head head = exchange.request.head
        cdef int status = head.fault_status
        cdef const char* why = head.fault
        cdef bint bare = head.fault_is_bare
        keep_exchange(self.engine, exchange)
        self.say_refused(status, why, bare)

    cdef void refuse_late(self) noexcept:
        self.kept = None
        self.say_refused(408, b"the head was not whole in time", False)

    cdef void say_refused(self, int status, const char* why, bint bare) noexcept:
        cdef bytes line, answer
        count(self.entry.tally, C_REFUSED)
        try:
            self.engine.log.info("%d to %s: %s", status, self.client_text.decode() or "unix", why.decode(),
                                 extra={"fields": {"entryPointName": self.entry.name}})
        except Exception:
            pass       # a log that fails must not take the connection with it
        line = str(status).encode() + b" " + phrase_of(status)
        answer = b"" if bare else line
        answer = (b"HTTP/1.1 " + line + b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
                  + str(len(answer)).encode() + b"\r\nConnection: close\r\n\r\n" + answer)
        self.put(answer, len(answer))
        self.linger()

cpdef Downstream newcomer(EntryPoint entry):
    """The connection of a client that was accepted; it is served at once, or held until there is a place for it."""
    cdef Downstream connection = Downstream.__new__(Downstream)
    connection.engine = entry.engine
    connection.entry = entry
    connection.read_due = NEVER
    connection.write_due = NEVER
    entry.receive(connection)
    return connection


cdef inline Py_ssize_t add_text(char* to, Py_ssize_t size, const char* text, Py_ssize_t more) noexcept nogil:
    memcpy(to + size, text, more)
    return size + more
