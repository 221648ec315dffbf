"""Replacing what a regular expression matches, with the templates of Go's regexp package.

Source: the options `replacement` of replacePathRegex and redirectRegex, which Traefik hands to
regexp.ReplaceAllString.
"""


cdef class Rewrite:
    """Rewrite(pattern, replacement): every match of *pattern* is replaced.

    pattern: a compiled re2 pattern made of bytes. replacement: `$1`, `${1}` and `${name}` stand for the text of a
    group, `$$` for a dollar. A name is as long as it can be: `$1x` is the group "1x". A group that is not there,
    or did not take part, is empty; a dollar that begins no name is itself.
    """

    def __init__(self, pattern not None, str replacement not None):
        self.pattern = pattern
        self.replacement = replacement
        self.parts = parts_of(replacement, pattern)

    cdef bytes replaced(self, bytes text):
        """Return *text* with all matches replaced, or None when there is none."""
        cdef Py_ssize_t begin, end, last = 0
        cdef list out = None
        for match in self.pattern.finditer(text):
            begin, end = match.span()
            if out is None:
                out = []
            out.append(text[last:begin])
            # As in Go, an empty match right behind the one before it is none.
            if end > last or begin == 0:
                out.append(self.filled(match))
            last = end
        if out is None:
            return None
        out.append(text[last:])
        return b"".join(out)

    cdef bytes filled(self, object match):
        """Return the replacement with the groups of *match* in it."""
        cdef list out = []
        for part in self.parts:
            if isinstance(part, int):
                part = match.group(part) or b""
            out.append(part)
        return b"".join(out)

    def of(self, bytes text not None):
        """Return *text* with all matches replaced, or None when there is none. For tests."""
        return self.replaced(text)


cdef list parts_of(str replacement, object pattern):
    """Split a template into literals and numbers of groups; names that are not there are left out."""
    cdef list parts = []
    cdef Py_ssize_t dollar, after, at = 0
    cdef str name
    while True:
        dollar = replacement.find("$", at)
        if dollar < 0:
            break
        parts.append(replacement[at:dollar].encode())
        if replacement.startswith("$", dollar + 1):
            parts.append(b"$")
            at = dollar + 2
            continue
        name, after = name_at(replacement, dollar + 1)
        if after < 0:
            parts.append(b"$")
            at = dollar + 1
            continue
        group = group_of(name, pattern)
        if group is not None:
            parts.append(group)
        at = after
    parts.append(replacement[at:].encode())
    return [part for part in parts if part != b""]


cdef tuple name_at(str text, Py_ssize_t begin):
    """Read `name` or `{name}`: (name, index behind it); the index is -1 when there is none."""
    cdef bint braced = text.startswith("{", begin)
    cdef Py_ssize_t at
    if braced:
        begin += 1
    at = begin
    while at < len(text) and (text[at] == "_" or text[at].isalpha() or text[at].isdecimal()):
        at += 1
    if at == begin or (braced and not text.startswith("}", at)):
        return "", -1
    return text[begin:at], at + braced


cdef object group_of(str name, object pattern):
    """Return the number of the group, or None when the pattern has no such group."""
    if name.isascii() and name.isdecimal() and (name == "0" or name[0] != "0"):
        return int(name) if len(name) < 9 and int(name) <= pattern.groups else None
    return pattern.groupindex.get(name.encode())
