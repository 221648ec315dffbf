"""What Python's ssl cannot say to OpenSSL: ticket keys, groups, certificates that are asked for and not verified.

The functions are looked up in the OpenSSL that `_ssl` itself uses, whichever that is, when they are first needed.
Where they cannot be found, or an SSLContext does not look as expected, `is_reachable` is False and nothing is done.
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

ctypedef long (*Control)(void* context, int what, long number, void* data) noexcept
ctypedef unsigned long (*GetOptions)(void* context) noexcept
ctypedef int (*Verify)(void* store, void* argument) noexcept
ctypedef void (*SetVerify)(void* context, Verify verify, void* argument) noexcept

cdef Control control = NULL
cdef GetOptions get_options = NULL
cdef SetVerify set_verify = NULL
cdef bint was_looked_for = False


cdef void look_for() except *:
    """Find the functions, and see that a context is what we take it for."""
    global control, get_options, set_verify, was_looked_for
    cdef bytes path
    cdef void* library
    was_looked_for = True
    place = getattr(_ssl, "__file__", None)     # None: it is part of the interpreter
    path = place.encode() if place else b""
    library = dlopen(PyBytes_AS_STRING(path) if path else NULL, RTLD_LAZY)
    if library is NULL:
        return
    get_options = <GetOptions>dlsym(library, b"SSL_CTX_get_options")
    set_verify = <SetVerify>dlsym(library, b"SSL_CTX_set_cert_verify_callback")
    control = <Control>dlsym(library, b"SSL_CTX_ctrl")
    if control is NULL or get_options is NULL or set_verify is NULL or not is_as_expected():
        control = NULL


cdef bint is_as_expected() except -1:
    """Compare what a context says of itself through Python and through OpenSSL, twice."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for option in (0, ssl.OP_NO_TICKET):
        context.options |= option
        if <unsigned long>context.options != get_options(inner(context)):
            return False
    return True


cdef inline void* inner(object context):
    return (<PySSLContext*>context).context


def is_reachable():
    """Say whether the functions of this module can do anything."""
    if not was_looked_for:
        look_for()
    return control is not NULL


cdef void* reached(object context) except NULL:
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"an SSLContext is needed, not {type(context).__name__}")
    if not is_reachable():
        raise NotImplementedError("the OpenSSL of this Python cannot be reached past its ssl module")
    return inner(context)


def set_ticket_keys(context, bytes keys not None):
    """Let session tickets be made with *keys*, so that whoever has the same ones can take them.

    keys: as many bytes as OpenSSL wants, see `ticket_key_size`. Raises ValueError for others.
    """
    if control(reached(context), SET_TICKET_KEYS, len(keys), PyBytes_AS_STRING(keys)) != 1:
        raise ValueError(f"OpenSSL takes no ticket keys of {len(keys)} bytes")


def ticket_key_size(context):
    """How many bytes `set_ticket_keys` takes."""
    return control(reached(context), GET_TICKET_KEYS, 0, NULL)


def set_groups(context, str groups not None):
    """Offer these groups, `X25519:P-256`, in this order. Raises ValueError if OpenSSL has not all of them."""
    cdef bytes text = groups.encode()
    if control(reached(context), SET_GROUPS_LIST, 0, PyBytes_AS_STRING(text)) != 1:
        raise ValueError(f"{ssl.OPENSSL_VERSION} has not all of {groups}")


def keep_no_sessions(context):
    """Remember no session here: one is taken up again by its ticket only."""
    control(reached(context), SET_SESSION_CACHE_MODE, SESSION_CACHE_OFF, NULL)


def take_any_certificate(context):
    """Let a peer show whatever certificate it likes; whether it must show one is `verify_mode`."""
    cdef void* there = reached(context)
    set_verify(there, pleased, NULL)


cdef int pleased(void* store, void* argument) noexcept nogil:
    return 1
