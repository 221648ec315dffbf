"""Certificates in the API, and what is read out of their DER."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from fastproxy import x509
from fastproxy.api import View, answer
from fastproxy.build.snapshot import Builder
from fastproxy.build.work import run_now
from fastproxy.config.document import decode
from fastproxy.config.findings import Findings
from fastproxy.config.merge import Merger
from fastproxy.config.static import API, EntryPoint, StaticConfiguration

NOW = datetime.now(UTC)
STATIC = StaticConfiguration(entry_points={"web": EntryPoint(address=":80")}, api=API(insecure=True))
KEYS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "ECDSA": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def make(kind="ECDSA", *, days=90, names=("a.example", "*.b.example"), organization="Shop & Söhne"):
    key = KEYS[kind]()
    attributes = [
        oracle.NameAttribute(oracle.NameOID.COUNTRY_NAME, "DE"),
        oracle.NameAttribute(oracle.NameOID.ORGANIZATION_NAME, organization),
        oracle.NameAttribute(oracle.NameOID.COMMON_NAME, names[0]),
    ]
    made = (
        oracle.CertificateBuilder()
        .subject_name(oracle.Name(attributes))
        .issuer_name(oracle.Name([attributes[0], oracle.NameAttribute(oracle.NameOID.COMMON_NAME, "CA")]))
        .public_key(key.public_key())
        .serial_number(0x1234ABCD)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(oracle.SubjectAlternativeName([oracle.DNSName(name) for name in names]), False)
        .sign(key, None if kind == "Ed25519" else hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made, made.public_bytes(serialization.Encoding.PEM).decode(), secret.decode()


def view_of(*pairs):
    document = {"tls": {"certificates": [{"certFile": chain, "keyFile": key} for chain, key in pairs]}}
    configuration = decode(document, Findings())
    builder = Builder(STATIC)
    run_now(builder.build(1, Merger(STATIC).merge({"file": configuration}).configuration))
    return View(STATIC, builder.runtime, "1", "now")


def get(view, path, query=""):
    told = answer("GET", f"/api/{path}", query, view)
    return told.status, json.loads(told.body)


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_read(kind):
    made, pem, _ = make(kind)
    (der,) = x509.certificates_in(pem.encode())
    facts = x509.read(der)
    assert (facts.key_type, facts.key_size) == (kind, {"RSA": 2048, "ECDSA": 384, "Ed25519": 256}[kind])
    assert facts.signature == {"RSA": "SHA256-RSA", "ECDSA": "ECDSA-SHA256", "Ed25519": "Ed25519"}[kind]
    assert facts.serial == made.serial_number
    assert (facts.not_before, facts.not_after) == (made.not_valid_before_utc, made.not_valid_after_utc)
    assert facts.names == ("*.b.example", "a.example")
    assert [text for _, text in facts.subject] == [each.value for each in made.subject]
    key = made.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    assert facts.key_digest == digest.finalize()


DER = x509.certificates_in(make()[1].encode())[0]


@given(
    st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), max_size=5),
    st.integers(0, len(DER)),
)
def test_what_is_no_certificate_raises_nothing_else(changes, kept):
    changed = bytearray(DER)
    for at, byte in changes:
        changed[at] = byte
    try:
        x509.read(bytes(changed[:kept]))
    except ValueError:
        pass


def test_the_list_and_one_of_it():
    view = view_of(make()[1:], make("RSA", days=10, names=("old.example",))[1:], make(days=-1)[1:])
    status, listed = get(view, "certificates")
    assert status == 200
    assert sorted(each["status"] for each in listed) == ["enabled", "expired", "warning"]
    (enabled,) = [each for each in listed if each["status"] == "enabled"]
    assert enabled["sans"] == ["a.example", "*.b.example"]
    assert (enabled["commonName"], enabled["organization"], enabled["country"]) == (
        "a.example",
        "Shop & Söhne",
        "DE",
    )
    assert (enabled["issuerCN"], enabled["serialNumber"], enabled["version"]) == ("CA", "1234abcd", "v3")
    assert get(view, f"certificates/{enabled['certFingerprint']}") == (200, enabled)
    assert get(view, "certificates/00")[0] == 404
    assert [each["status"] for each in get(view, "certificates", "search=OLD")[1]] == ["warning"]
    assert [each["status"] for each in get(view, "certificates", "status=expired")[1]] == ["expired"]
    ends = [each["notAfter"] for each in get(view, "certificates", "sortBy=validUntil&direction=desc")[1]]
    assert ends == sorted(ends, reverse=True)
    assert get(view, "overview")[1]["certificates"] == {"total": 3, "warnings": 1, "errors": 1}


def test_no_key_is_shown_anywhere():
    view = view_of(make()[1:])
    for path in ("certificates", "rawdata", "overview", "http/routers", "entrypoints"):
        assert "PRIVATE" not in json.dumps(get(view, path)[1])


def test_a_broken_certificate_is_not_among_them():
    assert get(view_of((make()[1], make()[2])), "certificates") == (200, [])
