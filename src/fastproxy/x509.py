"""What a certificate says: names, times, who it belongs to and who signed it (RFC 5280), read out of its DER.

Nothing is verified here; that is OpenSSL's part. A worker reads names by this and needs no library for it.
"""

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

_PEM = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s(.*?)-----END (?:X509 |TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)

# Tags of DER (X.690).
_BOOLEAN, _INTEGER, _BITS, _OCTETS, _OID, _SEQUENCE, _SET = 0x01, 0x02, 0x03, 0x04, 0x06, 0x30, 0x31
_UTC_TIME, _TIME = 0x17, 0x18
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be"}
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_EMAIL, _DNS, _URI, _ADDRESS = 0x81, 0x82, 0x86, 0x87

_ALTERNATIVE_NAMES = "2.5.29.17"
COMMON_NAME = "2.5.4.3"


class Certificate(NamedTuple):
    """One certificate."""

    version: int
    serial: int
    issuer: tuple[tuple[str, str], ...]
    """Attributes in order: dotted object identifier, text."""

    subject: tuple[tuple[str, str], ...]
    not_before: datetime
    not_after: datetime
    dns: tuple[str, ...]
    emails: tuple[str, ...]
    addresses: tuple[str, ...]
    uris: tuple[str, ...]
    key_type: str
    """RSA, ECDSA or Ed25519; else the dotted identifier of the algorithm."""

    key_size: int
    """Bits; 0 for what is not known."""

    signature: str
    """How it is signed, as Go calls it: SHA256-RSA, ECDSA-SHA256; else a dotted identifier."""

    key_digest: bytes
    """SHA-256 of the public key with its algorithm."""

    @property
    def common_name(self) -> str:
        """The first one of the subject, or ''."""
        return next((text for oid, text in self.subject if oid == COMMON_NAME), "")

    @property
    def names(self) -> tuple[str, ...]:
        """What a client may ask for: common name, DNS names and addresses, in small letters, sorted."""
        found = {self.common_name, *self.dns, *self.addresses}
        return tuple(sorted({name.lower() for name in found if name}))


_TOLD = {
    "2.5.4.5": "SERIALNUMBER",
    COMMON_NAME: "CN",
    "2.5.4.17": "POSTALCODE",
    "2.5.4.9": "STREET",
    "2.5.4.8": "ST",
    "2.5.4.7": "L",
    "2.5.4.11": "OU",
    "2.5.4.10": "O",
    "2.5.4.6": "C",
}
"""Attributes of a name that have one of their own (RFC 2253), in the order in which they are told."""

_ONCE = (COMMON_NAME, "2.5.4.5")
_ESCAPED = re.compile(r'[,+"\\<>;]|^[ #]| $')
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")


def distinguished(name: Iterable[tuple[str, str]]) -> str:
    """Return a name as one text, `CN=shop,O=A\\, B,C=DE`, as Go tells it: RFC 2253, in an order of its own.

    Attributes of one kind stand together with a plus, of common name and serial number the last one counts,
    and those without a name come last, the value as the DER of a string.
    """
    found: dict[str, list[str]] = {}
    others: list[str] = []
    for oid, text in name:
        if oid not in _TOLD:
            others.insert(0, f"{oid}={_as_der(text)}")
        elif oid in _ONCE:
            found[oid] = [text]
        else:
            found.setdefault(oid, []).append(text)
    told = (
        "+".join(f"{short}={_ESCAPED.sub(_backslashed, text)}" for text in found[oid])
        for oid, short in _TOLD.items()
        if oid in found
    )
    return ",".join([*told, *others])


def _backslashed(found: re.Match[str]) -> str:
    return "\\" + found[0]


def _as_der(text: str) -> str:
    data = text.encode()
    size = bytes([len(data)]) if len(data) < 128 else len(data).to_bytes((len(data).bit_length() + 7) // 8)
    if len(data) >= 128:
        size = bytes([0x80 | len(size)]) + size
    tag = 0x13 if _PRINTABLE.fullmatch(text) else 0x0C
    return "#" + (bytes([tag]) + size + data).hex()


def certificates_in(pem: bytes) -> list[bytes]:
    """Return the DER of each certificate in a PEM text, in order. Raises ValueError for what is no base64."""
    return [base64.b64decode(b"".join(each.split()), validate=True) for each in _PEM.findall(pem)]


def read(der: bytes) -> Certificate:
    """Read a certificate. Raises ValueError for what is none."""
    try:
        return _read(der)
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"this is no certificate: {error}") from None


