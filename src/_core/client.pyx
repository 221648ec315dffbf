"""A client's connection until it is known what it speaks, and what goes for it whatever that is.

Who is at the other end (its address, or what a proxy in front says of it), TLS, whether a TCP router takes it; what has
come and nobody has worked on yet; and how it ends so that the client can read the last that it was told.
"""

from cpython.bytearray cimport (
    PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE, PyByteArray_Resize,
)
from cpython.unicode cimport PyUnicode_AsUTF8String
from libc.string cimport memchr, memcpy

from .deadline cimport now
from .message cimport Request
from .netset cimport address_of_text, is_v4, no_address, text_of_address
from .proxyline cimport LINE_BAD, LINE_NONE, LINE_PARTIAL, read_line
from .relay cimport relay
from .session cimport server_session
from .snapshot cimport Snapshot
from .span cimport span_of
from .table cimport Route, Table

cdef extern from "sys/socket.h" nogil:
    int MSG_PEEK
    int MSG_DONTWAIT
    ssize_t recv(int fd, void* data, size_t size, int flags)

cdef enum:
    MOST_THROWN = 262144       # bytes thrown away while lingering

cdef double NEVER = 1e300
cdef double LINGER = 2.0       # seconds
cdef double NO_LIMIT = 60.0    # seconds for a handshake, where the entry point has no readTimeout


cdef class Usher:
    """Finds out by its first bytes what a connection is."""

    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept:
        pass


