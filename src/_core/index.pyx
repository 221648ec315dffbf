"""A frozen map from 64-bit hashes to objects, made for a hundred thousand entries that change one by one.

The hash is the key: two texts of one hash share an entry, and whoever looks something up checks what comes
out. An update copies the list of pages and the few pages that change, so it costs microseconds while readers
keep the old map.
"""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t


cdef extern from "Python.h":
    PyObject* tuple_item "PyTuple_GET_ITEM"(PyObject* pages, Py_ssize_t index) nogil


cdef enum:
    FEW = 32                   # entries of a page when the map is laid out
    MANY = 128                 # entries a page, on average, at which it is laid out anew


cdef class Page:
    """A hash table with linear probing over a few dozen entries, never changed once made."""

    def __dealloc__(self):
        PyMem_Free(self.slots)


cdef Page page_of(dict entries):
    cdef Page page = Page.__new__(Page)
    cdef uint64_t size = 2
    cdef uint64_t hash, at
    cdef Py_ssize_t i = 0
    while size < 2 * <uint64_t>len(entries):
        size *= 2
    page.values = tuple(entries.values())
    page.mask = size - 1
    page.slots = <Slot*>PyMem_Calloc(size, sizeof(Slot))
    if page.slots is NULL:
        raise MemoryError()
    for hash in entries:
        at = hash & page.mask
        while page.slots[at].value is not NULL:
            at = (at + 1) & page.mask
        page.slots[at].hash = hash
        page.slots[at].value = <PyObject*>page.values[i]
        i += 1
    return page


cdef dict entries_of(Page page):
    cdef dict entries = {}
    cdef uint64_t at
    for at in range(page.mask + 1):
        if page.slots[at].value is not NULL:
            entries[page.slots[at].hash] = <object>page.slots[at].value
    return entries


cdef class Index:
    """Index(): empty; every other one comes of `updated`."""

    def __cinit__(self):
        self.pages = (page_of({}),)
        self.shift = 63

    cdef PyObject* find(self, uint64_t hash) noexcept nogil:
        """Return the object of the hash, borrowed while the index lives, or NULL."""
        cdef uint64_t at
        cdef const Slot* slot
        # Cast without a reference: the tuple holds the page, and the caller holds us.
        cdef PyObject* found = tuple_item(<PyObject*>self.pages, hash >> self.shift >> 1)
        at = hash & (<Page>found).mask
        while True:
            slot = &(<Page>found).slots[at]
            if slot.value is NULL or slot.hash == hash:
                return slot.value
            at = (at + 1) & (<Page>found).mask

    cdef Index updated(self, dict changes):
        """Return a map with the changes: hash -> object, or None to take it out."""
        cdef dict by_page = {}
        cdef uint64_t hash
        for hash, value in changes.items():
            by_page.setdefault(hash >> self.shift >> 1, {})[hash] = value
        cdef list pages = list(self.pages)
        cdef Index out = Index.__new__(Index)
        cdef dict entries
        out.shift = self.shift
        out.count = self.count
        for number, changed in by_page.items():
            entries = entries_of(pages[number])
            out.count -= len(entries)
            apply(entries, changed)
            out.count += len(entries)
            pages[number] = page_of(entries)
        out.pages = tuple(pages)
        return laid_out(out) if out.count > MANY * len(pages) else out

    cdef list some(self, Py_ssize_t most):
        """Return objects of the index in no order, all of them if they are not more than *most*."""
        cdef list out = []
        cdef Page page
        for page in self.pages:
            if len(out) >= most:
                break
            out.extend(page.values[:most - len(out)])
        return out

    def __len__(self):
        return self.count


cdef int apply(dict entries, dict changes) except -1:
    for hash, value in changes.items():
        if value is None:
            entries.pop(hash, None)
        else:
            entries[hash] = value
    return 0


cdef Index laid_out(Index crowded):
    """Spread the entries over so many pages that each has few again."""
    cdef Index out = Index.__new__(Index)
    cdef Page page
    cdef uint64_t hash
    cdef list pages
    out.count = crowded.count
    out.shift = 63
    cdef Py_ssize_t number = 1
    while number * FEW < out.count:
        number *= 2
        out.shift -= 1
    pages = [{} for _ in range(number)]
    for page in crowded.pages:
        for hash, value in entries_of(page).items():
            (<dict>pages[hash >> out.shift >> 1])[hash] = value
    out.pages = tuple([page_of(entries) for entries in pages])
    return out
