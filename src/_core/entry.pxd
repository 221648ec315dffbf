# What a request has to know of the entry point it came in by.

from .engine cimport Engine
from .forwarded cimport Forwarding
from .record cimport AccessLog
from .snapshot cimport Switch
from .tally cimport Tally


cdef class Entry:
    cdef readonly str name
    cdef readonly int index            # of its table in a snapshot
    cdef readonly Engine engine
    cdef readonly Switch switch
    cdef readonly Forwarding forwarding
    cdef readonly Tally tally
    cdef public object on_unrouted     # called with (name, request, table) of a 404; None: nobody wants to know
    cdef tuple denied                  # escapes refused inside routers: b"%2F", ...; empty: none
    cdef readonly AccessLog access_log     # None: there is none
    cdef readonly bint logs_unrouted   # requests that no router takes are told there too
