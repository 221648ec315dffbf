"""What health checks say of servers. One process writes, `fastproxy.health` in it; everybody reads."""

from .shared cimport fp_load, words_of


cdef class Signs:
    """memory: a writable buffer of `cells` words, zero where a server is up, as all are at first."""

    def __init__(self, object memory not None, Py_ssize_t cells):
        self.memory = memoryview(memory)
        self.words = words_of(self.memory, cells)
        self.cells = cells

    def is_down(self, Py_ssize_t cell):
        """Say what is said of a server. IndexError."""
        if not 0 <= cell < self.cells:
            raise IndexError(f"no sign {cell}; there are {self.cells}")
        return fp_load(&self.words[cell]) != 0
