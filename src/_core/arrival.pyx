"""A connection before anybody knows what it is: its first bytes are looked at where they lie, and somebody takes
it over, with all of them.

Nothing is taken from the socket (MSG_PEEK), so that whoever takes over, TLS above all, finds it as it came. While
too few bytes are there the kernel is told how many would do (SO_RCVLOWAT), and is silent until then.
Source: "What happens to an accepted TCP connection" of Traefik v3; the rows are those of its table.
"""

import socket

from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcmp

from .deadline cimport now
from .door cimport Guest, R_BUSY, R_SILENT, Rank
from .downstream cimport Downstream, EntryPoint
from .hello cimport H_BAD, H_PARTIAL, Heard, Hello, MOST_FLIGHT, MOST_HELLO, protocols_of, read_hello
from .message cimport Request
from .netset cimport Address, address_of_text, text_of_address
from .openssl import is_ours
from .proxyline cimport LINE_BAD, LINE_PARTIAL, read_line
from .relay cimport SSL_REQUEST, SSL_REQUEST_SIZE
from .span cimport bytes_of, span_of, span_of_bytes
from .table cimport Route, Table
from .transport cimport carry

cdef extern from "sys/socket.h" nogil:
    int MSG_PEEK
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <poll.h>
    static inline int fastproxy_has_ended(int fd) {
    #ifdef POLLRDHUP
        struct pollfd one = { fd, POLLRDHUP, 0 };
    #else
        struct pollfd one = { fd, 0, 0 };
    #endif
        return poll(&one, 1, 0) > 0;
    }
    """
    bint has_ended "fastproxy_has_ended"(int fd) nogil

cdef enum:
    T_FIRST = 0                # the first bytes are awaited
    T_LINGER
    HANDSHAKE = 0x16           # the first byte of TLS, and of
    OLD_HELLO = 0x80           # SSL 2, which nobody speaks
    MOST_THROWN = 262144

cdef double LINGER = 2.0       # seconds
cdef double LOOK_AGAIN = 0.05  # seconds, where the kernel wakes us too early: it is short of memory

# One connection at a time is looked at, and nothing of it is kept here.
cdef unsigned char[MOST_FLIGHT] flight
cdef unsigned char[MOST_HELLO] room


cdef class Handling:
    """What becomes of a connection when its first bytes are known."""

    cdef Guest guest(self, Arrival arrival):
        """Make the one that takes over."""
        raise NotImplementedError(f"{type(self).__name__} takes nobody over")


cdef class ServeHTTP(Handling):
    """Its requests are served. context and terms: of TLS, and the name of its options; None without."""

    def __init__(self, context=None, str terms=None):
        self.context = checked(context)
        self.terms = terms

    cdef Guest guest(self, Arrival arrival):
        return arrival.entry.take(arrival.fd, arrival.peer, &arrival.ends if arrival.has_line else NULL,
                                  self.context, self.terms)


cdef class PassOn(Handling):
    """It goes to a server as a whole. route: of a TCP router; context: of TLS that ends here; None: none does."""

    def __init__(self, Route route not None, context=None):
        self.route = route
        self.context = checked(context)

    cdef Guest guest(self, Arrival arrival):
        cdef Downstream made = arrival.entry.take(
            arrival.fd, arrival.peer, &arrival.ends if arrival.has_line else NULL, self.context, None)
        made.route = self.route
        made.asks_tls = arrival.is_postgres and self.context is None
        return made


cdef object checked(object context):
    """A context with which a session of ours can be made, or None."""
    if context is not None and not is_ours(context):
        raise ValueError("callbacks of Python's ssl take every connection for one of its own")
    return context


cdef class Refusal(Handling):
    """It is closed, with a TLS alert if one is given. reason: for the log."""

    def __init__(self, str reason not None, int alert=0):
        self.reason = reason
        self.alert = alert


cdef class Doorman:
    """Who decides by the first bytes of a connection, for one entry point, in one generation.

    A subclass, in the control plane's half, answers with a Handling. What it raises ends the connection.
    """

    def plain(self, Arrival arrival not None):
        """Decide about a connection that does not begin with TLS (row 7)."""
        return PLAIN

    def secure(self, Arrival arrival not None, str name not None, tuple protocols not None):
        """Decide about one that does (rows 8 and 9). name: asked for, as sent; protocols: offered, as bytes."""
        return Refusal("nobody speaks TLS here")

    def postgres(self, Arrival arrival not None, str name not None, tuple protocols not None):
        """Decide about one that does behind PostgreSQL's SSLRequest (row 4), which was answered."""
        return Refusal("nobody speaks PostgreSQL here")


cdef ServeHTTP PLAIN = ServeHTTP()


