"""UDP: the sessions of an entry point, each a client's address and a socket of its own to one server.

The first datagram of a client opens a session and chooses its server; those that follow go there, whatever the
configuration becomes, until nothing passes in either direction for a while, or the server's host says that nobody is
there. Answers come from the address that the client sent to. Nothing is queued here: the kernel's buffers are all
there is between a client and its server, and what they do not take is lost, as datagrams are.
Source: `udp.routers.<name>`, `udp.services.<name>`, `entryPoints.<name>.udp`.
"""

import asyncio
import os
import socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EMFILE, EMSGSIZE, ENFILE, ENOBUFS, ENOMEM, EPERM, errno
from libc.string cimport memcpy

from .batch cimport Batch, give
from .deadline cimport Timed, detach, now
from .engine cimport Engine
from .murmur cimport Murmur
from .pool cimport Pool
from .room cimport L_NONE, Limit, Room
from .shared cimport InFlight
from .snapshot cimport Snapshot, Switch
from .sockaddr cimport sockaddr, sockaddr_of, sockaddr_storage, socklen_t
from .balance cimport Balancer
from .tally cimport (
    C_ACCEPTED, C_BYTES_IN, C_BYTES_OUT, C_DATAGRAMS_IN, C_DATAGRAMS_LOST, C_DATAGRAMS_OUT, C_OPEN, Tally, count,
    count_more,
)
from .target cimport Target, target_answered, target_begin, target_end
from .watch cimport READABLE, Watch

cdef extern from "sys/socket.h" nogil:
    int SOCK_DGRAM, SOCK_NONBLOCK, SOCK_CLOEXEC
    int c_socket "socket"(int family, int kind, int protocol)
    int c_connect "connect"(int fd, const sockaddr* address, socklen_t size)

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)

cdef enum:
    MOST_WAITING = 1 << 16     # bytes that a session may hold while a name is looked up
    MOST_WAITING_IN_ALL = 1 << 22      # and all sessions of the entry point
    HELD_BESIDE = 64           # bytes that a datagram takes beside what is in it, an empty one too

cdef double LOOKUP = 10.0      # seconds for a name
cdef double KNOWN = 1.0        # seconds for which new sessions go where a name led to

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)          # Python has no names for these before 3.14
IP_RECVERR = getattr(socket, "IP_RECVERR", 11)
IPV6_RECVERR = getattr(socket, "IPV6_RECVERR", 25)


cdef bint is_loss(int error) noexcept nogil:
    """Whether a datagram could not go, or not now, but others may; else nobody is there any more."""
    return (error == EAGAIN or error == ENOBUFS or error == ENOMEM or error == EMSGSIZE or error == EPERM)


cdef class DatagramTarget(Target):
    """A server of UDP. Source: `udp.services.<name>.loadBalancer.servers[]`.

    A host that is a name is looked up for the first session, and again for one that begins KNOWN seconds later;
    sessions that begin meanwhile wait for the same answer.
    """

    def __init__(self, str url not None, Pool pool not None):
        Target.__init__(self, url, pool)
        self.place = pool.place
        self.is_name = self.place is None

    cdef bint is_known(self) noexcept:
        """Whether a session may go there without asking."""
        return not self.is_name or now() < self.known_until

    cdef bint ask(self, Session session) noexcept:
        """Let `session.found` be called when the name is looked up. False: that cannot be done."""
        try:
            if self.asking is None:
                self.task = session.home.engine.loop.create_task(self.look_up(session.home.engine))
                self.asking = []
            self.asking.append(session)
        except Exception:
            return False
        return True

    async def look_up(self, Engine engine not None):
        """Look the name up, and let those who wait go on, or end."""
        cdef DatagramTarget found = None
        cdef Session session
        try:
            async with asyncio.timeout(LOOKUP):
                places = await engine.loop.getaddrinfo(self.pool.host, self.pool.port, type=socket.SOCK_DGRAM)
            host, _, *more = places[0][4]
            place = sockaddr_of(host, self.pool.port, more[1] if more else 0)
            if place is None:
                raise OSError(f"{host} is no address that can be connected to")
            self.place = place
            self.known_until = now() + KNOWN
            found = self
        except Exception as error:
            engine.log.warning("server %s cannot be reached: %s", self.url, str(error) or type(error).__name__)
        finally:
            asking, self.asking = self.asking, None
            self.task = None
            for session in asking:
                session.found(found)


