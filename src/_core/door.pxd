# Who may come in: the connections of an entry point, how many there may be, and who goes when there are too many.

from .connection cimport Connection
from .entry cimport Entry
from .ledger cimport Place
from .message cimport Request
from .murmur cimport Murmur
from .room cimport Limit, Room
from .table cimport Route


cdef enum Rank:
    R_BUSY             # has a request under way, or something to be written
    R_IDLE             # between two requests
    R_SILENT           # sent no whole head yet


cdef class Guest(Connection):
    # A client's connection, as a door sees it.
    cdef Guest following               # the one that came before it
    cdef void* preceding               # borrowed: the one that came after it
    cdef bint is_listed
    cdef bint is_counted               # has a place among those that may be there
    cdef Place places                  # that middlewares have taken for it; None: none
    cdef bint is_held                  # has none, and is not served until it gets one

    cdef Rank rank(self, double* since) noexcept
    cdef void let_in(self) noexcept
    cdef void end_soon(self) noexcept
    cdef str ask(self, Route route, Request caller)


cdef class Door(Entry):
    cdef Guest first                   # the newest in the list of connections
    cdef void* oldest                  # borrowed
    cdef void* hand                    # borrowed: where the search for somebody to close goes on; NULL: at the oldest
    cdef readonly int connections
    cdef readonly bint is_draining
    cdef double idle_rest              # seconds that a connection still has when draining begins: between requests,
    cdef double silent_rest            # and before its first
    cdef Room room                     # for how many of them
    cdef readonly list held            # guests that wait for a place
    cdef list doors                    # all of this loop, this one too
    cdef public object rest            # called when nobody more should be accepted until has_room()
    cdef Murmur closing
    cdef Murmur waiting

    cdef void open(self) noexcept
    cdef void receive(self, Guest guest) noexcept
    cdef Limit admit(self, Guest guest) noexcept
    cdef Limit count_in(self, Guest guest) noexcept
    cdef void count_out(self, Guest guest) noexcept
    cdef bint make_room(self, Limit limit) noexcept
    cdef Guest dispensable(self, Rank* rank)
    cdef void add(self, Guest guest) noexcept
    cdef void remove(self, Guest guest) noexcept
    cdef void link(self, Guest guest) noexcept
    cdef void unlink(self, Guest guest) noexcept
