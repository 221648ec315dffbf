# Steps that change the path of a request.

from .rewrite cimport Rewrite
from .step cimport Step


cdef class AddPrefix(Step):
    cdef readonly bytes prefix         # escaped, with a slash in front


cdef class StripPrefix(Step):
    cdef readonly tuple prefixes       # bytes, decoded
    cdef readonly bint force_slash


cdef class StripPrefixRegex(Step):
    cdef readonly tuple patterns       # compiled by re2, from bytes


cdef class ReplacePath(Step):
    cdef readonly bytes path           # escaped; None: as configured it cannot be sent
    cdef bytes fault                   # the text to answer with then


cdef class ReplacePathRegex(Step):
    cdef readonly Rewrite rewrite
