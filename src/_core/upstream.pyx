"""A connection to a server: asks, reads the answer, goes back to its pool.

Speaks HTTP/1.1 (RFC 9112). It knows requests and answers, not what they are for: the exchange is its receiver.
"""

import asyncio
from socket import AF_UNIX, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EMFILE, ENFILE, errno
from libc.string cimport memcpy

from .connection cimport Connection
from .engine cimport Engine
from .field cimport F_CONTENT_LENGTH, F_EXPECT, F_TRAILER, F_TRANSFER_ENCODING
from .forwarded cimport cut_hop_by_hop, read_connection
from .framing cimport BROKEN, CHUNKED, Fed, Framing, NO_BODY, OVER, UNTIL_CLOSE, feed, frame_response
from .head cimport BAD, Head, PARTIAL, Parsed, has, head_end
from .message cimport Request, Response
from .pool cimport Pool
from .port cimport Peer, Receiver
from .session cimport client_session
from .span cimport Span, same_folded
from .target cimport Target
from .transport cimport call_up, carry

cdef extern from "sys/socket.h" nogil:
    int MSG_PEEK
    int MSG_DONTWAIT
    ssize_t recv(int fd, void* data, size_t size, int flags)

cdef enum:
    MOST_HEAD = 65536 * 4      # bytes of an answer's head; nginx takes 4 to 8 KiB, Go a megabyte
    MOST_TRAILER = 16384

cdef enum Timeout:
    T_IDLE = 0
    T_DIAL
    T_ANSWER
    T_CONTINUE

cdef double CONTINUE_WAIT = 1.0        # seconds for a 100, as Traefik's transport waits
cdef double SHORTAGE = 0.02            # seconds between two tries for a descriptor
cdef double HANDSHAKE_WAIT = 10.0      # seconds for TLS with a server


