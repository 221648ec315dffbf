# Something that may happen thousands of times a second, told once a second.

cdef class Murmur:
    cdef object loop
    cdef object log                    # logging.Logger
    cdef str text                      # of the line; its first argument is how often
    cdef tuple last                    # the other arguments, of the last time
    cdef readonly long long times      # since the last line
    cdef readonly bint is_resting      # less than a second since the last line

    cdef void add(self, tuple arguments) noexcept
    cdef void add_more(self, long long times, tuple arguments) noexcept
