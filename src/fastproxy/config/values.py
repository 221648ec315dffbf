"""Text to value: durations, addresses, networks, URLs, regular expressions. Every function raises ValueError.

The messages say what was found and what is allowed; the place is added by whoever knows it.
"""

import ipaddress
import re
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from ..regex import compile_pattern
from .schema import Reads

MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
LONGEST = 2**63 - 1  # the range of a Go duration, in nanoseconds, and of its int64

_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # U+00B5, the micro sign
    "μs": MICROSECOND,  # U+03BC, the Greek letter
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_PARTS = re.compile(_PART, re.ASCII)
_DURATION = re.compile(rf"[-+]?(?:{_PART})+", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", re.ASCII)
_PLAIN_URL = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::([1-9]\d{0,4}))?(?:/[!-~]*)?")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?", re.ASCII)

# What Go's strconv.ParseBool takes, and nothing else.
_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)


class Plain(str):
    """A scalar that a YAML document wrote without quotes and that is a number or a boolean there.

    It stays text until its option says what it is: `1.10` is a version for one and a number for another.
    """

    __slots__ = ()


NULLS = frozenset(("", "~", "null", "Null", "NULL"))
"""What YAML 1.2 takes for nothing, when it is written without quotes."""

_NATURAL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NOT_FINITE = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


def is_typed(text: str) -> bool:
    """Tell whether an unquoted YAML scalar is a number or a boolean (core schema of YAML 1.2, 10.3.2)."""
    if text[0] in "tfTF":
        return text in _NATURAL
    return text[0] in "-+.0123456789" and (
        _FLOAT.fullmatch(text) is not None or text[:2] in ("0x", "0o") or text.lower() in _NOT_FINITE
    )


def natural(value: Any) -> Any:
    """Return a value of a document, with all in it, in Python's types: for sections without a schema."""
    if isinstance(value, Plain):
        return _natural_scalar(str(value))
    if isinstance(value, dict):
        return {key: natural(each) for key, each in value.items()}
    if isinstance(value, list):
        return [natural(each) for each in value]
    return value if isinstance(value, (str, bool, int, float, type(None))) else str(value)


def _natural_scalar(text: str) -> Any:
    """Read a number or boolean of YAML 1.2; what only looks like one stays text."""
    if text in _NATURAL:
        return _NATURAL[text]
    try:
        if text[:2] in ("0x", "0o"):
            return int(text, 0)
        if _WHOLE.fullmatch(text):
            return int(text)
        return float(_NOT_FINITE.get(text.lower(), text))
    except ValueError:
        return text


def boolean(text: str) -> bool:
    """Read a boolean in one of the spellings of Go: true, false, 1, 0, t, f, and their capitals."""
    value = _BOOLEANS.get(text)
    if value is None:
        raise ValueError(f'"{text}" is not a boolean; write true or false')
    return value


def integer(text: str) -> int:
    """Read a whole number of 64 bits in base ten."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f'"{text}" is not a whole number')
    value = int(text) if len(text) < 40 else LONGEST + 1
    if not -LONGEST - 1 <= value <= LONGEST:
        raise ValueError(f"{text} is past the range of a 64-bit number")
    return value


def duration(text: str) -> int:
    """Read a duration: Go's grammar ("1m30s", "250ms", "-1s", "1.5h"), or a bare whole number of seconds.

    Returns nanoseconds, negative ones too: what a negative duration means depends on the option.
    """
    if _WHOLE.fullmatch(text):
        value = integer(text) * SECOND
    elif _DURATION.fullmatch(text):
        value = sum(_nanoseconds(number, unit) for number, unit in _PARTS.findall(text))
        value = -value if text.startswith("-") else value
    else:
        raise ValueError(f'"{text}" is not a duration; {_duration_advice(text)}')
    if not -LONGEST - 1 <= value <= LONGEST:
        raise ValueError(f'"{text}" is longer than 292 years, the longest duration there is')
    return value


def _nanoseconds(number: str, unit: str) -> int:
    """Return one part of a duration; parts of a nanosecond are cut off, as in Go."""
    whole, _, fraction = number.partition(".")
    scale = _UNITS[unit]
    if len(whole) > 19:
        return LONGEST + 1
    return int(whole or "0") * scale + int(fraction[:18] or "0") * scale // 10 ** len(fraction[:18])


_NEARLY = re.compile(r"\s*(\d+)\s*(ns|us|ms|sec|min|s|m|h|d|w)[a-z]*\s*", re.ASCII | re.IGNORECASE)
_NEARLY_UNITS = {"sec": (1, "s"), "min": (1, "m"), "d": (24, "h"), "w": (168, "h")}


def _duration_advice(text: str) -> str:
    """Say what to write instead: the same length in the right spelling if the text is nearly one."""
    nearly = _NEARLY.fullmatch(text)
    if not nearly or len(nearly[1]) > 9:
        return 'write "1m30s", "250ms" or a whole number of seconds'
    factor, unit = _NEARLY_UNITS.get(nearly[2].lower(), (1, nearly[2].lower()))
    return f'write "{int(nearly[1]) * factor}{unit}" or a number of seconds'


def text_of_duration(nanoseconds: int) -> str:
    """Write a duration as Go writes it: "1m30s", "250ms", "0s"."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < SECOND:
        for unit, scale in (("ms", MILLISECOND), ("µs", MICROSECOND), ("ns", 1)):
            if rest >= scale:
                return f"{sign}{_decimal(rest, scale)}{unit}"
        return "0s"
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_decimal(rest, SECOND)}s"