def _read(der: bytes) -> Certificate:
    ((_, outer),) = _expect(der, _SEQUENCE)
    (tag, body), (_, algorithm), *_ = _values(outer)
    if tag != _SEQUENCE:
        raise ValueError("this is no certificate: its body is missing")
    fields = list(_values(body))
    version = 1
    if fields[0][0] == _VERSION:
        ((_, number),) = _expect(fields.pop(0)[1], _INTEGER)
        version = int.from_bytes(number) + 1
    (_, serial), _, (_, issuer), (_, validity), (_, subject), (_, key), *rest = fields
    key_type, key_size = _key(key)
    before, after = (_moment(tag, value) for tag, value in _values(validity))
    names: dict[int, list[bytes]] = {}
    for tag, value in rest:
        if tag == _EXTENSIONS:
            names = _alternative_names(value)
    return Certificate(
        version,
        int.from_bytes(serial, signed=True),
        tuple(_attributes(issuer)),
        tuple(_attributes(subject)),
        before,
        after,
        tuple(name.decode("ascii") for name in names.get(_DNS, ())),
        tuple(name.decode("ascii") for name in names.get(_EMAIL, ())),
        tuple(str(ipaddress.ip_address(name)) for name in names.get(_ADDRESS, ())),
        tuple(name.decode("ascii") for name in names.get(_URI, ())),
        key_type,
        key_size,
        _SIGNATURES.get(_algorithm(algorithm)[0], _algorithm(algorithm)[0]),
        hashlib.sha256(_sequence(key)).digest(),
    )


_RSA, _EC, _ED25519 = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112"
_CURVES = {"1.2.840.10045.3.1.7": 256, "1.3.132.0.34": 384, "1.3.132.0.35": 521, "1.3.132.0.33": 224}
_SIGNATURES = {
    "1.2.840.113549.1.1.5": "SHA1-RSA",
    "1.2.840.113549.1.1.11": "SHA256-RSA",
    "1.2.840.113549.1.1.12": "SHA384-RSA",
    "1.2.840.113549.1.1.13": "SHA512-RSA",
    "1.2.840.10045.4.3.2": "ECDSA-SHA256",
    "1.2.840.10045.4.3.3": "ECDSA-SHA384",
    "1.2.840.10045.4.3.4": "ECDSA-SHA512",
    _ED25519: "Ed25519",
}


def _algorithm(content: bytes) -> tuple[str, bytes]:
    """Return the identifier of an algorithm, and the content of its parameters."""
    (_, oid), *parameters = _values(content)
    return _dotted(oid), parameters[0][1] if parameters else b""


def _key(content: bytes) -> tuple[str, int]:
    """Return type and size of a public key."""
    (_, algorithm), (_, bits) = _values(content)
    oid, parameters = _algorithm(algorithm)
    if oid == _RSA:
        ((_, numbers),) = _expect(bits[1:], _SEQUENCE)
        (_, modulus), _ = _values(numbers)
        return "RSA", int.from_bytes(modulus).bit_length()
    if oid == _EC:
        return "ECDSA", _CURVES.get(_dotted(parameters), 0)
    return ("Ed25519", 256) if oid == _ED25519 else (oid, 0)


def _sequence(content: bytes) -> bytes:
    """Write a sequence of DER again from its content."""
    size = len(content)
    width = b"" if size < 128 else size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([_SEQUENCE, 0x80 | len(width) if width else size]) + width + content


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each value in a sequence."""
    at = 0
    while at < len(data):
        tag, size, begin = data[at], data[at + 1], at + 2
        if size & 0x80:
            width = size & 0x7F
            if not 0 < width <= 4:
                raise ValueError("this is no certificate: a length that DER does not know")
            size, begin = int.from_bytes(data[begin : begin + width]), begin + width
        at = begin + size
        if at > len(data):
            raise ValueError("this is no certificate: it ends early")
        yield tag, data[begin:at]


def _expect(data: bytes, tag: int) -> list[tuple[int, bytes]]:
    """Return the one value that must be there, in a list."""
    found = list(_values(data))
    if len(found) != 1 or found[0][0] != tag:
        raise ValueError("this is no certificate: something else stands in its place")
    return found


def _moment(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    if form is None:
        raise ValueError("this is no certificate: a time that is none")
    moment = datetime.strptime(text, form).replace(tzinfo=UTC)
    if tag == _UTC_TIME and moment.year >= 2050:  # two digits of a year: 1950 to 2049
        moment = moment.replace(year=moment.year - 100)
    return moment


def _attributes(name: bytes) -> Iterator[tuple[str, str]]:
    for _, relative in _values(name):
        for _, attribute in _values(relative):
            (_, oid), (tag, value) = _values(attribute)
            yield _dotted(oid), value.decode(_TEXTS.get(tag, "latin-1"), "replace")


def _dotted(oid: bytes) -> str:
    numbers, value = [], 0
    for byte in oid:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(str(each) for each in (first, numbers[0] - 40 * first, *numbers[1:]))


def _alternative_names(extensions: bytes) -> dict[int, list[bytes]]:
    """Return the subject's alternative names by their tags."""
    found: dict[int, list[bytes]] = {}
    for _, listed in _values(extensions):
        for _, extension in _values(listed):
            (_, oid), *_, (_, content) = _values(extension)
            if _dotted(oid) == _ALTERNATIVE_NAMES:
                ((_, names),) = _expect(content, _SEQUENCE)
                for tag, value in _values(names):
                    found.setdefault(tag, []).append(value)
    return found
