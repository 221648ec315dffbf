"""One transport, and the bytes on their way to it and from it. Of TLS, whoever reads and writes sees the plaintext."""

from ssl import SSLError

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, EPIPE, errno
from libc.string cimport memcpy, memset

from .deadline cimport detach, now
from .engine cimport OUT_SIZE, Engine
from .port cimport Peer
from .session cimport RECORD, S_BROKEN, S_DONE, S_ENDED, S_FULL, Session, Wire

cdef extern from "sys/socket.h" nogil:
    int MSG_NOSIGNAL
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)

cdef enum:
    COPY_SIZE = 8192       # up to here a run of body bytes is copied behind the head; beyond, it is sent from its place
    MOST_UNHEARD = 16384   # bytes that TLS itself says to a peer which takes nothing


cdef class Connection(Peer):
    """One transport, and the bytes on their way to it.

    Writing gathers bytes in the engine until flush(), then gives them to the kernel at once; only what the
    kernel does not take is copied and left to the transport. While something waits there `is_full` holds and
    whoever feeds the connection pauses, so that it holds no more than one read's worth.

    With a session the transport carries its records. It shakes hands before on_made; what one read brought is
    decrypted whole and handed on at once, so that nothing waits in it but the part of a record.
    """

    def __cinit__(self):
        self.fd = NO_FD

    def __dealloc__(self):
        if self.timer.next is NULL:
            return
        # lost() takes the deadline out; this is for one that was never connected, or whose loop has
        # ended. When garbage is collected the engine may have been taken from us, or the wheel from it.
        if self.engine is not None and self.engine.wheel is not None:
            self.engine.wheel.unlink(&self.timer)
        else:
            detach(&self.timer)

    # -------- writing

    cdef char* reserve(self, Py_ssize_t size) noexcept:
        """Room for `size` bytes behind what is gathered, to be filled and committed; NULL beyond OUT_SIZE."""
        cdef Engine engine = self.engine
        cdef Peer other = engine.writer
        if size > OUT_SIZE:
            return NULL
        if other is not self:
            if other is not None:
                other.flush()
            engine.writer = self
        elif engine.out_size + size > OUT_SIZE:
            self.flush()
            engine.writer = self
        return engine.out + engine.out_size

    cdef void commit(self, Py_ssize_t size) noexcept:
        self.engine.out_size += size

    cdef void put(self, const char* at, Py_ssize_t size) noexcept:
        """Write bytes; they are copied or sent before this returns."""
        cdef Engine engine = self.engine
        cdef Py_ssize_t gathered
        cdef char* room
        if size <= (RECORD if self.is_secure else COPY_SIZE):
            room = self.reserve(size)
            memcpy(room, at, size)
            engine.out_size += size
            return
        self.reserve(0)
        gathered = engine.out_size
        engine.out_size = 0
        engine.writer = None
        self.send_both(engine.out, gathered, at, size)

    cdef void flush(self) noexcept:
        """Give what is gathered to the kernel."""
        cdef Engine engine = self.engine
        cdef Py_ssize_t size
        if engine.writer is not self:
            return
        size = engine.out_size
        engine.out_size = 0
        engine.writer = None
        if size:
            self.send(engine.out, size)

    cdef bint may_send(self) noexcept:
        """Say whether bytes may go to the kernel past the transport: nothing waits there."""
        return self.fd >= 0 and not self.is_full

    cdef void send(self, const char* at, Py_ssize_t size) noexcept:
        if self.session is None:
            self.give(at, size)
        else:
            self.encrypt(at, size)
            self.push()

    cdef void encrypt(self, const char* at, Py_ssize_t size) noexcept:
        """Make records of bytes and lay them into the wire; it is sent when it is full, and by push()."""
        cdef Session session = self.session
        cdef Py_ssize_t used
        while size > 0 and not (self.is_closing or session.is_broken or session.has_ended):
            used = session.write(at, size)
            if used > 0:
                at += used
                size -= used
            elif used == S_FULL:
                self.push()
            else:
                # Nothing that the peer did: it has no say in what is sent.
                self.report(RuntimeError(f"TLS cannot encrypt: {session.fault}"))
                self.engine.wire.out_size = 0
                self.abort()

    cdef void push(self) noexcept:
        """Send what lies in the wire."""
        cdef Wire wire = self.engine.wire
        cdef Py_ssize_t size = wire.out_size
        wire.out_size = 0
        if size and not self.sent_eof:
            self.give(wire.out, size)

    cdef void give(self, const char* at, Py_ssize_t size) noexcept:
        """Give bytes to the kernel as they are."""
        cdef ssize_t sent
        if self.is_closing or self.refusal:
            return
        if not self.may_send():
            self.queue(at, size)
            return
        while True:
            sent = c_send(self.fd, at, size, MSG_NOSIGNAL)
            if sent >= 0 or errno != EINTR:
                break
        self.after_send(sent, at, size, NULL, 0)

    cdef void send_both(self, const char* first, Py_ssize_t first_size, const char* second,
                        Py_ssize_t second_size) noexcept:
        """Send two runs with one call."""
        cdef iovec[2] parts
        cdef msghdr message
        cdef ssize_t sent
        if first_size == 0:
            self.send(second, second_size)
            return
        if self.session is not None:
            self.encrypt(first, first_size)
            self.encrypt(second, second_size)
            self.push()
            return
        if self.is_closing or self.refusal:
            return
        if not self.may_send():
            self.queue(first, first_size)
            self.queue(second, second_size)
            return
        memset(&message, 0, sizeof(message))
        parts[0].iov_base = <void*>first
        parts[0].iov_len = first_size
        parts[1].iov_base = <void*>second
        parts[1].iov_len = second_size
        message.msg_iov = parts
        message.msg_iovlen = 2
        while True:
            sent = sendmsg(self.fd, &message, MSG_NOSIGNAL)
            if sent >= 0 or errno != EINTR:
                break
        self.after_send(sent, first, first_size, second, second_size)

    cdef void after_send(self, ssize_t sent, const char* first, Py_ssize_t first_size, const char* second,
                         Py_ssize_t second_size) noexcept:
        """Queue what the kernel did not take; a peer that is gone gets nothing more."""
        if sent == first_size + second_size:
            return
        if sent < 0:
            if errno != EAGAIN:
                self.refused(errno)
                return
            sent = 0
        if sent < first_size:
            self.queue(first + sent, first_size - sent)
            sent = first_size
        self.queue(second + (sent - first_size), second_size - (sent - first_size))

    cdef void refused(self, int number) noexcept:
        """The peer takes nothing more. What it has said before, perhaps why, is read still; then it is lost."""
        if (number != EPIPE and number != ECONNRESET) or self.is_paused or self.got_eof or self.sent_eof:
            self.abort()
        else:
            self.refusal = number

    cdef void queue(self, const char* at, Py_ssize_t size) noexcept:
        """Leave a copy to the transport, which writes it when the kernel takes it."""
        if size <= 0 or self.transport is None or self.is_closing:
            return
        try:
            self.transport.write(PyBytes_FromStringAndSize(at, size))
        except Exception as error:
            self.report(error)
            self.abort()

    cdef void end_session(self) noexcept:
        """Tell a peer of TLS that nothing more comes (close_notify)."""
        while self.session is not None and not self.is_closing:
            if self.session.end() == S_DONE:
                self.push()
                return
            self.push()

    cdef void send_eof(self) noexcept:
        """Say that nothing more comes, and go on reading."""
        self.flush()
        if self.sent_eof or self.is_closing or self.transport is None:
            return
        self.end_session()
        self.sent_eof = True
        try:
            if self.transport.can_write_eof():
                self.transport.write_eof()
        except Exception as error:
            self.report(error)
            self.abort()

    # -------- reading and the end

    cdef void pause(self) noexcept:
        if self.is_paused or self.is_closing or self.transport is None:
            return
        if self.refusal:
            self.abort()           # nobody would ever read on
            return
        self.is_paused = True
        try:
            self.transport.pause_reading()
        except Exception as error:
            self.report(error)

    cdef void resume(self) noexcept:
        if not self.is_paused or self.is_closing or self.transport is None:
            return
        self.is_paused = False
        try:
            self.transport.resume_reading()
        except Exception as error:
            self.report(error)

    cdef bint is_busy(self) noexcept:
        return self.is_full

    cdef void close(self) noexcept:
        """Close when what waits is written. A peer that does not take it in time is cut off by its deadline."""
        self.flush()
        self.end_session()
        self.is_closing = True
        if self.transport is not None:
            if self.is_full:
                self.arm(self.engine.patience, 0)
            try:
                self.transport.close()
            except Exception as error:
                self.report(error)

    cdef void abort(self) noexcept:
        """Close now; what waits is dropped."""
        if self.engine is not None and self.engine.writer is self:
            self.engine.writer = None
            self.engine.out_size = 0
        self.is_closing = True
        if self.transport is not None:
            try:
                self.transport.abort()
            except Exception as error:
                self.report(error)

    cdef void give_up(self) noexcept:
        self.abort()

    cdef void arm(self, double seconds, int what) noexcept:
        """Let on_deadline(what) be called in `seconds`; 0 or less: never. There is one deadline at a time."""
        if seconds > 0:
            self.engine.wheel.arm(&self.timer, self, now() + seconds, what)
        else:
            self.timer.due = 1e300
            self.timer.what = what

    cdef void opened(self) noexcept:
        """It has a descriptor, or is about to have one."""
        self.is_open = True
        self.engine.open += 1

    cdef void closed(self) noexcept:
        """It has none any more. May be called twice."""
        if self.is_open:
            self.is_open = False
            self.engine.open -= 1

    cdef void report(self, object error) noexcept:
        """Tell the log what should not have happened."""
        try:
            self.engine.log.error("connection: %r", error, exc_info=error)
        except Exception:
            pass       # a log that fails must not take the connection's loop with it

    # -------- what the transport calls

    def connection_made(self, transport):
        self.transport = transport
        if self.session is None:
            self.on_made()
        else:
            self.on_shaking()
            self.engine.wire.size = 0      # we speak first
            self.shake()

    cdef void received(self, Py_ssize_t size) noexcept:
        """So many bytes have come into the inbox."""
        if self.session is None:
            self.hand_on(self.engine.inbox_at, size)
        else:
            self.decrypt(self.engine.inbox_at, size)

    cdef void ended(self) noexcept:
        """The peer sends nothing more. Whoever handles the end closes."""
        cdef Session session = self.session
        if session is None or session.is_broken:
            self.end_of_reading()
        elif not session.is_done:
            session.is_broken = True
            self.on_broken(ConnectionResetError("the peer ended the connection within the TLS handshake"))
        elif not session.is_ended:
            # Whoever has no key can end the connection so: this is no end of what the peer had to say.
            session.is_ended = True
            self.got_eof = True
            if self.tunnel is not None:
                self.tunnel.on_eof(self)
            else:
                self.on_cut_short()

    cdef void hand_on(self, const char* at, Py_ssize_t size) noexcept:
        if self.tunnel is not None:
            self.tunnel.on_data(self, at, size)
        else:
            self.on_data(at, size)

    cdef void end_of_reading(self) noexcept:
        self.got_eof = True
        if self.tunnel is not None:
            self.tunnel.on_eof(self)
        else:
            self.on_eof()

    # -------- TLS

    cdef void shake(self) noexcept:
        """Go on with the handshake, as far as what lies in the wire leads."""
        cdef Session session = self.session
        cdef Py_ssize_t told = S_FULL
        while told == S_FULL and not self.is_closing:
            told = session.shake()
            self.push()
        if told == S_BROKEN:
            self.on_broken(fault_of(session))

    cdef void decrypt(self, const char* at, Py_ssize_t size) noexcept:
        """Hand on what records say. All that one read brought is handed on at once."""
        cdef Session session = self.session
        cdef Wire wire = self.engine.wire
        cdef Py_ssize_t got = 0, told
        if session.is_ended or session.is_broken:
            self.on_undecrypted(size)      # nothing counts behind the end (RFC 8446, 6.1)
            return
        wire.at = at
        wire.size = size
        if not session.is_done:
            self.shake()
            if not session.is_done:
                return
            at = wire.at                   # others may decrypt meanwhile
            size = wire.size
            self.on_made()
            if size == 0 or self.is_closing:
                return
            wire.at = at
            wire.size = size
        while True:
            told = session.read(wire.clear + got, wire.clear_size - got)
            if told > 0:
                got += told
                if wire.size == 0:
                    break
            elif told != S_FULL:
                break
            else:
                self.push()
        if wire.out_size and self.is_full:
            session.unheard += wire.out_size
        self.push()
        if got and not self.is_closing:
            self.hand_on(wire.clear, got)
        if self.is_closing:
            return
        if told == S_ENDED:
            self.end_of_reading()
        elif told == S_BROKEN:
            self.on_broken(fault_of(session))
        elif session.unheard > MOST_UNHEARD:
            session.is_broken = True
            self.on_broken(ConnectionResetError("the peer makes TLS answer and takes no answers"))

    cdef void filled(self) noexcept:
        """The kernel takes no more."""
        self.is_full = True
        if self.tunnel is not None:
            self.tunnel.on_full(self)
        else:
            self.on_full()

    cdef void emptied(self) noexcept:
        """Nothing waits any more."""
        self.is_full = False
        if self.session is not None:
            self.session.unheard = 0
        if self.tunnel is not None:
            self.tunnel.on_writable(self)
        else:
            self.on_writable()

    cdef void lost(self, object error) noexcept:
        """The transport is gone."""
        self.is_closing = True
        self.fd = NO_FD
        self.transport = None
        self.closed()
        self.engine.wheel.unlink(&self.timer)
        if self.engine.writer is self:
            self.engine.writer = None
            self.engine.out_size = 0
        # A call of a C method holds no reference, and the tunnel lets go of us, perhaps the last to hold it.
        cdef Tunnel tunnel = self.tunnel
        if tunnel is not None:
            tunnel.on_lost(self)
        self.on_lost(error)
        self.session = None

    # -------- what happened; a subclass says what it means

    cdef void on_shaking(self) noexcept:
        """It is connected, and TLS begins, in which we speak first."""

    cdef void on_made(self) noexcept:
        """It is connected; again when TLS is agreed on that began later."""

    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept:
        pass

    cdef void on_eof(self) noexcept:
        pass

    cdef void on_cut_short(self) noexcept:
        """The connection ended and TLS did not."""
        self.on_eof()

    cdef void on_broken(self, object error) noexcept:
        """TLS is over, in its handshake or later; what was to be said of it has been sent."""
        self.close()

    cdef void on_undecrypted(self, Py_ssize_t size) noexcept:
        """Something came behind the end of TLS."""

    cdef void on_lost(self, object error) noexcept:
        pass

    cdef void on_full(self) noexcept:
        pass

    cdef void on_writable(self) noexcept:
        pass


cdef object fault_of(Session session):
    """Why TLS is broken, as an exception."""
    return SSLError(1, session.fault)


cdef class Tunnel:
    """Takes over two connections for good."""

    cdef void on_data(self, Connection side, const char* at, Py_ssize_t size) noexcept:
        pass

    cdef void on_eof(self, Connection side) noexcept:
        pass

    cdef void on_lost(self, Connection side) noexcept:
        pass

    cdef void on_full(self, Connection side) noexcept:
        pass

    cdef void on_writable(self, Connection side) noexcept:
        pass
