"""A URL on its way into a Location field: refused when it is none, escaped where it must be.

Source: Go's url.Parse and URL.String, through which Traefik sends what redirectRegex and redirectScheme made.
"""

from libc.string cimport memchr

from .path cimport normalised
from .span cimport span_of_bytes

cdef unsigned char[256] HOST_CHAR      # 1: allowed in the host of a URL, as Go has it
cdef unsigned char[256] USER_CHAR      # 1: allowed before its @


cdef void fill_tables() noexcept:
    cdef int c
    cdef bint alike
    cdef const char* host = b"-_.~!$&'()*+,;=:[]"
    cdef const char* user = b"-._:~!$&'()*+,;=%@"
    for c in range(256):
        alike = 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122
        HOST_CHAR[c] = alike or c >= 128 or (c != 0 and memchr(host, c, 18) is not NULL)
        USER_CHAR[c] = alike or (c != 0 and memchr(user, c, 18) is not NULL)


fill_tables()


cdef bytes location_of(bytes url):
    """Return *url* as it is sent, or None when it is malformed.

    The scheme becomes lower case, and what may not stand in a path is escaped there; the query stays as it is.
    """
    cdef bytes rest, scheme, query, mark, fragment, authority, path
    cdef bint absolute
    if has_control(url):
        return None
    rest, _, fragment = url.partition(b"#")
    scheme, rest, absolute = scheme_of(rest)
    if scheme is None:
        return None
    rest, mark, query = rest.partition(b"?")
    query = mark + query + (b"#" + fragment if fragment else b"")
    if absolute and not rest.startswith(b"/"):
        return scheme + rest + query                   # mailto:x and its like
    authority = b""
    path = rest
    if rest.startswith(b"//") and (absolute or not rest.startswith(b"///")):
        authority, path = authority_of(rest)
        if authority is None:
            return None
    elif not absolute and b":" in rest.partition(b"/")[0]:
        return None
    path = normalised(span_of_bytes(path))
    return scheme + authority + path + query if path is not None else None


cdef bint has_control(bytes text) noexcept:
    cdef unsigned char c
    for c in text:
        if c < 32 or c == 127:
            return True
    return False


cdef tuple scheme_of(bytes url):
    """Cut the scheme off: (scheme and colon in lower case or b"", rest, whether there is one); None for ":x"."""
    cdef Py_ssize_t i
    cdef unsigned char c
    for i in range(len(url)):
        c = url[i]
        if 65 <= c <= 90 or 97 <= c <= 122:
            continue
        if c == 58:
            return (url[:i + 1].lower(), url[i + 1:], True) if i else (None, url, False)
        if i == 0 or not (48 <= c <= 57 or c == 43 or c == 45 or c == 46):
            break
    return b"", url, False


cdef tuple authority_of(bytes rest):
    """Split //authority/path: (b"//authority", path), or (None, b"") when user, host or port are malformed."""
    cdef Py_ssize_t slash = rest.find(b"/", 2)
    cdef bytes authority = rest if slash < 0 else rest[:slash]
    cdef bytes path = b"" if slash < 0 else rest[slash:]
    cdef bytes user, host
    cdef unsigned char c
    user, _, host = authority[2:].rpartition(b"@")
    for c in user:
        if not USER_CHAR[c]:
            return None, b""
    for c in host:
        if not HOST_CHAR[c]:
            return None, b""
    return (authority, path) if port_is_valid(host) else (None, b"")


cdef bint port_is_valid(bytes host):
    """Say whether what stands behind the last colon, outside of brackets, is digits or nothing."""
    cdef bytes port
    if host.startswith(b"["):
        _, bracket, port = host.rpartition(b"]")
        if not bracket:
            return False
        return port == b"" or port == b":" or (port[:1] == b":" and port[1:].isdigit())
    port = host.rpartition(b":")[2] if b":" in host else b""
    return port == b"" or port.isdigit()


def location(bytes url not None):
    """See location_of. For tests."""
    return location_of(url)
