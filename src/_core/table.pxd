# Routes, and the table that finds the one a request belongs to.

cimport cython

from .balance cimport Balancer
from .index cimport Index
from .message cimport Request
from .rule cimport Rule
from .step cimport Pipeline


@cython.final
cdef class Route:
    # A router, built. Frozen, and taken over by the next generation while nothing of it changes.
    cdef readonly str name             # qualified name of the router
    cdef readonly Rule rule
    cdef readonly long long priority   # the higher is asked first
    cdef readonly int order            # place of its provider among providers; the lower is asked first
    cdef readonly Pipeline pipeline
    cdef readonly Balancer balancer    # None: the pipeline always answers
    cdef readonly str service          # qualified name of the service
    cdef readonly str terms            # name of its TLS options; None: it serves plain connections
    cdef readonly bint is_logged       # its requests are told in the access log
    cdef readonly object extra         # whatever else build wants to find again here
    cdef const char* name_text         # borrowed: UTF-8 kept by `name`
    cdef Py_ssize_t name_size


@cython.final
cdef class Run:
    # Routes one after the other, in the order in which they are asked.
    cdef tuple routes


@cython.final
cdef class Shelf:
    # Many routes of one host, found by path. Each value of an index is a Route or a Run.
    cdef object rest                   # routes of any path: None, a Route or a Run
    cdef Index exact                   # by hash_of the whole path
    cdef Index below                   # by the stirred hash_on of a prefix
    cdef dict lengths                  # length of a prefix -> how many times it is filed
    cdef unsigned int* steps           # owned; the lengths, rising
    cdef Py_ssize_t step_count


@cython.final
cdef class Table:
    # Each group is a Route, a Run or a Shelf.
    cdef Index exact                   # groups by hash_of a host
    cdef Index below                   # groups by hash_of what follows a host's first label
    cdef object anywhere               # the group of routes that no host bounds; None: there is none
    cdef readonly Py_ssize_t count     # routes

    cdef Route find(self, Request request)
