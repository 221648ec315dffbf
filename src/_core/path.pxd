# The path of a request target: the forms it is brought into before anybody looks at it. All of them work on
# escaped text; a path is decoded only where somebody asks for characters.

from .span cimport Span


cdef bint is_plain(Span path) noexcept nogil           # normalised, sanitized and routed forms are all itself
cdef bytes normalised(Span path)                       # None: malformed escape
cdef bytes sanitized(bytes path)
cdef bytes routed(Span path)
cdef bytes unescaped(Span path)                        # None: malformed escape
cdef bytes escaped(bytes text)
cdef Py_ssize_t escaped_prefix(Span path, bytes decoded) noexcept
