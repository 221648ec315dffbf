"""OpenSSL past Python's ssl: what that cannot say to it, and what it would say with too many words.

The functions are looked up in the OpenSSL that `_ssl` itself uses, whichever that is, when they are first needed.
Where one of them cannot be found, or an SSLContext does not look as expected, `is_reachable` is False, and whoever
wants TLS is told so when it is configured.

Contexts remain Python's: it holds certificates and options. Python's callbacks for server names, keys and messages
take every connection for one of its own; `is_ours` says whether a context is free of them.
"""

import _ssl
import ssl

from cpython.bytes cimport PyBytes_AS_STRING

cdef extern from "dlfcn.h" nogil:
    int RTLD_LAZY
    void* dlopen(const char* path, int flags)
    void* dlsym(void* library, const char* name)

cdef extern from "Python.h":
    ctypedef struct PyObject:
        pass

# include/openssl/ssl.h
cdef enum:
    SET_SESSION_CACHE_MODE = 44
    GET_TICKET_KEYS = 58
    SET_TICKET_KEYS = 59
    SET_GROUPS_LIST = 92
    SESSION_CACHE_OFF = 0

cdef struct PySSLContext:
    PyObject head              # as in every object; behind it, in Python 3.11 to 3.14, the one field that counts
    void* context

# The fields of OpenSSL, in their order.
NAMES = (
    "SSL_CTX_ctrl", "SSL_CTX_get_options", "SSL_CTX_set_cert_verify_callback", "SSL_CTX_add_client_CA",
    "SSL_new", "SSL_free", "SSL_set_bio", "SSL_set_accept_state", "SSL_set_connect_state", "SSL_do_handshake",
    "SSL_read", "SSL_write", "SSL_shutdown", "SSL_get_error", "SSL_ctrl", "SSL_get0_param", "SSL_get_version",
    "SSL_get_current_cipher", "SSL_CIPHER_get_name", "SSL_session_reused", "SSL_get_verify_mode",
    "SSL_get_verify_result", "SSL_get1_peer_certificate", "SSL_get_peer_cert_chain",
    "X509_VERIFY_PARAM_set1_host", "X509_VERIFY_PARAM_set1_ip_asc", "X509_VERIFY_PARAM_set_hostflags",
    "X509_verify_cert_error_string", "d2i_X509", "i2d_X509", "X509_free", "OPENSSL_sk_num", "OPENSSL_sk_value",
    "ERR_clear_error", "ERR_peek_error", "ERR_peek_last_error", "ERR_reason_error_string", "BIO_meth_new",
    "BIO_meth_set_write", "BIO_meth_set_read", "BIO_meth_set_ctrl", "BIO_meth_set_create",
    "BIO_meth_set_destroy", "BIO_new", "BIO_set_data", "BIO_get_data", "BIO_set_init", "BIO_set_flags",
    "BIO_clear_flags",
)
BEFORE_3 = {"SSL_get1_peer_certificate": "SSL_get_peer_certificate"}

cdef OpenSSL functions
cdef bint is_there = False
cdef bint was_looked_for = False


cdef void look_for() except *:
    """Find the functions, and see that a context is what we take it for."""
    global is_there, was_looked_for
    cdef void** slots = <void**>&functions
    cdef void* library
    cdef bytes path
    cdef int at
    was_looked_for = True
    place = getattr(_ssl, "__file__", None)     # None: it is part of the interpreter
    path = place.encode() if place else b""
    library = dlopen(PyBytes_AS_STRING(path) if path else NULL, RTLD_LAZY)
    if library is NULL or sizeof(OpenSSL) != len(NAMES) * sizeof(void*):
        return
    for at in range(<int>len(NAMES)):
        slots[at] = named(library, NAMES[at])
        if slots[at] is NULL and NAMES[at] in BEFORE_3:
            slots[at] = named(library, BEFORE_3[NAMES[at]])
        if slots[at] is NULL:
            return
    is_there = is_as_expected()


cdef void* named(void* library, str name) except? NULL:
    cdef bytes text = name.encode()
    return dlsym(library, PyBytes_AS_STRING(text))


cdef bint is_as_expected() except -1:
    """Compare what a context says of itself through Python and through OpenSSL, twice."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for option in (0, ssl.OP_NO_TICKET):
        context.options |= option
        if <unsigned long>context.options != functions.SSL_CTX_get_options((<PySSLContext*>context).context):
            return False
    return True


def is_reachable():
    """Say whether the functions of this module can do anything."""
    if not was_looked_for:
        look_for()
    return is_there


cdef const OpenSSL* reached() except NULL:
    if not is_reachable():
        raise NotImplementedError("the OpenSSL of this Python cannot be reached past its ssl module")
    return &functions


cdef void* inside(object context) except NULL:
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"an SSLContext is needed, not {type(context).__name__}")
    reached()
    return (<PySSLContext*>context).context


def is_ours(context):
    """Say whether a context calls nothing of Python that takes a connection for one of Python's own."""
    return context.sni_callback is None and not context.keylog_filename and context._msg_callback is None


def set_ticket_keys(context, bytes keys not None):
    """Let session tickets be made with *keys*, so that whoever has the same ones can take them.

    keys: as many bytes as OpenSSL wants, see `ticket_key_size`. Raises ValueError for others.
    """
    if functions.SSL_CTX_ctrl(inside(context), SET_TICKET_KEYS, len(keys), PyBytes_AS_STRING(keys)) != 1:
        raise ValueError(f"OpenSSL takes no ticket keys of {len(keys)} bytes")


def ticket_key_size(context):
    """How many bytes `set_ticket_keys` takes."""
    return functions.SSL_CTX_ctrl(inside(context), GET_TICKET_KEYS, 0, NULL)


def set_groups(context, str groups not None):
    """Offer these groups, `X25519:P-256`, in this order. Raises ValueError if OpenSSL has not all of them."""
    cdef bytes text = groups.encode()
    if functions.SSL_CTX_ctrl(inside(context), SET_GROUPS_LIST, 0, PyBytes_AS_STRING(text)) != 1:
        raise ValueError(f"{ssl.OPENSSL_VERSION} has not all of {groups}")


def keep_no_sessions(context):
    """Remember no session here: one is taken up again by its ticket only."""
    functions.SSL_CTX_ctrl(inside(context), SET_SESSION_CACHE_MODE, SESSION_CACHE_OFF, NULL)


def take_any_certificate(context):
    """Let a peer show whatever certificate it likes; whether it must show one is `verify_mode`."""
    cdef void* there = inside(context)
    functions.SSL_CTX_set_cert_verify_callback(there, pleased, NULL)


def name_authorities(context, certificates not None):
    """Tell clients that are asked for a certificate whose are believed (RFC 8446, 4.2.4). certificates: DER."""
    cdef void* there = inside(context)
    cdef bytes each
    cdef const unsigned char* at
    cdef void* read
    for each in certificates:
        at = <const unsigned char*>PyBytes_AS_STRING(each)
        read = functions.d2i_X509(NULL, &at, len(each))
        if read is NULL:
            functions.ERR_clear_error()
            raise ValueError("what should be a certificate is none")
        functions.SSL_CTX_add_client_CA(there, read)       # its name is copied
        functions.X509_free(read)


cdef int pleased(void* store, void* argument) noexcept:
    return 1
