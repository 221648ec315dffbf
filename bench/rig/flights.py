"""What hostile clients and servers say: first flights and answers that are random, mutated, or merely rare.

Everything is drawn from a `random.Random` that the caller gives, so that the same one says the same again.
Sources: RFC 8446 and RFC 8701 (ClientHello, GREASE), the PROXY protocol's text, PostgreSQL's frontend/backend
protocol (message formats), RFC 9112.
"""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

NAMES = ("a.example", "m.example", "old.example", "db.example", "pass.example", "x.example", "A.EXAMPLE",
         "calm.example", "base.example")
MOST_RECORD = 16384
SIZES = (0, 1, 2, 3, 4, 5, 8, 15, 16, 31, 32, 255, 256, 1460, 4096, 16383, 16384, 16385, 32768, 65530, 65535,
         65536, 70000)


# -- mutation ---------------------------------------------------------------------------------------------


def mutated(dice: Random, data: bytes, times: int = 0) -> bytes:
    """Return *data* with one to four accidents: bits and bytes changed, cut, doubled, inserted, swapped."""
    out = bytearray(data)
    for _ in range(times or dice.choice((1, 1, 1, 2, 4))):
        at = dice.randrange(len(out) + 1)
        to = min(len(out), at + dice.choice((1, 1, 2, 4, 16, 256)))
        kind = dice.randrange(8)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = dice.choice((0, 1, 3, 13, 10, 32, 58, 127, 128, 255))
        elif kind == 2:
            del out[at:to]
        elif kind == 3:
            out[at:at] = out[at:to]
        elif kind == 4:
            out[at:at] = dice.randbytes(dice.choice((1, 2, 4, 64)))
        elif kind == 5:
            del out[at:]
        elif kind == 6 and at + 2 <= len(out):      # a length, perhaps
            out[at : at + 2] = dice.choice(SIZES[:-2]).to_bytes(2, "big")
        else:
            other = dice.randrange(len(out) + 1)
            out[at:to] = out[other : other + to - at]
    return bytes(out)


def cut(dice: Random, data: bytes) -> list[bytes]:
    """Return *data* in the segments in which it is sent: whole most often, sometimes in very many."""
    kind = dice.randrange(6)
    if kind < 3 or len(data) < 2:
        return [data]
    if kind == 3 and len(data) <= 600:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(dice.randrange(len(data)) for _ in range(dice.randint(1, 5)))
    edges = [0, *places, len(data)]
    return [data[one:other] for one, other in pairwise(edges) if one < other]


# -- TLS --------------------------------------------------------------------------------------------------


