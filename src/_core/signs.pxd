# Who is down, as health checks say: a word for each server that is checked, in memory that all workers share.


cdef class Signs:
    cdef const long long* words        # borrowed from `memory`: 0 up, else down
    cdef readonly Py_ssize_t cells
    cdef object memory
