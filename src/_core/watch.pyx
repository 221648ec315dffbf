"""Descriptors that are watched by the loop's own libuv: what is ready is told to a compiled function.

loop.add_reader would make a Python call of each event. uvloop tells where its uv_loop_t is
(`uvloop.loop.libuv_get_loop_t_ptr`); the functions of libuv are looked up in uvloop, which is linked with it.

uvloop cannot close a loop with handles in it that it does not know. So the first watch of a loop puts a `Closing` in
the place of its close(), which ends every watch before.

A descriptor is watched once only: uvloop's transports watch theirs. Take a copy (dup) of it, or be sure that the
transport neither reads nor writes. Readiness is told again and again until it is used up.
"""

import uvloop.loop
import weakref

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdlib cimport calloc, free

cdef extern from "Python.h":
    PyObject* PyWeakref_GetObject(object reference)    # borrowed

cdef extern from "dlfcn.h" nogil:
    int RTLD_LAZY
    void* dlopen(const char* path, int flags)
    void* dlsym(void* library, const char* name)

cdef enum:
    UV_POLL = 8                # of uv_handle_type, the same in all of libuv 1

# What libuv writes is behind it. The first field of uv_handle_t is `data`, which uvloop takes for an object of its
# own where it is not NULL; so it stays NULL.
cdef struct Cell:
    void* watch                # borrowed; NULL when it is closed
    Cell* next                 # in the list of its loop
    Cell* previous

ctypedef void (*PollCallback)(void* handle, int status, int events) noexcept
ctypedef void (*CloseCallback)(void* handle) noexcept

cdef size_t (*uv_handle_size)(int kind) noexcept
cdef int (*uv_poll_init)(void* loop, void* handle, int fd) noexcept
cdef int (*uv_poll_start)(void* handle, int events, PollCallback callback) noexcept
cdef int (*uv_poll_stop)(void* handle) noexcept
cdef void (*uv_close)(void* handle, CloseCallback callback) noexcept
cdef void (*uv_unref)(void* handle) noexcept


cdef int look_for() except -1:
    """Find libuv's functions in uvloop, or among the libraries that it is linked with. ImportError."""
    global uv_handle_size, uv_poll_init, uv_poll_start, uv_poll_stop, uv_close, uv_unref
    cdef bytes path = uvloop.loop.__file__.encode()
    cdef void* library = dlopen(path, RTLD_LAZY)
    if library is NULL:
        raise ImportError(f"{path.decode()} cannot be opened again")
    uv_handle_size = <size_t (*)(int) noexcept>dlsym(library, b"uv_handle_size")
    uv_poll_init = <int (*)(void*, void*, int) noexcept>dlsym(library, b"uv_poll_init")
    uv_poll_start = <int (*)(void*, int, PollCallback) noexcept>dlsym(library, b"uv_poll_start")
    uv_poll_stop = <int (*)(void*) noexcept>dlsym(library, b"uv_poll_stop")
    uv_close = <void (*)(void*, CloseCallback) noexcept>dlsym(library, b"uv_close")
    uv_unref = <void (*)(void*) noexcept>dlsym(library, b"uv_unref")
    if (uv_handle_size is NULL or uv_poll_init is NULL or uv_poll_start is NULL or uv_poll_stop is NULL
            or uv_close is NULL or uv_unref is NULL):
        raise ImportError(f"{path.decode()} does not show the functions of libuv that it was built with")
    return 0


look_for()


cdef inline void* handle_of(void* cell) noexcept nogil:
    return <char*>cell + sizeof(Cell)


cdef inline Cell* cell_of(void* handle) noexcept nogil:
    return <Cell*>(<char*>handle - sizeof(Cell))


cdef void on_poll(void* handle, int status, int events) noexcept with gil:
    cdef Cell* cell = cell_of(handle)
    cdef Watch watch
    if cell.watch is NULL:
        return
    watch = <Watch>cell.watch
    if status < 0:
        # The descriptor has an error, and libuv has stopped. Whoever reads or writes now is told which.
        events = watch.wanted
        watch.wanted = 0
        watch.tell(events)
        if watch.loop is not None and watch.wanted == 0:
            watch.want(events)
        return
    watch.tell(events & watch.wanted)


cdef void on_closed(void* handle) noexcept nogil:
    free(cell_of(handle))


