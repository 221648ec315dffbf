"""Who gets the next request."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from .target cimport Target, has_room, target_answered, target_begin, target_end


cdef class Balancer:
    """A service, as an exchange sees it: something that names the server of the next request."""

    def __init__(self, str name not None, *, bint pass_host=True):
        self.name = name
        self.pass_host = pass_host

    cdef Target pick(self):
        """Choose a target with its in-flight count raised (the caller ends it), or None: answer 503."""
        return None

    cdef bint is_full(self) noexcept:
        """Say of a pick that gave None whether it did because too many requests are pending."""
        return False


cdef class RoundRobin(Balancer):
    """Weighted round robin, earliest deadline first.

    Each pick takes the target with the smallest deadline and moves it on by 1/weight, so that weights 3 and 1
    give 3 to 1 exactly over 4 picks. A target that is down, or has as many requests pending as it may, is passed
    over; its deadline advances all the same. Cost: O(log n), no allocation.
    Source: `http.services.<name>.loadBalancer`, strategy `wrr`.
    """

    def __cinit__(self, str name not None, targets, *, bint pass_host=True):
        cdef Target target
        cdef int index = 0
        self.targets = tuple(targets)
        self.heap = <Entry*>PyMem_Malloc(max(1, len(self.targets)) * sizeof(Entry))
        if self.heap is NULL:
            raise MemoryError()
        for target in self.targets:
            self.heap[index].step = 1.0 / target.weight
            self.heap[index].deadline = self.heap[index].step
            self.heap[index].index = index
            index += 1
        self.count = index
        while index > 0:
            index -= 1
            sift_down(self.heap, self.count, index)

    def __init__(self, str name not None, targets, *, bint pass_host=True):
        Balancer.__init__(self, name, pass_host=pass_host)

    def __dealloc__(self):
        PyMem_Free(self.heap)

    cdef Target pick(self):
        cdef Target target
        cdef int _try
        # Heavy targets come up more than once before the lightest does, so a bound on tries cannot promise to
        # meet every target; the plain scan behind it does, and is only reached while nearly all are down.
        for _try in range(2 * self.count):
            target = <Target>self.targets[self.heap[0].index]
            self.heap[0].deadline += self.heap[0].step
            sift_down(self.heap, self.count, 0)
            if has_room(target):
                target_begin(target)
                return target
        for target in self.targets:
            if has_room(target):
                target_begin(target)
                return target
        return None

    cdef bint is_full(self) noexcept:
        cdef Target target
        for target in self.targets:
            if target.is_up:
                return True
        return False

    def choose(self):
        """Pick and end at once: the url chosen next, or None. For tests and `explain`."""
        cdef Target target = self.pick()
        if target is None:
            return None
        target_answered(target)
        target_end(target)
        return target.url


cdef void sift_down(Entry* heap, int count, int at) noexcept nogil:
    """Restore the heap below `at`. Equal deadlines keep the smaller index first: order is reproducible."""
    cdef int child
    cdef Entry moving = heap[at]
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and before(&heap[child + 1], &heap[child]):
            child += 1
        if not before(&heap[child], &moving):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moving


cdef inline bint before(const Entry* a, const Entry* b) noexcept nogil:
    if a.deadline != b.deadline:
        return a.deadline < b.deadline
    return a.index < b.index
