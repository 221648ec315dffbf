"""A ClientHello in plain Python: what the compiled reader must say of any bytes."""

HEAD, MOST_HELLO, MOST_FLIGHT = 4, 65540, 81920


class Ended(Exception):
    """A vector is longer than what it stands in."""


def read(data: bytes):
    """Return (name, protocols), or how many bytes are needed at least. Raises ValueError."""
    message, at = b"", 0
    while True:
        record = data[at:]
        if record[:1] not in (b"", b"\x16") or record[1:2] not in (b"", b"\x03"):
            raise ValueError("no handshake")
        need = HEAD if len(message) < HEAD else HEAD + int.from_bytes(message[1:4])
        if len(record) < 5:
            return wanted(at + 5 + need - len(message))
        length = int.from_bytes(record[3:5])
        if not 0 < length <= 16384:
            raise ValueError("a record's length")
        there = record[5 : 5 + length]
        message += there
        if message[:1] not in (b"", b"\x01"):
            raise ValueError("no hello")
        if len(message) >= HEAD:
            need = HEAD + int.from_bytes(message[1:4])
            if not HEAD < need <= MOST_HELLO:
                raise ValueError("a hello's length")
            if len(message) >= need:
                return body(message[HEAD:need])
        missing, coming = need - len(message), length - len(there)
        if coming >= missing:
            return wanted(len(data) + missing)
        if coming:
            return wanted(at + 5 + length + 5 + missing - coming)
        at += 5 + length


def wanted(size: int) -> int:
    if size > MOST_FLIGHT:
        raise ValueError("too many pieces")
    return size


def body(data: bytes):
    try:
        if len(data) < 34:
            raise Ended
        session, rest = vector(data[34:], 1)
        ciphers, rest = vector(rest, 2)
        compressions, rest = vector(rest, 1)
        if len(session) > 32 or len(ciphers) < 2 or len(ciphers) % 2 or not compressions:
            raise ValueError("a field")
        found = {}
        if rest:
            extensions, rest = vector(rest, 2)
            if rest:
                raise Ended
            while extensions:
                kind = extensions[:2]
                content, extensions = vector(extensions[2:], 2)
                if kind in found and kind in (b"\0\0", b"\0\x10"):
                    raise ValueError("twice")
                found[kind] = content
    except Ended:
        raise ValueError("ends early") from None
    try:
        return host_name(found.get(b"\0\0")), protocols(found.get(b"\0\x10"))
    except Ended:
        raise ValueError("ends early") from None


def vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    end = width + int.from_bytes(data[:width])
    if len(data) < width or len(data) < end:
        raise Ended
    return data[width:end], data[end:]


def items(extension: bytes, take) -> list:
    listed, behind = vector(extension, 2)
    if behind or not listed:
        raise ValueError("a list")
    found = []
    while listed:
        each, listed = take(listed)
        found.append(each)
    return found


def host_name(extension: bytes | None) -> bytes:
    if extension is None:
        return b""

    def take(data):
        name, rest = vector(data[1:], 2)
        return (data[0], name), rest

    listed = items(extension, take)
    names = [name for kind, name in listed if kind == 0]
    if len(names) > 1 or any(not name for _, name in listed):
        raise ValueError("two names")
    for name in names:
        if not name or len(name) > 255 or name.endswith(b".") or any(not 32 < byte < 127 for byte in name):
            raise ValueError("a name")
    return names[0] if names else b""


def protocols(extension: bytes | None) -> tuple[bytes, ...]:
    if extension is None:
        return ()
    found = items(extension, lambda data: vector(data, 1))
    if b"" in found:
        raise ValueError("an empty name")
    return tuple(found)