cdef class Closing:
    """In the place of a loop's close(): it ends all its watches first."""

    cdef object loop           # a weak reference
    cdef void* place           # uv_loop_t
    cdef Cell cells            # head of the list of those that are open

    def __cinit__(self, loop not None):
        self.loop = weakref.ref(loop)
        self.place = PyCapsule_GetPointer(uvloop.loop.libuv_get_loop_t_ptr(loop), NULL)
        self.cells.next = &self.cells
        self.cells.previous = &self.cells

    def __dealloc__(self):
        # The loop is gone without having been closed; watches that are left must not reach for this list.
        cdef Cell* cell = self.cells.next
        cdef Cell* following
        while cell is not &self.cells:
            following = cell.next
            cell.next = NULL
            cell = following

    def __call__(self):
        loop = self.loop()
        if not loop.is_running():          # or it will not be closed
            while self.cells.next is not &self.cells:
                (<Watch>self.cells.next.watch).close()
        type(loop).close(loop)


cdef Closing latest = None


cdef Closing closing_of(object loop):
    """What closes a loop; made when it is first asked for."""
    global latest
    if latest is not None and PyWeakref_GetObject(latest.loop) is <PyObject*>loop:
        return latest
    if not isinstance(loop, uvloop.loop.Loop):
        raise TypeError("only loops of uvloop watch")      # libuv_get_loop_t_ptr believes whatever it is given
    closing = loop.close
    if type(closing) is not Closing:
        closing = loop.close = Closing(loop)
    latest = closing
    return latest


cdef class Watch:
    """One descriptor, watched for whoever owns it."""

    @staticmethod
    def open_for(loop not None, int fd, callback not None):
        """Watch for somebody in Python. callback: called with (fd, events), events being READABLE 1, WRITABLE 2."""
        cdef Watch made = Watch()
        made.callback = callback
        if not made.open(loop, fd, made, call):
            raise OSError(f"descriptor {fd} cannot be watched")
        return made

    def __dealloc__(self):
        if self.loop is not None:
            self.close()

    cdef bint open(self, object loop, int fd, object owner, Ready ready) noexcept:
        """Get ready to watch; `want` begins. owner: borrowed. False: the descriptor cannot be watched."""
        cdef void* cell
        cdef Cell* head
        cdef Closing closing
        try:
            closing = closing_of(loop)
        except Exception:
            return False
        cell = calloc(1, sizeof(Cell) + uv_handle_size(UV_POLL))
        if cell is NULL:
            return False
        if uv_poll_init(closing.place, handle_of(cell), fd) < 0:
            free(cell)
            return False
        uv_unref(handle_of(cell))  # what is watched keeps no loop running
        head = &closing.cells
        (<Cell*>cell).watch = <void*>self
        (<Cell*>cell).next = head.next
        (<Cell*>cell).previous = head
        head.next.previous = <Cell*>cell
        head.next = <Cell*>cell
        self.cell = cell
        self.loop = loop
        self.fd = fd
        self.owner = <void*>owner
        self.ready = ready
        return True

    cpdef bint want(self, int events) noexcept:
        """Be told of these from now on; 0: of nothing. False: that cannot be had."""
        if self.loop is None:
            return False
        if events == self.wanted:
            return True
        self.wanted = events
        if events:
            return uv_poll_start(handle_of(self.cell), events, on_poll) == 0
        return uv_poll_stop(handle_of(self.cell)) == 0

    cpdef void close(self) noexcept:
        """Watch no more; nothing is told from now on. To be called before the descriptor is closed."""
        cdef void* cell = self.cell
        if self.loop is None:
            return
        self.cell = NULL
        (<Cell*>cell).watch = NULL
        if (<Cell*>cell).next is not NULL:
            (<Cell*>cell).next.previous = (<Cell*>cell).previous
            (<Cell*>cell).previous.next = (<Cell*>cell).next
            uv_close(handle_of(cell), on_closed)
        else:
            free(cell)
        self.wanted = 0
        self.owner = NULL
        self.loop = None

    cdef void tell(self, int events) noexcept:
        if events and self.owner is not NULL:
            self.ready(<object>self.owner, self.fd, events)


cdef void call(object owner, int fd, int events) noexcept:
    cdef Watch watch = <Watch>owner
    try:
        watch.callback(fd, events)
    except Exception as error:
        try:
            watch.loop.call_exception_handler({"message": "a watched descriptor", "exception": error})
        except Exception:
            pass