cdef class Arrival(Guest):
    """A connection that was accepted on an entry point with a doorman."""

    def __init__(self, EntryPoint entry not None, sock not None, peer):
        """sock: stays open until somebody takes over. peer: the address of the client."""
        self.entry = entry
        self.engine = entry.engine
        self.sock = sock
        self.fd = sock.fileno()
        self.peer = peer
        self.made_at = now()
        self.stage = A_LOOKING
        entry.receive(self)
        entry.add(self)
        if not self.is_held:
            self.begin()
        if entry.is_draining:
            self.end_soon()

    def local(self):
        """The address that the client has connected to, without port."""
        if self.ends.tells:
            return text_of_address(&self.ends.destination)
        return self.sock.getsockname()[0].partition("%")[0]

    def route_of(self, str name not None, tuple protocols not None):
        """The TCP router for TLS that takes it, or None."""
        cdef tuple tables = self.entry.switch.current.sealed
        cdef bytes text = name.encode()
        cdef bytes offered = b"".join([bytes([len(each)]) + each for each in protocols])
        cdef Request caller = self.entry.caller
        cdef Table table
        if self.entry.index >= len(tables):
            return None
        table = <Table?>tables[self.entry.index]
        if table.count == 0:
            return None
        caller.name_connection(span_of_bytes(text), span_of_bytes(offered), self.client())
        found = table.find(caller)
        caller.protocols = span_of(NULL, 0)
        return found

    def refused_by(self, Route route not None):
        """The name of the middleware of a route that does not let it in, or None."""
        cdef Request caller = self.entry.caller
        caller.name_connection(span_of(NULL, 0), span_of(NULL, 0), self.client())
        return self.ask(route, caller)

    cdef Address client(self):
        cdef bytes text = self.peer[0].partition("%")[0].encode()
        return address_of_text(text, len(text))

    # ---------------------------------------------------------------- as a guest

    cdef Rank rank(self, double* since) noexcept:
        since[0] = self.made_at
        return R_BUSY if self.is_held or self.stage >= A_LINGERING else R_SILENT

    cdef void let_in(self) noexcept:
        self.begin()

    cdef void end_soon(self) noexcept:
        if self.stage == A_LOOKING and now() + self.entry.silent_rest < self.timer.due:
            self.engine.wheel.arm(&self.timer, self, now() + self.entry.silent_rest, T_FIRST)

    cdef void abort(self) noexcept:
        self.leave(None)

    cdef void close(self) noexcept:
        self.abort()

    cdef void on_deadline(self, int what) noexcept:
        self.leave(None if what == T_LINGER else "the first bytes did not come in time")

    # ---------------------------------------------------------------- looking

    cdef void begin(self) noexcept:
        # Row 3, servers that speak first, goes before this.
        cdef bytes text
        cdef Address client
        self.arm(self.entry.read_timeout, T_FIRST)
        try:
            text = self.peer[0].partition("%")[0].encode()
            client = address_of_text(text, len(text))
            self.awaits_line = self.entry.expects_line(&client)
        except Exception as error:
            self.report(error)
        self.look()

    def on_readable(self):
        """Called by the loop."""
        if self.stage == A_LOOKING:
            self.look()
        elif self.stage == A_LINGERING:
            self.throw_away()

    def on_look_again(self):
        """Called by the loop when the kernel woke us too early."""
        if self.stage == A_LOOKING and not self.is_watching:
            self.look()

    cdef void look(self) noexcept:
        """Look at what is there; wait for more, or decide."""
        cdef ssize_t size
        cdef Handling handling
        while True:
            size = recv(self.fd, flight, MOST_FLIGHT, MSG_PEEK | MSG_DONTWAIT)
            if size >= 0 or errno != EINTR:
                break
        if size < 0:
            if errno == EAGAIN:
                self.wait_for(1)
            else:
                self.leave(None)
            return
        if size == 0:
            self.leave(None)
            return
        if size < self.wanted:
            if has_ended(self.fd):
                self.leave("the client ended within its first words")
                return
            self.stop_watching()
            try:
                self.engine.loop.call_later(LOOK_AGAIN, self.on_look_again)
            except Exception as error:
                self.report(error)
            return
        try:
            if self.awaits_line and not self.take_line(size):
                return
            handling = self.decide(flight[0], flight, size)
        except Exception as error:
            self.report(error)
            self.leave("nobody could decide about it")
            return
        if handling is None:
            return             # more must come
        if isinstance(handling, Refusal):
            self.refuse(<Refusal>handling)
        else:
            self.take_up(handling)

    cdef bint take_line(self, Py_ssize_t size) except -1:
        """Row 1: take the header of the PROXY protocol away, if there is one. False: look again, or it is over."""
        cdef Py_ssize_t used = read_line(<const char*>flight, size, &self.ends)
        if used == LINE_PARTIAL:
            self.wait_for(self.ends.wanted)
            return False
        if used == LINE_BAD:
            self.leave("a malformed header of the PROXY protocol")
            return False
        self.awaits_line = False
        self.has_line = True
        if used <= 0:
            return True
        if recv(self.fd, flight, used, MSG_DONTWAIT) != used:
            self.leave("the header of the PROXY protocol cannot be taken")
            return False
        if self.ends.tells:
            self.peer = (text_of_address(&self.ends.source), self.ends.source_port)
        self.wait_for(1)
        return False

    cdef Handling decide(self, int first, const unsigned char* at, Py_ssize_t size):
        """Rows 4 to 9. None: more bytes must come."""
        cdef Doorman doorman
        cdef Heard heard
        cdef Hello hello
        cdef tuple doormen = self.entry.switch.current.doormen
        if self.entry.index >= len(doormen) or doormen[self.entry.index] is None:
            return PLAIN       # it had one when this connection was accepted
        doorman = <Doorman?>doormen[self.entry.index]
        if not self.is_postgres and memcmp(at, SSL_REQUEST, min(size, SSL_REQUEST_SIZE)) == 0:
            if size < SSL_REQUEST_SIZE:
                self.wait_for(size + 1)
                return None
            return self.begin_postgres()
        if self.is_postgres and first != HANDSHAKE:
            return Refusal("PostgreSQL: it asked for TLS, and does not begin it")
        if first == OLD_HELLO:
            return doorman.secure(self, "", ())
        if first != HANDSHAKE:
            return doorman.plain(self)
        heard = read_hello(at, size, room, &hello)
        if heard == H_BAD:
            return Refusal(hello.fault.decode())
        if heard == H_PARTIAL:
            self.wait_for(hello.wanted)
            return None
        name = bytes_of(hello.name).decode("ascii")
        if self.is_postgres:
            return doorman.postgres(self, name, protocols_of(&hello))
        return doorman.secure(self, name, protocols_of(&hello))

    cdef Handling begin_postgres(self):
        """Row 4: take PostgreSQL's SSLRequest, and answer that TLS may begin. None: look again."""
        if recv(self.fd, flight, SSL_REQUEST_SIZE, MSG_DONTWAIT) != SSL_REQUEST_SIZE:
            return Refusal("PostgreSQL: its request cannot be taken")
        if c_send(self.fd, b"S", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1:
            return Refusal("PostgreSQL: it cannot be answered")
        self.is_postgres = True
        self.wait_for(1)
        return None

    cdef void wait_for(self, int size) noexcept:
        """Look again when so many bytes are there, or the client ends."""
        try:
            if size != max(self.wanted, 1):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
            self.wanted = size
            if not self.is_watching:
                self.engine.loop.add_reader(self.fd, self.on_readable)
                self.is_watching = True
        except Exception as error:
            self.report(error)
            self.leave("it cannot be waited for")

    cdef void stop_watching(self) noexcept:
        if self.is_watching:
            self.is_watching = False
            try:
                self.engine.loop.remove_reader(self.fd)
            except Exception as error:
                self.report(error)

    # ---------------------------------------------------------------- the way on

    cdef void take_up(self, Handling handling) noexcept:
        """Let somebody take the connection over, untouched."""
        cdef Guest guest
        self.stop_watching()
        self.arm(0, T_FIRST)
        try:
            if self.wanted > 1:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            guest = handling.guest(self)
            guest.before = self
            self.fd = self.sock.detach()
            self.sock = None
        except Exception as error:
            self.report(error)
            self.leave(None)
            return
        carry(self.engine, guest, self.fd)
        self.leave(None)

    # ---------------------------------------------------------------- refusing

    cdef void refuse(self, Refusal refusal) noexcept:
        """Close; if there is something to be said, so that the client can read it."""
        cdef char[7] alert
        if not refusal.alert:
            self.leave(refusal.reason)
            return
        self.note(refusal.reason)
        alert[0] = 21          # an alert, of TLS 1.0 as everything is before a version was agreed on
        alert[1] = 3
        alert[2] = 1
        alert[3] = 0
        alert[4] = 2
        alert[5] = 2           # fatal
        alert[6] = <char>refusal.alert
        self.stage = A_LINGERING
        if c_send(self.fd, alert, 7, MSG_NOSIGNAL | MSG_DONTWAIT) == 7:
            self.linger()
        else:
            self.leave(None)

    cdef void linger(self) noexcept:
        """Throw away what came and what comes: closing with unread bytes would reset the connection, and the
        reset may overtake the alert."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.leave(None)
            return
        self.arm(LINGER, T_LINGER)
        self.wait_for(1)
        if self.stage == A_LINGERING:
            self.throw_away()

    cdef void throw_away(self) noexcept:
        cdef ssize_t size
        cdef int thrown = 0
        while thrown <= MOST_THROWN:
            size = recv(self.fd, flight, MOST_FLIGHT, MSG_DONTWAIT)
            if size < 0 and errno == EINTR:
                continue
            if size < 0 and errno == EAGAIN:
                return
            if size <= 0:
                break
            thrown += size
        self.leave(None)

    cdef void note(self, str reason) noexcept:
        try:
            self.engine.log.debug("%s on entry point %s: %s", self.peer[0] if self.peer else "somebody",
                                  self.entry.name, reason)
        except Exception:
            pass       # a log that fails must not take the connection's loop with it

    cdef void leave(self, str reason) noexcept:
        """It is over. reason: for the log, None for what nobody needs to know."""
        if self.stage == A_OVER:
            return
        if reason is not None:
            self.note(reason)
        self.stop_watching()
        if self.sock is not None:
            try:
                self.sock.close()
            except OSError:
                pass
            self.sock = None
        self.stage = A_OVER
        self.is_closing = True
        self.fd = -1
        self.closed()
        self.engine.wheel.unlink(&self.timer)
        self.entry.remove(self)
