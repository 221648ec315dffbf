"""What a request has to know of the entry point it came in by."""


cdef class Entry:
    """One entry point. Who comes in, and how, is what `door` and `entrypoint` add."""
