"""One request and its answer: the state machine between two peers. It knows no socket.

    FREE -> ROUTING -> CONNECTING -> ASKING -> RESPONDING -> ANSWERING -> ENDED
               |  ^         |                     |    ^
               v  |         +-- (pooled) --^      v    |          TUNNELLED after a 101
             PARKED                              HELD

Any state may go to RESPONDING with an answer of ours, and to ENDED when the client is gone. What may happen in
which state:

    body bytes        ROUTING..CONNECTING: kept, client paused     ASKING..ANSWERING: passed on
    server lost       ASKING: sent again once if it may be, else 502     ANSWERING: the client's end is cut off
    client lost       everywhere: the server's end is cut off, counted as 499
"""

import asyncio
import ssl

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from libc.errno cimport EMFILE, ENFILE

from .balance cimport Balancer
from .connection cimport Connection
from .deadline cimport monotonic
from .field cimport F_EXPECT, F_HOST, F_IDEMPOTENCY_KEY, F_UPGRADE, Field, value_of
from .framing cimport LENGTH, NO_BODY
from .head cimport has
from .message cimport Answer, Request, Response
from .phrase cimport phrase_of
from .span cimport Span, bytes_of, find_byte, same_folded, span_of, span_of_bytes
from .splice cimport splice
from .step cimport ANSWER, PARK, Pipeline, Step, Verdict
from .tally cimport (
    C_1XX, C_2XX, C_3XX, C_4XX, C_5XX, C_BYTES_IN, C_BYTES_OUT, C_DIALLED, C_GONE, C_REQUESTS, C_RETRIED,
    Count, count, count_more,
)
from .table cimport Table
from .target cimport target_answered, target_end
from .upstream cimport Upstream, dial

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject*)        # of a borrowed pointer: a reference would count itself

cdef enum:
    CLIENT_GONE = 499      # what nginx, and Traefik after it, record where there was nobody to be answered

cdef enum:
    MOST_SPARE = 512       # exchanges kept for later; a burst of more is freed again

cdef long long alive = 0           # exchanges begun and not ended


def in_progress():
    """How many exchanges have begun and not ended, in this process."""
    return alive


