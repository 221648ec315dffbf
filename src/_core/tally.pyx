"""Counters of one worker, in memory that the supervisor can read."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

NAMES = (
    "accepted", "open", "requests", "refused", "1xx", "2xx", "3xx", "4xx", "5xx", "gone", "retried", "dialled",
    "bytes_in", "bytes_out", "evicted", "datagrams_in", "datagrams_out", "datagrams_lost",
)
SIZE = C_COUNTS * sizeof(long long)        # bytes of one block


cdef class Tally:
    """A block of counters laid over a writable buffer of at least SIZE bytes, aligned to 8.

    buffer: shared memory or a bytearray; the counters go on from what stands in it.
    """

    def __cinit__(self, object buffer=None):
        cdef Py_buffer view
        if buffer is None:
            buffer = bytearray(SIZE)
        self.buffer = memoryview(buffer)
        PyObject_GetBuffer(self.buffer, &view, PyBUF_WRITABLE)
        try:
            if view.len < <Py_ssize_t>SIZE or <size_t>view.buf % sizeof(long long):
                raise ValueError(f"a tally needs {SIZE} aligned bytes, this buffer has {view.len}")
            self.at = <long long*>view.buf
        finally:
            PyBuffer_Release(&view)

    def snapshot(self):
        """The counters by name."""
        cdef int i
        return {NAMES[i]: self.at[i] for i in range(<int>C_COUNTS)}
