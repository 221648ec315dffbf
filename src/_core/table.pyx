"""The routing table: finds what a scan over all routes would find, at a cost that does not grow with them.

A rule says by its keys which hosts and paths a request must have to match it. The table files the route under
each key and asks, for one request, the routes filed under its host, under its host's wildcard and under none;
in each of these groups those under its path, under its path's prefixes and under none. The rule decides: what
an index gives is only asked first. So a hash that two names share costs a vain question and nothing else.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyTypeObject
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from .index cimport NOTHING_YET, Index, hash_of, hash_on, stirred
from .span cimport Span, find_byte, span_of, span_of_bytes


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject* routes, Py_ssize_t index) nogil
    Py_ssize_t tuple_size "PyTuple_GET_SIZE"(PyObject* routes) nogil
    PyTypeObject* Py_TYPE(PyObject* thing) nogil


cdef enum:
    ANY = 0                    # the kinds of a key's halves, as fastproxy.rules.keys has them
    EXACT = 1
    BELOW = 2

cdef enum:
    CROWD = 16                 # routes of one host from which on they are found by path


# -- routes ----------------------------------------------------------------------------------------------


cdef class Route:
    """Route(name, rule, pipeline, balancer, *, priority, order, service, terms, is_logged, extra): a router to
    requests.

    priority: the one that counts, never 0 for "computed"; order: index of the provider in
    `providers.precedence`, unlisted ones behind. Equal ones are asked in the order of their names.
    """

    def __init__(self, str name not None, Rule rule not None, Pipeline pipeline not None, Balancer balancer,
                 *, long long priority=0, int order=0, str service="", str terms=None, bint is_logged=True,
                 object extra=None):
        self.name = name
        self.rule = rule
        self.pipeline = pipeline
        self.balancer = balancer
        self.priority = priority
        self.order = order
        self.service = service
        self.terms = terms
        self.is_logged = is_logged
        self.extra = extra
        self.name_text = PyUnicode_AsUTF8AndSize(name, &self.name_size)

    def __repr__(self):
        return f"Route({self.name!r}, {self.rule.text!r}, priority={self.priority})"


cdef bint before(Route a, Route b) noexcept nogil:
    """The order in which routes are asked. UTF-8 sorts as its characters do."""
    cdef Py_ssize_t shorter
    cdef int side
    if a.priority != b.priority:
        return a.priority > b.priority
    if a.order != b.order:
        return a.order < b.order
    shorter = a.name_size if a.name_size < b.name_size else b.name_size
    side = memcmp(a.name_text, b.name_text, shorter)
    return side < 0 if side else a.name_size < b.name_size


cdef class Run:
    pass


# -- asking ----------------------------------------------------------------------------------------------


cdef Route better(PyObject* group, Request request, Route best):
    """Return the first match of a group if it comes before `best`, else `best`. NULL: there is no group."""
    if group is NULL:
        return best
    if Py_TYPE(group) is <PyTypeObject*>Route:
        return better_route(<Route>group, request, best)
    if Py_TYPE(group) is <PyTypeObject*>Run:
        return better_run(<PyObject*>(<Run>group).routes, request, best)
    return better_shelf(<Shelf>group, request, best)


cdef Route better_route(Route route, Request request, Route best):
    if best is not None and not before(route, best):
        return best
    return route if route.rule.matches(request) else best


cdef Route better_run(PyObject* routes, Request request, Route best):
    cdef Py_ssize_t i
    cdef PyObject* route
    for i in range(tuple_size(routes)):
        route = tuple_item(routes, i)
        if best is not None and not before(<Route>route, best):
            return best
        if (<Route>route).rule.matches(request):
            return <Route>route
    return best


cdef Route better_shelf(Shelf shelf, Request request, Route best):
    cdef Span path = request.routing_path
    cdef uint64_t state = NOTHING_YET
    cdef Py_ssize_t seen = 0, i
    if shelf.exact.count:
        best = better(shelf.exact.find(hash_of(path)), request, best)
    for i in range(shelf.step_count):
        if <Py_ssize_t>shelf.steps[i] > path.size:
            break
        state = hash_on(state, path.at + seen, shelf.steps[i] - seen)
        seen = shelf.steps[i]
        best = better(shelf.below.find(stirred(state)), request, best)
    return best if shelf.rest is None else better(<PyObject*>shelf.rest, request, best)


cdef class Shelf:
    def __dealloc__(self):
        PyMem_Free(self.steps)


cdef class Table:
    """Table(routes): a frozen set of routes, asked with a request. `updated` makes another one out of it."""

    def __cinit__(self, routes=()):
        self.exact = Index.__new__(Index)
        self.below = Index.__new__(Index)
        changed(self, self, [], list(routes))

    cdef Route find(self, Request request):
        """Return the first matching route by priority, provider order and name, or None. Never raises."""
        cdef Route best = None
        cdef Span host = request.host
        cdef Py_ssize_t dot
        if host.size:
            best = better(self.exact.find(hash_of(host)), request, best)
            dot = find_byte(host, 46) if self.below.count else -1
            if dot >= 0:
                host = span_of(host.at + dot, host.size - dot)
                best = better(self.below.find(hash_of(host)), request, best)
        return best if self.anywhere is None else better(<PyObject*>self.anywhere, request, best)

    def updated(self, removed, added):
        """Return a table without the routes `removed` (these very objects) and with those `added`.

        This one stays as it is. The cost follows the change: a few microseconds a route, and more only
        where hundreds of routes stand side by side that neither host nor path tells apart. Raises ValueError
        for a removed route that is not in the table.
        """
        return changed(Table.__new__(Table), self, list(removed), list(added))

    def match(self, Request request not None):
        """Return the route of the request or None: for tests and tools; an exchange calls `find`."""
        return self.find(request)

    def near(self, Request request not None, Py_ssize_t most):
        """Return at most *most* routes that may have been meant: those under the host first, then those under
        none, then others. All of them if there are no more. For logs; costs what *most* says."""
        cdef dict out = {}
        cdef Span host = request.host
        cdef Py_ssize_t dot = find_byte(host, 46)
        if host.size:
            gather(self.exact.find(hash_of(host)), request, most, out)
        if dot >= 0:
            gather(self.below.find(hash_of(span_of(host.at + dot, host.size - dot))), request, most, out)
        if self.anywhere is not None:
            gather(<PyObject*>self.anywhere, request, most, out)
        for group in (*self.exact.some(most), *self.below.some(most)):
            gather(<PyObject*>group, request, most, out)
        return list(out)

    def __len__(self):
        return self.count


# -- looking around --------------------------------------------------------------------------------------


cdef int gather(PyObject* group, Request request, Py_ssize_t most, dict out) except -1:
    """Add routes of a group, or of none, to `out`, until it has *most*."""
    cdef Py_ssize_t left = most - len(out)
    if group is NULL or left <= 0:
        return 0
    if Py_TYPE(group) is <PyTypeObject*>Route:
        out[<object>group] = None
    elif Py_TYPE(group) is <PyTypeObject*>Run:
        out.update(dict.fromkeys((<Run>group).routes[:left]))
    else:
        gather_shelf(<Shelf>group, request, most, out)
    return 0


cdef int gather_shelf(Shelf shelf, Request request, Py_ssize_t most, dict out) except -1:
    """First what is filed under the path and its prefixes, then what is under none, then the others."""
    cdef Span path = request.routing_path
    cdef uint64_t state = NOTHING_YET
    cdef Py_ssize_t seen = 0, i
    gather(shelf.exact.find(hash_of(path)), request, most, out)
    for i in range(shelf.step_count):
        if <Py_ssize_t>shelf.steps[i] > path.size:
            break
        state = hash_on(state, path.at + seen, shelf.steps[i] - seen)
        seen = shelf.steps[i]
        gather(shelf.below.find(stirred(state)), request, most, out)
    if shelf.rest is not None:
        gather(<PyObject*>shelf.rest, request, most, out)
    for group in (*shelf.exact.some(most), *shelf.below.some(most)):
        gather(<PyObject*>group, request, most, out)
    return 0


# -- changing --------------------------------------------------------------------------------------------
#
# A change is a pair of lists, what a group loses and what it gains. Between a table and its groups it lists
# rows, (route, path kind, path); between a shelf and its runs, routes.


cdef Table changed(Table out, Table old, list removed, list added):
    cdef tuple anywhere = ([], [])
    cdef dict exact = {}
    cdef dict below = {}
    cdef tuple change
    cdef int side
    for side, routes in enumerate((removed, added)):
        for route in routes:
            for host_kind, host, path_kind, path in (<Route?>route).rule.keys:
                if host_kind == ANY:
                    change = anywhere
                else:
                    change = change_of(exact if host_kind == EXACT else below, hash_of(span_of_bytes(host)))
                (<list>change[side]).append((route, path_kind, path))
    out.exact = old.exact.updated(regrouped_all(old.exact, exact, EXACT))
    out.below = old.below.updated(regrouped_all(old.below, below, BELOW))
    out.anywhere = regrouped(old.anywhere, anywhere, ANY, 0)
    out.count = old.count - len(removed) + len(added)
    return out


cdef tuple change_of(dict changes, uint64_t hash):
    change = changes.get(hash)
    if change is None:
        change = changes[hash] = ([], [])
    return change


cdef dict regrouped_all(Index old, dict changes, int host_kind):
    cdef dict out = {}
    cdef uint64_t hash
    cdef PyObject* group
    for hash, change in changes.items():
        group = old.find(hash)
        out[hash] = regrouped(None if group is NULL else <object>group, change, host_kind, hash)
    return out


cdef object regrouped(object group, tuple change, int host_kind, uint64_t host_hash):
    """Return the group after a change of rows: None, a Route, a Run or, for a crowd, a Shelf."""
    if type(group) is Shelf:
        return reshelved(group, change)
    group = rerun(group, [row[0] for row in change[0]], [row[0] for row in change[1]])
    if type(group) is not Run or len((<Run>group).routes) < CROWD:
        return group
    rows = [row for route in (<Run>group).routes for row in rows_of(route, host_kind, host_hash)]
    return reshelved(empty_shelf(), ([], rows))


cdef list rows_of(Route route, int host_kind, uint64_t host_hash):
    """Return the rows under which a route is filed for one host."""
    return [
        (route, path_kind, path)
        for kind, host, path_kind, path in route.rule.keys
        if kind == host_kind and (kind == ANY or hash_of(span_of_bytes(host)) == host_hash)
    ]


cdef Shelf empty_shelf():
    cdef Shelf shelf = Shelf.__new__(Shelf)
    shelf.exact = Index.__new__(Index)
    shelf.below = Index.__new__(Index)
    shelf.lengths = {}
    return shelf


cdef object reshelved(Shelf old, tuple change):
    """Return the shelf after a change of rows; None when nothing is left."""
    cdef Shelf out = Shelf.__new__(Shelf)
    cdef tuple rest = ([], [])
    cdef dict exact = {}
    cdef dict below = {}
    cdef tuple part
    cdef int side
    out.lengths = dict(old.lengths)
    for side in range(2):
        for route, path_kind, path in change[side]:
            part = rest
            if path_kind == EXACT:
                part = change_of(exact, hash_of(span_of_bytes(path)))
            elif path_kind == BELOW:
                part = change_of(below, stirred(hash_on(NOTHING_YET, path, len(<bytes>path))))
                count(out.lengths, len(<bytes>path), 1 if side else -1)
            (<list>part[side]).append(route)
    out.rest = rerun(old.rest, rest[0], rest[1])
    out.exact = old.exact.updated(rerun_all(old.exact, exact))
    out.below = old.below.updated(rerun_all(old.below, below))
    take_steps(out)
    return out if out.rest is not None or out.exact.count or out.below.count else None


cdef int count(dict lengths, Py_ssize_t length, int by) except -1:
    lengths[length] = lengths.get(length, 0) + by
    if lengths[length] == 0:
        del lengths[length]
    return 0


cdef int take_steps(Shelf shelf) except -1:
    """Lay out the lengths of the shelf's prefixes for the eye of a request."""
    cdef Py_ssize_t i = 0
    shelf.steps = <unsigned int*>PyMem_Malloc(len(shelf.lengths) * sizeof(unsigned int))
    if shelf.steps is NULL:
        raise MemoryError()
    for length in sorted(shelf.lengths):
        shelf.steps[i] = length
        i += 1
    shelf.step_count = i
    return 0


