# Numbers and dates as text.

cdef struct Second:
    # The text of a second, made once.
    long long second           # since 1970
    int size
    int end_size
    char[32] text              # up to the seconds
    char[8] end                # the zone


cdef char* put_number(char* at, long long number) noexcept nogil
cdef char* put_clf(char* at, Second* known, long long time, bint is_local) noexcept nogil
cdef char* put_rfc3339(char* at, Second* known, long long time, bint is_local, bint is_fine) noexcept nogil
