"""A frozen set of networks, asked with an address in a few tens of nanoseconds.

An address or network is written as Go's net.ParseIP and net.ParseCIDR read it, because Traefik's `ClientIP`,
`sourceRange` and `trustedIPs` go through them: no zone, no leading zeros in an IPv4 part, a prefix length in
digits (never a netmask), host bits allowed and ignored.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from .sockaddr cimport AF_INET, AF_INET6


cdef extern from "arpa/inet.h" nogil:
    int inet_pton(int family, const char* text, void* out)
    const char* inet_ntop(int family, const void* address, char* out, unsigned int size)


cdef enum:
    TEXT_MAX = 46              # INET6_ADDRSTRLEN: the longest address, with its end


# -- addresses -------------------------------------------------------------------------------------------


cdef Address no_address() noexcept nogil:
    cdef Address out
    memset(&out, 0, sizeof(out))
    return out


cdef void set_v4(Address* out, const void* four) noexcept nogil:
    memset(out.bytes, 0, 10)
    out.bytes[10] = 255
    out.bytes[11] = 255
    memcpy(&out.bytes[12], four, 4)
    out.known = True


cdef Address address_of_text(const char* at, Py_ssize_t size) noexcept nogil:
    """Read `10.0.0.1` or `2001:db8::1` (no port, no brackets, no zone); unknown when it is neither."""
    cdef Address out = no_address()
    cdef char text[TEXT_MAX]
    cdef char four[4]
    if at is NULL or size <= 0 or size >= TEXT_MAX or memchr(at, 0, size) is not NULL:
        return out             # inet_pton would take a zero byte for the end
    memcpy(text, at, size)
    text[size] = 0
    if memchr(text, 58, size) is not NULL:    # ':'
        out.known = inet_pton(AF_INET6, text, out.bytes) == 1
    elif inet_pton(AF_INET, text, four) == 1:
        set_v4(&out, four)
    return out


cdef bint is_v4(const Address* address) noexcept nogil:
    cdef int i
    for i in range(10):
        if address.bytes[i]:
            return False
    return address.known and address.bytes[10] == 255 and address.bytes[11] == 255


cdef bint same_address(const Address* a, const Address* b) noexcept nogil:
    return a.known and b.known and memcmp(a.bytes, b.bytes, 16) == 0


cdef str text_of_address(const Address* address):
    """Return `10.0.0.1` or `2001:db8::1`; an empty string when there is no address."""
    cdef char text[TEXT_MAX]
    if not address.known:
        return ""
    if is_v4(address):
        inet_ntop(AF_INET, &address.bytes[12], text, TEXT_MAX)
    else:
        inet_ntop(AF_INET6, address.bytes, text, TEXT_MAX)
    return (<bytes>text).decode("ascii")


# -- networks --------------------------------------------------------------------------------------------


cdef uint64_t number(const unsigned char* eight) noexcept nogil:
    cdef uint64_t out = 0
    cdef int i
    for i in range(8):
        out = out << 8 | eight[i]
    return out


cdef bint below(uint64_t a_high, uint64_t a_low, uint64_t b_high, uint64_t b_low) noexcept nogil:
    return a_high < b_high or (a_high == b_high and a_low < b_low)


cdef object prefix_length(str text, str digits, int limit):
    # isdecimal alone would let other scripts' digits through.
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 4 or int(digits) > limit:
        raise ValueError(f'"{text}" has no prefix length from 0 to {limit}; write a network like 10.0.0.0/8')
    return int(digits)


cdef tuple range_of(str text):
    """Return (first, last) of an address or a network, as numbers of 128 bits."""
    cdef str host, slash, digits
    host, slash, digits = text.partition("/")
    cdef bytes raw = host.encode("ascii", "replace")
    cdef Address address = address_of_text(raw, len(raw))
    if not address.known:
        raise ValueError(f'"{text}" is not an ip address or a network; '
                         "write one like 10.0.0.1, 10.0.0.0/8 or fd00::/8")
    cdef object value = int.from_bytes(address.bytes[:16], "big")
    cdef int width = 128 if ":" in host else 32
    if not slash:
        return value, value
    cdef object rest = (1 << (width - prefix_length(text, digits, width))) - 1
    return value & ~rest, value | rest


cdef list pieces_of(str text):
    """Return the ranges of one network: an IPv6 one that spans the IPv4 addresses does not contain them."""
    mapped_first, mapped_last = 0xFFFF << 32, (0x10000 << 32) - 1
    first, last = range_of(text)
    if first < mapped_first and last >= mapped_last:
        return [(first, mapped_first - 1), (mapped_last + 1, last)]
    return [(first, last)]


cdef list merged(list pieces):
    """Return the pieces sorted, with those that overlap or touch made one."""
    cdef list out = []
    begin = end = None
    for first, last in sorted(pieces):
        if begin is not None and first <= end + 1:
            end = max(end, last)
            continue
        if begin is not None:
            out.append((begin, end))
        begin, end = first, last
    if begin is not None:
        out.append((begin, end))
    return out


cdef class NetSet:
    """NetSet(networks): the addresses of all of `networks`, each "10.0.0.1", "10.0.0.0/8" or "fd00::/8".

    As in Go, an IPv6 network never contains an IPv4 address, `::/0` included; `::ffff:10.0.0.0/104` is
    10.0.0.0/8. Raises ValueError naming the first text that is neither an address nor a network.
    """

    def __cinit__(self, networks=()):
        cdef list pieces = []
        self.networks = tuple(networks)
        for network in self.networks:
            pieces.extend(pieces_of(network))
        pieces = merged(pieces)
        if not pieces:
            return
        self.ranges = <Range*>PyMem_Malloc(len(pieces) * sizeof(Range))
        if self.ranges is NULL:
            raise MemoryError()
        cdef Range* at = self.ranges
        for first, last in pieces:
            at.first_high, at.first_low = first >> 64, first & 0xFFFFFFFFFFFFFFFF
            at.last_high, at.last_low = last >> 64, last & 0xFFFFFFFFFFFFFFFF
            at += 1
        self.count = len(pieces)

    def __dealloc__(self):
        PyMem_Free(self.ranges)

    cdef bint has(self, const Address* address) noexcept nogil:
        """Say whether the address is in one of the networks; an unknown address is in none."""
        cdef uint64_t high, low
        cdef Py_ssize_t left = 0, right = self.count, middle
        cdef Range* at
        if not address.known:
            return False
        high, low = number(address.bytes), number(&address.bytes[8])
        while left < right:
            middle = (left + right) >> 1
            at = &self.ranges[middle]
            if below(high, low, at.first_high, at.first_low):
                right = middle
            elif below(at.last_high, at.last_low, high, low):
                left = middle + 1
            else:
                return True
        return False

    def __contains__(self, str text not None):
        """Say whether the address written as `text` is in the set; False for text that is no address."""
        cdef bytes raw = text.encode("ascii", "replace")
        cdef Address address = address_of_text(raw, len(raw))
        return self.has(&address)

    def __len__(self):
        return len(self.networks)

    def __repr__(self):
        return f"NetSet({list(self.networks)!r})"
