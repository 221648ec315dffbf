"""A client's connection passed on whole to a server of a TCP service: dialled once, then spliced.

The connection keeps its server and nothing else of the generation that it began under. A server that cannot be
reached is not replaced by another one: the client's connection is closed.
"""

from ssl import SSLError

from cpython.bytes cimport PyBytes_FromStringAndSize

from .connection cimport Connection
from .netset cimport address_of_text
from .port cimport Peer, Receiver
from .proxyline cimport Line, line_of
from .splice cimport Splice
from .table cimport Route
from .target cimport StreamTarget, Target, target_answered, target_end
from .upstream cimport Upstream, dial

cdef extern from "sys/socket.h" nogil:
    int SOL_SOCKET
    int SO_KEEPALIVE
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size)

cdef extern from "netinet/in.h" nogil:
    int IPPROTO_TCP

cdef extern from "netinet/tcp.h" nogil:
    int TCP_KEEPIDLE
    int TCP_KEEPINTVL

cdef enum:
    T_TERMINATION = 1      # for both kinds of connections nothing that they know by another name in a tunnel

cdef double AT_ONCE = 0.001
cdef const char* SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


cdef class Call(Receiver):
    """Tells a relay what came of dialling."""

    cdef Relay relay

    cdef void on_connected(self, Peer server) noexcept:
        self.relay.connected(<Upstream>server)

    cdef void on_dial_failed(self, object error) noexcept:
        self.relay.failed(error)


cdef class Relay(Splice):
    """Two connections, of which the second is still to be made."""

    cdef void begin(self) noexcept:
        cdef Call call = Call.__new__(Call)
        cdef StreamTarget target = <StreamTarget>self.target
        cdef bytes header = None
        call.relay = self
        try:
            if target.pool.ssl is not None:
                header = self.header()
            self.dialling = dial(self.one.engine, target.pool, call, header)
        except Exception as error:
            self.one.report(error)
            self.one.abort()

    cdef bytes header(self):
        """What tells the server who the client is; None: nothing does."""
        cdef StreamTarget target = <StreamTarget>self.target
        if not target.proxy:
            return None
        if not self.line.tells:
            tell_ends(&self.line, self.one)
        return line_of(target.proxy, &self.line)

    cdef void connected(self, Upstream server) noexcept:
        cdef Connection client = self.one
        cdef StreamTarget target = <StreamTarget>self.target
        cdef bytes header
        self.dialling = None
        if client is None or client.is_closing:
            server.abort()
            self.end()
            return
        target_answered(target)
        self.two = server
        server.upgrade()
        server.tunnel = self
        try:
            set_keep_alive(server, target.keep_alive)
            header = self.header() if target.pool.ssl is None else None    # TLS has it in front already
            if header is not None:
                server.put(header, len(header))
        except Exception as error:
            server.report(error)
            client.abort()
            return
        if self.asks_tls:
            client.pause()
            server.put(SSL_REQUEST, SSL_REQUEST_SIZE)
            server.flush()
            server.arm(target.pool.dial_timeout or client.engine.patience, T_TERMINATION)
        else:
            self.go_on()

    cdef void go_on(self) noexcept:
        """The server is ready: what waits is sent, and from now on bytes pass."""
        cdef Connection client = self.one, server = self.two
        cdef bytes early = self.early
        if early is not None:
            self.early = None
            server.put(early, len(early))
        server.flush()
        if self.ended_early:
            self.on_eof(client)
        if not server.is_full:
            client.resume()

    cdef void failed(self, object error) noexcept:
        """The server cannot be reached; told once, and the client is let go."""
        cdef Connection client = self.one
        self.dialling = None
        if client is not None:
            try:
                if isinstance(error, (SSLError, ValueError)):
                    client.engine.log.error("TLS with server %s failed: %s", self.target.url, error)
                else:
                    client.engine.log.warning("server %s cannot be reached: %s", self.target.url,
                                              str(error) or type(error).__name__)
            except Exception:
                pass
            client.close()
        self.end()

    cdef void end(self) noexcept:
        """Nobody is there any more who needed the server."""
        if self.target is not None and self.two is None:
            target_answered(self.target)
            target_end(self.target)
            self.target = None

    # -------- what happened

    cdef void on_data(self, Connection side, const char* at, Py_ssize_t size) noexcept:
        if self.asks_tls and side is self.two:
            self.asks_tls = False
            side.arm(0, T_TERMINATION)
            if size == 1 and at[0] == 83 and self.one is not None:     # 'S'
                self.go_on()
                return
            try:
                side.engine.log.warning("server %s does not speak TLS for PostgreSQL", self.target.url)
            except Exception:
                pass
            side.close()
            return
        if self.two is not None and not self.asks_tls:
            Splice.on_data(self, side, at, size)
            return
        side.pause()
        try:
            self.early = PyBytes_FromStringAndSize(at, size) if self.early is None else (
                self.early + PyBytes_FromStringAndSize(at, size))
        except MemoryError as error:
            side.report(error)
            side.abort()

    cdef void on_eof(self, Connection side) noexcept:
        cdef Connection to = self.other(side)
        cdef double patience
        if self.asks_tls and side is self.two:
            side.close()
            return
        if to is None or self.asks_tls:
            self.ended_early = True
            return
        Splice.on_eof(self, side)
        patience = (<StreamTarget>self.target).termination
        if self.ends == 1 and patience >= 0 and not to.is_closing:
            to.arm(max(patience, AT_ONCE), T_TERMINATION)

    cdef void on_lost(self, Connection side) noexcept:
        if side is self.one and self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None
            side.tunnel = None
            self.one = None
            self.end()
        else:
            Splice.on_lost(self, side)


cdef int set_keep_alive(Upstream server, int seconds) except -1:
    """Let the kernel ask whether the server is still there."""
    cdef int on = 1, fd
    if seconds <= 0:
        return 0
    fd = server.transport.get_extra_info("socket").fileno()
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(int))
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof(int))
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof(int))
    return 0


cdef int tell_ends(Line* ends, Connection client) except -1:
    """Write down where a connection is from and where it came in."""
    cdef tuple peer = client.transport.get_extra_info("peername")
    cdef tuple own = client.transport.get_extra_info("sockname")
    cdef bytes source = peer[0].partition("%")[0].encode()
    cdef bytes destination = own[0].partition("%")[0].encode()
    ends.source = address_of_text(source, len(source))
    ends.source_port = peer[1]
    ends.destination = address_of_text(destination, len(destination))
    ends.destination_port = own[1]
    ends.tells = True
    return 0


cdef void relay(Connection client, Route route, const Line* ends, bint asks_tls) noexcept:
    """Pass a connection on as a route says: to the next server of its service; closed when there is none.

    asks_tls: the client has asked for TLS as PostgreSQL does, and was told to begin; the server has to agree.
    """
    cdef Relay made
    cdef Target target
    client.arm(0, 0)           # what it had to say in time has been said
    try:
        target = route.balancer.pick()
        if target is None:
            client.engine.forlorn.add((route.name, route.balancer.name))
    except Exception as error:
        client.report(error)
        target = None
    if target is None:
        client.close()
        return
    made = Relay.__new__(Relay)
    made.one = client
    made.target = target
    made.line = ends[0]
    made.asks_tls = asks_tls
    client.tunnel = made
    made.begin()
