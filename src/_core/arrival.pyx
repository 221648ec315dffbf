"""A connection before anybody knows what it is: its first bytes are looked at, and it is shown where it belongs.

The connection keeps what has come until it is known, 80 KiB at most and as long as readTimeout allows; whoever it is
then, TLS or a router, begins with all of it.
Source: "What happens to an accepted TCP connection" of Traefik v3; the rows are those of its table. Row 1, the PROXY
protocol, is the connection's own affair, and comes before this.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from libc.string cimport memcmp

from .client cimport Client, Usher
from .hello cimport H_BAD, H_PARTIAL, Heard, Hello, MOST_HELLO, protocols_of, read_hello
from .message cimport Request
from .netset cimport text_of_address
from .openssl import is_ours
from .relay cimport SSL_REQUEST, SSL_REQUEST_SIZE
from .span cimport bytes_of, span_of, span_of_bytes
from .table cimport Route, Table

cdef enum:
    HANDSHAKE = 0x16           # the first byte of TLS, and of
    OLD_HELLO = 0x80           # SSL 2, which nobody speaks

# One connection at a time is looked at, and nothing of it is kept here.
cdef unsigned char[MOST_HELLO] room


cdef class Handling:
    """What becomes of a connection when its first bytes are known."""


cdef class ServeHTTP(Handling):
    """Its requests are served. context and terms: of TLS, and the name of its options; None without."""

    def __init__(self, context=None, str terms=None):
        self.context = checked(context)
        self.terms = terms


cdef class PassOn(Handling):
    """It goes to a server as a whole. route: of a TCP router; context: of TLS that ends here; None: none does."""

    def __init__(self, Route route not None, context=None):
        self.route = route
        self.context = checked(context)


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


cdef class Arrival(Usher):
    """What a doorman sees of a connection."""

    def local(self):
        """The address that the client has connected to, without port."""
        cdef Client connection = self.connection
        if connection.ends.tells:
            return text_of_address(&connection.ends.destination)
        return connection.transport.get_extra_info("sockname")[0].partition("%")[0]

    def route_of(self, str name not None, tuple protocols not None):
        """The TCP router for TLS that takes it, or None."""
        cdef Client connection = self.connection
        cdef tuple tables = connection.entry.switch.current.sealed
        cdef bytes text = name.encode()
        cdef bytes offered = b"".join([bytes([len(each)]) + each for each in protocols])
        cdef Request caller = connection.entry.caller
        cdef Table table
        if connection.entry.index >= len(tables):
            return None
        table = <Table?>tables[connection.entry.index]
        if table.count == 0:
            return None
        caller.name_connection(span_of_bytes(text), span_of_bytes(offered), connection.client)
        found = table.find(caller)
        caller.protocols = span_of(NULL, 0)
        return found

    def refused_by(self, Route route not None):
        """The name of the middleware of a route that does not let it in, or None."""
        cdef Request caller = self.connection.entry.caller
        caller.name_connection(span_of(NULL, 0), span_of(NULL, 0), self.connection.client)
        return self.connection.ask(route, caller)

    # ---------------------------------------------------------------- looking

    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept:
        """Look at what is there; wait for more, or decide."""
        cdef Client connection = self.connection
        cdef bytearray waiting = None
        cdef Handling handling
        if connection.kept is not None:
            connection.keep(at, size)
            waiting = connection.kept
            if waiting is None:
                return             # no memory
            at = PyByteArray_AS_STRING(waiting)
            size = PyByteArray_GET_SIZE(waiting)
        if size < self.wanted:
            if waiting is None:
                connection.keep(at, size)
            return
        connection.kept = None
        try:
            if not self.is_postgres and memcmp(at, SSL_REQUEST, min(size, <Py_ssize_t>SSL_REQUEST_SIZE)) == 0:
                if size < SSL_REQUEST_SIZE:
                    self.wait_for(size + 1, at, size)
                    return
                self.is_postgres = True        # row 4: its request is taken, and answered
                connection.give(b"S", 1)
                at += SSL_REQUEST_SIZE
                size -= SSL_REQUEST_SIZE
                if size == 0:
                    self.wanted = 1
                    return
            handling = self.decide(at, size)
            if handling is not None:
                self.show(handling, at, size)
        except Exception as error:
            connection.report(error)
            connection.note("nobody could decide about it")
            connection.close()

    cdef void wait_for(self, Py_ssize_t wanted, const char* at, Py_ssize_t size) noexcept:
        """Look again when so many bytes are there."""
        self.wanted = wanted
        self.connection.keep(at, size)

    cdef Handling decide(self, const char* at, Py_ssize_t size):
        """Rows 5 to 9. None: more bytes must come, and these are kept."""
        cdef tuple doormen = self.connection.entry.switch.current.doormen
        cdef int index = self.connection.entry.index
        cdef int first = <unsigned char>at[0]
        cdef Doorman doorman
        cdef Heard heard
        cdef Hello hello
        if index >= len(doormen) or doormen[index] is None:
            return PLAIN       # it had one when this connection was accepted
        doorman = <Doorman?>doormen[index]
        if self.is_postgres and first != HANDSHAKE:
            return Refusal("PostgreSQL: it asked for TLS, and does not begin it")
        if first == OLD_HELLO:
            return doorman.secure(self, "", ())
        if first != HANDSHAKE:
            return doorman.plain(self)
        heard = read_hello(<const unsigned char*>at, size, room, &hello)
        if heard == H_BAD:
            return Refusal(hello.fault.decode())
        if heard == H_PARTIAL:
            self.wait_for(hello.wanted, at, size)
            return None
        name = bytes_of(hello.name).decode("ascii")
        if self.is_postgres:
            return doorman.postgres(self, name, protocols_of(&hello))
        return doorman.secure(self, name, protocols_of(&hello))

    # ---------------------------------------------------------------- the way on

    cdef int show(self, Handling handling, const char* at, Py_ssize_t size) except -1:
        """Show the connection where it belongs, with all that has come."""
        cdef Client connection = self.connection
        connection.usher = None
        self.connection = None
        if isinstance(handling, Refusal):
            refuse(connection, <Refusal>handling)
            return 0
        if isinstance(handling, PassOn):
            connection.route = (<PassOn>handling).route
            connection.asks_tls = self.is_postgres and handling.context is None
        else:
            connection.terms = (<ServeHTTP?>handling).terms
        if handling.context is None:
            connection.go_in(at, size)
        else:
            connection.begin_tls(handling.context, at, size)
        return 0


cdef int look_at(Client connection) except -1:
    """Let the first bytes of a connection that was just accepted say what it is."""
    cdef Arrival made = Arrival.__new__(Arrival)
    made.connection = connection
    made.wanted = 1
    connection.usher = made
    return 0


cdef void refuse(Client connection, Refusal refusal) noexcept:
    """Close; if there is something to be said, so that the client can read it."""
    cdef char[7] alert
    connection.note(refusal.reason)
    if not refusal.alert:
        connection.close()
        return
    alert[0] = 21              # an alert, of TLS 1.0 as everything is before a version was agreed on
    alert[1] = 3
    alert[2] = 1
    alert[3] = 0
    alert[4] = 2
    alert[5] = 2               # fatal
    alert[6] = <char>refusal.alert
    connection.give(alert, 7)
    connection.linger()
