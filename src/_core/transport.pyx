"""A plain socket under a connection, watched by ourselves.

It does what uvloop's transports do, and is asked for it by the same names. But what comes is read by a compiled
function and told to one, a connection is accepted or dialled without a task, its descriptor is known. Nothing of what
it calls may be called back within a call of its own: that a connection is lost is told in a later turn of the loop.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ECONNRESET, EINPROGRESS, EINTR, EPIPE, errno
from posix.unistd cimport close

from .connection cimport NO_FD
from .engine cimport READ_SIZE
from .sockaddr cimport AF_UNIX, name_of, sockaddr, sockaddr_storage
from .watch cimport READABLE, WRITABLE

cdef extern from "string.h" nogil:
    char* strerror(int number)

cdef extern from "sys/socket.h" nogil:
    int MSG_NOSIGNAL
    int SHUT_WR
    int SOCK_STREAM
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int SOL_SOCKET
    int SO_ERROR
    int c_socket "socket"(int family, int kind, int protocol)
    int c_connect "connect"(int fd, const sockaddr* address, unsigned int size)
    int c_shutdown "shutdown"(int fd, int how)
    int getpeername(int fd, sockaddr* address, unsigned int* size)
    int getsockname(int fd, sockaddr* address, unsigned int* size)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* size)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size)
    ssize_t recv(int fd, void* data, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)

cdef extern from "netinet/in.h" nogil:
    int IPPROTO_TCP

cdef extern from "netinet/tcp.h" nogil:
    int TCP_NODELAY

cdef enum:
    READS_A_TURN = 8           # of one connection that has more than one read's worth: then others have their turn


cdef class Feed:
    """Bytes that pass a connection by."""

    cdef void draw(self) noexcept:
        pass

    cdef bint pour(self) noexcept:
        return True

    cdef void over(self, Transport side) noexcept:
        pass


cdef class Transport:
    """One plain socket. It owns the descriptor."""

    def __cinit__(self):
        self.fd = NO_FD

    def __dealloc__(self):
        # Of a connection that nobody has ended: its loop has.
        if self.watch is not None:
            self.watch.close()
        if self.fd >= 0:
            close(self.fd)

    cdef bint begin(self, Engine engine, Connection connection, int fd) noexcept:
        """Take a descriptor over; it is watched for nothing yet. False: it cannot be watched, and is not ours."""
        cdef Watch watch = Watch.__new__(Watch)
        if not watch.open(engine.loop, fd, self, on_ready):
            return False
        self.watch = watch
        self.fd = fd
        self.engine = engine
        self.connection = connection
        return True

    cdef void made(self) noexcept:
        """It is connected: tell the connection, and begin to read."""
        cdef Connection connection = self.connection
        self.is_reading = True
        connection.fd = self.fd
        try:
            connection.connection_made(self)
        except Exception as error:
            connection.report(error)
            self.leave(error)
        self.look()

    # -------- what is ready

    cdef void dialled(self) noexcept:
        cdef int number = 0
        cdef unsigned int size = sizeof(int)
        self.is_dialling = False
        getsockopt(self.fd, SOL_SOCKET, SO_ERROR, &number, &size)
        if number:
            self.fail(number)
        else:
            self.made()

    cdef void read(self) noexcept:
        """Hand on what has come."""
        cdef Connection connection = self.connection
        cdef char* room = self.engine.inbox_at
        cdef Py_ssize_t size
        cdef int _time
        for _time in range(READS_A_TURN):
            size = recv(self.fd, room, READ_SIZE, 0)
            if size < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.fail(errno)
                return
            if size == 0:
                self.ended()
                return
            connection.received(size)
            if size < READ_SIZE or not self.is_reading or self.is_leaving or self.takes is not None:
                return

    cdef void ended(self) noexcept:
        """Nothing more comes."""
        cdef Connection connection = self.connection
        cdef Feed feed = self.takes
        if connection.refusal:
            # It was reset: whoever wrote has been told, and so this looks like an end.
            self.fail(connection.refusal)
            return
        self.is_reading = False
        if feed is not None:
            feed.over(self)
        connection.ended()
        self.look()

    cdef void write_on(self) noexcept:
        """The kernel takes more of what waits."""
        cdef Connection connection = self.connection
        cdef Feed feed = self.brings
        cdef bytes first
        cdef Py_ssize_t rest, sent
        while self.waiting is not None:
            first = <bytes>self.waiting[0]
            rest = PyBytes_GET_SIZE(first) - self.begun
            sent = c_send(self.fd, PyBytes_AS_STRING(first) + self.begun, rest, MSG_NOSIGNAL)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.refused(errno)
                return
            if sent < rest:
                self.begun += sent
                return
            self.begun = 0
            if len(self.waiting) > 1:
                del self.waiting[0]
            else:
                self.waiting = None
        if feed is not None and not feed.pour():
            return
        if self.ends_writing:
            c_shutdown(self.fd, SHUT_WR)
        if self.is_ending:
            self.leave(None)
            return
        self.look()
        if connection.is_full:
            connection.emptied()

    cdef void refused(self, int number) noexcept:
        """The peer takes nothing more; as `Connection.refused`."""
        if (number != EPIPE and number != ECONNRESET) or not self.is_reading:
            self.fail(number)
            return
        self.waiting = None
        self.begun = 0
        self.connection.refusal = number
        self.look()

    cdef bint has_waiting(self) noexcept:
        return self.waiting is not None or (self.brings is not None and self.brings.held > 0)

    cdef void fill(self) noexcept:
        """Something waits: let the connection take no more."""
        cdef Connection connection = self.connection
        if connection is not None and not connection.is_full:
            connection.filled()

    cdef void look(self) noexcept:
        """Be told of what is wanted, and of nothing else."""
        cdef int events = 0
        if self.is_leaving:
            return
        if self.is_reading:
            events |= READABLE
        if self.is_dialling or self.has_waiting():
            events |= WRITABLE
        if events != self.watch.wanted and not self.watch.want(events):
            self.leave(OSError("a descriptor cannot be watched"))

    # -------- the end

    cdef void fail(self, int number) noexcept:
        self.leave(error_of(number))

    cdef void leave(self, object error) noexcept:
        """It is over. The connection is told in a moment; until then the descriptor is not used again."""
        cdef Engine engine = self.engine
        cdef Feed feed
        if self.is_leaving:
            return
        self.is_leaving = True
        self.is_ending = True
        self.is_reading = False
        self.waiting = None
        self.error = error
        self.watch.close()
        # A call of a C method holds no reference, and a feed that is over lets go of both.
        feed = self.takes
        if feed is not None:
            feed.over(self)
        feed = self.brings
        if feed is not None:
            feed.over(self)
        if engine.leaving is None:
            try:
                engine.loop.call_soon(tell_leaving, engine)
            except Exception:
                self.gone()        # the loop is closed
                return
            engine.leaving = []
        engine.leaving.append(self)

    cdef void gone(self) noexcept:
        cdef Connection connection = self.connection
        self.connection = None
        close(self.fd)
        self.fd = NO_FD
        connection.lost(self.error)

    # -------- what a connection asks for, by the names of asyncio.Transport

    def pause_reading(self):
        # The kernel is told at the next event, if it has not been taken back by then.
        self.is_reading = False

    def resume_reading(self):
        if not self.is_ending:
            self.is_reading = True
            self.look()

    def write(self, bytes data not None):
        """Send *data* when the kernel takes it; what could be sent at once was sent before this."""
        if self.is_ending or self.ends_writing or not data:
            return
        if self.waiting is None:
            self.waiting = [data]
            self.look()
        else:
            self.waiting.append(data)
        self.fill()

    def get_write_buffer_size(self):
        """How many bytes wait."""
        waiting = 0 if self.waiting is None else sum(map(len, self.waiting)) - self.begun
        return waiting if self.brings is None else waiting + self.brings.held

    def can_write_eof(self):
        return True

    def write_eof(self):
        """Say that nothing comes behind what was written."""
        if self.ends_writing or self.is_ending:
            return
        self.ends_writing = True
        if not self.has_waiting():
            c_shutdown(self.fd, SHUT_WR)

    def is_closing(self):
        return self.is_ending

    def close(self):
        """End when what waits is written."""
        if self.is_ending:
            return
        self.is_ending = True
        self.is_reading = False
        if self.has_waiting():
            self.look()
        else:
            self.leave(None)

    def abort(self):
        """End now."""
        self.leave(None)

    def get_extra_info(self, name, default=None):
        """Its addresses, as socket.socket has them; "socket": something with fileno() and setsockopt()."""
        cdef sockaddr_storage address
        cdef unsigned int size = sizeof(address)
        if name == "socket":
            return self
        if self.fd < 0:
            return default
        if name == "peername":
            if getpeername(self.fd, <sockaddr*>&address, &size) == 0:
                return name_of(&address)
        elif name == "sockname":
            if getsockname(self.fd, <sockaddr*>&address, &size) == 0:
                return name_of(&address)
        return default

    def fileno(self):
        return self.fd

    def setsockopt(self, int level, int name, value):
        """Set an option, to a number or to bytes. OSError."""
        cdef bytes text
        cdef int number
        cdef int told
        if isinstance(value, int):
            number = value
            told = setsockopt(self.fd, level, name, &number, sizeof(int))
        else:
            text = value
            told = setsockopt(self.fd, level, name, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if told < 0:
            raise error_of(errno)


cdef void on_ready(object owner, int fd, int events) noexcept:
    cdef Transport transport = <Transport>owner
    cdef Feed feed
    if transport.is_leaving:
        return
    if transport.is_dialling:
        transport.dialled()
        return
    if events & READABLE:      # first: of a peer that is gone, what it has said
        if not transport.is_reading:
            transport.look()
        elif transport.takes is not None:
            feed = transport.takes
            feed.draw()
        else:
            transport.read()
    if events & WRITABLE and not transport.is_leaving:
        transport.write_on()


def tell_leaving(Engine engine not None):
    """Tell the connections that have ended in this turn of the loop. Called by the loop."""
    cdef list leaving = engine.leaving
    cdef Transport transport
    engine.leaving = None
    for transport in leaving:
        transport.gone()


cdef object error_of(int number):
    return OSError(number, strerror(number).decode())


cdef bint carry(Engine engine, Connection connection, int fd) noexcept:
    """Let a connection have a socket that is connected. False: it cannot be watched; it is closed, and that told."""
    cdef Transport transport = Transport.__new__(Transport)
    if transport.begin(engine, connection, fd):
        transport.made()
        return True
    close(fd)
    connection.lost(OSError("a descriptor cannot be watched"))
    return False


cdef int call_up(Engine engine, Connection connection, const void* address, unsigned int size) except -1:
    """Connect to an address; the connection is told in a later turn of the loop that it is made, or lost. OSError."""
    cdef Transport transport = Transport.__new__(Transport)
    cdef int on = 1
    cdef int family = (<const sockaddr_storage*>address).ss_family
    cdef int fd = c_socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    cdef int number
    if fd < 0:
        raise error_of(errno)
    if family != AF_UNIX:
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(int))
    if c_connect(fd, <const sockaddr*>address, size) < 0 and errno != EINPROGRESS:
        number = errno
        close(fd)
        raise error_of(number)
    if not transport.begin(engine, connection, fd):
        close(fd)
        raise OSError("a descriptor cannot be watched")
    transport.is_dialling = True
    connection.transport = transport
    transport.look()
    return 0
