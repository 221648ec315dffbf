"""The PROXY protocol in plain Python: the oracle of property tests. As `fastproxy._core.proxyline.parsed`."""

import ipaddress
import re

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def parsed(data):
    """Return "partial", "none", "bad", or (length, None or (source, port, destination, port))."""
    if data.startswith(SIGNATURE):
        return _binary(data)
    if data.startswith(b"PROXY "):
        return _text(data)
    is_begun = SIGNATURE.startswith(data) or b"PROXY ".startswith(data)
    return "partial" if is_begun else "none"


def _binary(data):
    if len(data) < 16:
        return "partial"
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if command == 0x20:
        family = 0
    least = {0x11: 12, 0x21: 36}.get(family, 0)
    if command not in (0x20, 0x21) or family >> 4 > 3 or family & 15 > 2 or length < least:
        return "bad"
    if len(data) < 16 + length:
        return "partial"
    if not least:
        return 16 + length, None
    width = 4 if family == 0x11 else 16
    rest = data[16:]
    ports = rest[2 * width :]
    ends = _shown(rest[:width]), int.from_bytes(ports[:2], "big")
    return 16 + length, (*ends, _shown(rest[width : 2 * width]), int.from_bytes(ports[2:4], "big"))


def _shown(raw):
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _text(data):
    line, end, _ = data[:107].partition(b"\r\n")
    if b"\n" in line or b"\r" in (line if end else line[:-1]):
        return "bad"
    if not end:
        return "bad" if len(data) >= 107 else "partial"
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return len(line) + 2, None
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        return "bad"
    ends = []
    for address, port in ((words[2], words[4]), (words[3], words[5])):
        read = _address(address, words[1] == b"TCP4")
        if read is None or not re.fullmatch(rb"0|[1-9][0-9]{0,4}", port) or int(port) > 65535:
            return "bad"
        ends += [read, int(port)]
    return len(line) + 2, tuple(ends)


def _address(text, four):
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        return None
    if b"%" in text:
        return None
    return _shown(address.packed) if address.version == (4 if four else 6) else None
