# One request and its answer: the state machine between two peers. Knows no socket.

from .account cimport Account
from .engine cimport Engine
from .entry cimport Entry
from .framing cimport Framing
from .head cimport Head
from .port cimport Peer
from .snapshot cimport Snapshot
from .step cimport Step
from .upstream cimport Upstream


cdef enum State:
    FREE = 0           # lies in the engine's spare list
    ROUTING            # request steps run
    PARKED             # a request step waits
    CONNECTING         # a connection to the server is dialled
    ASKING             # the request is on its way, the answer's head has not come
    RESPONDING         # response steps run
    HELD               # a response step waits
    ANSWERING          # the answer's head is with the client
    TUNNELLED          # both connections were handed to a splice
    ENDED


cdef class Exchange(Account):
    # Made once and used again; everything below is of the request in hand.
    cdef State state
    cdef Peer client                   # None once the client is gone
    cdef Peer server                   # None before it is connected and after it is released
    cdef Snapshot snapshot
    cdef Framing asked                 # how the request's body is framed
    cdef Framing answered              # how the answer's is
    cdef bint body_over                # the request has come to its end
    cdef bint is_pending               # the server of `target` owes the head of an answer
    cdef bint was_left                 # Forwarding.leave has run
    cdef bint body_sent                # some of the body went to a server: it cannot be sent again
    cdef bint said_continue            # a 100 went to the client
    cdef list early                    # body bytes that came before the server was there
    cdef list held                     # answer bytes that came while a response step waits
    cdef bint held_end                 # the answer's end came meanwhile, with
    cdef Head held_trailer
    cdef bytes own_body                # of an answer of ours
    cdef Py_ssize_t step               # the step that runs or waits
    cdef object answering_step         # the request step that answered; None: none did
    cdef object task                   # dialling, or a coroutine of a step

    cdef void start(self, Entry entry, Peer client, Framing* body) noexcept
    cdef void on_body(self, const char* at, Py_ssize_t size) noexcept
    cdef void on_body_end(self) noexcept
    cdef void on_body_broken(self, int status, const char* why) noexcept
    cdef void on_request_late(self) noexcept
    cdef void on_client_lost(self) noexcept
    cdef void on_client_writable(self) noexcept
    cdef void flush_request(self) noexcept
    cdef bint wants_body(self) noexcept
    cdef bint holds_back(self) noexcept
    cdef void clear(self) noexcept

    cdef void run_steps(self) noexcept
    cdef void park(self, double timeout) noexcept
    cdef void connect(self) noexcept
    cdef void begin(self) noexcept
    cdef bint may_repeat(self) noexcept
    cdef void refuse(self, int status, bytes body, bint typed) noexcept
    cdef void answer(self, int status, list headers, bytes body) noexcept
    cdef void run_response_steps(self) noexcept
    cdef void deliver(self) noexcept
    cdef void change_protocol(self) noexcept
    cdef void lose_server(self) noexcept
    cdef void end(self) noexcept
    cdef bint has_denied_escape(self) noexcept
    cdef void take_answer(self, Step step) noexcept
    cdef void fault(self, Step step, object error) noexcept
    cdef void lose_answer(self) noexcept
    cdef void make_answer(self, int status, list headers, bytes body) noexcept
    cdef Upstream take_idle(self)
    cdef void open_connection(self) noexcept
    cdef int name_host(self) except -1
    cdef void cut_off(self) noexcept
    cdef void cancel(self) noexcept


cdef Exchange new_exchange(Engine engine)
cdef void keep_exchange(Engine engine, Exchange exchange) noexcept
