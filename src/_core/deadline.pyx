"""A timer wheel: a deadline is armed, moved and disarmed in O(1), without a Python object.

Time-outs of connections are moved at every request and fire almost never. So moving one later only writes its new
time; the wheel looks at it when the old time comes and then links it anew.
"""

cdef extern from "time.h" nogil:
    ctypedef int clockid_t
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    clockid_t CLOCK_MONOTONIC_COARSE
    clockid_t CLOCK_MONOTONIC
    clockid_t CLOCK_REALTIME
    int clock_gettime(clockid_t clock, timespec* out)

cdef double TICK = 0.02        # seconds; a deadline fires at most two ticks late


cdef double now() noexcept nogil:
    """Seconds of the monotonic clock, to a few milliseconds: costs no system call."""
    cdef timespec spec
    clock_gettime(CLOCK_MONOTONIC_COARSE, &spec)
    return spec.tv_sec + spec.tv_nsec * 1e-9


cdef long long monotonic() noexcept nogil:
    """Nanoseconds of the monotonic clock, exactly: costs three times as much as now()."""
    cdef timespec spec
    clock_gettime(CLOCK_MONOTONIC, &spec)
    return spec.tv_sec * 1000000000LL + spec.tv_nsec


cdef long long realtime() noexcept nogil:
    """Nanoseconds since 1970, UTC."""
    cdef timespec spec
    clock_gettime(CLOCK_REALTIME, &spec)
    return spec.tv_sec * 1000000000LL + spec.tv_nsec


cdef class Timed:
    """Somebody who has deadlines."""

    cdef void on_deadline(self, int what) noexcept:
        """Called by the wheel when a deadline has passed; it is no longer armed then."""


cdef class Wheel:
    """The deadlines of one event loop. The loop is woken only for ticks at which there is something to look at."""

    def __cinit__(self, object loop):
        cdef int i
        self.loop = loop
        for i in range(SLOTS):
            self.slots[i].next = &self.slots[i]
            self.slots[i].previous = &self.slots[i]
        self.tick = <long long>(now() / TICK)

    def __dealloc__(self):
        # Owners may outlive us when garbage is collected; they must not reach for our slots then.
        cdef int i
        for i in range(SLOTS):
            while self.slots[i].next is not &self.slots[i]:
                detach(self.slots[i].next)

    @property
    def armed(self):
        """How many deadlines are in the wheel, put-off ones included."""
        return self.linked

    cdef void arm(self, Deadline* deadline, Timed owner, double due, int what) noexcept:
        """Let `owner.on_deadline(what)` be called soon after `due`."""
        deadline.due = due
        deadline.what = what
        if deadline.next is not NULL:
            if deadline.tick <= <long long>(due / TICK) + 1:
                return
            self.unlink(deadline)
        deadline.owner = <void*>owner
        if self.linked == 0:
            # The wheel has stood still. Never while something lies in it: what lies at the ticks that were left out
            # would be looked at a whole round later.
            self.tick = <long long>(now() / TICK)
        self.link(deadline, due)
        self.wake_at(deadline.tick)

    cdef void link(self, Deadline* deadline, double at) noexcept:
        cdef long long tick = <long long>(at / TICK) + 1
        cdef Deadline* head
        # What lies further ahead than the wheel is round is looked at once a round.
        if tick <= self.tick:
            tick = self.tick + 1
        elif tick > self.tick + SLOTS - 1:
            tick = self.tick + SLOTS - 1
        deadline.tick = tick
        head = &self.slots[tick % SLOTS]
        deadline.next = head
        deadline.previous = head.previous
        head.previous.next = deadline
        head.previous = deadline
        self.linked += 1

    cdef void unlink(self, Deadline* deadline) noexcept:
        """Take a deadline out; nothing happens when it is not in."""
        if deadline.next is NULL:
            return
        detach(deadline)
        self.linked -= 1

    cdef void wake_at(self, long long tick) noexcept:
        """See to it that turn() is called at `tick` or before."""
        if self.handle is not None:
            if self.waking <= tick:
                return
            self.handle.cancel()
        self.waking = tick
        try:
            self.handle = self.loop.call_later(max(0.0, tick * TICK - now()), self.turn)
        except Exception:
            # A loop that is closing takes no more timers; nobody waits for a deadline then.
            self.handle = None

    def turn(self):
        """Handle every tick up to now. Called by the loop."""
        cdef double time = now()
        cdef long long last = <long long>(time / TICK)
        cdef long long tick = self.tick + 1
        self.handle = None
        if last - tick >= SLOTS:
            # The loop stood still for more than a round: each slot once is enough.
            tick = last - SLOTS + 1
        while tick <= last:
            self.tick = tick
            self.empty(&self.slots[tick % SLOTS], time)
            tick += 1
        if self.linked:
            self.wake_at(self.next_tick())

    cdef long long next_tick(self) noexcept:
        """The first tick ahead at which something lies."""
        cdef int ahead
        for ahead in range(1, SLOTS):
            if self.slots[(self.tick + ahead) % SLOTS].next is not &self.slots[(self.tick + ahead) % SLOTS]:
                return self.tick + ahead
        return self.tick + SLOTS

    cdef void empty(self, Deadline* slot, double time) noexcept:
        """Look at each deadline of one slot: fire it, link it anew or drop it."""
        cdef Deadline waiting
        cdef Deadline* deadline
        if slot.next is slot:
            return
        # The list moves to a head of our own, so that a deadline armed meanwhile is not met in this turn.
        waiting.next = slot.next
        waiting.previous = slot.previous
        waiting.next.previous = &waiting
        waiting.previous.next = &waiting
        slot.next = slot
        slot.previous = slot
        while waiting.next is not &waiting:
            deadline = waiting.next
            self.unlink(deadline)
            if deadline.due <= time:
                fire(deadline)
            elif deadline.due < 1e299:
                self.link(deadline, deadline.due)


cdef void detach(Deadline* deadline) noexcept nogil:
    """Take a linked deadline out of its list, past the wheel that counts it."""
    deadline.next.previous = deadline.previous
    deadline.previous.next = deadline.next
    deadline.next = NULL
    deadline.previous = NULL


cdef void fire(Deadline* deadline) noexcept:
    cdef Timed owner = <Timed>deadline.owner
    owner.on_deadline(deadline.what)
