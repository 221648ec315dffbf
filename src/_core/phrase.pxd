# The phrase of a status code.

cdef bytes phrase_of(int status)                       # b"" when the code has none
