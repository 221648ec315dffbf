# SipHash-2-4: a hash that nobody can find collisions for who does not know its key.

from libc.stdint cimport uint64_t


cdef struct HashKey:
    uint64_t low
    uint64_t high


cdef HashKey hash_key(bytes secret)
cdef uint64_t hash_of(const HashKey* key, const unsigned char* at, Py_ssize_t size) noexcept nogil