cdef class Front:
    """A socket that clients send to.

    bound: that socket; a copy of it is made, which stays open as long as a session answers by it.
    """

    def __cinit__(self, Sessions home not None, object bound not None):
        self.fd = -1
        bound.setblocking(False)
        host = bound.getsockname()[0]
        self.is_wild = host == "0.0.0.0" or host == "::"
        # Bound to one address, answers come from there anyway. A socket that somebody gave may be set otherwise; where
        # errors are to be fetched (RECVERR) it would be readable for ever, as nobody does.
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, self.is_wild)
            bound.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 0)
        else:
            bound.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, self.is_wild)
            bound.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 0)
        self.fd = os.dup(bound.fileno())
        self.bound = bound
        self.home = home
        self.watch = Watch()
        if not self.watch.open(home.engine.loop, self.fd, self, on_clients):
            raise OSError(f"entry point {home.name}: descriptor {self.fd} cannot be watched")

    def __dealloc__(self):
        # Of one that nobody has left. Others may have the same socket, and then the kernel would go on telling.
        if self.watch is not None:
            self.watch.close()
        if self.fd >= 0:
            c_close(self.fd)


cdef void on_clients(object owner, int fd, int events) noexcept:
    (<Front>owner).home.receive(<Front>owner)


cdef void on_server(object owner, int fd, int events) noexcept:
    (<Session>owner).answer()


