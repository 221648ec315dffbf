# A frozen map from a hash to an object, of which a changed copy shares nearly all with the old one.

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from .span cimport Span


cdef inline uint64_t stirred(uint64_t h) noexcept nogil:
    """Spread what is in the low bits over all of them, and back."""
    h ^= h >> 32
    h *= 0xD6E8FEB86659FD93ULL
    h ^= h >> 32
    h *= 0xD6E8FEB86659FD93ULL
    return h ^ h >> 32


cdef inline uint64_t hash_of(Span text) noexcept nogil:
    """Hash a whole text, eight bytes at a time."""
    cdef uint64_t h = <uint64_t>text.size * 0x9E3779B97F4A7C15ULL
    cdef uint64_t word
    while text.size >= 8:
        memcpy(&word, text.at, 8)
        h = (h ^ word) * 0x9E3779B97F4A7C15ULL
        h ^= h >> 29
        text.at += 8
        text.size -= 8
    word = 0
    memcpy(&word, text.at, text.size)
    return stirred(h ^ word)


cdef inline uint64_t hash_on(uint64_t state, const char* at, Py_ssize_t size) noexcept nogil:
    """Go on hashing a text that grows, byte by byte; `stirred(state)` is the hash of what was seen so far."""
    cdef Py_ssize_t i
    for i in range(size):
        state = (state ^ <unsigned char>at[i]) * 0x100000001B3ULL
    return state


cdef enum:
    NOTHING_YET = 0x345678     # state of hash_on before the first byte


cdef struct Slot:
    uint64_t hash
    PyObject* value            # borrowed from Page.values; NULL: free


@cython.final
cdef class Page:
    cdef Slot* slots           # owned; a power of two, at most half full
    cdef uint64_t mask
    cdef tuple values          # owns what the slots point to, and shows it to the garbage collector


@cython.final
cdef class Index:
    cdef tuple pages           # a power of two of them; the top bits of a hash choose one
    cdef int shift
    cdef readonly Py_ssize_t count

    cdef PyObject* find(self, uint64_t hash) noexcept nogil
    cdef Index updated(self, dict changes)
    cdef list some(self, Py_ssize_t most)