def _decimal(value: int, scale: int) -> str:
    """Write value / scale without a trailing zero."""
    whole, fraction = divmod(value, scale)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{len(str(scale)) - 1}d}".rstrip("0")


class Address(NamedTuple):
    """Where an entry point listens."""

    host: str
    """Empty: all addresses, both families. IPv6 without brackets."""

    port: int
    """0..65535; 0 lets the system choose."""

    protocol: str
    """`tcp` or `udp`."""


def split_address(text: str) -> Address:
    """Read `[host]:port[/tcp|/udp]`, the address of an entry point (`entryPoints.<name>.address`)."""
    place, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp"):
        raise ValueError(f'"{text}" ends in /{protocol}; the protocol of an address is /tcp or /udp')
    host, colon, port = place.rpartition(":")
    if not colon:
        raise ValueError(
            f'"{text}" has no port; write ":{text}"' if text.isdigit() else f'"{text}" has no port'
        )
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
        raise ValueError(f'"{text}" has no port from 0 to 65535 after the colon')
    return Address(_listen_host(host, text), int(port), protocol)


def _listen_host(host: str, text: str) -> str:
    """Return the host of an address without brackets."""
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError(f'"{text}" has brackets round what is no IPv6 address') from None
        return host[1:-1]
    if ":" in host:
        raise ValueError(f'"{text}" has an IPv6 address without brackets; write "[{host}]:port"')
    if host and not _HOST_NAME.fullmatch(host):
        raise ValueError(f'"{text}" has a host that is neither an address nor a name')
    return host


def listen_address(text: str) -> str:
    """Check the address of an entry point, and return it as it is."""
    split_address(text)
    return text


def network(text: str) -> str:
    """Check an IP address or a network in CIDR notation, and return it as it is.

    Bits behind the mask are allowed, as in Go: 10.1.2.3/8 means 10.0.0.0/8.
    """
    try:
        address, slash, bits = text.partition("/")
        if "%" in text or (slash and not (bits.isascii() and bits.isdigit())):
            raise ValueError(text)
        ipaddress.ip_interface(text) if slash else ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(
            f'"{text}" is neither an IP address nor a network; write 10.0.0.1, 10.0.0.0/8 or fd00::/8'
        ) from None
    return text


def regexp(text: str) -> str:
    """Check a regular expression (RE2), and return it as it is."""
    compile_pattern(text)
    return text


def trimmed(text: str) -> str:
    """Return the text without the white space round it."""
    return text.strip()


def trimmed_regexp(text: str) -> str:
    """Check a regular expression after cutting the white space round it."""
    return regexp(text.strip())


SERVER_SCHEMES = ("http", "https", "unix")


def server_url(text: str) -> str:
    """Check the URL of a server (`loadBalancer.servers[].url`), and return it as it is.

    http and https with a host, and our own unix:///path for a socket in the file system. Path, query and user
    of an http URL are allowed, as in Traefik; who uses the URL decides what they mean.
    """
    scheme, colon, rest = text.partition("://")
    scheme = scheme.lower()
    if not colon:
        raise ValueError(f'"{text}" is not the URL of a server; write "http://host:port"')
    if scheme in ("h2c", "ws", "wss"):
        raise ValueError(f'"{text}": {_scheme_advice(scheme)}')
    if scheme not in SERVER_SCHEMES:
        raise ValueError(f'"{text}" has the scheme {scheme}; a server is http, https or unix')
    if scheme == "unix":
        return _unix_url(text, rest)
    if not _has_plain_host(text):
        _check_host(text)
    return text


