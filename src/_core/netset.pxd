# An IP address as 16 bytes, and a frozen set of networks that is asked with one. An IPv4 address is kept in
# its v4-mapped form (::ffff:a.b.c.d), so that one comparison serves both families and a dual-stack socket's
# spelling of an IPv4 peer is that peer.

from libc.stdint cimport uint64_t


cdef struct Address:
    unsigned char bytes[16]    # network byte order; v4-mapped when the address is IPv4
    bint known                 # False: there is no IP address (a unix socket, text that is none)


cdef struct Range:
    # One run of addresses, both ends included, as numbers in host order.
    uint64_t first_high
    uint64_t first_low
    uint64_t last_high
    uint64_t last_low


cdef Address no_address() noexcept nogil
cdef Address address_of_text(const char* at, Py_ssize_t size) noexcept nogil
cdef bint is_v4(const Address* address) noexcept nogil
cdef bint same_address(const Address* a, const Address* b) noexcept nogil
cdef str text_of_address(const Address* address)


cdef class NetSet:
    cdef Range* ranges         # owned; sorted, no two touch; NULL when the set is empty
    cdef Py_ssize_t count      # ranges in use
    cdef readonly tuple networks    # as configured, for logs

    cdef bint has(self, const Address* address) noexcept nogil
