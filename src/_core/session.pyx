"""TLS of one connection: ciphertext out of a window in, plaintext out, and the other way round.

OpenSSL reads from the bytes that the connection has just received, where they lie, and writes into a buffer that all
connections of a loop share; the connection sends it before it does anything else. So a connection owns nothing beyond
what OpenSSL keeps, which is no buffer while it is idle (SSL_MODE_RELEASE_BUFFERS), and no call of OpenSSL makes a
system call or calls back into the proxy.

No renegotiation. Records that carry nothing for the proxy, key updates above all, are counted: a peer that sends more
than MOST_IDLE of them at once is done with. OpenSSL itself counts empty ones and warnings.
Source: RFC 8446, RFC 5246; SSL_read(3), BIO_meth_new(3).
"""

from ipaddress import ip_address

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from .openssl cimport (
    BIO_ALL_LATER, BIO_CTRL_FLUSH, BIO_READ_LATER, BIO_TYPE_SOURCE_SINK, BIO_WRITE_LATER, OpenSSL, SSL_ERROR_WANT_READ,
    SSL_ERROR_WANT_WRITE, SSL_ERROR_ZERO_RETURN, SSL_VERIFY_NONE, X509_V_ERR_HOSTNAME_MISMATCH,
    X509_V_ERR_IP_ADDRESS_MISMATCH, X509_V_OK, inside, reached,
)

cdef enum:
    MOST_CIPHERTEXT = 65536 + 4096     # to be sent at once: 64 KiB in four records, with what TLS adds to them
    # include/openssl/ssl.h, x509v3.h
    SET_MODE = 33
    MODES = 0x01 | 0x02 | 0x10         # partial writes, moving buffers, buffers released
    CLEAR_MODE = 78
    AUTO_RETRY = 0x04                  # without it each record that says nothing to us is told
    SET_HOST_NAME = 55
    MOST_IDLE = 32
    HOST_FLAGS = 0x04 | 0x20           # no partial wildcards; the common name is no host name

cdef void* method = NULL               # of our BIOs
cdef long long alive = 0


def living():
    """How many sessions there are in this process."""
    return alive


cdef class Wire:
    """What passes between OpenSSL and a connection within one call; one for all connections of a loop.

    The plaintext of one read has room in `clear`: what was read, and the part of a record that came before it.
    """

    def __cinit__(self, Py_ssize_t read_size):
        self.out = <char*>malloc(MOST_CIPHERTEXT)
        self.clear_size = read_size + RECORD + 1024
        self.clear = <char*>malloc(self.clear_size)
        if self.out is NULL or self.clear is NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.out)
        free(self.clear)


cdef int take_in(void* bio, char* data, int size) noexcept:
    """Give OpenSSL what has come."""
    cdef Wire wire = <Wire>known.BIO_get_data(bio)
    known.BIO_clear_flags(bio, BIO_ALL_LATER)
    if wire.size == 0:
        known.BIO_set_flags(bio, BIO_READ_LATER)
        return -1
    size = <int>min(<Py_ssize_t>size, wire.size)
    memcpy(data, wire.at, size)
    wire.at += size
    wire.size -= size
    return size


cdef int put_out(void* bio, const char* data, int size) noexcept:
    """Take from OpenSSL what is to be sent, as far as there is room."""
    cdef Wire wire = <Wire>known.BIO_get_data(bio)
    known.BIO_clear_flags(bio, BIO_ALL_LATER)
    if wire.out_size == MOST_CIPHERTEXT:
        known.BIO_set_flags(bio, BIO_WRITE_LATER)
        return -1
    size = <int>min(<Py_ssize_t>size, MOST_CIPHERTEXT - wire.out_size)
    memcpy(wire.out + wire.out_size, data, size)
    wire.out_size += size
    return size


cdef long control(void* bio, int what, long number, void* data) noexcept:
    return what == BIO_CTRL_FLUSH


cdef int begin(void* bio) noexcept:
    known.BIO_set_init(bio, 1)
    return 1


cdef int forget(void* bio) noexcept:
    return 1


cdef const OpenSSL* known = NULL       # once a session was made


cdef void prepare() except *:
    """Make the method of our BIOs; NotImplementedError where OpenSSL cannot be had."""
    global known, method
    cdef const OpenSSL* calls = reached()
    cdef void* made = calls.BIO_meth_new(BIO_TYPE_SOURCE_SINK, b"window")
    if made is NULL:
        raise MemoryError()
    calls.BIO_meth_set_read(made, take_in)
    calls.BIO_meth_set_write(made, put_out)
    calls.BIO_meth_set_ctrl(made, control)
    calls.BIO_meth_set_create(made, begin)
    calls.BIO_meth_set_destroy(made, forget)
    known = calls
    method = made