cdef dict rerun_all(Index old, dict changes):
    cdef dict out = {}
    cdef uint64_t hash
    cdef PyObject* run
    for hash, change in changes.items():
        run = old.find(hash)
        out[hash] = rerun(None if run is NULL else <object>run, change[0], change[1])
    return out


cdef object rerun(object old, list removed, list added):
    """Return None, a Route or a Run: the routes of `old`, which is one of these, changed and in order."""
    cdef tuple routes
    if not removed and not added:
        return old
    if old is None and not removed and len(added) == 1:
        return added[0]
    if type(old) is Run:
        routes = (<Run>old).routes
    else:
        routes = () if old is None else (old,)
    if removed:
        routes = without(routes, set(removed))
    if added:
        routes = merged(routes, sorted(dict.fromkeys(added), key=rank))
    if len(routes) < 2:
        return routes[0] if routes else None
    cdef Run run = Run.__new__(Run)
    run.routes = routes
    return run


cdef tuple without(tuple routes, set gone):
    cdef list left = [route for route in routes if route not in gone]
    if len(left) + len(gone) != len(routes):
        names = ", ".join(sorted(route.name for route in gone.difference(routes)))
        raise ValueError(f"cannot remove what is not in the table: {names}")
    return tuple(left)


cdef tuple merged(tuple old, list new):
    """Merge two sequences of routes, both in order, into one."""
    cdef list out = []
    cdef Py_ssize_t i = 0, j = 0
    cdef Py_ssize_t old_count = len(old), new_count = len(new)
    while i < old_count and j < new_count:
        if before(<Route>new[j], <Route>old[i]):
            out.append(new[j])
            j += 1
        else:
            out.append(old[i])
            i += 1
    out.extend(old[i:])
    out.extend(new[j:])
    return tuple(out)


def rank(Route route not None):
    return -(<object>route.priority), route.order, route.name