cdef class Upstream(Connection):
    """A connection to one address, asked one request at a time."""

    def __init__(self, Engine engine not None, Pool pool not None):
        self.engine = engine
        self.home = pool
        if pool.ssl is not None:
            self.session = client_session(pool.ssl, engine.wire, pool.server_name)
            self.is_secure = True

    # -------- the exchange's side

    cdef void attach(self, Receiver receiver, Response response) noexcept:
        """Serve `receiver` from now until release(); `response` is where the answer's head goes."""
        self.receiver = receiver
        self.response = response
        self.state = U_FRESH
        self.partial = None
        self.trailer = None
        self.has_spoken = False
        self.asked_whole = False
        self.keeps = False
        self.timer.due = 1e300

    cdef bint is_stale(self) noexcept:
        """Ask the kernel whether the server has closed, or spoken, while the connection lay idle."""
        cdef char byte
        if self.fd < 0:
            return False
        return self.got_eof or recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 or errno != EAGAIN

    cdef bint begin_request(self, Request request, Framing* body, Target target) noexcept:
        """Gather the request's head. False: it has no room, nothing was written."""
        cdef Head head = request.head
        cdef Py_ssize_t prefix = len(target.path_prefix)
        cdef Py_ssize_t size = (request.method.size + prefix + request.path.size + request.query.size
                                + head.fields_size() + 64)
        cdef bytes large = None
        cdef char* begin = self.reserve(size)
        cdef char* at
        if begin is NULL:
            large = PyBytes_FromStringAndSize(NULL, size)
            begin = PyBytes_AS_STRING(large)
        at = append(begin, request.method.at, request.method.size)
        at[0] = 32
        at += 1
        if prefix:
            at = append(at, <const char*>target.path_prefix, prefix)
        if request.path.size:
            at = append(at, request.path.at, request.path.size)
        elif not prefix:
            at = append(at, b"/", 1)
        if request.has_query:
            at[0] = 63
            at = append(at + 1, request.query.at, request.query.size)
        at = append(at, b" HTTP/1.1\r\n", 11)
        at = head.write_fields(at)
        if body.kind == CHUNKED:
            at = append(at, b"Transfer-Encoding: chunked\r\n", 28)
        at = append(at, b"\r\n", 2)
        if large is None:
            self.commit(at - begin)
        else:
            self.put(begin, at - begin)
        self.asked = body[0]
        self.to_head = request.method.size == 4 and same_folded(request.method, b"head", 4)
        self.wants_upgrade = request.upgrade.size != 0
        self.wants_continue = has(head, F_EXPECT) and body.kind != NO_BODY
        self.state = U_ASKED
        if self.wants_continue:
            self.arm(CONTINUE_WAIT, T_CONTINUE)
        return True

    cdef void data(self, const char* at, Py_ssize_t size) noexcept:
        """Send a run of the request's body."""
        if self.asked.kind == CHUNKED:
            put_chunk(self, at, size)
        else:
            self.put(at, size)

    cdef void finish(self, Head trailer) noexcept:
        """The request is whole. Its trailers are not passed on: they come after every decision was made."""
        if self.asked.kind == CHUNKED:
            self.put(b"0\r\n\r\n", 5)
        self.asked_whole = True
        if self.state == U_ASKED and self.home.header_timeout > 0:
            self.arm(self.home.header_timeout, T_ANSWER)

    cdef void release(self, bint reusable) noexcept:
        """The exchange is done with it: back to the pool when both sides are, else closed."""
        self.receiver = None
        self.response = None
        self.partial = None
        self.trailer = None
        if (reusable and self.keeps and self.state == U_ANSWERED and self.asked_whole and not self.is_closing
                and not self.got_eof and not self.is_full):
            if self.is_paused:
                self.resume()
            self.state = U_IDLE
            self.is_reused = True
            if self.home.give(self):
                self.arm(self.home.idle_timeout, T_IDLE)
                return
        self.state = U_FRESH
        self.abort()

    cdef void discard(self) noexcept:
        """Called by the pool, which lets go of it."""
        self.abort()
        self.closed()

    cdef Peer upgrade(self):
        self.receiver = None
        self.response = None
        self.state = U_TUNNEL
        self.timer.due = 1e300
        return self

    # -------- dialling

    cdef int dial(self, Receiver receiver) except -1:
        """Connect; the receiver is told in a later turn of the loop. The pool knows the place. OSError."""
        cdef bytes place = self.home.place
        call_up(self.engine, self, <const char*>place, len(place))
        self.opened()
        self.receiver = receiver
        self.state = U_DIALLED
        self.arm(self.home.dial_timeout, T_DIAL)
        return 0

    def cancel(self):
        """Dial no longer, and tell nobody."""
        self.receiver = None
        self.abort()

    # -------- what happened

    cdef void on_shaking(self) noexcept:
        if self.preface is not None:
            self.give(self.preface, len(self.preface))
            self.preface = None
        if self.state == U_DIALLED and not 0 < self.home.dial_timeout < HANDSHAKE_WAIT:
            self.arm(HANDSHAKE_WAIT, T_DIAL)

    cdef void on_made(self) noexcept:
        cdef Receiver receiver = self.receiver
        if self.shaken is not None:
            self.state = U_MADE
            self.tell_shaken(None)
        if self.state == U_DIALLED and receiver is not None:
            self.receiver = None
            self.state = U_FRESH
            self.arm(0, T_IDLE)
            receiver.on_connected(self)

    cdef void on_broken(self, object error) noexcept:
        if self.shaken is not None:
            self.tell_shaken(error)
        elif self.state == U_DIALLED:
            self.fail(error)
            self.close()
        elif self.tunnel is not None:
            self.close()
        else:
            self.fail(error)

    cdef void on_cut_short(self) noexcept:
        self.fail(ConnectionResetError("the server ended the connection without an end of TLS"))

    cdef void tell_shaken(self, object error) noexcept:
        """Tell whoever dials that TLS is agreed on, or why not."""
        future = self.shaken
        self.shaken = None
        if future is not None and not future.done():
            future.set_result(error)

    cdef void catch_up(self) noexcept:
        """The receiver has been told: let who took us over have what the server has said meanwhile."""
        cdef bytes early = self.partial
        if self.tunnel is None or early is None:
            return
        self.partial = None
        self.resume()
        self.hand_on(early, len(early))
        if self.got_eof and not self.is_closing:
            self.tunnel.on_eof(self)

    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept:
        if self.state == U_MADE and self.home.scheme == "tls":
            # Where the server may speak first: one read of it, for whoever takes the connection over.
            try:
                self.partial = PyBytes_FromStringAndSize(at, size)
            except MemoryError:
                self.drop_out()
                return
            self.pause()
            return
        if self.receiver is None:
            # An answer to nothing: whatever it is, it must not be taken for the next one.
            self.drop_out()
            return
        self.read_answer(at, size)

    cdef void read_answer(self, const char* at, Py_ssize_t size) noexcept:
        """Work through what came: interim heads, the head, the body."""
        cdef Py_ssize_t used
        cdef bytes joined
        cdef Receiver receiver = self.receiver
        self.has_spoken = True
        if self.partial is not None:
            # As a request in pieces: parsed when it is whole, and for its faults each time it has doubled.
            joined = self.partial + PyBytes_FromStringAndSize(at, size)
            if (len(joined) < 2 * self.tried and len(joined) <= MOST_HEAD
                    and head_end(joined, len(joined), max(0, len(self.partial) - 3)) < 0):
                self.partial = joined
                return
            self.partial = None
            at = joined
            size = len(joined)
        while size > 0 and self.receiver is receiver and receiver is not None:
            if self.state == U_ASKED:
                used = self.read_head(at, size)
            elif self.state == U_BODY:
                used = self.read_body(at, size)
            else:
                # Bytes behind an answer: this connection cannot be trusted with another request.
                self.keeps = False
                return
            if used < 0:
                return
            at += used
            size -= used
            if self.tunnel is not None:
                if size:
                    self.tunnel.on_data(self, at, size)
                return
        if self.receiver is receiver and self.receiver is not None:
            receiver.on_answer_flush()

    cdef void keep_partial(self, const char* at, Py_ssize_t size) noexcept:
        if size > MOST_HEAD:
            self.receiver.on_bad_answer(b"the answer's head is longer than 262144 bytes")
            return
        self.partial = PyBytes_FromStringAndSize(at, size)
        self.tried = size

    cdef Py_ssize_t read_head(self, const char* at, Py_ssize_t size) noexcept:
        """Read an answer's head; return the bytes used, or -1 when nothing more can be done now."""
        cdef Head head = self.response.head
        cdef Parsed parsed = head.parse_response(at, size)
        cdef Py_ssize_t used
        if parsed == PARTIAL:
            self.keep_partial(at, size)
            return -1
        if parsed == BAD:
            self.receiver.on_bad_answer(head.fault)
            return -1
        used = head.size
        if head.status < 200 and head.status != 101:
            self.wants_continue = False
            if self.asked_whole:
                self.arm(self.home.header_timeout, T_ANSWER)
            else:
                self.timer.due = 1e300
            cut_from_interim(head)
            self.receiver.on_interim()
            head.clear()
            return used
        if not self.frame_answer(head):
            self.receiver.on_bad_answer(head.fault)
            return -1
        self.timer.due = 1e300
        self.state = U_BODY
        self.receiver.on_answer(&self.body)
        if self.state == U_BODY and self.body.kind == NO_BODY and self.receiver is not None:
            self.over(size == used)
            # What lies behind is no answer to anything.
            return -1
        return used

    cdef bint frame_answer(self, Head head) noexcept:
        """Find how the body is framed and whether the connection outlives it; cut what ends here."""
        cdef bint close, keep, upgrade
        cdef bint listed = read_connection(head, &close, &keep, &upgrade)
        if head.status == 101:
            if not self.wants_upgrade:
                head.refuse(500, b"the server changed protocols without being asked")
                return False
            self.keeps = False
            self.body.kind = UNTIL_CLOSE
            self.body.length = -1
            head.cut(F_CONTENT_LENGTH)
            head.cut(F_TRANSFER_ENCODING)
            return True
        if not frame_response(&self.body, head, self.to_head):
            return False
        self.keeps = (keep if head.minor == 0 else not close) and self.body.kind != UNTIL_CLOSE
        cut_hop_by_hop(head, listed)
        if head.status == 204:
            head.cut(F_CONTENT_LENGTH)
        return True

    cdef Py_ssize_t read_body(self, const char* at, Py_ssize_t size) noexcept:
        """Pass one run of the body on; return the bytes used, or -1 when nothing more can be done now."""
        cdef Py_ssize_t used
        cdef Span run, trailer
        cdef Fed fed = feed(&self.body, at, size, &used, &run, &trailer)
        if fed == BROKEN:
            self.receiver.on_bad_answer(self.body.fault)
            return -1
        if run.size:
            self.receiver.on_answer_data(run.at, run.size)
        if trailer.size:
            self.trailer = (self.trailer or b"") + PyBytes_FromStringAndSize(trailer.at, trailer.size)
        if fed == OVER and self.receiver is not None and self.state == U_BODY:
            self.over(used == size)
            return -1
        return used

    cdef void over(self, bint clean) noexcept:
        """The answer is whole. clean: nothing lies behind it. Nothing may be touched after the call below."""
        cdef Head trailer = None
        cdef Receiver receiver = self.receiver
        if self.trailer is not None:
            trailer = Head.__new__(Head)
            if not trailer.parse_trailer(self.trailer):
                receiver.on_bad_answer(trailer.fault)
                return
        self.state = U_ANSWERED
        self.keeps = self.keeps and clean
        self.answers += 1
        receiver.on_answer_end(trailer)

    cdef void on_eof(self) noexcept:
        if self.state == U_MADE and self.partial is not None:
            return
        if self.state == U_BODY and self.body.kind == UNTIL_CLOSE and self.receiver is not None:
            self.keeps = False
            self.over(True)
            return
        self.fail(None)

    cdef void on_lost(self, object error) noexcept:
        if self.shaken is not None:
            self.tell_shaken(error or ConnectionResetError("the server ended the connection within the TLS handshake"))
        self.fail(error)

    cdef void fail(self, object error) noexcept:
        """The connection is of no more use."""
        cdef Receiver receiver = self.receiver
        self.keeps = False
        if receiver is None:
            self.drop_out()
        elif self.state == U_DIALLED:
            self.receiver = None
            receiver.on_dial_failed(error or ConnectionResetError("closed at once"))
        elif self.state == U_ANSWERED:
            # The answer is whole; the exchange goes on reading its client and will release us.
            self.abort()
        else:
            receiver.on_server_lost(error)

    cdef void drop_out(self) noexcept:
        """Leave the pool, if it lies there, and close."""
        if self.lying:
            self.home.remove(self)
        if self.tunnel is None:
            self.abort()

    cdef void on_writable(self) noexcept:
        if self.receiver is not None:
            self.receiver.on_server_writable()

    cdef void on_deadline(self, int what) noexcept:
        if self.is_closing:
            self.abort()
        elif self.tunnel is not None:
            self.close()
        elif self.receiver is None:
            self.drop_out()
        elif self.state == U_DIALLED:
            self.fail(TimeoutError())
            self.abort()
        elif what == T_CONTINUE and self.state == U_ASKED:
            self.receiver.on_continue_late()
        elif what == T_ANSWER and self.state == U_ASKED:
            self.receiver.on_answer_late()


