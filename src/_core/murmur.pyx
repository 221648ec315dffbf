"""Something that may happen thousands of times a second, told once a second."""

cdef double REST = 1.0         # seconds from one line to the next


cdef class Murmur:
    """A warning that is logged at most once a second, with the number of times since the last one.

    text: of the line, as for `logging`; its first argument is how often it happened, the others are those of
    the last time.
    """

    def __init__(self, object loop not None, object log, str text not None):
        self.loop = loop
        self.log = log
        self.text = text

    cdef void add(self, tuple arguments) noexcept:
        """It has happened once more. The first time is told at once."""
        self.add_more(1, arguments)

    cdef void add_more(self, long long times, tuple arguments) noexcept:
        """It has happened so many times more."""
        self.times += times
        self.last = arguments
        if not self.is_resting:
            self.tell()

    def happened(self, *arguments):
        """`add` for Python."""
        self.add(arguments)

    def tell(self):
        """Log what happened since the last line, if anything did; called by the loop a second after it."""
        times, self.times = self.times, 0
        self.is_resting = False
        if not times:
            return
        try:
            self.is_resting = True
            self.loop.call_later(REST, self.tell)
            self.log.warning(self.text, times, *self.last)
        except Exception:
            pass       # a loop that ends, or a log that fails, must not take what happened with it
