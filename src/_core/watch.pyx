"""Descriptors that are watched for a loop: what is ready is told to a compiled function.

loop.add_reader would make a Python call of each event, and libuv takes up to five calls of the kernel to begin and end
with a descriptor. So each loop has an epoll of its own, which its libuv watches, and what is ready there is told in one
go, once a turn. uvloop tells where its uv_loop_t is (`uvloop.loop.libuv_get_loop_t_ptr`); the functions of libuv are
looked up in uvloop, which is linked with it.

uvloop cannot close a loop with a handle in it that it does not know. So `Lookout` takes the place of the loop's
close(), and takes its own away before.

Readiness is told again and again until it is used up.
"""

import cython
import uvloop.loop
import weakref

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.errno cimport errno
from libc.stdlib cimport calloc, free, malloc
from posix.unistd cimport close as close_fd

cdef extern from "Python.h":
    PyObject* PyWeakref_GetObject(object reference)    # borrowed

cdef extern from "dlfcn.h" nogil:
    int RTLD_LAZY
    void* dlopen(const char* path, int flags)
    void* dlsym(void* library, const char* name)

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        void* ptr
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int EPOLL_CLOEXEC
    int EPOLL_CTL_ADD
    int EPOLL_CTL_MOD
    int EPOLL_CTL_DEL
    int EPOLLERR
    int EPOLLHUP
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int what, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int most, int milliseconds)

cdef enum:
    UV_POLL = 8                # of uv_handle_type, and
    UV_READABLE = 1            # of uv_poll_event, the same in all of libuv 1
    EVENTS_A_TURN = 256

# What libuv writes is behind it. The first field of uv_handle_t is `data`, which uvloop takes for an object of its
# own where it is not NULL; so it stays NULL.
cdef struct Cell:
    void* lookout              # borrowed; NULL when it has ended

ctypedef void (*PollCallback)(void* handle, int status, int events) noexcept
ctypedef void (*CloseCallback)(void* handle) noexcept

cdef size_t (*uv_handle_size)(int kind) noexcept
cdef int (*uv_poll_init)(void* loop, void* handle, int fd) noexcept
cdef int (*uv_poll_start)(void* handle, int events, PollCallback callback) noexcept
cdef void (*uv_close)(void* handle, CloseCallback callback) noexcept
cdef void (*uv_unref)(void* handle) noexcept


cdef int look_for() except -1:
    """Find libuv's functions in uvloop, or among the libraries that it is linked with. ImportError."""
    global uv_handle_size, uv_poll_init, uv_poll_start, uv_close, uv_unref
    cdef bytes path = uvloop.loop.__file__.encode()
    cdef void* library = dlopen(path, RTLD_LAZY)
    if library is NULL:
        raise ImportError(f"{path.decode()} cannot be opened again")
    uv_handle_size = <size_t (*)(int) noexcept>dlsym(library, b"uv_handle_size")
    uv_poll_init = <int (*)(void*, void*, int) noexcept>dlsym(library, b"uv_poll_init")
    uv_poll_start = <int (*)(void*, int, PollCallback) noexcept>dlsym(library, b"uv_poll_start")
    uv_close = <void (*)(void*, CloseCallback) noexcept>dlsym(library, b"uv_close")
    uv_unref = <void (*)(void*) noexcept>dlsym(library, b"uv_unref")
    if (uv_handle_size is NULL or uv_poll_init is NULL or uv_poll_start is NULL or uv_close is NULL
            or uv_unref is NULL):
        raise ImportError(f"{path.decode()} does not show the functions of libuv that it was built with")
    return 0


look_for()


cdef inline void* handle_of(void* cell) noexcept nogil:
    return <char*>cell + sizeof(Cell)


cdef inline Cell* cell_of(void* handle) noexcept nogil:
    return <Cell*>(<char*>handle - sizeof(Cell))


cdef void on_poll(void* handle, int status, int events) noexcept with gil:
    cdef Lookout lookout
    if cell_of(handle).lookout is not NULL:
        lookout = <Lookout>cell_of(handle).lookout
        lookout.tell()


cdef void on_closed(void* handle) noexcept nogil:
    free(cell_of(handle))


