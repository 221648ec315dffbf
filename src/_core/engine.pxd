# What the connections of one event loop share.

from .deadline cimport Wheel
from .murmur cimport Murmur
from .pipes cimport Pipes
from .pool cimport Pool
from .port cimport Peer
from .session cimport Wire


cdef enum:
    READ_SIZE = 32768          # bytes taken from a socket at once; measured: 64 KiB costs 1.7 times as much a byte
    OUT_SIZE = 65536           # bytes put together for one write


cdef class Engine:
    # What all connections of one event loop share.
    cdef readonly object loop
    cdef readonly Wheel wheel
    cdef readonly object log           # logging.Logger
    cdef bytearray inbox               # every connection reads into it; empty again when its callback returns
    cdef char* inbox_at
    cdef Wire wire                     # every session of TLS decrypts and encrypts by way of it; likewise empty
    cdef char* out                     # owned; what `writer` is about to send
    cdef Py_ssize_t out_size
    cdef Peer writer                   # whose bytes are in `out`; None when it is empty
    cdef list spare                    # exchanges to be used again
    cdef readonly Pipes pipes
    cdef list leaving                  # transports whose end is told at the end of this turn; None: none
    cdef bytes date                    # "Date: ...\r\n", of the second `date_at`
    cdef long date_at
    cdef public double patience        # seconds a connection that is closing may take to be rid of its last bytes
    cdef readonly long long open       # connections that have a descriptor, or are about to
    cdef public long long most         # that may have one, 0: nobody knows; of them
    cdef public long long kept         # for servers only
    cdef Murmur short                  # requests that wait for a descriptor
    cdef Murmur full                   # requests refused because too many are pending
    cdef Murmur forlorn                # connections closed because there is no server for them
    cdef set pools                     # weak references to those that were dialled for
    cdef object __weakref__

    cdef bytes date_line(self)
    cdef bint discard_idle(self, Pool but)
    cdef void note_pool(self, Pool pool)
