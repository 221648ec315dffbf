# Steps that answer instead of letting through: redirects, the list of addresses, and how many may come at a time.

from .ledger cimport Ledger
from .message cimport Request
from .netset cimport Address, NetSet
from .rewrite cimport Rewrite
from .siphash cimport HashKey
from .step cimport Step


cdef class RedirectScheme(Step):
    cdef readonly bytes scheme             # lower case
    cdef readonly bytes port               # with its colon; b"" for the default of the scheme
    cdef readonly bint permanent


cdef class RedirectRegex(Step):
    cdef readonly Rewrite rewrite
    cdef readonly bint permanent


cdef class IPAllowList(Step):
    cdef readonly NetSet allowed
    cdef readonly int depth                # 0: not used
    cdef readonly NetSet excluded          # None: not used
    cdef readonly int ipv6_bits            # 0: addresses are taken whole
    cdef readonly int status

    cdef Address client_of(self, Request request) noexcept


cdef class InFlightConn(Step):
    cdef readonly Ledger ledger
    cdef HashKey key                       # of the hash that makes a name of an address
    cdef readonly long long amount         # of one client; 0: nobody is let in
