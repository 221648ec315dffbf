# What an exchange needs of its surroundings: the two peers between which a request and its answer pass, and who is told
# what becomes of it. HTTP/1 is one kind of peer; HTTP/2 will be another.

from .framing cimport Framing
from .head cimport Head
from .message cimport Request, Response
from .pool cimport Idle
from .target cimport Target


cdef class Peer(Idle):
    # One end of an exchange: where an answer goes, or where a request goes. HTTP/1 connections are peers;
    # a stream of HTTP/2 will be one.
    cdef bint begin_answer(self, Response response, Framing* body) noexcept
    cdef void interim(self, Response response) noexcept
    cdef bint begin_request(self, Request request, Framing* body, Target target) noexcept
    cdef void data(self, const char* at, Py_ssize_t size) noexcept
    cdef void finish(self, Head trailer) noexcept      # None: no trailer section
    cdef void flush(self) noexcept             # let go of what was gathered
    cdef void give_up(self) noexcept           # the message cannot be completed: the other end must notice
    cdef void release(self, bint reusable) noexcept    # a server's end: the exchange needs it no more
    cdef void pause(self) noexcept             # read no more from it for now
    cdef void resume(self) noexcept
    cdef bint is_busy(self) noexcept           # it takes no more for now
    cdef void on_answered(self, bint body_over) noexcept   # a client's end: the exchange is over
    cdef Peer upgrade(self)                    # itself, for a tunnel: it is a connection; None: it is none


cdef class Receiver:
    # Who is told what a server does. The exchange is one.
    cdef void on_connected(self, Peer server) noexcept
    cdef void on_dial_failed(self, object error) noexcept
    cdef void on_interim(self) noexcept        # response holds a 1xx head
    cdef void on_answer(self, Framing* body) noexcept
    cdef void on_answer_data(self, const char* at, Py_ssize_t size) noexcept
    cdef void on_answer_end(self, Head trailer) noexcept
    cdef void on_answer_flush(self) noexcept
    cdef void on_bad_answer(self, const char* why) noexcept
    cdef void on_server_lost(self, object error) noexcept
    cdef void on_server_writable(self) noexcept
    cdef void on_answer_late(self) noexcept    # the head did not come in time
    cdef void on_continue_late(self) noexcept  # nor did a 100 that was asked for
