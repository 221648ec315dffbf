# A timer wheel: a deadline is armed, moved and disarmed in O(1), without a Python object.

cdef class Timed:
    # Somebody who has deadlines.
    cdef void on_deadline(self, int what) noexcept


cdef struct Deadline:
    # Embedded in its owner, which disarms it before it dies.
    Deadline* next
    Deadline* previous         # both NULL: not in the wheel
    double due                 # seconds of the monotonic clock
    long long tick             # when the wheel will look; not later than soon after `due`
    void* owner                # borrowed: the Timed it is embedded in
    int what                   # handed back to the owner


cdef enum:
    SLOTS = 512


cdef class Wheel:
    cdef object loop
    cdef object handle         # of the next tick looked at; None: nothing is armed
    cdef long long waking      # that tick
    cdef Deadline[512] slots   # heads of circular lists
    cdef long long tick        # the last tick handled
    cdef int linked            # deadlines in the wheel

    cdef void arm(self, Deadline* deadline, Timed owner, double due, int what) noexcept
    cdef void link(self, Deadline* deadline, double at) noexcept
    cdef void unlink(self, Deadline* deadline) noexcept
    cdef void wake_at(self, long long tick) noexcept
    cdef long long next_tick(self) noexcept
    cdef void empty(self, Deadline* slot, double time) noexcept


cdef double now() noexcept nogil
cdef long long monotonic() noexcept nogil
cdef long long realtime() noexcept nogil
cdef void detach(Deadline* deadline) noexcept nogil


cdef inline void put_off(Deadline* deadline) noexcept nogil:
    """Disarm without touching the wheel: it drops the deadline when it comes across it."""
    deadline.due = 1e300
