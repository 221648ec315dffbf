# Steps that answer instead of letting through: redirects and the list of addresses.

from .message cimport Request
from .netset cimport Address, NetSet
from .rewrite cimport Rewrite
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
