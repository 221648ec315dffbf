"""The seam between configuration and data path: one frozen Snapshot, and the Switch that holds it."""

from .balance cimport Balancer
from .table cimport Table


cdef class Snapshot:
    """Everything the data path reads, of one generation; built whole before anybody sees it.

    tables, secure: one Table an entry point, in the order of their numbers, for plain connections and for those of
    TLS; None where there is no route. streams: likewise, of the TCP routers for connections without TLS, sealed: of
    those with; their routes lead to StreamTargets. doormen: for each entry point a Doorman of `arrival`, or None.
    flows: the service of each UDP entry point, which leads to DatagramTargets; None where there is none.
    An exchange holds the snapshot it began under until it ends, so its reference count is its drain counter.
    """

    def __init__(self, long long generation, tables=(), streams=(), secure=(), doormen=(), flows=(), sealed=()):
        self.generation = generation
        self.tables = tuple(tables)
        self.streams = tuple(streams)
        self.secure = tuple(secure)
        self.doormen = tuple(doormen)
        self.flows = tuple(flows)
        self.sealed = tuple(sealed)
        for service in self.flows:
            if service is not None and not isinstance(service, Balancer):
                raise TypeError(f"a snapshot takes balancers for datagrams, not {type(service).__name__}")
        for table in self.tables + self.streams + self.secure + self.sealed:
            if table is not None and not isinstance(table, Table):
                raise TypeError(f"a snapshot takes tables, not {type(table).__name__}")


cdef class Switch:
    """The one cell between the two halves. A fresh one holds snapshot 0, which has no routes."""

    def __init__(self):
        self.current = Snapshot(0)

    def swap(self, Snapshot snapshot not None):
        """Put *snapshot* in force for every request that begins from now on; return the one before it."""
        cdef Snapshot before = self.current
        self.current = snapshot
        return before