cdef class Session(Timed):
    """One client's datagrams, and those that its server sends back."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.watch is not None:
            self.watch.close()
        if self.fd >= 0:
            c_close(self.fd)       # of one that nobody has ended
        if self.timer.next is NULL:
            return
        if self.home is not None and self.home.engine is not None and self.home.engine.wheel is not None:
            self.home.engine.wheel.unlink(&self.timer)
        else:
            detach(&self.timer)

    cdef bint open(self, DatagramTarget server) noexcept:
        """Connect to a server; False when that cannot be (errno)."""
        cdef bytes place = server.place
        cdef const sockaddr* address = <const sockaddr*>PyBytes_AS_STRING(place)
        self.fd = c_socket(address.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if self.fd < 0:
            return False
        if c_connect(self.fd, address, PyBytes_GET_SIZE(place)) != 0:
            return False
        return self.watch_server()

    cdef bint watch_server(self) noexcept:
        """Wait for what the server sends; False when that cannot be."""
        self.watch = Watch.__new__(Watch)
        return self.watch.open(self.home.engine.loop, self.fd, self, on_server) and self.watch.want(READABLE)

    cdef void found(self, DatagramTarget server) noexcept:
        """The server's name is looked up: connect, and send what waits. server: None if it was in vain."""
        cdef list waiting = self.waiting
        cdef bytes data
        if self.is_over:
            return
        if server is None or not self.open(server):
            self.end()
            return
        self.home.waiting_size -= self.waiting_size
        self.waiting = None
        self.waiting_size = 0
        for data in waiting:
            if give(self.fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) < 0:
                if not is_loss(errno):
                    self.end()
                    return
                self.home.lose(1, "the system does not take them")

    cdef int pass_on(self, Batch batch, int first, int many) noexcept:
        """Send *many* datagrams of a batch to the server, from *first* on; returns with how many of them it has done.

        Not with all: the server's host has said that nobody is there, and the session is over.
        """
        cdef int sent, done = 0
        cdef bint is_again = False
        if self.waiting is not None:
            return self.keep(batch, first, many)
        self.is_asked = True
        while done < many:
            sent = batch.pass_on(self.fd, first + done, many - done)
            if sent > 0:
                done += sent
                is_again = False
            elif not is_loss(errno):
                self.end()
                return done
            elif is_again or errno != EMSGSIZE:
                self.home.lose(1, "the system does not take them")
                done += 1
                is_again = False
            else:
                is_again = True        # said of one before, perhaps: the way to the server takes less than was thought
        self.touch()
        return done

    cdef int keep(self, Batch batch, int first, int many) noexcept:
        """Keep datagrams until the server's name is looked up, as many as may be; returns *many*."""
        cdef Py_ssize_t size
        cdef int at
        for at in range(first, first + many):
            size = batch.size(at) + HELD_BESIDE
            if (self.waiting_size + size > MOST_WAITING
                    or self.home.waiting_size + size > MOST_WAITING_IN_ALL):
                self.home.lose(first + many - at, "the server's name is still looked up")
                break
            try:
                self.waiting.append(PyBytes_FromStringAndSize(batch.data(at), batch.size(at)))
            except MemoryError:
                break
            self.waiting_size += size
            self.home.waiting_size += size
        return many

    cdef void answer(self) noexcept:
        """The server has sent something, or its host an error."""
        cdef Sessions home = self.home
        cdef Batch batch = home.outbox
        cdef Py_ssize_t size = 0
        cdef int i, lost, got
        if self.fd < 0:
            return
        # A question has one answer, mostly; what comes unasked comes in numbers.
        got = batch.take_one(self.fd) if self.is_asked else batch.take(self.fd)
        self.is_asked = False
        if got < 0:
            if not is_loss(errno):
                self.end()
            return
        for i in range(got):
            batch.address(i, PyBytes_AS_STRING(self.key), PyBytes_GET_SIZE(self.key), self.control, self.control_size)
        lost = batch.send_out(self.front.fd, &size)
        count_more(home.tally, C_DATAGRAMS_OUT, got - lost)
        count_more(home.tally, C_BYTES_OUT, size)
        if lost:
            home.lose(lost, "the system does not take answers")
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
        home.waiting_size -= self.waiting_size
        self.waiting = None
        self.waiting_size = 0
        if self.watch is not None:
            self.watch.close()
        if self.fd >= 0:
            c_close(self.fd)
            self.fd = -1
        home.engine.open -= 1
        if self.is_counted:
            home.room.leave()
        count_more(home.tally, C_OPEN, -1)
        target_answered(self.target)
        target_end(self.target)
        if not home.sessions:
            home.room.tell_empty()


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
        self.fronts = {}
        self.inbox = Batch(True)
        self.outbox = Batch(False)
        self.room = Room(name, self.engine)
        self.refused = Murmur(loop, log, (
            "%d datagrams of new clients were dropped on entry point %s: %s is %d"))
        self.lost = Murmur(loop, log, "%d datagrams were lost on entry point %s: %s")

    @property
    def connections(self):
        """How many sessions there are."""
        return len(self.sessions)

    def limit(self, InFlight counts not None, int cell, int cell_of_all, long long most, long long most_in_all):
        """Let there be no more than *most* sessions here and *most_in_all* with connections; as `Room.limit`."""
        self.room.limit(counts, cell, cell_of_all, most, most_in_all)

    # -------- sockets

    def stand_by(self, bound not None):
        """Make ready to take datagrams from a bound socket, by a copy of it. OSError if that cannot be."""
        self.fronts[id(bound)] = Front(self, bound)

    def listen(self, bound not None):
        """Take datagrams from a bound socket, by a copy of it. OSError if that cannot be."""
        cdef Front front
        if id(bound) not in self.fronts:
            self.stand_by(bound)
        front = self.fronts[id(bound)]
        if not front.watch.want(READABLE):
            self.leave(bound)
            raise OSError(f"entry point {self.name}: descriptor {front.fd} cannot be watched")

    def leave(self, bound not None):
        """Take no more from a socket; sessions that came by it can answer still."""
        cdef Front front = self.fronts.pop(id(bound), None)
        if front is not None:
            front.watch.close()

    cdef void receive(self, Front front) noexcept:
        """Datagrams of clients are there: take some and pass them on."""
        cdef Batch batch = self.inbox
        cdef Py_ssize_t size = 0
        cdef int at = 0, run, got
        batch.clear()
        got = batch.take(front.fd)
        while at < got:
            run = 0
            while True:
                size += batch.size(at + run)
                run += 1
                if at + run == got or not batch.is_of_same(at, at + run):
                    break
            self.bring(front, at, run)
            at += run
        if got > 0:
            count_more(self.tally, C_DATAGRAMS_IN, got)
            count_more(self.tally, C_BYTES_IN, size)

    cdef void bring(self, Front front, int first, int many) noexcept:
        """Pass on datagrams of one client that lie one after the other."""
        cdef bytes key = PyBytes_FromStringAndSize(self.inbox.sender(first), self.inbox.sender_size(first))
        cdef Session session = <Session>self.sessions.get(key)
        cdef int done = 0
        if session is not None:
            done = session.pass_on(self.inbox, first, many)
        if done == many:
            return
        session = self.begin(key, front, first + done)
        if session is not None:
            done += session.pass_on(self.inbox, first + done, many - done)
        count_more(self.tally, C_DATAGRAMS_LOST, many - done)

    # -------- sessions

    cdef Session begin(self, bytes key, Front front, int at):
        """Open the session of a client who has sent a datagram of the inbox; None: no server is there, or no room."""
        cdef Snapshot snapshot = self.switch.current
        cdef Balancer service
        cdef DatagramTarget target
        cdef Session session
        cdef Limit limit
        if self.is_draining or <Py_ssize_t>len(snapshot.flows) <= self.index:
            return None
        service = <Balancer>snapshot.flows[self.index]
        if service is None:
            return None
        limit = self.room.take(1)
        if limit != L_NONE:
            self.refused.add(self.room.told(limit))
            return None
        try:
            target = <DatagramTarget>service.pick()
        except Exception as error:
            self.engine.log.error("entry point %s: %r", self.name, error, exc_info=error)
            target = None
        if target is None:
            self.room.leave()
            return None
        session = Session.__new__(Session)
        self.enter(session, key, front, target)
        if front.is_wild:
            session.control_size = self.inbox.answer_from(at, session.control)
        if not target.is_known():
            session.waiting = []
            if not target.ask(session):
                session.end()
                return None
        elif not session.open(target):
            if errno == EMFILE or errno == ENFILE:
                self.refused.add((self.name, "descriptors", self.engine.open))
            session.end()
            return None
        return session

    cdef void enter(self, Session session, bytes key, Front front, DatagramTarget target) noexcept:
        """Count a new session, for which there is room, and begin its time."""
        session.is_counted = True
        session.home = self
        session.front = front
        session.key = key
        session.target = target
        self.sessions[key] = session
        self.engine.open += 1
        count(self.tally, C_ACCEPTED)
        count(self.tally, C_OPEN)
        session.touch()

    cdef void lose(self, int many, str why) noexcept:
        """Datagrams cannot be passed on."""
        count_more(self.tally, C_DATAGRAMS_LOST, many)
        self.lost.add_more(many, (self.name, why))

    # -------- from program to program

    def staying(self):
        """The sessions that can be handed over to another program and were not."""
        return [each for each in self.sessions.values() if (<Session>each).fd >= 0 and not (<Session>each).is_leaving]

    def tell(self, Session session not None):
        """What another program has to know of a session: the client's address, what makes answers come from the
        address that it sends to, the server (as configured, host, port), and the descriptor; None: it is over.
        """
        cdef Target target = session.target
        if session.fd < 0:
            return None
        control = PyBytes_FromStringAndSize(session.control, session.control_size)
        return session.key, control, target.url, target.pool.host, target.pool.port, session.fd

    def hand_over(self, Session session not None):
        """Another program has a session's socket and reads from it; what its client sends is passed on here still."""
        session.is_leaving = True
        if session.watch is not None:
            session.watch.want(0)

    def forget(self):
        """End what was handed over: the other program has the clients' sockets for itself now."""
        cdef Session session
        for session in list(self.sessions.values()):
            if session.is_leaving:
                session.end()

    def adopt(self, bound not None, bytes client not None, bytes control not None, str url not None, str host not None,
              int port, int fd):
        """Go on with a session of another program, as it told. False: there is no room for it.

        bound: the socket by which the client comes; fd: connected to the server, ours from now on.
        """
        cdef DatagramTarget target
        cdef Session session
        cdef Front front = self.fronts.get(id(bound))
        if (front is None or self.is_draining or client in self.sessions or len(control) > CONTROL
                or not 0 < len(client) <= <Py_ssize_t>sizeof(sockaddr_storage) or self.room.take(1) != L_NONE):
            c_close(fd)
            return False
        target = DatagramTarget(url, Pool(scheme="udp", host=host, port=port, max_idle=0))
        target_begin(target)
        session = Session.__new__(Session)
        self.enter(session, client, front, target)
        session.fd = fd
        session.control_size = len(control)
        memcpy(session.control, PyBytes_AS_STRING(control), len(control))
        if not session.watch_server():
            session.end()
            return False
        return True

    # -------- the end

    def drain(self, double grace=0.0):
        """Open no more sessions; those that are there go on."""
        self.is_draining = True

    async def wait_drained(self, double seconds):
        """Wait until no session is left, at most *seconds*; return how many are."""
        if self.sessions:
            await self.room.wait_empty(seconds)
        return len(self.sessions)

    def abort(self):
        """End every session and let go of the sockets."""
        cdef Session session
        cdef Front front
        for session in list(self.sessions.values()):
            session.end()
        for front in self.fronts.values():
            front.watch.close()
        self.fronts.clear()