cdef class Client(Guest):
    """A client's connection. A subclass says what is done with what comes when it is known what that is."""

    # ---------------------------------------------------------------- coming

    cdef void on_made(self) noexcept:
        if self.is_secure:     # once more, when hands are shaken
            if self.entry.access_log is not None:
                self.name_tls()
            if self.session.asks_certificate():
                self.ask_for_chain()
        else:
            self.come_in()
        if not self.is_held:
            self.take_place()
        if self.entry.is_draining:
            self.end_soon()

    cdef void begin_tls(self, object context, const char* at, Py_ssize_t size) noexcept:
        """Shake hands with a client that has begun so; `size` bytes at `at` are what it has said."""
        try:
            self.session = server_session(context, self.engine.wire)
        except Exception as error:
            self.report(error)
            self.abort()
            return
        self.is_secure = True
        self.arm(self.entry.read_timeout if self.entry.read_timeout > 0 else NO_LIMIT, T_SHAKE)
        if self.entry.is_draining:
            self.end_soon()
        self.decrypt(at, size)

    cdef void go_in(self, const char* at, Py_ssize_t size) noexcept:
        """Be served without TLS; `size` bytes at `at` are what has come."""
        self.take_place()
        if not self.is_closing:
            self.hand_on(at, size)

    cdef void come_in(self) noexcept:
        """Be there: from now on the door knows it."""
        self.client = no_address()
        self.client_text = b""
        self.made_at = now()
        self.name_client()
        self.awaits_line = self.entry.expects_line(&self.client)
        self.entry.add(self)

    cdef void ask_for_chain(self) noexcept:
        """Find the certificates that the client has shown."""
        try:
            self.chain = self.session.chain or None
        except Exception as error:
            self.report(error)

    cdef void name_client(self) noexcept:
        """Find who the client is; a unix socket's client has no address."""
        cdef str name
        try:
            # The transport has asked the kernel already. "fe80::1%eth0" has a zone, which is nobody else's affair.
            peer = self.transport.get_extra_info("peername")
            if type(peer) is tuple:
                name = <str>(<tuple>peer)[0]
                self.client_port = (<tuple>peer)[1]
                self.client_text = PyUnicode_AsUTF8String(name.partition("%")[0] if "%" in name else name)
                self.client = address_of_text(<const char*>self.client_text, len(self.client_text))
                if memchr(<const char*>self.client_text, 58, len(self.client_text)) is not NULL and is_v4(
                        &self.client):
                    self.client_text = text_of_address(&self.client).encode()
        except Exception as error:
            self.report(error)

    cdef void name_tls(self) noexcept:
        """Find what the access log tells of TLS, once for all requests."""
        try:
            self.tls = self.entry.access_log.tls_facts(self.session)
        except Exception as error:
            self.report(error)

    # ---------------------------------------------------------------- where it belongs

    cdef void take_place(self) noexcept:
        """It may be served now: as a connection that a TCP router takes, or in HTTP."""
        cdef Route route = self.route
        if route is not None:
            self.route = None
            self.timer.due = NEVER
            relay(self, route, &self.ends, self.asks_tls)
            return
        if self.awaits_line or self.usher is not None or self.is_secure or not self.take_route():
            self.arm(self.entry.read_timeout, T_HEAD)

    cdef bint take_route(self) noexcept:
        """Give the whole connection to a TCP router, if one matches. None of its bytes is looked at."""
        cdef Snapshot snapshot = self.entry.switch.current
        cdef Request caller = self.entry.caller
        cdef Table table
        cdef Route route
        if <Py_ssize_t>len(snapshot.streams) <= self.entry.index:
            return False
        table = <Table>snapshot.streams[self.entry.index]
        if table is None or table.count == 0:
            return False
        caller.name_connection(span_of(NULL, 0), span_of(NULL, 0), self.client)
        try:
            route = table.find(caller)
            if route is None:
                return False
            refusing = self.ask(route, caller)
            if refusing is not None:
                self.engine.log.debug("%s: refused by %s", self.client_text.decode() or "unix", refusing)
                self.close()
                return True
        except Exception as error:
            self.report(error)
            self.abort()
            return True
        self.timer.due = NEVER
        relay(self, route, &self.ends, False)
        return True

    cdef void read_proxy(self, const char* at, Py_ssize_t size) noexcept:
        """Read the header of the PROXY protocol that the proxy in front sends, if it sends one."""
        cdef bytearray waiting
        cdef Py_ssize_t used
        if self.kept is not None:
            self.keep(at, size)
            waiting = self.kept
            at = PyByteArray_AS_STRING(waiting)
            size = PyByteArray_GET_SIZE(waiting)
            if size < self.ends.wanted:
                return
        used = read_line(at, size, &self.ends)
        if used == LINE_PARTIAL:
            if self.kept is None:
                self.keep(at, size)
            return
        self.kept = None
        if used == LINE_BAD:
            self.note("a malformed header of the PROXY protocol")
            self.close()
            return
        self.awaits_line = False
        if used == LINE_NONE:
            used = 0
        if self.ends.tells:
            self.client = self.ends.source
            self.client_port = self.ends.source_port
            self.client_text = text_of_address(&self.client).encode()
        if self.usher is None and self.take_route():
            if self.tunnel is not None and size > used:
                self.tunnel.on_data(self, at + used, size - used)
        elif size > used:
            self.on_data(at + used, size - used)

    cdef void let_in(self) noexcept:
        cdef bytearray waiting
        self.take_place()
        if not self.awaits_line and self.tunnel is None and self.usher is None:
            self.go_on()
            return
        if self.is_paused:
            self.resume()
        waiting = self.kept
        self.kept = None
        if waiting is None:
            return
        self.hand_on(PyByteArray_AS_STRING(waiting), PyByteArray_GET_SIZE(waiting))

    cdef void go_on(self) noexcept:
        """Read again, and work on what is kept."""

    # ---------------------------------------------------------------- bytes in

    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept:
        # A call of a C method holds no reference, and the usher lets go of us, and we of it.
        cdef Usher usher = self.usher
        if self.is_held:
            self.keep(at, size)
            self.pause()
        elif self.awaits_line:
            self.read_proxy(at, size)
        elif usher is not None:
            usher.on_data(at, size)

    cdef void keep(self, const char* at, Py_ssize_t size) noexcept:
        """Keep bytes for later, behind those that are kept."""
        cdef Py_ssize_t before
        try:
            if self.kept is None:
                self.kept = PyByteArray_FromStringAndSize(at, size)
            else:
                before = PyByteArray_GET_SIZE(self.kept)
                PyByteArray_Resize(self.kept, before + size)
                memcpy(PyByteArray_AS_STRING(self.kept) + before, at, size)
        except MemoryError as error:
            self.report(error)
            self.abort()

    cdef bint has_unread(self) noexcept:
        """Say whether the client has sent what the loop has not come to yet."""
        cdef char byte
        if self.is_paused or self.got_eof or self.transport is None:
            return False       # it would not be read
        return recv(self.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0

    # ---------------------------------------------------------------- the end

    cdef void note(self, object reason) noexcept:
        """Tell the log, at debug, why it ends."""
        try:
            self.engine.log.debug("%s on entry point %s: %s", self.client_text.decode() or "unix", self.entry.name,
                                  reason)
        except Exception:
            pass       # a log that fails must not take the connection with it

    cdef void linger(self) noexcept:
        """Close so that the client can still read the answer: say that we are done, and let it finish.

        Closing with unread bytes would reset the connection, and the reset may overtake the answer.
        """
        self.kept = None
        self.is_lingering = True
        self.thrown_away = 0
        self.send_eof()
        self.arm(self.engine.patience if self.is_full else LINGER, T_LINGER)
        if self.is_paused:
            self.resume()

    cdef void throw_away(self, Py_ssize_t size) noexcept:
        self.thrown_away += size
        if self.thrown_away > MOST_THROWN:
            self.abort()

    cdef void on_undecrypted(self, Py_ssize_t size) noexcept:
        if self.is_lingering:
            self.throw_away(size)