@cython.no_gc
cdef class Session:
    """TLS of one connection, from its handshake on. Of its calls none raises, and each ends within the window."""

    def __dealloc__(self):
        global alive
        if self.ssl is not NULL:
            self.calls.SSL_free(self.ssl)
            alive -= 1

    # -------- the connection's side

    cdef Py_ssize_t shake(self) noexcept:
        """Go on with the handshake: S_DONE, S_MORE, S_FULL or S_BROKEN."""
        cdef int came
        self.clear_errors()
        came = self.calls.SSL_do_handshake(self.ssl)
        if came == 1:
            self.is_done = True
            return S_DONE
        return self.told(came)

    cdef Py_ssize_t read(self, char* to, Py_ssize_t size) noexcept:
        """Decrypt; the bytes that came of it, of one record at most, or S_MORE, S_FULL, S_ENDED, S_BROKEN."""
        cdef int came
        cdef Py_ssize_t told
        while True:
            self.clear_errors()
            came = self.calls.SSL_read(self.ssl, to, <int>size)
            if came > 0:
                self.idle = 0
                return came
            told = self.told(came)
            if told != S_MORE or self.wire.size == 0:
                return told
            self.idle += 1
            if self.idle > MOST_IDLE:
                self.is_broken = True
                return S_BROKEN

    cdef Py_ssize_t write(self, const char* at, Py_ssize_t size) noexcept:
        """Encrypt one record; the bytes that it has, or S_FULL, after which the same bytes must come again."""
        cdef int came
        self.clear_errors()
        came = self.calls.SSL_write(self.ssl, at, <int>min(size, RECORD))
        return came if came > 0 else self.told(came)

    cdef Py_ssize_t end(self) noexcept:
        """Say that nothing more comes (close_notify), once: S_DONE or S_FULL."""
        cdef int came
        if self.has_ended or self.is_broken or not self.is_done:
            return S_DONE
        self.clear_errors()
        came = self.calls.SSL_shutdown(self.ssl)
        if came < 0 and self.calls.SSL_get_error(self.ssl, came) == SSL_ERROR_WANT_WRITE:
            return S_FULL
        self.has_ended = True
        return S_DONE

    cdef void clear_errors(self) noexcept:
        """What others left in the queue of errors would be taken for ours."""
        if self.calls.ERR_peek_error() != 0:
            self.calls.ERR_clear_error()

    cdef Py_ssize_t told(self, int came) noexcept:
        """What it means that a call gave no bytes."""
        cdef int error = self.calls.SSL_get_error(self.ssl, came)
        if error == SSL_ERROR_WANT_READ:
            return S_MORE
        if error == SSL_ERROR_WANT_WRITE:
            return S_FULL
        if error == SSL_ERROR_ZERO_RETURN:
            self.is_ended = True
            return S_ENDED
        self.is_broken = True
        self.fault_code = self.calls.ERR_peek_last_error()
        self.calls.ERR_clear_error()
        return S_BROKEN

    cdef bint asks_certificate(self) noexcept:
        """Say whether the peer is asked for a certificate."""
        return self.calls.SSL_get_verify_mode(self.ssl) != SSL_VERIFY_NONE

    # -------- what is told of it

    @property
    def version(self):
        """`TLSv1.3`."""
        return self.calls.SSL_get_version(self.ssl).decode()

    @property
    def cipher(self):
        """The cipher suite by its name in OpenSSL; "": none was agreed on."""
        cdef const void* cipher = self.calls.SSL_get_current_cipher(self.ssl)
        return "" if cipher is NULL else self.calls.SSL_CIPHER_get_name(cipher).decode()

    @property
    def is_resumed(self):
        return self.calls.SSL_session_reused(self.ssl) != 0

    @property
    def certificate(self):
        """The certificate that the peer has shown, DER; None: none."""
        cdef void* shown = self.calls.SSL_get1_peer_certificate(self.ssl)
        if shown is NULL:
            return None
        try:
            return der_of(self.calls, shown)
        finally:
            self.calls.X509_free(shown)

    @property
    def chain(self):
        """The certificates that a client has shown, its own first, DER; of a resumed session its own only."""
        cdef void* stack = self.calls.SSL_get_peer_cert_chain(self.ssl)
        cdef int at
        own = self.certificate
        found = [] if own is None else [own]
        if stack is not NULL:
            for at in range(self.calls.OPENSSL_sk_num(stack)):
                found.append(der_of(self.calls, self.calls.OPENSSL_sk_value(stack, at)))
        return tuple(found)

    @property
    def fault(self):
        """Why it is broken, in OpenSSL's words; what is wrong with the peer's certificate, if it is that."""
        cdef const char* reason = self.calls.ERR_reason_error_string(self.fault_code)
        if self.idle > MOST_IDLE:
            return f"more than {MOST_IDLE} records in a row that say nothing"
        cdef long verdict = self.calls.SSL_get_verify_result(self.ssl)
        text = "the handshake failed" if reason is NULL else reason.decode()
        if text != "certificate verify failed" or verdict == X509_V_OK:
            return text
        if verdict == X509_V_ERR_HOSTNAME_MISMATCH:
            return f"{text}: host name mismatch, the certificate is not valid for {self.name}"
        if verdict == X509_V_ERR_IP_ADDRESS_MISMATCH:
            return f"{text}: IP address mismatch, the certificate is not valid for {self.name}"
        return f"{text}: {self.calls.X509_verify_cert_error_string(verdict).decode()}"


