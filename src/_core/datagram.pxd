# UDP: the sessions of an entry point, each a client's address and a socket of its own to one server.

from .batch cimport CONTROL, Batch
from .deadline cimport Deadline, Timed
from .engine cimport Engine
from .murmur cimport Murmur
from .room cimport Room
from .snapshot cimport Switch
from .tally cimport Tally
from .target cimport Target
from .watch cimport Watch


cdef class DatagramTarget(Target):
    # A server of UDP.
    cdef bytes place                   # its sockaddr; None: it is a name that was not looked up yet
    cdef bint is_name
    cdef double known_until            # of a name: when it is to be looked up again
    cdef list asking                   # sessions that wait for its address; None: nobody looks it up
    cdef object task                   # that does

    cdef bint is_known(self) noexcept
    cdef bint ask(self, Session session) noexcept


cdef class Front:
    # A socket that clients send to.
    cdef readonly int fd               # owned: a copy of it
    cdef bint is_wild                  # bound to all addresses
    cdef object bound                  # what it is a copy of
    cdef Watch watch
    cdef Sessions home


cdef class Session(Timed):
    cdef Sessions home
    cdef Front front                   # by which the client comes
    cdef bytes key                     # the client's address, as the system has it
    cdef char[CONTROL] control         # the address it sends to, for answers to come from there
    cdef size_t control_size
    cdef int fd                        # connected to the server; -1: not yet, or no more
    cdef Watch watch
    cdef Target target
    cdef Deadline timer
    cdef list waiting                  # datagrams that came while the server's name is looked up; None: it is not
    cdef Py_ssize_t waiting_size       # what they hold
    cdef bint is_asked                 # the client has sent something since the server did
    cdef bint is_counted
    cdef bint is_leaving               # another program has its socket too, and reads the answers
    cdef bint is_over

    cdef bint open(self, DatagramTarget server) noexcept
    cdef bint watch_server(self) noexcept
    cdef void found(self, DatagramTarget server) noexcept
    cdef int pass_on(self, Batch batch, int first, int many) noexcept
    cdef int keep(self, Batch batch, int first, int many) noexcept
    cdef void answer(self) noexcept
    cdef void touch(self) noexcept
    cdef void end(self) noexcept


cdef class Sessions:
    # The UDP entry point.
    cdef readonly str name
    cdef readonly int index
    cdef readonly Engine engine
    cdef readonly Switch switch
    cdef readonly Tally tally
    cdef readonly double timeout       # seconds
    cdef dict sessions                 # by key
    cdef dict fronts                   # by the id of what they are copies of
    cdef Batch inbox                   # what clients have sent
    cdef Batch outbox                  # answers
    cdef readonly Py_ssize_t waiting_size      # what datagrams of all sessions hold that wait for a name
    cdef readonly bint is_draining
    cdef Room room
    cdef Murmur refused
    cdef Murmur lost

    cdef void receive(self, Front front) noexcept
    cdef void bring(self, Front front, int first, int many) noexcept
    cdef Session begin(self, bytes key, Front front, int at)
    cdef void enter(self, Session session, bytes key, Front front, DatagramTarget target) noexcept
    cdef void lose(self, int many, str why) noexcept
