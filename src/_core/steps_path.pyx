"""Steps that change the path: addPrefix, stripPrefix, stripPrefixRegex, replacePath, replacePathRegex.

A request's path is escaped, and stays so; where Traefik looks at the decoded path, these decode. The `*` of
OPTIONS is no path: they leave it alone.
"""

from .message cimport Request, error_answer
from .path cimport escaped, escaped_prefix, normalised, sanitized, unescaped
from .rewrite cimport Rewrite
from .span cimport bytes_of, span_of, span_of_bytes
from .step cimport ANSWER, FAULT, NEXT, Step, Verdict


cdef inline bint is_asterisk(Request request) noexcept nogil:
    return request.path.size == 1 and request.path.at[0] == 42


cdef inline bytes with_slash(bytes path):
    """Put a slash before a path that has none; an empty one stays empty."""
    return b"/" + path if path and not path.startswith(b"/") else path


cdef Verdict answer_error(Request request, int status, bytes text) except FAULT:
    request.answer = error_answer(status, text)
    return ANSWER


cdef Verdict put_path(Request request, bytes path) except FAULT:
    """Put an escaped path in place, or answer 400 when a server could read another one out of it."""
    if path and sanitized(path) != path:
        return answer_error(request, 400, b"Bad Request")
    request.set_path(path)
    return NEXT


cdef class AddPrefix(Step):
    """AddPrefix(name, prefix): put *prefix*, as characters, before the path.

    A slash is put before it if it has none. Source: `http.middlewares.<name>.addPrefix`.
    """

    def __init__(self, str name not None, bytes prefix not None):
        super().__init__(name)
        self.prefix = with_slash(escaped(prefix))

    cdef Verdict on_request(self, Request request) except FAULT:
        if not is_asterisk(request):
            request.set_path(self.prefix + bytes_of(request.path))
        return NEXT


cdef class StripPrefix(Step):
    """StripPrefix(name, prefixes): cut the first of *prefixes*, as characters, with which the decoded path begins.

    What was cut goes on in X-Forwarded-Prefix. 400 when the rest is not in its simplest form: `/api` taken off
    `/api../x` would leave `/../x`. force_slash: the rest begins with exactly one slash that was put there.
    Source: `http.middlewares.<name>.stripPrefix`.
    """

    def __init__(self, str name not None, prefixes, *, bint force_slash=False):
        super().__init__(name)
        self.prefixes = tuple(prefixes)
        self.force_slash = force_slash

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes prefix
        cdef Py_ssize_t size
        if is_asterisk(request):
            return NEXT
        for prefix in self.prefixes:
            size = escaped_prefix(request.path, prefix)
            if size >= 0:
                return stripped(request, prefix, size, self.force_slash)
        return NEXT


cdef class StripPrefixRegex(Step):
    """StripPrefixRegex(name, patterns): cut what the first of *patterns* matches at the start of the decoded path.

    Otherwise like StripPrefix. Source: `http.middlewares.<name>.stripPrefixRegex`.
    """

    def __init__(self, str name not None, patterns):
        super().__init__(name)
        self.patterns = tuple(patterns)

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes prefix, decoded = unescaped(request.path)
        if decoded is None or is_asterisk(request):
            return NEXT
        for pattern in self.patterns:
            match = pattern.search(decoded)
            if match is None or match.start() or not match.end():
                continue
            prefix = match.group()
            if not may_be_sent(prefix):
                return answer_error(request, 400, b"Bad Request")
            return stripped(request, prefix, escaped_prefix(request.path, prefix), False)
        return NEXT


cdef Verdict stripped(Request request, bytes prefix, Py_ssize_t size, bint force_slash) except FAULT:
    """Cut *size* bytes, which spell *prefix*, off the path and say so in X-Forwarded-Prefix."""
    cdef bytes rest = bytes_of(span_of(request.path.at + size, request.path.size - size))
    # Traefik sees the slash only in the decoded rest, finds that the two no longer agree, and escapes anew.
    if rest[:3].upper() == b"%2F":
        rest = escaped(unescaped(span_of_bytes(rest)))
    if force_slash:
        rest = b"/" + rest.removeprefix(b"/")
    cdef Verdict verdict = put_path(request, with_slash(rest))
    if verdict == NEXT:
        request.head.add_owned(b"X-Forwarded-Prefix", prefix)
    return verdict


cdef bint may_be_sent(bytes value) noexcept:
    """Say whether a field may hold *value*: text a client sent escaped can be a line end when it is decoded."""
    cdef unsigned char c
    for c in value:
        if (c < 32 and c != 9) or c == 127:
            return False
    return True


cdef class ReplacePath(Step):
    """ReplacePath(name, path): send *path*, which is escaped; what was asked for goes on in X-Replaced-Path.

    A path with a malformed escape answers every request with 500, as in Traefik.
    Source: `http.middlewares.<name>.replacePath`.
    """

    def __init__(self, str name not None, bytes path not None):
        super().__init__(name)
        self.path = normalised(span_of_bytes(path))
        if self.path is None:
            self.fault = escape_fault(path)
        else:
            self.path = with_slash(self.path)

    cdef Verdict on_request(self, Request request) except FAULT:
        if is_asterisk(request):
            return NEXT
        if self.path is None:
            return answer_error(request, 500, self.fault)
        request.head.add_owned(b"X-Replaced-Path", bytes_of(request.path))
        request.set_path(self.path)
        return NEXT


cdef class ReplacePathRegex(Step):
    """ReplacePathRegex(name, rewrite): replace what matches in the escaped path; the old one in X-Replaced-Path.

    400 when the new path is not in its simplest form, 500 when an escape in it is malformed.
    Source: `http.middlewares.<name>.replacePathRegex`.
    """

    def __init__(self, str name not None, Rewrite rewrite not None):
        super().__init__(name)
        self.rewrite = rewrite

    cdef Verdict on_request(self, Request request) except FAULT:
        cdef bytes old = bytes_of(request.path)
        cdef bytes made = self.rewrite.replaced(old) if not is_asterisk(request) else None
        cdef bytes path
        cdef Verdict verdict
        if made is None:
            return NEXT
        path = normalised(span_of_bytes(made))
        if path is None:
            return answer_error(request, 500, escape_fault(made))
        verdict = put_path(request, with_slash(path))
        if verdict == NEXT:
            request.head.add_owned(b"X-Replaced-Path", old)
        return verdict


cdef bytes escape_fault(bytes path):
    """Say which escape of *path* is malformed, in the words of Go's url.EscapeError."""
    cdef Py_ssize_t at = path.find(b"%")
    cdef str text
    while at >= 0 and unescaped(span_of_bytes(path[at:at + 3])) is not None:
        at = path.find(b"%", at + 1)
    text = path[at:at + 3].decode("latin-1")
    text = "".join([c if c.isascii() and c.isprintable() else f"\\x{ord(c):02x}"
                    for c in text.replace("\\", "\\\\").replace('"', '\\"')])
    return f'invalid URL escape "{text}"'.encode()
