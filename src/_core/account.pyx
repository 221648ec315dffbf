"""What the logs are told of a request: a line of the access log in the end, lines of the process log meanwhile."""

from cpython.object cimport PyObject
from libc.string cimport memset

from .deadline cimport monotonic
from .field cimport F_X_FORWARDED_FOR, Field, value_of
from .record cimport (
    AccessLog, Facts, N_ASKED_SIZE, N_BEGAN, N_ENDED, N_IS_TLS, N_MINOR, N_ORIGIN_DURATION, N_ORIGIN_SIZE,
    N_ORIGIN_STATUS, N_PORT, N_RETRIES, N_SIZE, N_STATUS, Receipt, T_ADDRESS, T_AGENT, T_ANSWER_FIELDS, T_CLIENT,
    T_ENTRY_POINT, T_FORWARDED, T_HOST, T_METHOD, T_ORIGIN_FIELDS, T_REFERER, T_ROUTER, T_SERVICE, T_TARGET,
    T_TLS_CIPHER, T_TLS_SUBJECT, T_TLS_VERSION, T_URL, bytes_of_fields,
)
from .span cimport Span, span_of, span_of_bytes

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(PyObject* text, Py_ssize_t* size)      # kept by the text
    void PyErr_Clear()


cdef class Account(Receiver):
    """One request, as the logs see it. What happens to it is the exchange's business."""

    # ---------------------------------------------------------------- the access log

    cdef void begin_record(self) noexcept:
        """Note what steps may change before it is told."""
        cdef Field* field = self.request.head.find(F_X_FORWARDED_FOR)
        self.log = self.entry.access_log
        self.began = monotonic()
        self.served_from = 0
        self.host = self.request.host_sent
        self.forwarded = value_of(field) if field is not NULL else span_of(NULL, 0)
        self.origin_fields = None
        self.answer_fields = None

    cdef bint is_told(self) noexcept:
        return self.entry.logs_unrouted if self.route is None else self.route.is_logged

    cdef void gather(self, Facts* facts) noexcept:
        """Gather what is told."""
        cdef Request request = self.request
        cdef Field* field
        memset(facts, 0, sizeof(Facts))
        facts.text[T_CLIENT] = span_of_bytes(request.client_text)
        facts.text[T_FORWARDED] = self.forwarded
        facts.text[T_METHOD] = request.method
        facts.text[T_TARGET] = request.head.target
        facts.text[T_HOST] = self.host
        facts.text[T_ENTRY_POINT] = span_of_text(self.entry.name)
        if self.route is not None:
            facts.text[T_ROUTER] = span_of(self.route.name_text, self.route.name_size)
        if self.target is not None:
            facts.text[T_SERVICE] = span_of_text(self.route.service)
            facts.text[T_URL] = span_of_text(self.target.url)
            facts.text[T_ADDRESS] = span_of_bytes(self.target.host)
        if self.log.wants_known:
            field = request.head.find_name(b"referer", 7, NULL)
            if field is not NULL:
                facts.text[T_REFERER] = value_of(field)
            field = request.head.find_name(b"user-agent", 10, NULL)
            if field is not NULL:
                facts.text[T_AGENT] = value_of(field)
        if self.tls is not None:
            facts.text[T_TLS_VERSION] = span_of_bytes(<bytes>self.tls[0])
            facts.text[T_TLS_CIPHER] = span_of_bytes(<bytes>self.tls[1])
            facts.text[T_TLS_SUBJECT] = span_of_bytes(<bytes>self.tls[2])
        if self.origin_fields is not None:
            facts.text[T_ORIGIN_FIELDS] = span_of_bytes(self.origin_fields)
        if self.answer_fields is not None:
            facts.text[T_ANSWER_FIELDS] = span_of_bytes(self.answer_fields)
        facts.number[N_PORT] = request.client_port
        facts.number[N_MINOR] = request.head.minor
        facts.number[N_IS_TLS] = request.is_tls
        facts.number[N_BEGAN] = self.began
        facts.number[N_ENDED] = monotonic()
        facts.number[N_STATUS] = self.status
        facts.number[N_SIZE] = self.sent
        facts.number[N_ASKED_SIZE] = self.received
        facts.number[N_ORIGIN_STATUS] = self.origin_status
        facts.number[N_RETRIES] = self.was_retried
        if self.served_from:
            facts.number[N_ORIGIN_DURATION] = facts.number[N_ENDED] - self.served_from
        if self.origin_status and not self.response.is_ours:
            facts.number[N_ORIGIN_SIZE] = self.sent

    cdef void record(self) noexcept:
        """Tell of the request, which is over."""
        cdef Facts facts
        if self.is_told():
            self.gather(&facts)
            self.log.write(&facts, self.request.head)

    cdef Receipt record_later(self):
        """What is told when the tunnel ends that is made of both connections; None: nothing."""
        cdef Facts facts
        cdef AccessLog log = self.log
        if log is None or not self.is_told():
            return None
        self.status = 101
        if log.wants_fields:
            self.keep_fields(False)
        self.gather(&facts)
        self.log = None
        return log.hold(&facts, self.request.head)

    cdef void keep_fields(self, bint of_origin) noexcept:
        """Note the fields of the answer as they are told: they lie in a buffer that is used again."""
        try:
            if of_origin:
                self.origin_fields = bytes_of_fields(self.log, self.response.head, b"origin_")
            else:
                self.answer_fields = bytes_of_fields(self.log, self.response.head, b"downstream_")
        except Exception as error:
            self.note("access log", error)

    cdef void forget(self) noexcept:
        """Be ready for the next request."""
        self.entry = None
        self.log = None
        self.tls = None
        self.was_retried = False
        self.status = 0
        self.origin_status = 0
        self.received = 0
        self.sent = 0

    # ---------------------------------------------------------------- the process log

    cdef dict about(self):
        """What a line in the log is about, as `logging` takes it: `extra`."""
        cdef dict fields = {"entryPointName": self.entry.name}
        if self.route is not None:
            fields["routerName"] = self.route.name
            fields["serviceName"] = self.route.service
        return {"fields": fields}

    cdef void note(self, str what, object error) noexcept:
        """One line in the log: what happened, to whom, why."""
        try:
            log = self.entry.engine.log
            who = self.request.client_text.decode() or "unix"
            if error is None or isinstance(error, OSError):
                log.debug("%s (client %s)%s", what, who, f": {error}" if error is not None else "",
                          extra=self.about())
            else:
                log.error("%s (client %s): %r", what, who, error, exc_info=error, extra=self.about())
        except Exception:
            pass       # a log that fails must not take the request with it

    cdef void tell_unrouted(self, Table table) noexcept:
        """Tell whoever wants to know, at debug level, that no router takes the request."""
        try:
            self.entry.on_unrouted(self.entry.name, self.request, table)
        except Exception as error:
            self.note("telling of a request without a router failed", error)

    cdef void tell_failed(self, Step step, object error) noexcept:
        """A step raised. What it raised is its own, so that no kind of error is taken for a client's."""
        try:
            told = self.about()
            told["fields"]["middlewareName"] = step.name
            self.entry.engine.log.error(
                "middleware %s of router %s failed (client %s): %r", step.name, self.route.name,
                self.request.client_text.decode() or "unix", error, exc_info=error, extra=told)
        except Exception:
            pass


cdef Span span_of_text(str text) noexcept:
    """The UTF-8 of a text, which keeps it; empty where it has none."""
    cdef Py_ssize_t size = 0
    cdef const char* at = PyUnicode_AsUTF8AndSize(<PyObject*>text, &size)
    if at is NULL:
        PyErr_Clear()
        return span_of(NULL, 0)
    return span_of(at, size)
