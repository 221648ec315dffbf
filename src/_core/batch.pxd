# Datagrams that are taken from a socket, or given to one, several with one call of the system.


cdef enum:
    MOST = 16                  # datagrams in a batch
    CONTROL = 64               # bytes of a control message that says which address a datagram came to


# Its parts are of the system's headers, which no other module needs.
cdef struct Datagrams


cdef ssize_t give(int fd, const char* data, Py_ssize_t size) noexcept nogil


cdef class Batch:
    cdef Datagrams* all                # owned
    cdef readonly int count            # datagrams in it
    cdef int worn                      # places that are not as an empty one's
    cdef bint of_many                  # they come from different addresses, which are told

    cdef void clear(self) noexcept nogil
    cdef int take(self, int fd) noexcept nogil
    cdef int take_one(self, int fd) noexcept nogil
    cdef char* data(self, int at) noexcept nogil
    cdef Py_ssize_t size(self, int at) noexcept nogil
    cdef char* sender(self, int at) noexcept nogil
    cdef Py_ssize_t sender_size(self, int at) noexcept nogil
    cdef bint is_of_same(self, int at, int other) noexcept nogil
    cdef size_t answer_from(self, int at, char* control) noexcept nogil
    cdef void address(self, int at, const char* to, Py_ssize_t to_size, const char* control,
                      size_t control_size) noexcept nogil
    cdef int pass_on(self, int fd, int first, int count) noexcept nogil
    cdef int send_out(self, int fd, Py_ssize_t* size) noexcept nogil