def _scheme_advice(scheme: str) -> str:
    """Say what to do about a scheme that others know."""
    if scheme == "h2c":
        return "servers by h2c are not supported yet"
    plain = "https" if scheme == "wss" else "http"
    return f"a server is http, https or unix; write {plain}, web sockets pass through"


def _unix_url(text: str, rest: str) -> str:
    """Check unix:///path: an absolute path after an empty host."""
    if not rest.startswith("/") or rest == "/" or "\0" in rest:
        raise ValueError(f'"{text}" names no socket; write "unix:///run/app.sock", with three slashes')
    return text


def _has_plain_host(text: str) -> bool:
    """Tell at once that a URL is one of the common kind, a name or IPv4 address and a port; most are."""
    found = _PLAIN_URL.fullmatch(text)
    return found is not None and int(found[1] or 80) < 65536


def _check_host(text: str) -> None:
    """Raise ValueError if the host or port of an http or https URL cannot be used."""
    if any(character <= " " or character == "\x7f" for character in text):
        raise ValueError(f'"{text}" holds white space or a control character, which no URL may')
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f'"{text}" is not the URL of a server: its host or port cannot be read') from None
    if not host:
        raise ValueError(f'"{text}" is the URL of a server without a host; write "http://host:port"')
    if port == 0:
        raise ValueError(f'"{text}" has port 0; a server has a port from 1 to 65535')


def server_address(text: str) -> str:
    """Check the address of a TCP or UDP server, `host:port` or `[IPv6]:port`, and return it as it is."""
    host, colon, port = text.rpartition(":")
    if "://" in text:
        raise ValueError(f'"{text}" is a URL; a server here has an address, such as 10.0.0.7:5432')
    if not colon or not host:
        raise ValueError(f'"{text}" is not the address of a server; write "host:port"')
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f'"{text}" has the port "{port}"; a server has one from 1 to 65535')
    if not _listen_host(host, text):
        raise ValueError(f'"{text}" is an address without a host; write "host:port"')
    return text


def split_server_address(text: str) -> tuple[str, int]:
    """Return host, without brackets, and port of an address that `server_address` has checked."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def not_negative(text: str) -> int:
    """Read a whole number that is 0 or more."""
    value = integer(text)
    if value < 0:
        raise ValueError(f"{text} is negative; 0 is the least")
    return value


def positive(text: str) -> int:
    """Read a whole number that is 1 or more."""
    value = integer(text)
    if value < 1:
        raise ValueError(f"{text} is less than 1")
    return value


_BYTES_OF = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"([0-9]+) ?([A-Za-z]*)")


def byte_count(text: str) -> int:
    """Read a number of bytes: "1048576", "64MiB", "10 MB"."""
    found = _SIZE.fullmatch(text)
    if found is None or found[2].lower() not in _BYTES_OF:
        raise ValueError(f'"{text}" is not a number of bytes; write one such as 1048576, 64MiB or 1GiB')
    value = int(found[1]) * _BYTES_OF[found[2].lower()]
    if value > LONGEST:
        raise ValueError(f"{text} is too much; the most is {LONGEST} bytes")
    return value


Nanoseconds = Annotated[int, Reads(duration)]
"""A length of time in nanoseconds. Written "1m30s", "250ms", or a whole number of seconds."""

Bytes = Annotated[int, Reads(byte_count)]
"""A number of bytes, written as it is or with a unit: KB, MB, GB are thousands, KiB, MiB, GiB are 1024s."""

NotNegative = Annotated[int, Reads(not_negative)]
Positive = Annotated[int, Reads(positive)]
Network = Annotated[str, Reads(network)]
Regexp = Annotated[str, Reads(regexp)]
Trimmed = Annotated[str, Reads(trimmed)]
TrimmedRegexp = Annotated[str, Reads(trimmed_regexp)]
ServerURL = Annotated[str, Reads(server_url)]
ListenAddress = Annotated[str, Reads(listen_address)]
