"""Two connections, bytes passed on both ways until both sides have said that nothing more comes.

A side that ends while the other goes on is half-closed, as its own end was. A side that takes no more pauses the
other, so that no more than one read's worth is held in either direction. Where much comes from a plain socket for a
plain socket, it goes by way of a siphon, and that holds what fits into a pipe.
"""

from .deadline cimport monotonic
from .engine cimport READ_SIZE
from .siphon cimport siphon
from .target cimport target_end
from .transport cimport Transport

cdef enum:
    BULK = 4                   # full reads in a row, after which a direction is bulk


cdef class Splice(Tunnel):
    """Two connections that know each other no longer as client and server."""

    cdef Connection other(self, Connection side):
        return self.two if side is self.one else self.one

    cdef void on_data(self, Connection side, const char* at, Py_ssize_t size) noexcept:
        cdef Connection to = self.other(side)
        if to is None or to.is_closing:
            return
        to.put(at, size)
        to.flush()
        if to.is_full:
            side.pause()
        if size < READ_SIZE:
            self.full_reads[side is self.two] = 0
        else:
            self.full_reads[side is self.two] += 1
            if self.full_reads[side is self.two] >= BULK:
                self.full_reads[side is self.two] = 0
                pass_by(side, to)

    cdef void on_eof(self, Connection side) noexcept:
        cdef Connection to = self.other(side)
        self.ends += 1
        if to is None or self.ends == 2:
            side.close()
            if to is not None:
                to.close()
        else:
            to.send_eof()

    cdef void on_full(self, Connection side) noexcept:
        cdef Connection source = self.other(side)
        if source is not None:
            source.pause()

    cdef void on_writable(self, Connection side) noexcept:
        cdef Connection source = self.other(side)
        if source is not None:
            source.resume()

    cdef void on_lost(self, Connection side) noexcept:
        cdef Connection to = self.other(side)
        side.tunnel = None
        if side is self.one:
            self.one = None
        else:
            self.two = None
        if to is not None:
            to.close()
            return
        if self.target is not None:
            target_end(self.target)
            self.target = None
        if self.receipt is not None:
            self.receipt.finish(monotonic())
            self.receipt = None


cdef void pass_by(Connection source, Connection to) noexcept:
    """Let what one says go to the other without being copied, if both are plain sockets."""
    if (source.session is None and to.session is None
            and isinstance(source.transport, Transport) and isinstance(to.transport, Transport)):
        siphon(<Transport>source.transport, <Transport>to.transport)


cdef Splice splice(Connection one, Connection two, Target target, Receipt receipt):
    """Tie two connections together for good. target: its in-flight count is taken over; receipt: told in the end."""
    cdef Splice made = Splice.__new__(Splice)
    made.one = one
    made.two = two
    made.target = target
    made.receipt = receipt
    one.tunnel = made
    two.tunnel = made
    if one.is_full:
        two.pause()
    else:
        two.resume()
    if two.is_full:
        one.pause()
    else:
        one.resume()
    return made
