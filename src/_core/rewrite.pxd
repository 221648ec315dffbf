# A regular expression and what is put in the place of its matches.


cdef class Rewrite:
    cdef readonly object pattern       # compiled by re2, from bytes
    cdef readonly str replacement      # as configured, for logs
    cdef list parts                    # bytes: literal; int: the text of that group

    cdef bytes replaced(self, bytes text)
    cdef bytes filled(self, object match)