cdef class Lookout:
    """All that is watched for one loop; in the place of the loop's close(), it ends before."""

    def __cinit__(self, loop not None):
        cdef void* place = PyCapsule_GetPointer(uvloop.loop.libuv_get_loop_t_ptr(loop), NULL)
        cdef void* cell
        self.loop = weakref.ref(loop)
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            raise OSError(errno, "no descriptor to watch others with")
        self.ready = malloc(EVENTS_A_TURN * sizeof(epoll_event))
        cell = calloc(1, sizeof(Cell) + uv_handle_size(UV_POLL))
        if self.ready is NULL or cell is NULL:
            free(cell)
            raise MemoryError()
        if uv_poll_init(place, handle_of(cell), self.fd) < 0:
            free(cell)
            raise OSError("the loop cannot watch a descriptor")
        uv_unref(handle_of(cell))  # what is watched keeps no loop running
        uv_poll_start(handle_of(cell), UV_READABLE, on_poll)
        (<Cell*>cell).lookout = <void*>self
        self.cell = cell

    def __dealloc__(self):
        # Where it has not ended, the loop is gone without having been closed.
        free(self.cell)
        free(self.ready)
        if self.fd >= 0:
            close_fd(self.fd)

    def __call__(self):
        loop = self.loop()
        if not loop.is_running():          # or it will not be closed
            self.end()
        type(loop).close(loop)

    cdef void end(self) noexcept:
        """Watch nothing any more."""
        if self.fd < 0:
            return
        (<Cell*>self.cell).lookout = NULL
        uv_close(handle_of(self.cell), on_closed)
        self.cell = NULL
        close_fd(self.fd)
        self.fd = -1

    cdef void tell(self) noexcept:
        """Tell whom it concerns what is ready now."""
        cdef epoll_event* ready = <epoll_event*>self.ready
        cdef Watch watch
        cdef int events
        self.count = epoll_wait(self.fd, ready, EVENTS_A_TURN, 0)
        self.at = 0
        while self.at < self.count:
            if ready[self.at].data.ptr is not NULL:
                watch = <Watch>ready[self.at].data.ptr
                events = watch.wanted
                if not ready[self.at].events & (EPOLLERR | EPOLLHUP):      # of these whoever reads or writes is told
                    events &= <int>ready[self.at].events
                if events:
                    watch.ready(<object>watch.owner, watch.fd, events)
            self.at += 1
        self.count = 0

    cdef void forget(self, void* watch) noexcept:
        """Tell one nothing that has not been told yet."""
        cdef epoll_event* ready = <epoll_event*>self.ready
        cdef int at
        for at in range(self.at, self.count):
            if ready[at].data.ptr is watch:
                ready[at].data.ptr = NULL


cdef Lookout latest = None


cdef Lookout lookout_of(object loop):
    """What watches for a loop; made when it is first asked for."""
    global latest
    if latest is not None and PyWeakref_GetObject(latest.loop) is <PyObject*>loop:
        return latest
    if not isinstance(loop, uvloop.loop.Loop):
        raise TypeError("only loops of uvloop watch")      # libuv_get_loop_t_ptr believes whatever it is given
    lookout = loop.close
    if type(lookout) is not Lookout:
        lookout = loop.close = Lookout(loop)
    latest = lookout
    return latest


@cython.no_gc_clear            # it has to be taken out of the lookout, also where it goes as part of a cycle
cdef class Watch:
    """One descriptor, watched for whoever owns it."""

    @staticmethod
    def open_for(loop not None, int fd, callback not None):
        """Watch for somebody in Python. callback: called with (fd, events), events being READABLE 1, WRITABLE 4."""
        cdef Watch made = Watch()
        made.callback = callback
        if not made.open(loop, fd, made, call):
            raise OSError(f"descriptor {fd} cannot be watched")
        return made

    def __dealloc__(self):
        if self.lookout is not None:
            self.close()

    cdef bint open(self, object loop, int fd, object owner, Ready ready) noexcept:
        """Get ready to watch; `want` begins. owner: borrowed. False: the loop watches nothing."""
        try:
            self.lookout = lookout_of(loop)
        except Exception:
            return False
        self.fd = fd
        self.owner = <void*>owner
        self.ready = ready
        return self.lookout.fd >= 0

    cpdef bint want(self, int events) noexcept:
        """Be told of these from now on; 0: of nothing. False: that cannot be had."""
        cdef epoll_event event
        cdef int what
        if self.lookout is None or self.lookout.fd < 0:
            return False
        if events == self.wanted:
            return True
        event.events = events
        event.data.ptr = <void*>self
        what = EPOLL_CTL_DEL if events == 0 else EPOLL_CTL_MOD if self.wanted else EPOLL_CTL_ADD
        if epoll_ctl(self.lookout.fd, what, self.fd, &event) < 0:
            return False
        self.wanted = events
        return True

    cpdef void close(self) noexcept:
        """Watch no more; nothing is told from now on. To be called before the descriptor is closed."""
        if self.lookout is None:
            return
        self.want(0)
        self.lookout.forget(<void*>self)
        self.wanted = 0
        self.owner = NULL
        self.callback = None
        self.lookout = None


cdef void call(object owner, int fd, int events) noexcept:
    cdef Watch watch = <Watch>owner
    cdef Lookout lookout = watch.lookout
    try:
        watch.callback(fd, events)
    except Exception as error:
        try:
            lookout.loop().call_exception_handler({"message": "a watched descriptor", "exception": error})
        except Exception:
            pass