cdef bytes der_of(const OpenSSL* calls, const void* certificate):
    """A certificate (X509) as DER."""
    cdef int size = calls.i2d_X509(certificate, NULL)
    cdef bytes made
    cdef unsigned char* to
    if size <= 0:
        raise MemoryError()
    made = PyBytes_FromStringAndSize(NULL, size)
    to = <unsigned char*>PyBytes_AS_STRING(made)
    calls.i2d_X509(certificate, &to)
    return made


cdef Session new_session(object context, Wire wire):
    """A session that is nobody's yet. context: ssl.SSLContext."""
    global alive
    cdef Session made
    cdef void* inner = inside(context)
    cdef void* bio
    if method is NULL:
        prepare()
    made = Session.__new__(Session)
    made.calls = known
    made.wire = wire
    made.context = context
    made.name = ""
    made.ssl = known.SSL_new(inner)
    if made.ssl is NULL:
        raise MemoryError()
    alive += 1
    bio = known.BIO_new(method)
    if bio is NULL:
        raise MemoryError()
    known.BIO_set_data(bio, <void*>wire)
    known.SSL_set_bio(made.ssl, bio, bio)
    known.SSL_ctrl(made.ssl, SET_MODE, MODES, NULL)
    known.SSL_ctrl(made.ssl, CLEAR_MODE, AUTO_RETRY, NULL)
    return made


cdef Session server_session(object context, Wire wire):
    """A session with a client."""
    cdef Session made = new_session(context, wire)
    known.SSL_set_accept_state(made.ssl)
    return made


cdef Session client_session(object context, Wire wire, str name):
    """A session with a server. name: told to it (SNI) unless it is an address, and verified if the context says so.

    Raises ValueError where a name is needed and there is none, or where it cannot be one.
    """
    cdef Session made = new_session(context, wire)
    cdef bytes text
    cdef void* param
    cdef bint is_address
    known.SSL_set_connect_state(made.ssl)
    name = name.removesuffix(".")
    if not name:
        if context.check_hostname:
            raise ValueError("there is no name to verify its certificate with; set serverName")
        return made
    try:
        ip_address(name)
        is_address = True
        text = name.encode()
    except ValueError:
        is_address = False
        text = encoded(name)
        if known.SSL_ctrl(made.ssl, SET_HOST_NAME, 0, PyBytes_AS_STRING(text)) != 1:
            raise ValueError(f'serverName: "{name}" is no name of a host') from None
    if not context.check_hostname:
        return made
    made.name = name
    param = known.SSL_get0_param(made.ssl)
    known.X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS)
    if is_address:
        if known.X509_VERIFY_PARAM_set1_ip_asc(param, PyBytes_AS_STRING(text)) != 1:
            raise ValueError(f'serverName: "{name}" is no address')
    elif known.X509_VERIFY_PARAM_set1_host(param, PyBytes_AS_STRING(text), len(text)) != 1:
        raise ValueError(f'serverName: "{name}" is no name of a host')
    return made


cdef bytes encoded(str name):
    """A host name as it goes over the wire (IDNA)."""
    try:
        return name.encode("ascii")
    except UnicodeEncodeError:
        pass
    try:
        return name.encode("idna")
    except UnicodeError:
        raise ValueError(f'serverName: "{name}" is no name of a host') from None
