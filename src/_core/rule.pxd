# A rule as a flat program of tests with two jumps.

cimport cython

from .message cimport Request


cdef struct Op:
    int kind                   # a Kind of rule.pyx
    int on_true                # index of a later op, MATCH or MISS
    int on_false
    unsigned int name_size
    unsigned int text_size
    unsigned long long asker   # a number no other op of the process ever had
    const char* name           # borrowed: behind the ops in the same block
    const char* text           # likewise
    void* held                 # borrowed from Rule.held: a pattern's search, or a NetSet; NULL for the rest


@cython.final
cdef class Rule:
    cdef Op* ops               # owned: one block of ops and, near them, their text
    cdef int count
    cdef tuple held            # owns what ops hold
    cdef readonly str text     # as written
    cdef readonly tuple keys   # where a table files the rule

    cdef bint matches(self, Request request) noexcept
