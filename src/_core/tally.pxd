# Counters of one worker, in memory that the supervisor can read. One writer each, so no locks.

cdef enum Count:
    C_ACCEPTED = 0         # connections taken from clients, and sessions of UDP
    C_OPEN                 # of them, still open
    C_REQUESTS             # heads that became an exchange
    C_REFUSED              # heads that did not: malformed, too large, too slow
    C_1XX                  # interim responses relayed
    C_2XX
    C_3XX
    C_4XX
    C_5XX
    C_GONE                 # clients that left before their answer ended: status 499
    C_RETRIED              # requests sent again because an idle connection turned out dead
    C_DIALLED              # connections opened to servers
    C_BYTES_IN             # body bytes from clients, and those of datagrams
    C_BYTES_OUT            # the same to clients
    C_EVICTED              # connections of clients closed to make room for others
    C_DATAGRAMS_IN         # taken from clients
    C_DATAGRAMS_OUT        # answers sent to clients
    C_DATAGRAMS_LOST       # of either that were not passed on
    C_COUNTS


cdef class Tally:
    cdef long long* at         # borrowed from `buffer`
    cdef object buffer         # keeps the memory


cdef inline void count(Tally tally, Count what) noexcept nogil:
    tally.at[<int>what] += 1


cdef inline void count_more(Tally tally, Count what, long long more) noexcept nogil:
    tally.at[<int>what] += more
