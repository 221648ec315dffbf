"""Numbers and dates as text."""

from libc.stdio cimport snprintf
from libc.string cimport memcpy

cdef extern from "time.h" nogil:
    ctypedef long time_t
    cdef struct tm:
        int tm_sec
        int tm_min
        int tm_hour
        int tm_mday
        int tm_mon
        int tm_year
        long tm_gmtoff
    tm* gmtime_r(const time_t* time, tm* out)
    tm* localtime_r(const time_t* time, tm* out)

cdef bytes pairs = b"".join([b"%02d" % number for number in range(100)])
cdef const char* PAIRS = pairs
cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"


cdef char* put_number(char* at, long long number) noexcept nogil:
    """Write a number of zero or more, and 24 bytes at most; one below, of a clock that was set back, is zero."""
    cdef char[48] digits
    cdef unsigned long long rest = number if number > 0 else 0
    cdef int begin = 24
    if rest < 10:
        at[0] = 48 + <char>rest
        return at + 1
    while rest >= 100:
        begin -= 2
        memcpy(&digits[begin], PAIRS + 2 * (rest % 100), 2)
        rest //= 100
    if rest >= 10:
        begin -= 2
        memcpy(&digits[begin], PAIRS + 2 * rest, 2)
    else:
        begin -= 1
        digits[begin] = 48 + <char>rest
    memcpy(at, &digits[begin], 24)
    return at + 24 - begin


cdef void read_clock(time_t second, bint is_local, tm* out) noexcept nogil:
    if is_local:
        localtime_r(&second, out)
    else:
        gmtime_r(&second, out)
        out.tm_gmtoff = 0


cdef char* put_clf(char* at, Second* known, long long time, bint is_local) noexcept nogil:
    """Write the date of common logs: 04/Mar/2026:10:11:12 +0000."""
    cdef long long second = time // 1000000000
    cdef tm clock
    cdef long zone
    if known.second != second or known.size == 0:
        read_clock(second, is_local, &clock)
        zone = clock.tm_gmtoff if clock.tm_gmtoff >= 0 else -clock.tm_gmtoff
        known.second = second
        known.size = snprintf(known.text, 32, "%02d/%.3s/%04d:%02d:%02d:%02d %c%02d%02d", clock.tm_mday,
                              MONTHS + 3 * clock.tm_mon, clock.tm_year + 1900, clock.tm_hour, clock.tm_min,
                              clock.tm_sec, <int>(45 if clock.tm_gmtoff < 0 else 43), <int>(zone // 3600),
                              <int>(zone // 60 % 60))
    memcpy(at, known.text, 32)
    return at + known.size


cdef char* put_rfc3339(char* at, Second* known, long long time, bint is_local, bint is_fine) noexcept nogil:
    """Write a date of RFC 3339. is_fine: with the parts of a second, no zeros at their end."""
    cdef long long second = time // 1000000000
    cdef unsigned int part = <unsigned int>(time - second * 1000000000)
    cdef tm clock
    cdef long zone
    cdef int i
    if known.second != second or known.size == 0:
        read_clock(second, is_local, &clock)
        zone = clock.tm_gmtoff if clock.tm_gmtoff >= 0 else -clock.tm_gmtoff
        known.second = second
        known.size = snprintf(known.text, 32, "%04d-%02d-%02dT%02d:%02d:%02d", clock.tm_year + 1900,
                              clock.tm_mon + 1, clock.tm_mday, clock.tm_hour, clock.tm_min, clock.tm_sec)
        if clock.tm_gmtoff:
            known.end_size = snprintf(known.end, 8, "%c%02d:%02d", <int>(45 if clock.tm_gmtoff < 0 else 43),
                                      <int>(zone // 3600), <int>(zone // 60 % 60))
        else:
            known.end_size = snprintf(known.end, 8, "Z")
    memcpy(at, known.text, 32)
    at += known.size
    if is_fine and part:
        at[0] = 46
        for i in range(8, 0, -2):
            memcpy(at + i, PAIRS + 2 * (part % 100), 2)
            part //= 100
        at[1] = 48 + <char>part
        at += 10
        while (at - 1)[0] == 48:
            at -= 1
    memcpy(at, known.end, 8)
    return at + known.end_size