cdef class Exchange(Account):
    """One request and its answer."""

    def __cinit__(self):
        self.request = Request.__new__(Request)
        self.response = Response.__new__(Response)

    # ---------------------------------------------------------------- the request comes in

    cdef void start(self, Entry entry, Peer client, Framing* body) noexcept:
        """Serve the request whose head is kept and prepared. Its body follows by on_body and on_body_end."""
        global alive
        cdef Table table = None
        cdef tuple tables
        alive += 1
        self.entry = entry
        self.client = client
        self.asked = body[0]
        self.body_over = body.kind == NO_BODY
        self.snapshot = entry.switch.current
        self.state = ROUTING
        count(entry.tally, C_REQUESTS)
        if entry.access_log is not None:
            self.begin_record()
        tables = self.snapshot.secure if self.request.is_tls else self.snapshot.tables
        if entry.index < len(tables):
            table = <Table>tables[entry.index]
        try:
            if table is not None:
                self.route = table.find(self.request)
        except Exception as error:
            self.note("routing failed", error)
            self.refuse(500, b"Internal Server Error\n", True)
            return
        if self.route is None:
            if entry.on_unrouted is not None:
                self.tell_unrouted(table)
            self.refuse(404, b"404 page not found\n", True)
            return
        if self.route.terms is not self.request.terms and self.route.terms != self.request.terms:
            # The name in TLS was another one than that in the request, and has other options.
            self.refuse(421, b"Misdirected Request\n", True)
            return
        if len(entry.denied) and self.has_denied_escape():
            self.answer(400, [], b"")
            return
        self.step = 0
        self.run_steps()

    cdef bint has_denied_escape(self) noexcept:
        """Source: entryPoints.<name>.http.encodedCharacters. Normalising has written every escape in capitals."""
        cdef bytes path
        if find_byte(self.request.path, 37) < 0:
            return False
        path = bytes_of(self.request.path)
        for escape in self.entry.denied:
            if escape in path:
                return True
        return False

    cdef void run_steps(self) noexcept:
        """Run request steps from `step` on, then connect."""
        cdef Step step
        cdef Verdict verdict
        cdef Request request = self.request
        while self.step < self.route.pipeline.request_count:
            step = <Step>self.route.pipeline.on_request[self.step]
            try:
                verdict = step.on_request(request)
            except BaseException as error:
                self.fault(step, error)
                return
            if verdict == ANSWER:
                self.take_answer(step)
                return
            if verdict == PARK:
                self.state = PARKED
                self.park(timeout_of(step))
                return
            self.step += 1
        self.connect()

    cdef void take_answer(self, Step step) noexcept:
        """Answer what a step left in request.answer."""
        cdef Answer answer = <Answer>self.request.answer
        self.request.answer = None
        self.answering_step = step
        self.answer(answer.status, answer.headers, answer.body)

    cdef void fault(self, Step step, object error) noexcept:
        """A step raised: the client gets 500, the log the traceback."""
        self.tell_failed(step, error)
        self.answering_step = step
        self.refuse(500, b"Internal Server Error\n", True)

    # ---------------------------------------------------------------- waiting for a plugin

    cdef void park(self, double timeout) noexcept:
        """Await request.pending; on_parked goes on."""
        pending = self.request.pending
        self.request.pending = None
        # While an answer waits the body goes on to the server, which may be waiting for its end.
        if not self.body_over and self.state == PARKED:
            self.client.pause()
        self.task = self.entry.engine.loop.create_task(within(pending, timeout))
        self.task.add_done_callback(self.on_parked)

    def on_parked(self, task):
        """Called by the loop when a plugin's coroutine is done."""
        cdef Step step
        if self.task is not task:
            return     # the exchange ended meanwhile
        self.task = None
        held = self.state == HELD
        steps = self.route.pipeline.on_response if held else self.route.pipeline.on_request
        step = <Step>steps[self.step]
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            if held:
                self.tell_failed(step, error)
                self.lose_answer()
            else:
                self.fault(step, error)
            return
        result = task.result()
        self.step += 1
        if held:
            self.run_response_steps()
        elif result is None:
            self.state = ROUTING
            self.run_steps()
        elif isinstance(result, Answer):
            self.request.answer = result
            self.take_answer(step)
        else:
            self.fault(step, TypeError(f"a middleware answers None or a Response, not {type(result).__name__}"))
        # Nobody further up does it. We may serve the client's next request already; that does no harm.
        self.flush_request()
        if self.client is not None:
            self.client.flush()

    cdef void lose_answer(self) noexcept:
        """A response step failed: what the server answered is not passed on."""
        self.lose_server()
        self.held = None
        self.held_end = False
        self.response.clear()
        self.own_body = None
        # No response step runs on this one: the one that failed would be among them.
        self.make_answer(500, [(b"Content-Type", b"text/plain; charset=utf-8"),
                               (b"X-Content-Type-Options", b"nosniff")], b"Internal Server Error\n")
        self.deliver()

    # ---------------------------------------------------------------- to the server

    cdef void connect(self) noexcept:
        """Choose a server and get a connection to it."""
        cdef Balancer balancer = self.route.balancer
        cdef Upstream upstream
        try:
            if balancer is not None:
                self.target = balancer.pick()
        except Exception as error:
            self.note(f"service {balancer.name} failed", error)
        if self.target is None:
            if balancer is not None and balancer.is_full():
                self.entry.engine.full.add((balancer.name,))
                self.refuse(503, b"Service Unavailable", False)
            else:
                self.refuse(503, b"no available server\n", True)
            return
        self.is_pending = True
        if self.log is not None and self.log.wants_origin:
            self.served_from = monotonic()
        upstream = self.take_idle()
        if upstream is not None:
            upstream.attach(self, self.response)
            self.server = upstream
            self.begin()
        else:
            self.open_connection()

    cdef Upstream take_idle(self):
        """An idle connection, or None. One that could not be asked again in secret is looked at first."""
        cdef Upstream upstream
        cdef bint careful = not self.may_repeat()
        while True:
            upstream = <Upstream>self.target.pool.take()
            if upstream is None or not (upstream.is_closing or careful and upstream.is_stale()):
                return upstream
            upstream.abort()

    cdef void open_connection(self) noexcept:
        self.state = CONNECTING
        if not self.body_over:
            self.client.pause()
        count(self.entry.tally, C_DIALLED)
        self.task = dial(self.entry.engine, self.target.pool, self)

    cdef void on_connected(self, Peer server) noexcept:
        cdef Upstream upstream = <Upstream>server
        if self.state != CONNECTING:
            upstream.release(False)
            return
        if upstream.is_closing:
            # Lost before we were told of it: nobody will tell us again.
            self.on_dial_failed(ConnectionResetError("closed as soon as it was connected"))
            return
        self.task = None
        upstream.attach(self, self.response)
        self.server = upstream
        self.begin()
        self.flush_request()

    cdef void on_dial_failed(self, object error) noexcept:
        if self.state != CONNECTING:
            return
        self.task = None
        if isinstance(error, TimeoutError) or "taking longer" in str(error):
            self.refuse(504, b"Gateway Timeout", False)
        elif isinstance(error, OSError) and error.errno in (EMFILE, ENFILE):
            self.refuse(503, b"Service Unavailable", False)
        elif isinstance(error, ssl.SSLError):
            # A certificate that does not hold, or no TLS at all on the other side: somebody has to mend it.
            try:
                self.entry.engine.log.error("TLS with server %s failed: %s", self.target.url, error,
                                            extra=self.about())
            except Exception:
                pass
            self.refuse(500, b"Internal Server Error", False)
        else:
            self.note(f"server {self.target.url} cannot be reached", error)
            self.refuse(502, b"Bad Gateway", False)

    cdef void begin(self) noexcept:
        """Gather the request for the server: head, early body bytes, end."""
        cdef bytes piece
        self.state = ASKING
        try:
            if not self.was_left:
                self.was_left = True
                self.entry.forwarding.leave(self.request)
            self.name_host()
        except Exception as error:
            self.note("request fields", error)
            self.refuse(500, b"Internal Server Error", False)
            return
        self.server.begin_request(self.request, &self.asked, self.target)
        if self.early is not None:
            for piece in self.early:
                self.body_sent = True
                self.server.data(piece, len(piece))
            self.early = None
        if self.body_over:
            self.server.finish(None)
        elif not self.server.is_busy():
            # It was paused while there was nobody to take more.
            self.client.resume()

    cdef int name_host(self) except -1:
        """Host: the client's, or the server's where the service says so or the client named none."""
        cdef Field* field = self.request.head.find(F_HOST)
        cdef Span host = span_of_bytes(self.target.host)
        if field is NULL:
            # HTTP/1.0: the host may stand in the target alone.
            if self.route.balancer.pass_host and self.request.host_sent.size:
                host = self.request.host_sent
            self.request.head.add(span_of(b"Host", 4), host, F_HOST)
        elif not self.route.balancer.pass_host or field.value_size == 0:
            field.value = host.at
            field.value_size = <unsigned int>host.size
        return 0

    cdef bint may_repeat(self) noexcept:
        """Say whether the request may be sent twice in secret (RFC 9110, 9.2.2) and still can be."""
        cdef Span method = self.request.method
        if self.asked.kind != NO_BODY:
            return False
        if method.size == 3 and same_folded(method, b"get", 3) or method.size == 4 and same_folded(
                method, b"head", 4):
            return True
        return (same_folded(method, b"options", 7) or same_folded(method, b"trace", 5)
                or has(self.request.head, F_IDEMPOTENCY_KEY))

    # ---------------------------------------------------------------- the request's body

    cdef bint wants_body(self) noexcept:
        """Say whether body bytes are still of use to anybody."""
        return self.state != ENDED and not self.body_over

    cdef void on_body(self, const char* at, Py_ssize_t size) noexcept:
        """A run of the request's body came."""
        count_more(self.entry.tally, C_BYTES_IN, size)
        self.received += size
        if self.server is not None and self.state >= ASKING:
            self.body_sent = True
            self.server.data(at, size)
            if self.server.is_busy():
                self.client.pause()
        elif self.state < ASKING:
            if self.early is None:
                self.early = []
            self.early.append(PyBytes_FromStringAndSize(at, size))
            self.client.pause()

    cdef void on_body_end(self) noexcept:
        self.body_over = True
        if self.server is not None and self.state >= ASKING:
            self.server.finish(None)

    cdef void flush_request(self) noexcept:
        """Let go of what was gathered for the server; a write that blocks pauses the client."""
        if self.server is not None:
            self.server.flush()
            if not self.body_over and self.client is not None and self.server is not None and self.server.is_busy():
                self.client.pause()

    cdef void on_server_writable(self) noexcept:
        if self.client is not None and not self.body_over:
            self.client.resume()

    cdef void on_body_broken(self, int status, const char* why) noexcept:
        """The body is malformed, or too long: nobody gets more of it."""
        self.note(f"request body refused: {why.decode()}", None)
        if self.state == ANSWERING or self.state == HELD:
            self.cut_off()
            return
        self.refuse(status, str(status).encode() + b" " + phrase_of(status), True)

    cdef void on_request_late(self) noexcept:
        """The request was not whole within the entry point's readTimeout."""
        self.note("the request was not whole in time", None)
        if self.state == ANSWERING or self.state == HELD:
            self.cut_off()
        else:
            self.refuse(504, b"Gateway Timeout", False)

    # ---------------------------------------------------------------- the answer

    cdef void on_interim(self) noexcept:
        """A 1xx head: passed on to whoever understands it (RFC 9110, 15.2)."""
        if self.client is None or self.state != ASKING or self.request.head.minor == 0:
            return
        if self.response.head.status == 100:
            if self.said_continue:
                return
            self.said_continue = True
        count(self.entry.tally, C_1XX)
        self.client.interim(self.response)

    cdef bint holds_back(self) noexcept:
        """Say whether the client waits for a 100 that nobody has said."""
        return (has(self.request.head, F_EXPECT) and not self.said_continue and not self.body_sent
                and self.early is None)

    cdef void on_continue_late(self) noexcept:
        """The server says nothing to an Expect: the client is told to go on, as after its own patience."""
        if self.client is not None and self.state == ASKING and not self.said_continue:
            self.said_continue = True
            self.response.head.clear()
            self.response.head.status = 100
            self.client.interim(self.response)
            self.client.flush()
            self.response.head.clear()

    cdef void on_answer(self, Framing* body) noexcept:
        """The answer's head is in `response`; hop-by-hop fields are cut but for a 101."""
        self.answered = body[0]
        self.is_pending = False
        target_answered(self.target)
        self.origin_status = self.response.head.status
        if self.log is not None and self.log.wants_fields:
            self.keep_fields(True)
        if self.response.head.status == 101:
            self.change_protocol()
            return
        self.state = RESPONDING
        self.step = 0
        self.run_response_steps()

    cdef void run_response_steps(self) noexcept:
        """Run response steps from `step` on, then deliver."""
        cdef Step step
        cdef Verdict verdict
        cdef Pipeline pipeline
        self.state = RESPONDING
        if self.route is not None:
            pipeline = self.route.pipeline
            while self.step < pipeline.response_count:
                step = <Step>pipeline.on_response[self.step]
                if self.answering_step is not None and not is_before(pipeline, step, self.answering_step):
                    self.step += 1
                    continue
                try:
                    verdict = step.on_response(self.request, self.response)
                except BaseException as error:
                    self.tell_failed(step, error)
                    self.lose_answer()
                    return
                if verdict == PARK:
                    self.state = HELD
                    self.response.head.keep()
                    if self.server is not None:
                        self.server.pause()
                    self.park(timeout_of(step))
                    return
                self.step += 1
        self.deliver()

    cdef void deliver(self) noexcept:
        """Give the head to the client, and what came of the body meanwhile."""
        cdef bytes piece
        self.state = ANSWERING
        self.status = self.response.head.status
        if self.log is not None and self.log.wants_fields:
            self.keep_fields(False)
        count(self.entry.tally, class_of(self.response.head.status))
        if not self.client.begin_answer(self.response, &self.answered):
            self.cut_off()
            return
        if self.response.is_ours:
            if self.answered.kind == LENGTH:
                self.client.data(self.own_body, len(self.own_body))
                count_more(self.entry.tally, C_BYTES_OUT, len(self.own_body))
                self.sent += len(self.own_body)
            self.client.finish(None)
            self.client.flush()
            self.end()
            return
        if self.held is not None:
            for piece in self.held:
                self.on_answer_data(piece, len(piece))
            self.held = None
            self.client.flush()
        if self.held_end:
            self.on_answer_end(self.held_trailer)
        elif self.server is not None and not self.client.is_busy():
            self.server.resume()

    cdef void on_answer_data(self, const char* at, Py_ssize_t size) noexcept:
        if self.state == ANSWERING:
            count_more(self.entry.tally, C_BYTES_OUT, size)
            self.sent += size
            self.client.data(at, size)
            if self.client.is_busy() and self.server is not None:
                self.server.pause()
        elif self.state == HELD:
            if self.held is None:
                self.held = []
            self.held.append(PyBytes_FromStringAndSize(at, size))

    cdef void on_answer_flush(self) noexcept:
        if self.client is not None and (self.state == ANSWERING or self.state == ASKING):
            self.client.flush()
            if self.server is not None and self.client is not None and self.client.is_busy():
                self.server.pause()

    cdef void on_client_writable(self) noexcept:
        # While ASKING it was interim answers that filled the client.
        if self.server is not None and (self.state == ANSWERING or self.state == ASKING):
            self.server.resume()

    cdef void on_answer_end(self, Head trailer) noexcept:
        if self.state == HELD:
            self.held_end = True
            self.held_trailer = trailer
            return
        self.client.finish(trailer)
        self.client.flush()
        self.end()

    cdef void change_protocol(self) noexcept:
        """101: check what was agreed on, then hand both connections to a splice (RFC 9110, 7.8)."""
        cdef Field* field = self.response.head.find(F_UPGRADE)
        cdef Peer client, server
        cdef bytes asked = bytes_of(self.request.upgrade)
        cdef str fault = None
        if field is NULL or bytes_of(value_of(field)).lower() != asked.lower():
            fault = "the server changed to another protocol than was asked for"
        elif not self.body_over:
            # Bytes that frame the rest of the body would be taken for the new protocol.
            fault = "the server changed protocols before the request was whole"
        if fault is not None:
            self.note(fault, None)
            self.refuse(500, b"Internal Server Error", False)
            return
        if self.client is None or not self.client.begin_answer(self.response, &self.answered):
            self.cut_off()
            return
        count(self.entry.tally, C_1XX)
        self.client.flush()
        client = self.client.upgrade()
        server = self.server.upgrade()
        self.server = None
        splice(<Connection>client, <Connection>server, self.target, self.record_later())
        self.target = None
        self.state = TUNNELLED
        self.end()

    # ---------------------------------------------------------------- what goes wrong

    cdef void on_bad_answer(self, const char* why) noexcept:
        """The server's answer is malformed: nothing of it is passed on any more."""
        self.note(f"malformed answer of server {self.target.url}: {why.decode()}", None)
        self.lose_server()
        if self.state == ASKING:
            self.refuse(500, b"Internal Server Error", False)
        else:
            self.cut_off()

    cdef void on_server_lost(self, object error) noexcept:
        """The server's connection is gone before the answer was whole."""
        cdef Upstream upstream = <Upstream>self.server
        cdef bint untouched = upstream.is_reused and not upstream.has_spoken
        cdef bint truncated = upstream.partial is not None and error is None
        self.lose_server()
        if self.state == ASKING:
            if untouched and not self.was_retried and not self.body_sent and self.may_repeat():
                # It had timed out on the server's side while it lay idle, most likely.
                self.was_retried = True
                count(self.entry.tally, C_RETRIED)
                self.response.clear()
                self.open_connection()
                return
            self.note(f"server {self.target.url} closed before it answered", error)
            if truncated:
                self.refuse(500, b"Internal Server Error", False)
            else:
                self.refuse(502, b"Bad Gateway", False)
        elif self.state == HELD:
            self.note(f"server {self.target.url} closed within its answer", error)
            self.lose_answer()
        else:
            self.note(f"server {self.target.url} closed within its answer", error)
            self.cut_off()

    cdef void on_answer_late(self) noexcept:
        """No head within the transport's responseHeaderTimeout."""
        self.note(f"server {self.target.url} did not answer in time", None)
        self.refuse(504, b"Gateway Timeout", False)

    cdef void on_client_lost(self) noexcept:
        """The client is gone: nobody wants the answer any more. Recorded as status 499."""
        if self.state == ENDED or self.state == TUNNELLED:
            return
        count(self.entry.tally, C_GONE)
        self.status = CLIENT_GONE
        self.client = None
        self.end()

    cdef void cut_off(self) noexcept:
        """The answer has begun and cannot be completed: the client must notice that it is short."""
        cdef Peer client = self.client
        if client is not None:
            client.give_up()
            self.client = None
        self.end()

    cdef void lose_server(self) noexcept:
        cdef Peer server = self.server
        if server is not None:
            self.server = None
            server.release(False)

    cdef void refuse(self, int status, bytes body, bint typed) noexcept:
        """Answer a plain text of ours. typed: as Go's http.Error has it, with a content type."""
        self.answer(status, [(b"Content-Type", b"text/plain; charset=utf-8"),
                             (b"X-Content-Type-Options", b"nosniff")] if typed else [], body)

    cdef void answer(self, int status, list headers, bytes body) noexcept:
        """Answer instead of a server; response steps of the middlewares already passed run."""
        self.lose_server()
        self.cancel()
        if self.client is None:
            self.end()
            return
        self.make_answer(status, headers, body)
        self.step = 0
        self.run_response_steps()

    cdef void make_answer(self, int status, list headers, bytes body) noexcept:
        cdef Head head = self.response.head
        self.response.clear()
        head.status = status
        head.minor = 1
        self.response.is_ours = True
        self.own_body = body
        self.answered.kind = NO_BODY
        self.answered.length = 0
        try:
            for name, value in headers:
                head.add_owned(name, value)
            if status >= 200 and status != 204 and status != 304:
                head.add_owned(b"Content-Length", str(len(body)).encode())
                if len(body) and not same_folded(self.request.method, b"head", 4):
                    self.answered.kind = LENGTH
                    self.answered.length = len(body)
        except Exception as error:
            self.note("answer", error)

    cdef void cancel(self) noexcept:
        """Stop dialling, or a plugin's coroutine."""
        task = self.task
        if task is not None:
            self.task = None
            task.cancel()

    # ---------------------------------------------------------------- the end

    cdef void end(self) noexcept:
        """Let go of everything; the client's side goes on by itself."""
        global alive
        cdef Peer client = self.client
        cdef Peer server = self.server
        if self.state == ENDED:
            return
        self.state = ENDED
        alive -= 1
        if self.log is not None:
            self.record()
        self.cancel()
        self.client = None
        self.server = None
        if server is not None:
            server.release(self.body_over and client is not None)
        if self.target is not None:
            if self.is_pending:
                self.is_pending = False
                target_answered(self.target)
            target_end(self.target)
            self.target = None
        self.snapshot = None
        self.route = None
        if client is not None:
            client.on_answered(self.body_over)

    cdef void clear(self) noexcept:
        """Forget everything of the request; a plugin that still holds it is refused from now on."""
        if Py_REFCNT(<PyObject*>self.request) > 1:
            # Its fields point to what is freed now, such as names of servers.
            self.request.over = True
            self.request.head.clear()
            self.request = Request.__new__(Request)
        else:
            self.request.clear()
        if Py_REFCNT(<PyObject*>self.response) > 1:
            self.response.over = True
            self.response.head.clear()
            self.response = Response.__new__(Response)
        else:
            self.response.clear()
        self.state = FREE
        self.early = None
        self.held = None
        self.held_end = False
        self.held_trailer = None
        self.own_body = None
        self.answering_step = None
        self.was_left = False
        self.body_sent = False
        self.said_continue = False
        self.forget()


cdef Exchange new_exchange(Engine engine):
    """An exchange that is not in use."""
    if engine.spare:
        return <Exchange>engine.spare.pop()
    return Exchange.__new__(Exchange)


cdef void keep_exchange(Engine engine, Exchange exchange) noexcept:
    """Clear an exchange that has ended and keep it for later."""
    exchange.clear()
    if len(engine.spare) < MOST_SPARE:
        engine.spare.append(exchange)


async def within(pending, double seconds):
    """Await a plugin's coroutine, but no longer than *seconds*; 0: as long as it takes."""
    try:
        async with asyncio.timeout(seconds or None) as limit:
            return await pending
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"it took longer than {seconds:g} seconds") from None
        raise


cdef double timeout_of(Step step) noexcept:
    return getattr(step, "timeout", 30.0)


cdef bint is_before(Pipeline pipeline, Step step, object answering) noexcept:
    """Say whether a step was passed before the one that answered."""
    for other in pipeline.steps:
        if other is answering:
            return False
        if other is step:
            return True
    return False


cdef inline Count class_of(int status) noexcept nogil:
    if status < 200:
        return C_1XX
    if status < 300:
        return C_2XX
    if status < 400:
        return C_3XX
    return C_4XX if status < 500 else C_5XX
