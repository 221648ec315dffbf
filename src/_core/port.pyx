"""What an exchange needs of its surroundings: the two peers, and who is told what a server does."""


cdef class Peer(Idle):
    """One end of an exchange."""

    cdef bint begin_answer(self, Response response, Framing* body) noexcept:
        return False

    cdef void interim(self, Response response) noexcept:
        pass

    cdef bint begin_request(self, Request request, Framing* body, Target target) noexcept:
        return False

    cdef void data(self, const char* at, Py_ssize_t size) noexcept:
        pass

    cdef void finish(self, Head trailer) noexcept:
        pass

    cdef void flush(self) noexcept:
        pass

    cdef void give_up(self) noexcept:
        pass

    cdef void release(self, bint reusable) noexcept:
        pass

    cdef void pause(self) noexcept:
        pass

    cdef void resume(self) noexcept:
        pass

    cdef bint is_busy(self) noexcept:
        return False

    cdef void on_answered(self, bint body_over) noexcept:
        pass

    cdef Peer upgrade(self):
        return None


cdef class Receiver:
    """Who is told what a server does."""

    cdef void on_connected(self, Peer server) noexcept:
        pass

    cdef void on_dial_failed(self, object error) noexcept:
        pass

    cdef void on_interim(self) noexcept:
        pass

    cdef void on_answer(self, Framing* body) noexcept:
        pass

    cdef void on_answer_data(self, const char* at, Py_ssize_t size) noexcept:
        pass

    cdef void on_answer_end(self, Head trailer) noexcept:
        pass

    cdef void on_answer_flush(self) noexcept:
        pass

    cdef void on_bad_answer(self, const char* why) noexcept:
        pass

    cdef void on_server_lost(self, object error) noexcept:
        pass

    cdef void on_server_writable(self) noexcept:
        pass

    cdef void on_answer_late(self) noexcept:
        pass

    cdef void on_continue_late(self) noexcept:
        pass
