# TLS of one connection: ciphertext out of a window in, plaintext out, and the other way round.

from .openssl cimport OpenSSL


cdef enum:
    RECORD = 16384             # bytes of plaintext in one record at most (RFC 8446, 5.1)

    # What comes of a call, where it is not a number of bytes.
    S_MORE = 0                 # more ciphertext has to come
    S_FULL = -1                # what is to be sent has to be sent first; then the same call again
    S_ENDED = -2               # the peer has said that nothing more comes
    S_BROKEN = -3              # it is over; an alert for the peer may be in the wire
    S_DONE = -4                # the handshake is


cdef class Wire:
    # What passes between OpenSSL and a connection within one call. Nothing stays in it.
    cdef const char* at                # ciphertext that has come and was not taken yet; borrowed
    cdef Py_ssize_t size
    cdef char* out                     # ciphertext to be sent
    cdef Py_ssize_t out_size
    cdef char* clear                   # plaintext of what has come
    cdef Py_ssize_t clear_size


cdef class Session:
    cdef const OpenSSL* calls
    cdef void* ssl
    cdef Wire wire
    cdef object context                # ssl.SSLContext: OpenSSL calls it back for ALPN
    cdef str name                      # of the server that is verified; "": none is
    cdef bint is_done                  # the handshake was brought to its end
    cdef bint is_ended                 # the peer sends nothing more
    cdef bint is_broken
    cdef bint has_ended                # nor do we
    cdef unsigned long fault_code      # why it is broken
    cdef int idle                      # records since the last one that said something, with more behind them
    cdef Py_ssize_t unheard            # bytes that it had to say itself while the peer took nothing

    cdef Py_ssize_t shake(self) noexcept
    cdef Py_ssize_t read(self, char* to, Py_ssize_t size) noexcept
    cdef Py_ssize_t write(self, const char* at, Py_ssize_t size) noexcept
    cdef Py_ssize_t end(self) noexcept
    cdef Py_ssize_t told(self, int came) noexcept
    cdef void clear_errors(self) noexcept
    cdef bint asks_certificate(self) noexcept


cdef Session server_session(object context, Wire wire)
cdef Session client_session(object context, Wire wire, str name)