def python_hello(**settings: object) -> bytes:
    """Return the first flight of Python's ssl. settings: name, alpn, lowest, highest, ciphers, tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if settings.get("ciphers"):
        context.set_ciphers(str(settings["ciphers"]))
    for key, of_context in (("lowest", "minimum_version"), ("highest", "maximum_version")):
        if settings.get(key):
            setattr(context, of_context, settings[key])
    if settings.get("alpn"):
        context.set_alpn_protocols(list(settings["alpn"]))      # type: ignore[call-overload]
    if not settings.get("tickets", True):
        context.options |= ssl.OP_NO_TICKET
    out = ssl.MemoryBIO()
    name = settings.get("name")
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=str(name) if name else None)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


PYTHON: tuple[dict[str, object], ...] = (
    {}, *({"name": name} for name in NAMES), {"name": "a.example", "alpn": ("http/1.1",)},
    {"name": "a.example", "alpn": ("h2", "http/1.1")}, {"name": "a.example", "alpn": ("smtp", "x" * 255)},
    {"name": "a.example", "alpn": ("acme-tls/1",)}, {"name": "a.example", "tickets": False},
    {"name": "a.example", "highest": ssl.TLSVersion.TLSv1_2}, {"highest": ssl.TLSVersion.TLSv1_2},
    {"name": "a.example", "lowest": ssl.TLSVersion.TLSv1_3},
    {"name": "a.example", "ciphers": "AES256-SHA", "highest": ssl.TLSVersion.TLSv1_2},
    {"name": "a" * 63 + "." + "b" * 63 + "." + "c" * 63 + ".example"},
)
OPENSSL = (
    "-tls1_2 -no_ticket", "-tls1_3 -groups P-521", "-status -servername a.example", "-noservername",
    "-fallback_scsv -tls1_2 -servername a.example", "-alpn h2,http/1.1,spdy/3 -servername db.example",
    "-legacy_renegotiation -tls1_2", "-use_srtp SRTP_AES128_CM_SHA1_80", "-tls1 -cipher ALL:@SECLEVEL=0",
    "-sigalgs RSA+SHA256 -servername x.example",
    "-max_send_frag 512 -split_send_frag 512 -servername a.example",
)


def openssl_hellos() -> list[bytes]:
    """Return the first flights of `openssl s_client`, as different as it can say them."""
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}   # no sanitizer
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in OPENSSL]
        for listener, arguments in zip(listeners, OPENSSL, strict=True):
            listener.settimeout(30)
            to = f"127.0.0.1:{listener.getsockname()[1]}"
            client = subprocess.Popen(
                ["openssl", "s_client", "-connect", to, *arguments.split()],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=plain,
            )
            stack.callback(client.wait)
            stack.callback(client.kill)
        return [_first_flight(listener) for listener in listeners]


def _first_flight(listener: socket.socket) -> bytes:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        return connection.recv(65536)


class Hellos:
    """Real hellos, and what can be made of them."""

    def __init__(self) -> None:
        made = [python_hello(**settings) for settings in PYTHON]
        if shutil.which("openssl"):
            made += openssl_hellos()
        self.flights = made

    def message(self, dice: Random) -> bytes:
        """Return a handshake message, without records."""
        return dice.choice(self.flights)[5:]

    def with_extensions(self, dice: Random) -> bytes:
        """Return a message with extensions that nobody knows, doubled ones, or far too much padding."""
        message = self.message(dice)
        at = 4 + 2 + 32                                 # behind version and random
        at += 1 + message[at]                           # session
        at += 2 + int.from_bytes(message[at : at + 2])  # cipher suites
        at += 1 + message[at]                           # compression
        head, extensions = message[4:at], message[at + 2 :]
        for _ in range(dice.choice((1, 1, 2, 8))):
            size = dice.choice(SIZES[:16] if dice.random() < 0.7 else SIZES)
            kind = dice.choice((0x0A0A, 0x3A3A, 0xFAFA, 21, 16, 0, 41, 43, 51, 65037, dice.randrange(65536)))
            made = kind.to_bytes(2, "big") + (size & 0xFFFF).to_bytes(2, "big") + bytes(size)
            extensions = made + extensions if dice.random() < 0.5 else extensions + made
        body = head + (len(extensions) & 0xFFFF).to_bytes(2, "big") + extensions
        return b"\x01" + (len(body) & 0xFFFFFF).to_bytes(3, "big") + body

    def flight(self, dice: Random) -> bytes:
        """Return a first flight: good, fragmented, mutated at one of three depths, or nonsense."""
        kind = dice.randrange(9)
        if kind == 0:
            return dice.choice(self.flights)
        if kind == 1:
            return in_records(dice, self.message(dice))
        if kind == 2:
            return in_records(dice, self.with_extensions(dice))
        if kind == 3:
            return mutated(dice, dice.choice(self.flights))
        if kind == 4:
            return in_records(dice, mutated(dice, self.message(dice)))
        if kind == 5:
            return mutated(dice, in_records(dice, self.with_extensions(dice)))
        if kind == 6:
            return b"\x16\x03\x01" + dice.choice(SIZES[:-2]).to_bytes(2, "big") + dice.randbytes(
                dice.choice(SIZES))
        if kind == 7:
            return b"\x80" + dice.randbytes(dice.choice(SIZES[:14]))
        whole = dice.choice(self.flights)
        return whole[: dice.randrange(len(whole))]


def in_records(dice: Random, message: bytes) -> bytes:
    """Return a handshake message in records: one, or cut into up to as many as there are bytes."""
    most = dice.choice((MOST_RECORD, MOST_RECORD, 512, 64, 7, 1, 0))
    out, at = bytearray(), 0
    while at < len(message):
        size = most or dice.randint(1, 300)
        piece = message[at : at + size]
        at += size
        out += b"\x16\x03" + bytes([dice.choice((1, 1, 3))]) + len(piece).to_bytes(2, "big") + piece
    return bytes(out)


# -- the PROXY protocol -----------------------------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def proxy_line(dice: Random) -> bytes:
    """Return a header of version 1 or 2, good or not."""
    kind = dice.randrange(5)
    port = dice.choice((0, 1, 80, 65535, 65536))
    if kind == 0:
        made = b"PROXY TCP4 192.0.2.1 192.0.2.2 %d 443\r\n" % port
    elif kind == 1:
        made = b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 %d 443\r\n" % port
    elif kind == 2:
        made = b"PROXY UNKNOWN" + dice.choice((b"", b" ", b" x" * dice.choice((1, 40, 60)))) + b"\r\n"
    else:
        family, size = dice.choice(((0x11, 12), (0x21, 36), (0x31, 216), (0, 0), (0x12, 12), (0x44, 9)))
        size += dice.choice((0, 0, 0, 3, 1000, 65535 - size))
        command = dice.choice((0x21, 0x21, 0x20, 0x22, 0x11))
        made = SIGNATURE + bytes([command, family]) + size.to_bytes(2, "big") + dice.randbytes(size)
    return mutated(dice, made) if dice.random() < 0.5 else made


# -- PostgreSQL -------------------------------------------------------------------------------------------


SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


def postgres(dice: Random, hellos: Hellos) -> bytes:
    """Return a start-up of PostgreSQL: SSLRequest and more often than not a hello behind it, or another."""
    kind = dice.randrange(6)
    if kind <= 2:
        made = SSL_REQUEST + (hellos.flight(dice) if kind else b"")
    elif kind == 3:
        made = b"\x00\x00\x00\x08\x04\xd2\x16\x30"                          # GSSENCRequest
    elif kind == 4:
        made = b"\x00\x00\x00\x10\x04\xd2\x16\x2e" + dice.randbytes(8)      # CancelRequest
    else:
        made = b"\x00\x03\x00\x00user\x00me\x00database\x00db\x00\x00"
        made = (len(made) + 4).to_bytes(4, "big") + made
    return mutated(dice, made) if dice.random() < 0.3 else made


# -- HTTP -------------------------------------------------------------------------------------------------

FIELDS = (
    b"Host: b.example", b"Host: a.example", b"Content-Length: 5", b"Content-Length: 0",
    b"Content-Length: 5, 5", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked",
    b"Connection: close", b"Connection: keep-alive, x, te",
    b"Connection: upgrade\r\nUpgrade: websocket", b"Expect: 100-continue", b"Expect: x", b"TE: trailers",
    b"X-Forwarded-For: 1.2.3.4, unknown", b"Forwarded: for=x", b"Cookie: a=b; c", b"X: " + b"y" * 9000,
    b" folded: x", b"X-Real-Ip: \x80\xff", b"Host: [::1]:80", b"Host: ", b"\x00: x", b"Trailer: x",
)
METHODS = (
    b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"TRACE", b"M-SEARCH", b"x" * 300,
)
TARGETS = (
    b"/", b"/a/b?c=d", b"/%2e%2e/%00", b"//x", b"*", b"http://b.example/x", b"b.example:443", b"/a;b;c",
    b"/" + b"p" * 5000, b"/\xff", b"", b"/x#y",
)
STATUS = (
    b"200 OK", b"200 OK", b"204 No", b"304 Not", b"100 Continue", b"101 Switching", b"404 x", b"999 x", b"20",
    b"1000 x",
)
ANSWERED = (
    b"Content-Length: 3", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close",
    b"Upgrade: websocket\r\nConnection: upgrade", b"X: " + b"y" * 5000, b"Content-Length: 300000",
    b"Content-Length: -1", b"Date: x", b"Set-Cookie: a=b",
)


def chunks(dice: Random) -> bytes:
    """Return a chunked body, whole or not."""
    out = b""
    for _ in range(dice.randint(0, 4)):
        size = dice.choice((1, 5, 100, 40000))
        out += b"%x" % size + dice.choice((b"", b"", b";a=b", b" ;x")) + b"\r\n" + b"z" * size + b"\r\n"
    out += dice.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"fffffffffffffffff\r\n", b"-1\r\n"))
    return mutated(dice, out) if dice.random() < 0.4 else out


def http(dice: Random) -> bytes:
    """Return one to three requests, one behind the other."""
    out = b""
    for _ in range(dice.choice((1, 1, 2, 3))):
        line = dice.choice(METHODS) + b" " + dice.choice(TARGETS) + b" HTTP/1.1"
        if dice.random() < 0.1:
            line = line[:-1] + dice.choice((b"0", b"2", b"", b"1 "))
        fields = [b"Host: b.example"] * (dice.random() < 0.8)
        fields += dice.sample(FIELDS, dice.randint(0, 4))
        head = b"\r\n".join([line, *fields]) + b"\r\n\r\n"
        body = b""
        if b"chunked" in head:
            body = chunks(dice)
        elif b"Content-Length: 5" in head:
            body = b"abcde"
        out += (mutated(dice, head) if dice.random() < 0.4 else head) + body
    return out


def answer(dice: Random) -> bytes:
    """Return what a server answers: good, rare or malformed."""
    fields = dice.sample(ANSWERED, dice.randint(0, 3))
    made = b"\r\n".join((b"HTTP/1.1 " + dice.choice(STATUS), *fields, b"", b""))
    if b"chunked" in made:
        made += chunks(dice)
    else:
        made += dice.choice((b"abc", b"abc", b"", b"abcdef", bytes(70000)))
    return mutated(dice, made) if dice.random() < 0.3 else made


# -- all of it --------------------------------------------------------------------------------------------


def datagrams(dice: Random) -> list[bytes]:
    """Return what a client of UDP sends, and a server of it answers."""
    sizes = (0, 1, 12, 512, 1472, 1473, 9000, 65507)
    return [dice.randbytes(dice.choice(sizes)) for _ in range(dice.randrange(6))]


class Flight(NamedTuple):
    """What one client says, in which segments, or in which datagrams. over_tls: within good TLS."""

    kind: str
    pieces: Sequence[bytes]
    over_tls: bool = False


class Flights:
    """Draws first flights. only: kinds to draw; empty for all."""

    def __init__(self, only: Sequence[str] = ()) -> None:
        self.makers: dict[str, Callable[[Random], bytes]] = {
            "hello": lambda dice: self.hellos.flight(dice),
            "proxy": lambda dice: proxy_line(dice) + self.behind(dice),
            "postgres": lambda dice: postgres(dice, self.hellos),
            "http": http,
            "https": http,
            "noise": lambda dice: dice.randbytes(dice.choice(SIZES)),
            "silence": lambda dice: b"",
            "datagrams": lambda dice: b"",
        }
        unknown = set(only) - set(self.makers)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: there are {', '.join(self.makers)}")
        self.kinds = tuple(only) or tuple(self.makers)
        self.hellos = Hellos()

    def behind(self, dice: Random) -> bytes:
        """Return what comes behind a header of the PROXY protocol."""
        return dice.choice((self.hellos.flight, http, lambda dice: b"", proxy_line))(dice)

    def draw(self, dice: Random) -> Flight:
        kind = dice.choice(self.kinds)
        if kind == "datagrams":
            return Flight(kind, datagrams(dice))
        return Flight(kind, cut(dice, self.makers[kind](dice)), over_tls=kind == "https")
