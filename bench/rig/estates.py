"""Large configurations of every kind of router, and what changes in them.

Each is a document of its own; `write(number)` makes the file that of change `number`. Changes go round: one
router has another service, then as it was, then there is one router more, then as it was; of certificates one
is renewed, and renewed again.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from .configs import host_names, replace

ROUND = 4           # changes until all is as it was
OTHER, MORE = 1, 3  # of a round: a router has another service; there is one more


class Estate(NamedTuple):
    """A kind of configuration."""

    count: int
    """Of its objects, unless said otherwise."""

    prepare: Callable[[Path, int], Callable[[int], None]]
    """Makes what the document needs in a folder, for so many objects; returns `write`."""


def _plain(document: Callable[[list[str], str], str]) -> Callable[[Path, int], Callable[[int], None]]:
    """Of a document that names and the service of the second router make."""

    def prepare(folder: Path, count: int) -> Callable[[int], None]:
        names = host_names(count + 1)

        def write(number: int) -> None:
            step = number % ROUND
            shown = names if step == MORE else names[:-1]
            replace(folder / "dynamic.yml", document(shown, "other" if step == OTHER else "backend"))

        return write

    return prepare


def _routers(names: list[str], second: str, line: str) -> str:
    services = ["backend"] * len(names)
    services[1] = second
    named = zip(names, services, strict=True)
    return "".join(line.format(at=at, name=name, service=each) for at, (name, each) in enumerate(named))


def _document(root: str, server: str, line: str) -> Callable[[list[str], str], str]:
    def document(names: list[str], second: str) -> str:
        services = "".join(
            f"    {name}: {{loadBalancer: {{servers: [{{{server}}}]}}}}\n" for name in ("backend", "other")
        )
        return f"{root}:\n  services:\n{services}  routers:\n" + _routers(names, second, line)

    return document


_HTTP = _document(
    "http", "url: http://127.0.0.1:9", "    r{at}: {{rule: Host(`{name}`), service: {service}}}\n"
)
_HTTPS = _document(
    "http", "url: http://127.0.0.1:9", "    r{at}: {{rule: Host(`{name}`), service: {service}, tls: {{}}}}\n"
)
_TCP = _document(
    "tcp",
    "address: 127.0.0.1:9",
    "    r{at}: {{rule: HostSNI(`{name}`), service: {service}, tls: {{passthrough: true}}}}\n",
)


def _udp(names: list[str], second: str) -> str:
    """One service for each router; all of them are on one entry point, where the last by name serves."""
    services = "".join(
        f"    s{at}: {{loadBalancer: {{servers: [{{address: 127.0.0.1:9}}]}}}}\n" for at in range(len(names))
    )
    routers = "".join(
        f"    r{at}: {{entryPoints: [dns], service: s{0 if at == 1 and second == 'other' else at}}}\n"
        for at in range(len(names))
    )
    return f"udp:\n  services:\n{services}  routers:\n{routers}"


def _certificates(folder: Path, count: int) -> Callable[[int], None]:
    """As many certificates in files as there are routers with TLS."""
    names = host_names(count)
    for at, pair in enumerate(_issued(names)):
        (folder / f"{at}.pem").write_text(pair[0])
        (folder / f"{at}.key").write_text(pair[1])
    items = "".join(
        f"    - certFile: {folder}/{at}.pem\n      keyFile: {folder}/{at}.key\n" for at in range(count)
    )
    text = _HTTPS(names, "backend") + f"tls:\n  certificates:\n{items}"

    def write(number: int) -> None:
        if number == 0:
            replace(folder / "dynamic.yml", text)
            return
        [(chain, key)] = _issued(names[1:2])
        (folder / "1.key").write_text(key)
        replace(folder / "1.pem", chain)

    return write


def _issued(names: list[str]) -> Iterator[tuple[str, str]]:
    """Make a self-signed certificate (P-256) for each name, all of one key: PEM texts."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    now = datetime.now(UTC)
    for host in names:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
            .sign(key, hashes.SHA256())
        )
        yield made.public_bytes(Encoding.PEM).decode(), secret


ESTATES = {
    "http": Estate(10_000, _plain(_HTTP)),
    "https": Estate(10_000, _plain(_HTTPS)),
    "tcp": Estate(10_000, _plain(_TCP)),
    "udp": Estate(2_000, _plain(_udp)),
    "certificates": Estate(2_000, _certificates),
}
