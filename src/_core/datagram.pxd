# UDP: the sessions of an entry point, each a client's address and a socket of its own to one server.

from .deadline cimport Deadline, Timed
from .murmur cimport Murmur
from .port cimport Engine
from .shared cimport InFlight
from .snapshot cimport Switch
from .tally cimport Tally
from .target cimport Target


cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    cdef struct sockaddr_storage:
        unsigned short ss_family


cdef enum:
    CONTROL = 64               # bytes of a control message that says which address a datagram came to


cdef struct Batch


cdef class DatagramTarget(Target):
    # A server of UDP.
    cdef sockaddr_storage place
    cdef socklen_t place_size          # 0: the host is a name


cdef class Session(Timed):
    cdef Sessions home
    cdef bytes key                     # the client's address, as the kernel has it
    cdef int from_fd                   # the socket the client sends to
    cdef char[CONTROL] control         # the address it sends to, for answers to come from there
    cdef size_t control_size
    cdef int fd                        # connected to the server; -1: not yet, or no more
    cdef Target target
    cdef Deadline timer
    cdef list waiting                  # datagrams that came while the server's name is looked up; None: it is not
    cdef Py_ssize_t waiting_size
    cdef object task
    cdef bint is_counted
    cdef bint is_over

    cdef bint open(self, const sockaddr_storage* place, socklen_t size) noexcept
    cdef bint pass_on(self, const char* at, Py_ssize_t size) noexcept
    cdef void keep(self, const char* at, Py_ssize_t size) noexcept
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
    cdef Batch* batch                  # owned
    cdef dict sockets                  # descriptor -> what it was made of, kept open by it
    cdef readonly bint is_draining
    cdef object drained
    cdef InFlight counts
    cdef int cell
    cdef int cell_of_all
    cdef readonly long long most
    cdef readonly long long most_in_all
    cdef Murmur refused
    cdef Murmur lost

    cdef Session begin(self, bytes key, int fd, const char* control, size_t control_size) noexcept
    cdef bint count_in(self, Session session) noexcept
    cdef void count_out(self, Session session) noexcept