cdef void cut_from_interim(Head head) noexcept:
    """Cut what speaks of this connection, or of a body, from a 1xx head (RFC 9110, 8.6): it has none."""
    cdef bint close, keep, upgrade
    cut_hop_by_hop(head, read_connection(head, &close, &keep, &upgrade))
    head.cut(F_TRAILER)
    head.cut(F_CONTENT_LENGTH)


cdef inline char* append(char* at, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(at, text, size)
    return at + size


cdef void put_chunk(Connection to, const char* at, Py_ssize_t size) noexcept:
    """Write one chunk (RFC 9112, 7.1)."""
    cdef char[20] line
    cdef int digits = 0
    cdef Py_ssize_t rest = size
    cdef int i
    if size <= 0:
        return
    while rest:
        rest >>= 4
        digits += 1
    for i in range(digits):
        line[digits - 1 - i] = b"0123456789abcdef"[(size >> (4 * i)) & 15]
    line[digits] = 13
    line[digits + 1] = 10
    to.put(line, digits + 2)
    to.put(at, size)
    to.put(b"\r\n", 2)


async def connect(Engine engine, Pool pool, Receiver receiver, bytes preface):
    """Dial the pool's address and tell the receiver how it went. preface: as for `dial`.

    Where no descriptor is free, an idle connection to another server is closed for it, or one is waited for; if
    meanwhile a connection to this server has become idle, it is taken.
    """
    cdef Upstream upstream = None
    cdef bint is_short = False
    engine.note_pool(pool)
    try:
        async with asyncio.timeout(pool.dial_timeout or None):
            while upstream is None:
                if engine.most == 0 or engine.open < engine.most or engine.discard_idle(pool):
                    upstream = Upstream(engine, pool)
                    upstream.preface = preface
                    upstream.opened()
                    try:
                        await establish(engine, pool, upstream)
                        if upstream.is_secure:
                            await shake_hands(upstream)
                        break
                    except OSError as error:
                        upstream.closed()
                        upstream.abort()
                        upstream = None
                        if error.errno != EMFILE and error.errno != ENFILE:
                            raise
                is_short = True
                engine.short.add((pool.address,))
                await asyncio.sleep(0 if engine.discard_idle(pool) else SHORTAGE)
                upstream = lying_in(pool)
    except BaseException as error:
        if upstream is not None:
            upstream.closed()
            upstream.abort()
        if not isinstance(error, Exception):
            raise
        if is_short and isinstance(error, TimeoutError):
            error = OSError(EMFILE, "no descriptor was free in time")
        receiver.on_dial_failed(error)
        return
    if upstream.is_closing:
        # The server closed it before we could ask: nobody would be told any more.
        receiver.on_dial_failed(ConnectionResetError("closed at once"))
        return
    upstream.state = U_FRESH
    receiver.on_connected(upstream)
    upstream.catch_up()


async def establish(Engine engine, Pool pool, Upstream upstream):
    """Connect to one of the addresses that the pool's name has; TLS has begun then. OSError."""
    loop = engine.loop
    if pool.scheme == "unix":
        places = [(AF_UNIX, pool.path)]
    else:
        found = await loop.getaddrinfo(pool.host, pool.port, type=SOCK_STREAM)
        places = [(family, address) for family, _, _, _, address in found]
    failed = OSError("its name has no address")
    for family, address in places:
        try:
            descriptor = await connected(loop, family, address)
        except OSError as error:
            failed = error
            continue
        if upstream.is_secure:
            upstream.shaken = loop.create_future()
        carry(engine, upstream, descriptor)
        return
    raise failed


async def connected(loop, family, address):
    """The descriptor of a socket that is connected to an address. OSError."""
    with socket(family, SOCK_STREAM) as sock:
        sock.setblocking(False)
        if family != AF_UNIX:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
        return sock.detach()


async def shake_hands(Upstream upstream):
    """Wait until TLS is agreed on. Raises TimeoutError, or why it is not."""
    shaken = upstream.shaken
    if shaken is None:
        return                     # it is
    async with asyncio.timeout(HANDSHAKE_WAIT):
        error = await shaken
    if error is not None:
        raise error


cdef Upstream lying_in(Pool pool):
    """An idle connection of a pool, or None."""
    cdef Upstream upstream = <Upstream>pool.take()
    while upstream is not None and upstream.is_closing:
        upstream = <Upstream>pool.take()
    return upstream


cdef object dial(Engine engine, Pool pool, Receiver receiver, bytes preface=None):
    """Begin to dial; what is returned may be cancelled until the receiver is told.

    preface: what a server of TLS is sent before TLS begins, as it is.
    """
    cdef Upstream upstream
    if pool.place is not None and (engine.most == 0 or engine.open < engine.most):
        engine.note_pool(pool)
        try:
            upstream = Upstream(engine, pool)
            upstream.preface = preface
            upstream.dial(receiver)
            return upstream
        except Exception:
            pass               # no descriptor, or no way: the task finds out which, and tells it
    return engine.loop.create_task(connect(engine, pool, receiver, preface))
