"""UDP: the sessions of an entry point, each a client's address and a socket of its own to one server.

The first datagram of a client opens a session and chooses its server; those that follow go there, whatever the
configuration becomes, until nothing passes in either direction for a while, or the server's host says that nobody is
there. Answers come from the address that the client sent to. Nothing is queued here: the kernel's buffers are all
there is between a client and its server, and what they do not take is lost, as datagrams are.
Source: `udp.routers.<name>`, `udp.services.<name>`, `entryPoints.<name>.udp`.
"""

import asyncio
import socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, errno
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from .deadline cimport Timed, detach, now
from .murmur cimport Murmur
from .pool cimport Pool
from .port cimport Engine
from .shared cimport InFlight
from .snapshot cimport Snapshot, Switch
from .balance cimport Balancer
from .tally cimport C_ACCEPTED, C_OPEN, Tally, count, count_more
from .target cimport Target, target_answered, target_end

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    #include <string.h>
    #include <sys/socket.h>

    /* Turns the control message of a received datagram into that of its answer: from the address it came to,
       by whatever interface leads there. Returns its length in out, 0 for none. */
    static size_t fp_answer_from(struct msghdr *message, char *out, size_t room) {
        struct cmsghdr *each;
        struct msghdr made;
        memset(out, 0, room);
        memset(&made, 0, sizeof made);
        made.msg_control = out;
        made.msg_controllen = room;
        for (each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
            if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
                struct in_pktinfo got, put;
                struct cmsghdr *head = CMSG_FIRSTHDR(&made);
                memcpy(&got, CMSG_DATA(each), sizeof got);
                memset(&put, 0, sizeof put);
                put.ipi_spec_dst = got.ipi_spec_dst;
                head->cmsg_level = IPPROTO_IP;
                head->cmsg_type = IP_PKTINFO;
                head->cmsg_len = CMSG_LEN(sizeof put);
                memcpy(CMSG_DATA(head), &put, sizeof put);
                return CMSG_SPACE(sizeof put);
            }
            if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
                struct in6_pktinfo got;
                struct cmsghdr *head = CMSG_FIRSTHDR(&made);
                memcpy(&got, CMSG_DATA(each), sizeof got);
                if (!IN6_IS_ADDR_LINKLOCAL(&got.ipi6_addr))
                    got.ipi6_ifindex = 0;
                head->cmsg_level = IPPROTO_IPV6;
                head->cmsg_type = IPV6_PKTINFO;
                head->cmsg_len = CMSG_LEN(sizeof got);
                memcpy(CMSG_DATA(head), &got, sizeof got);
                return CMSG_SPACE(sizeof got);
            }
        }
        return 0;
    }
    """
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    size_t fp_answer_from(msghdr* message, char* out, size_t room) noexcept nogil
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout) noexcept nogil
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags) noexcept nogil

cdef extern from "sys/socket.h" nogil:
    int AF_INET, AF_INET6, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL
    int c_socket "socket"(int family, int kind, int protocol)
    cdef struct sockaddr:
        pass
    int c_connect "connect"(int fd, const sockaddr* address, socklen_t size)
    ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)

cdef extern from "netinet/in.h" nogil:
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        unsigned short sin_family
        unsigned short sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family
        unsigned short sin6_port
        in6_addr sin6_addr
    unsigned short htons(unsigned short port)

cdef extern from "arpa/inet.h" nogil:
    int inet_pton(int family, const char* text, void* out)

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)

cdef enum:
    BATCH = 16                 # datagrams taken from a socket at once
    LARGEST = 65536            # bytes of room for each; a datagram has at most 65535
    MOST_WAITING = 65536       # bytes of datagrams kept for a session while a name is looked up

cdef double LOOKUP = 10.0      # seconds for that


cdef struct Batch:
    mmsghdr[BATCH] messages
    iovec[BATCH] parts
    sockaddr_storage[BATCH] addresses
    char[BATCH][CONTROL] controls
    char* data                 # owned: BATCH times LARGEST


cdef Batch* new_batch() except NULL:
    cdef Batch* batch = <Batch*>calloc(1, sizeof(Batch))
    cdef int i
    if batch is NULL:
        raise MemoryError()
    batch.data = <char*>malloc(BATCH * LARGEST)
    if batch.data is NULL:
        free(batch)
        raise MemoryError()
    for i in range(BATCH):
        batch.parts[i].iov_base = batch.data + i * LARGEST
    return batch


cdef int receive(Batch* batch, int fd) noexcept nogil:
    """Take what a socket has, at most BATCH datagrams; returns how many, or -1."""
    cdef int i, got
    for i in range(BATCH):
        batch.parts[i].iov_len = LARGEST
        batch.messages[i].msg_hdr.msg_iov = &batch.parts[i]
        batch.messages[i].msg_hdr.msg_iovlen = 1
        batch.messages[i].msg_hdr.msg_name = &batch.addresses[i]
        batch.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
        batch.messages[i].msg_hdr.msg_control = batch.controls[i]
        batch.messages[i].msg_hdr.msg_controllen = CONTROL
        batch.messages[i].msg_hdr.msg_flags = 0
    while True:
        got = recvmmsg(fd, batch.messages, BATCH, MSG_DONTWAIT, NULL)
        if got >= 0 or errno != EINTR:
            return got


cdef class DatagramTarget(Target):
    """A server of UDP. Source: `udp.services.<name>.loadBalancer.servers[]`."""

    def __init__(self, str url not None, Pool pool not None):
        Target.__init__(self, url, pool)
        cdef bytes host = pool.host.encode()
        cdef sockaddr_in* four = <sockaddr_in*>&self.place
        cdef sockaddr_in6* six = <sockaddr_in6*>&self.place
        memset(&self.place, 0, sizeof(self.place))
        if inet_pton(AF_INET, host, &four.sin_addr) == 1:
            four.sin_family = AF_INET
            four.sin_port = htons(pool.port)
            self.place_size = sizeof(sockaddr_in)
        elif inet_pton(AF_INET6, host, &six.sin6_addr) == 1:
            six.sin6_family = AF_INET6
            six.sin6_port = htons(pool.port)
            self.place_size = sizeof(sockaddr_in6)


cdef class Session(Timed):
    """One client's datagrams, and those that its server sends back."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.timer.next is NULL:
            return
        if self.home is not None and self.home.engine is not None and self.home.engine.wheel is not None:
            self.home.engine.wheel.unlink(&self.timer)
        else:
            detach(&self.timer)

    cdef bint open(self, const sockaddr_storage* place, socklen_t size) noexcept:
        """Connect to the server; False when that cannot be."""
        self.fd = c_socket(place.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if self.fd < 0:
            return False
        if c_connect(self.fd, <const sockaddr*>place, size) != 0:
            return False
        try:
            self.home.engine.loop.add_reader(self.fd, self.readable)
        except Exception as error:
            self.home.engine.log.error("entry point %s: %r", self.home.name, error, exc_info=error)
            return False
        return True

    async def find(self):
        """Look the name of the server up, connect, and send what waits."""
        cdef DatagramTarget target = <DatagramTarget>self.target
        cdef DatagramTarget found
        cdef bytes data
        try:
            async with asyncio.timeout(LOOKUP):
                places = await self.home.engine.loop.getaddrinfo(
                    target.pool.host, target.pool.port, type=socket.SOCK_DGRAM)
            host = places[0][4][0]
            found = DatagramTarget(target.url, Pool(scheme="udp", host=host, port=target.pool.port))
            if self.is_over:
                return
            if not found.place_size or not self.open(&found.place, found.place_size):
                raise OSError(f"{host} cannot be connected to")
        except Exception as error:
            self.home.engine.log.warning("server %s cannot be reached: %s", target.url,
                                         str(error) or type(error).__name__)
            self.end()
            return
        finally:
            self.task = None
        waiting, self.waiting = self.waiting, None
        for data in waiting:
            if not self.is_over:
                self.pass_on(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef void keep(self, const char* at, Py_ssize_t size) noexcept:
        if self.waiting_size + size > MOST_WAITING:
            self.home.lost.add((self.home.name, "the server's name is still looked up"))
            return
        try:
            self.waiting.append(PyBytes_FromStringAndSize(at, size))
            self.waiting_size += size
        except MemoryError:
            pass

    cdef bint pass_on(self, const char* at, Py_ssize_t size) noexcept:
        """Send a datagram to the server. False: its host has said that nobody is there, and the session is over."""
        cdef ssize_t sent
        if self.waiting is not None:
            self.keep(at, size)
            return True
        while True:
            sent = c_send(self.fd, at, size, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent >= 0 or errno != EINTR:
                break
        if sent >= 0:
            self.touch()
            return True
        if errno == EAGAIN or errno == ENOBUFS:
            self.home.lost.add((self.home.name, "the system's buffers are full"))
            return True
        self.end()
        return False

    def readable(self):
        """The server has sent something, or its host an error; called by the loop."""
        cdef Sessions home = self.home
        cdef Batch* batch = home.batch
        cdef msghdr* head
        cdef int i, got, sent
        if self.fd < 0:
            return
        got = receive(batch, self.fd)
        if got < 0:
            if errno != EAGAIN:
                self.end()
            return
        for i in range(got):
            batch.parts[i].iov_len = batch.messages[i].msg_len
            head = &batch.messages[i].msg_hdr
            head.msg_name = PyBytes_AS_STRING(self.key)
            head.msg_namelen = PyBytes_GET_SIZE(self.key)
            head.msg_control = self.control if self.control_size else NULL
            head.msg_controllen = self.control_size
        sent = sendmmsg(self.from_fd, batch.messages, got, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent < 0 and errno == EINVAL and self.control_size:
            # What it was sent to is no address that can be sent from.
            self.control_size = 0
            for i in range(got):
                batch.messages[i].msg_hdr.msg_control = NULL
                batch.messages[i].msg_hdr.msg_controllen = 0
            sent = sendmmsg(self.from_fd, batch.messages, got, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent < got:
            home.lost.add((home.name, "the system does not take answers"))
        self.touch()

    cdef void touch(self) noexcept:
        """Something passed."""
        self.home.engine.wheel.arm(&self.timer, self, now() + self.home.timeout, 0)

    cdef void on_deadline(self, int what) noexcept:
        self.end()

    cdef void end(self) noexcept:
        """Forget the client. May be called twice."""
        cdef Sessions home = self.home
        if self.is_over:
            return
        self.is_over = True
        home.sessions.pop(self.key, None)
        home.engine.wheel.unlink(&self.timer)
        if self.fd >= 0:
            try:
                home.engine.loop.remove_reader(self.fd)
            except Exception:
                pass       # the loop is closed
            c_close(self.fd)
            self.fd = -1
        if self.task is not None:
            self.task.cancel()
        home.engine.open -= 1
        home.count_out(self)
        count_more(home.tally, C_OPEN, -1)
        target_answered(self.target)
        target_end(self.target)
        if not home.sessions and home.drained is not None and not home.drained.done():
            home.drained.set_result(None)


cdef class Sessions:
    """A UDP entry point.

    index: of its service in a snapshot; timeout: seconds without a datagram in either direction after which a session
    is over.
    Source: `entryPoints.<name>.udp.timeout`.
    """

    def __cinit__(self, object loop not None, Switch switch not None, int index, str name not None, *,
                  double timeout=3.0, Tally tally=None, object log=None):
        self.name = name
        self.index = index
        self.switch = switch
        self.engine = Engine.of(loop, log)
        self.tally = tally if tally is not None else Tally()
        self.timeout = timeout
        self.sessions = {}
        self.sockets = {}
        self.batch = new_batch()
        self.refused = Murmur(loop, log, (
            "%d datagrams of new clients were dropped on entry point %s: %s is %d"))
        self.lost = Murmur(loop, log, "%d times datagrams were lost on entry point %s: %s")

    def __dealloc__(self):
        if self.batch is not NULL:
            free(self.batch.data)
            free(self.batch)

    @property
    def connections(self):
        """How many sessions there are."""
        return len(self.sessions)

    def limit(self, InFlight counts not None, int cell, int cell_of_all, long long most, long long most_in_all):
        """Let there be no more than *most* sessions here and *most_in_all* with connections; as `Door.limit`."""
        self.cell = counts.checked(cell)
        self.cell_of_all = counts.checked(cell_of_all)
        self.most = most
        self.most_in_all = most_in_all
        self.counts = counts

    # -------- sockets

    def listen(self, bound not None):
        """Take datagrams of a bound socket, which is kept open, but not closed, by this."""
        cdef int fd = bound.fileno()
        bound.setblocking(False)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            bound.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.sockets[fd] = bound
        self.engine.loop.add_reader(fd, self.readable, fd)

    def leave(self, bound not None):
        """Take no more from a socket; its sessions can answer as long as somebody has it open."""
        if bound.fileno() in self.sockets:
            self.engine.loop.remove_reader(bound.fileno())
            del self.sockets[bound.fileno()]

    def readable(self, int fd):
        """Datagrams of clients are there; called by the loop."""
        cdef Batch* batch = self.batch
        cdef Session session
        cdef char[CONTROL] control
        cdef size_t control_size
        cdef bytes key
        cdef int i, got = receive(batch, fd)
        for i in range(got):
            key = PyBytes_FromStringAndSize(<const char*>&batch.addresses[i], batch.messages[i].msg_hdr.msg_namelen)
            session = <Session>self.sessions.get(key)
            if session is not None and session.pass_on(<char*>batch.parts[i].iov_base, batch.messages[i].msg_len):
                continue
            control_size = fp_answer_from(&batch.messages[i].msg_hdr, control, CONTROL)
            session = self.begin(key, fd, control, control_size)
            if session is not None:
                session.pass_on(<char*>batch.parts[i].iov_base, batch.messages[i].msg_len)

    # -------- sessions

    cdef Session begin(self, bytes key, int fd, const char* control, size_t control_size) noexcept:
        """Open the session of a client; None: there is no server for it, or no place."""
        cdef Snapshot snapshot = self.switch.current
        cdef Balancer service
        cdef DatagramTarget target
        cdef Session session
        if self.is_draining or <Py_ssize_t>len(snapshot.flows) <= self.index:
            return None
        service = <Balancer>snapshot.flows[self.index]
        if service is None:
            return None
        session = Session.__new__(Session)
        if not self.count_in(session):
            return None
        try:
            target = <DatagramTarget>service.pick()
        except Exception as error:
            self.engine.log.error("entry point %s: %r", self.name, error, exc_info=error)
            target = None
        if target is None:
            self.count_out(session)
            return None
        session.home = self
        session.key = key
        session.from_fd = fd
        session.control_size = control_size
        memcpy(session.control, control, CONTROL)
        session.target = target
        self.sessions[key] = session
        self.engine.open += 1
        count(self.tally, C_ACCEPTED)
        count(self.tally, C_OPEN)
        session.touch()
        if target.place_size == 0:
            session.waiting = []
            session.task = self.engine.loop.create_task(session.find())
        elif not session.open(&target.place, target.place_size):
            if errno == EMFILE or errno == ENFILE:
                self.refused.add((self.name, "descriptors", self.engine.open))
            session.end()
            return None
        return session

    cdef bint count_in(self, Session session) noexcept:
        if self.engine.most and self.engine.open >= self.engine.most - self.engine.kept:
            self.refused.add((self.name, "descriptors for clients", self.engine.most - self.engine.kept))
            return False
        if self.counts is None:
            return True
        if self.most_in_all and not self.counts.take(self.cell_of_all, self.most_in_all):
            self.refused.add((self.name, "core.limits.connections", self.most_in_all))
            return False
        if self.most and not self.counts.take(self.cell, self.most):
            if self.most_in_all:
                self.counts.leave(self.cell_of_all)
            self.refused.add((self.name, "core.limits.connectionsPerEntryPoint", self.most))
            return False
        session.is_counted = True
        return True

    cdef void count_out(self, Session session) noexcept:
        if session.is_counted:
            session.is_counted = False
            if self.most_in_all:
                self.counts.leave(self.cell_of_all)
            if self.most:
                self.counts.leave(self.cell)

    # -------- the end

    def drain(self, double grace=0.0):
        """Open no more sessions; those that are there go on."""
        self.is_draining = True

    async def wait_drained(self, double seconds):
        """Wait until no session is left, at most *seconds*; return how many are."""
        if self.sessions:
            self.drained = self.engine.loop.create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self.drained
            except TimeoutError:
                pass
            finally:
                self.drained = None
        return len(self.sessions)

    def abort(self):
        """End every session and let go of the sockets."""
        cdef Session session
        for session in list(self.sessions.values()):
            session.end()
        for fd in list(self.sockets):
            self.engine.loop.remove_reader(fd)
        self.sockets.clear()


IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)      # Python has no name for it before 3.14
