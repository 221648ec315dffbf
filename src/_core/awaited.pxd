# The step that calls Python: the only one that may PARK.

from .step cimport Step


cdef class Awaited(Step):
    cdef readonly object middleware        # a plugin's object
    cdef readonly double timeout           # seconds each of its calls may take
    cdef object ask                        # its on_request, or None
    cdef object tell                       # its on_response, or None
