# Two connections, bytes passed on both ways: upgraded connections, TCP routers.

from .connection cimport Connection, Tunnel
from .record cimport Receipt
from .target cimport Target


cdef class Splice(Tunnel):
    cdef Connection one
    cdef Connection two
    cdef Target target                 # in flight until both are gone; may be None
    cdef Receipt receipt               # told when both are gone; may be None
    cdef int[2] full_reads             # in a row, of each side
    cdef int ends                      # sides that said they send no more

    cdef Connection other(self, Connection side)


cdef Splice splice(Connection one, Connection two, Target target, Receipt receipt)
