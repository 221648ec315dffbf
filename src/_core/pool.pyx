"""Idle connections to one address under one transport.

A pool is made once for each combination of transport settings and address and outlives reloads that did not
change it. It knows connections only as `Idle`: what they are to the exchange is the upstream's affair.
"""

from libc.limits cimport INT_MAX

from .sockaddr cimport sockaddr_of, sockaddr_of_path


cdef class Idle(Timed):
    """A connection that can lie in a pool."""

    cdef void discard(self) noexcept:
        """Close the connection. Called by the pool after it let go of it."""


cdef class Pool:
    """A stack of idle connections, newest on top: the warmest is used, the oldest is let go.

    scheme: "http", "https", "unix", or of what is passed on whole "tcp", "tls", "udp"; host: name or address without
    brackets; port: 1..65535, 0 for unix; path: of the unix socket; ssl: an `ssl.SSLContext` for https and tls;
    server_name: SNI and the name verified.
    max_idle: connections kept (0 keeps none); the timeouts are seconds, 0 for none.
    most_pending: requests without an answer so far, at which the server gets no more, 0 for no limit.
    Source: `http.serversTransports.<name>` (maxIdleConnsPerHost, forwardingTimeouts.*), `core.limits.pendingPerServer`.
    """

    def __init__(self, *, str scheme not None, str host="", int port=0, str path="", object ssl=None,
                 str server_name="", int max_idle=200, double idle_timeout=90.0, double dial_timeout=30.0,
                 double header_timeout=0.0, int most_pending=0):
        if scheme not in ("http", "https", "unix", "tcp", "tls", "udp"):
            raise ValueError(f'scheme "{scheme}" is not http, https, unix, tcp, tls or udp')
        if scheme == "unix" and not path:
            raise ValueError("a unix pool needs the path of its socket")
        if scheme != "unix" and not (host and 0 < port < 65536):
            raise ValueError(f"a pool needs a host and a port from 1 to 65535, not {host!r} and {port}")
        if (scheme in ("https", "tls")) != (ssl is not None):
            raise ValueError("an ssl context belongs to https and tls, and to nothing else")
        self.scheme = scheme
        self.place = sockaddr_of_path(path) if scheme == "unix" else sockaddr_of(host, port, 0)
        self.host = host
        self.port = port
        self.path = path
        self.ssl = ssl
        self.server_name = server_name
        self.max_idle = max_idle
        self.idle_timeout = idle_timeout
        self.dial_timeout = dial_timeout
        self.header_timeout = header_timeout
        self.most_pending = most_pending if most_pending > 0 else INT_MAX

    @property
    def address(self):
        """The address as a person writes it: `10.0.0.7:80`, `[::1]:80` or a socket's path."""
        if self.scheme == "unix":
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    cdef Idle take(self):
        """Give the newest idle connection away, or None."""
        cdef Idle connection = self.top
        if connection is not None:
            self.remove(connection)
        return connection

    cdef bint give(self, Idle connection) noexcept:
        """Lay `connection` on top; False when the pool does not keep it and the caller must close it."""
        if self.closed or self.max_idle <= 0:
            return False
        connection.older = self.top
        connection.newer = None
        if self.top is not None:
            self.top.newer = connection
        else:
            self.bottom = connection
        self.top = connection
        connection.lying = True
        self.idle += 1
        if self.idle > self.max_idle:
            self.discard_oldest()
        return True

    cdef void discard_oldest(self) noexcept:
        """Close the one that lay here longest. There must be one."""
        cdef Idle oldest = self.bottom
        self.remove(oldest)
        oldest.discard()

    cdef void remove(self, Idle connection) noexcept:
        """Take `connection` out, wherever it lies. It must lie here."""
        if connection.newer is not None:
            connection.newer.older = connection.older
        else:
            self.top = connection.older
        if connection.older is not None:
            connection.older.newer = connection.newer
        else:
            self.bottom = connection.newer
        connection.older = None
        connection.newer = None
        connection.lying = False
        self.idle -= 1

    def close(self):
        """Close what lies here and keep nothing from now on."""
        cdef Idle connection
        self.closed = True
        while self.top is not None:
            connection = self.top
            self.remove(connection)
            connection.discard()
