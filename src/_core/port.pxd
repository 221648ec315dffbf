# What an exchange needs of its surroundings: the loop's shared things, a connection, and the two peers between
# which a request and its answer pass. HTTP/1 is one kind of peer; HTTP/2 will be another.

from .deadline cimport Deadline, Wheel
from .framing cimport Framing
from .head cimport Head
from .message cimport Request, Response
from .murmur cimport Murmur
from .pipes cimport Pipes
from .pool cimport Idle, Pool
from .session cimport Session, Wire
from .target cimport Target


cdef enum:
    READ_SIZE = 32768          # bytes taken from a socket at once; measured: 64 KiB costs 1.7 times as much a byte
    OUT_SIZE = 65536           # bytes put together for one write
    NO_FD = -1


cdef class Engine:
    # What all connections of one event loop share.
    cdef readonly object loop
    cdef readonly Wheel wheel
    cdef readonly object log           # logging.Logger
    cdef bytearray inbox               # every connection reads into it; empty again when its callback returns
    cdef char* inbox_at
    cdef Wire wire                     # every session of TLS decrypts and encrypts by way of it; likewise empty
    cdef char* out                     # owned; what `writer` is about to send
    cdef Py_ssize_t out_size
    cdef Connection writer             # whose bytes are in `out`; None when it is empty
    cdef list spare                    # exchanges to be used again
    cdef readonly Pipes pipes
    cdef list leaving                  # transports whose end is told at the end of this turn; None: none
    cdef bytes date                    # "Date: ...\r\n", of the second `date_at`
    cdef long date_at
    cdef public double patience        # seconds a connection that is closing may take to be rid of its last bytes
    cdef readonly long long open       # connections that have a descriptor, or are about to
    cdef public long long most         # that may have one, 0: nobody knows; of them
    cdef public long long kept         # for servers only
    cdef Murmur short                  # requests that wait for a descriptor
    cdef Murmur full                   # requests refused because too many are pending
    cdef set pools                     # weak references to those that were dialled for
    cdef object __weakref__

    cdef bytes date_line(self)
    cdef bint discard_idle(self, Pool but)
    cdef void note_pool(self, Pool pool)


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
    cdef Connection upgrade(self)              # the connection itself, for a tunnel; None: it cannot


cdef class Connection(Peer):
    # One transport, and the bytes on their way to it. Subclasses say what the bytes mean. Of TLS they see the
    # plaintext, and its beginning and end.
    cdef readonly Engine engine
    cdef readonly object transport     # None before connection_made and after lost()
    cdef int fd                        # NO_FD before and after
    cdef Session session               # TLS with the peer, until the connection is lost; None: none
    cdef bint is_secure                # there is, or was, one
    cdef bint is_full                  # the kernel takes no more: bytes wait in the transport
    cdef bint is_paused                # we do not read
    cdef bint is_closing               # close() or abort() was called, or the connection is lost
    cdef bint sent_eof
    cdef bint got_eof
    cdef int refusal                   # the error with which the peer has refused to take more; 0: it has not
    cdef bint is_open                  # counted in engine.open
    cdef Deadline timer
    cdef Tunnel tunnel                 # None until the connection is spliced with another

    # Writing: bytes gather in engine.out until flush().
    cdef char* reserve(self, Py_ssize_t size) noexcept
    cdef void commit(self, Py_ssize_t size) noexcept
    cdef void put(self, const char* at, Py_ssize_t size) noexcept
    cdef void send(self, const char* at, Py_ssize_t size) noexcept
    cdef void give(self, const char* at, Py_ssize_t size) noexcept
    cdef void encrypt(self, const char* at, Py_ssize_t size) noexcept
    cdef void push(self) noexcept
    cdef void end_session(self) noexcept
    cdef void send_both(self, const char* first, Py_ssize_t first_size, const char* second,
                        Py_ssize_t second_size) noexcept
    cdef void queue(self, const char* at, Py_ssize_t size) noexcept
    cdef void send_eof(self) noexcept
    cdef void close(self) noexcept
    cdef void abort(self) noexcept
    cdef void arm(self, double seconds, int what) noexcept
    cdef void report(self, object error) noexcept
    cdef void opened(self) noexcept
    cdef void closed(self) noexcept
    cdef bint may_send(self) noexcept
    cdef void after_send(self, ssize_t sent, const char* first, Py_ssize_t first_size, const char* second,
                         Py_ssize_t second_size) noexcept
    cdef void refused(self, int number) noexcept

    # Reading: TLS is taken off.
    cdef void shake(self) noexcept
    cdef void decrypt(self, const char* at, Py_ssize_t size) noexcept
    cdef void hand_on(self, const char* at, Py_ssize_t size) noexcept
    cdef void end_of_reading(self) noexcept

    # What the transport tells; none of these may raise.
    cdef void received(self, Py_ssize_t size) noexcept
    cdef void ended(self) noexcept
    cdef void filled(self) noexcept
    cdef void emptied(self) noexcept
    cdef void lost(self, object error) noexcept

    # What happened. None of these may raise.
    cdef void on_shaking(self) noexcept
    cdef void on_made(self) noexcept
    cdef void on_data(self, const char* at, Py_ssize_t size) noexcept
    cdef void on_eof(self) noexcept
    cdef void on_cut_short(self) noexcept
    cdef void on_broken(self, object error) noexcept
    cdef void on_undecrypted(self, Py_ssize_t size) noexcept
    cdef void on_lost(self, object error) noexcept
    cdef void on_full(self) noexcept
    cdef void on_writable(self) noexcept


cdef class Tunnel:
    # Takes over two connections for good; see splice.
    cdef void on_data(self, Connection side, const char* at, Py_ssize_t size) noexcept
    cdef void on_eof(self, Connection side) noexcept
    cdef void on_lost(self, Connection side) noexcept
    cdef void on_full(self, Connection side) noexcept
    cdef void on_writable(self, Connection side) noexcept


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
