"""SipHash-2-4 against the vectors of its authors and a plain twin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.siphash import digest

KEY = bytes(range(16))
MASK = 2**64 - 1

VECTORS = {
    0: 0x726FDB47DD0E0E31,
    1: 0x74F839C593DC67FD,
    8: 0x93F5F5799A932462,
    15: 0xA129CA6149BE45E5,
    16: 0x3F2ACC7F57C29BDB,
}
"""Of the first bytes of 00 01 02 ... under the key 00 .. 0f."""


def plain(key, data):
    """The same as the paper has it."""
    low, high = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [
        low ^ 0x736F6D6570736575,
        high ^ 0x646F72616E646F6D,
        low ^ 0x6C7967656E657261,
        high ^ 0x7465646279746573,
    ]

    def turned(word, by):
        return (word << by | word >> 64 - by) & MASK

    def mix():
        for a, b, c, d, left, right in ((0, 1, 2, 3, 13, 16), (2, 1, 0, 3, 17, 21)):
            v[a] = (v[a] + v[b]) & MASK
            v[c] = (v[c] + v[d]) & MASK
            v[b] = turned(v[b], left) ^ v[a]
            v[d] = turned(v[d], right) ^ v[c]
            v[a] = turned(v[a], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        mix(), mix()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        mix()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


@pytest.mark.parametrize("size", VECTORS)
def test_the_vectors(size):
    assert digest(KEY, bytes(range(size))) == VECTORS[size]
    assert plain(KEY, bytes(range(size))) == VECTORS[size]


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=300))
def test_it_is_that_of_the_paper(key, data):
    assert digest(key, data) == plain(key, data)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_key_has_sixteen_bytes(size):
    with pytest.raises(ValueError, match=f"16 bytes, not {size}"):
        digest(bytes(size), b"")
