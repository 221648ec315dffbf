"""Who gets the next request."""

from math import gcd

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from .target cimport Target, has_room, is_there, target_answered, target_begin, target_end


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

    cdef bint has_somebody(self) noexcept:
        """Say whether some server is up, as far as health checks know."""
        return True

    def choose(self):
        """Pick and end at once: the url chosen next, or None. For tests and `explain`."""
        cdef Target target = self.pick()
        if target is None:
            return None
        target_answered(target)
        target_end(target)
        return target.url


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


cdef class Turns(Balancer):
    """Weighted round robin of connections: as many turns as the weight says, the heaviest first.

    The classic algorithm: the level falls by the greatest common divisor with each round, and whoever weighs as
    much has a turn. Members are servers, or services with servers of their own. Servers that are down, and with
    *heeds* services of which all are, are passed over as if they were not there. Cost: a step for each member
    passed over, at most two rounds.
    Source: `tcp.services.<name>`, `udp.services.<name>`.
    """

    def __init__(self, str name not None, members, weights, labels, *, bint heeds=False):
        Balancer.__init__(self, name)
        self.heeds = heeds
        self.members = tuple(members)
        self.weights = tuple(weights)
        self.labels = tuple(labels)
        if not len(self.members) == len(self.weights) == len(self.labels):
            raise ValueError("every member has one weight and one label")
        for member in self.members:
            if not isinstance(member, (Target, Balancer)):
                raise TypeError(f"a member is a Target or a Balancer, not {type(member).__name__}")
        if any(weight < 1 for weight in self.weights):
            raise ValueError("a member without weight is not added at all")
        self.is_checked = heeds or any(
            isinstance(member, Target) and (<Target>member).sign is not NULL for member in self.members)
        self.at = -1
        self.most = max(self.weights, default=0)
        self.divisor = gcd(*self.weights) or 1

    def go_on_from(self, Turns other not None):
        """Take the place of another one over, which has the same members in the same order."""
        if self.labels != other.labels or self.weights != other.weights:
            raise ValueError(f"{other.name} has other members")
        self.at = other.at
        self.level = other.level

    cdef object turn(self):
        """The member whose turn it is; None: there is nobody."""
        cdef Py_ssize_t count = len(self.members)
        cdef long long most
        if count == 0:
            return None
        while True:
            self.at += 1
            if self.at >= count:
                self.at = 0
            if self.at == 0:
                most = self.greatest()
                if most == 0:
                    self.at = -1
                    return None
                self.level -= self.divisor
                if self.level <= 0 or self.level > most:
                    self.level = most
            if <long long>self.weights[self.at] >= self.level and self.is_able(self.members[self.at]):
                return self.members[self.at]

    cdef bint is_able(self, object member) noexcept:
        """Say whether a member may have a turn."""
        if isinstance(member, Target):
            return is_there(<Target>member)
        return not self.heeds or (<Balancer>member).has_somebody()

    cdef long long greatest(self) noexcept:
        """The weight of the heaviest member that may have a turn; 0: there is none."""
        cdef long long found = 0
        cdef Py_ssize_t at
        if not self.is_checked:
            return self.most
        for at in range(<Py_ssize_t>len(self.members)):
            if <long long>self.weights[at] > found and self.is_able(self.members[at]):
                found = self.weights[at]
        return found

    cdef bint has_somebody(self) noexcept:
        return self.greatest() > 0

    cdef Target pick(self):
        cdef object member = self.turn()
        if member is None:
            return None
        if isinstance(member, Balancer):
            return (<Balancer>member).pick()
        target_begin(<Target>member)
        return <Target>member


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
