"""What the connections of one event loop share: buffers, the timer wheel, the date, and what there is but once."""

import weakref
from email.utils import formatdate

from libc.stdlib cimport free, malloc

from .deadline cimport Wheel
from .murmur cimport Murmur
from .pipes cimport Pipes
from .pool cimport Pool
from .session cimport Wire

cdef extern from "time.h" nogil:
    long time(long* out)

cdef double PATIENCE = 60.0

cdef object engines = weakref.WeakValueDictionary()    # by loop; connections and entry points hold them


cdef class Engine:
    """What all connections of one event loop share: buffers, the timer wheel, the date.

    loop: a running or future event loop of uvloop; log: told what happened to connections, one line each.
    """

    def __cinit__(self, object loop not None, object log not None):
        self.loop = loop
        self.log = log
        self.wheel = Wheel(loop)
        self.inbox = bytearray(READ_SIZE)
        self.inbox_at = self.inbox
        self.wire = Wire(READ_SIZE)
        self.out = <char*>malloc(OUT_SIZE)
        if self.out is NULL:
            raise MemoryError()
        self.spare = []
        self.pipes = Pipes()
        self.patience = PATIENCE
        self.pools = set()
        self.short = Murmur(loop, log, (
            "%d times no descriptor was free for a connection to a server, of late for %s: requests wait"))
        self.full = Murmur(loop, log, (
            "%d requests were answered 503, of late to service %s: every server that is up has "
            "core.limits.pendingPerServer requests to answer"))
        self.forlorn = Murmur(loop, log, (
            "%d connections were closed, of late one for router %s: no server of service %s is up"))

    def __dealloc__(self):
        free(self.out)

    @staticmethod
    def of(object loop not None, object log not None):
        """The engine of *loop*; one loop has one, whoever asks."""
        engine = engines.get(loop)
        if engine is None:
            engine = engines[loop] = Engine(loop, log)
        return engine

    cdef bytes date_line(self):
        """`Date: ...` with its line end, made once a second (RFC 9110, 6.6.1)."""
        cdef long second = time(NULL)
        if second != self.date_at:
            self.date_at = second
            self.date = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self.date

    cdef bint discard_idle(self, Pool but):
        """Close a connection that lies idle in a pool, that which has most of them; False: there is none."""
        cdef Pool pool, fullest = None
        for reference in self.pools:
            pool = reference()
            if pool is not None and pool is not but and pool.idle and (
                    fullest is None or pool.idle > fullest.idle):
                fullest = pool
        if fullest is None:
            return False
        fullest.discard_oldest()
        return True

    cdef void note_pool(self, Pool pool):
        """Remember a pool that is dialled for, as long as it is there."""
        self.pools.add(weakref.ref(pool, self.pools.discard))
