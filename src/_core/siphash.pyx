"""SipHash-2-4, for tables whose keys come from strangers.

Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012); its test vectors are in tests/core.
"""

from libc.stdint cimport uint64_t


cdef inline uint64_t rotated(uint64_t word, int by) noexcept nogil:
    return word << by | word >> (64 - by)


cdef inline void mix(uint64_t* v) noexcept nogil:
    """SipRound."""
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rotated(v[1], 13) ^ v[0]
    v[3] = rotated(v[3], 16) ^ v[2]
    v[0] = rotated(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rotated(v[1], 17) ^ v[2]
    v[3] = rotated(v[3], 21) ^ v[0]
    v[2] = rotated(v[2], 32)


cdef inline uint64_t word_at(const unsigned char* at, Py_ssize_t size) noexcept nogil:
    """Up to eight bytes as a number, the first one lowest; those that are not there are zero."""
    cdef uint64_t word = 0
    cdef Py_ssize_t i
    for i in range(size):
        word |= <uint64_t>at[i] << 8 * i
    return word


cdef HashKey hash_key(bytes secret):
    """A key of sixteen bytes. ValueError for any other number."""
    cdef HashKey key
    cdef const unsigned char* at = <const unsigned char*>(<char*>secret)
    if len(secret) != 16:
        raise ValueError(f"a key has 16 bytes, not {len(secret)}")
    key.low = word_at(at, 8)
    key.high = word_at(at + 8, 8)
    return key


cdef uint64_t hash_of(const HashKey* key, const unsigned char* at, Py_ssize_t size) noexcept nogil:
    cdef uint64_t[4] v
    cdef uint64_t word
    cdef Py_ssize_t left = size
    v[0] = key.low ^ 0x736f6d6570736575ULL
    v[1] = key.high ^ 0x646f72616e646f6dULL
    v[2] = key.low ^ 0x6c7967656e657261ULL
    v[3] = key.high ^ 0x7465646279746573ULL
    while left >= 8:
        word = word_at(at, 8)
        v[3] ^= word
        mix(v)
        mix(v)
        v[0] ^= word
        at += 8
        left -= 8
    word = word_at(at, left) | <uint64_t>(size & 0xFF) << 56
    v[3] ^= word
    mix(v)
    mix(v)
    v[0] ^= word
    v[2] ^= 0xFF
    mix(v)
    mix(v)
    mix(v)
    mix(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def digest(bytes key not None, bytes data not None):
    """`hash_of` for Python. ValueError unless *key* has 16 bytes."""
    cdef HashKey made = hash_key(key)
    return hash_of(&made, <const unsigned char*>(<char*>data), len(data))
