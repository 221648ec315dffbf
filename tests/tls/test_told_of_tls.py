"""What the access log tells of TLS: Traefik's TLSVersion, TLSCipher and TLSClientSubject."""

import asyncio
import json
import ssl

import pytest

from fastproxy import x509
from fastproxy.observe import accesslog
from tests.tls.rig import PATIENCE
from tests.tls.test_https import document, pair
from tests.waiting import eventually

NAMES = ("TLSVersion", "TLSCipher", "TLSClientSubject")


@pytest.fixture
def logged(house, issue, authority, tmp_path):
    """Start a proxy with an access log; returns it and what reads the lines when there are so many."""
    file = tmp_path / "access.log"

    async def start(auth=None, **settings):
        options = {}
        if auth:
            options = {
                "default": {
                    "clientAuth": {"clientAuthType": auth, "caFiles": [authority.cert_pem.bytes().decode()]}
                }
            }
        tls = {"options": options, "certificates": [pair(issue("a.example"))]}
        routers = {"safe": {"rule": "Host(`a.example`)", "tls": {}}, "plain": {"rule": "Host(`b.example`)"}}
        log = {"accessLog": {"filePath": str(file), "format": "json", **settings}}
        return await house(lambda url: log | document(url, routers, tls))

    async def lines(count):
        found = lambda: [json.loads(line) for line in file.read_bytes().splitlines()]  # noqa: E731
        await eventually(lambda: len(found()) >= count, "lines")
        return found()

    return start, lines


def said(line):
    return tuple(line.get(name) for name in NAMES)


async def test_nothing_of_a_plain_connection(logged):
    start, lines = logged
    here = await start()
    await here.plain("b.example")
    (line,) = await lines(1)
    assert line["RequestScheme"] == "http"
    assert said(line) == (None, None, None)


async def test_version_and_cipher(logged):
    """Cipher suites by the names of IANA."""
    start, lines = logged
    here = await start()
    old = here.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    old.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    await here.get("a.example", context=old)
    await here.get("a.example")
    first, second = await lines(2)
    assert said(first) == ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", None)
    assert second["TLSVersion"] == "1.3"
    assert second["TLSCipher"] in (
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    )
    assert second["RequestScheme"] == "https"


@pytest.mark.parametrize("auth", ["RequestClientCert", "VerifyClientCertIfGiven"])
async def test_subject_of_the_client(logged, authority, auth):
    start, lines = logged
    here = await start(auth)
    ada = authority.issue_cert(
        "ada@example.test", common_name="ada", organization_name="A, B", organization_unit_name="It"
    )
    await here.get("a.example", certificate=ada)
    await here.get("a.example")
    first, second = await lines(2)
    assert first["TLSClientSubject"] == r"CN=ada,OU=It,O=A\, B"
    assert "TLSClientSubject" not in second


def test_a_certificate_that_cannot_be_read_has_no_subject():
    class Odd:
        version, cipher, certificate = "TLSv1.3", "TLS_AES_128_GCM_SHA256", b"\x30\x00"

    assert accesslog.tls_of(Odd()) == (b"1.3", b"TLS_AES_128_GCM_SHA256", b"")


@pytest.mark.parametrize(("kept", "calls"), [("keep", 1), ("drop", 0)])
async def test_it_is_asked_once_for_a_connection(logged, monkeypatch, kept, calls):
    asked = []
    tls_of = accesslog.tls_of

    def counted(session):
        asked.append(session)
        return tls_of(session)

    monkeypatch.setattr(accesslog, "tls_of", counted)
    start, lines = logged
    here = await start(fields={"names": dict.fromkeys(NAMES, kept)})
    context = here.context()
    reader, writer = await asyncio.open_connection(*here.address, ssl=context, server_hostname="a.example")
    try:
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await asyncio.wait_for(reader.readexactly(length), PATIENCE)
    finally:
        writer.close()
    told = await lines(3)
    assert [line.get("TLSVersion") for line in told] == ["1.3" if calls else None] * 3
    assert len(asked) == calls


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ((), ""),
        ((("2.5.4.3", "ada"),), "CN=ada"),
        ((("2.5.4.6", "DE"), ("2.5.4.10", "A"), ("2.5.4.11", "x"), ("2.5.4.11", "y")), "OU=x+OU=y,O=A,C=DE"),
        (
            (
                ("2.5.4.3", "old"),
                ("2.5.4.3", "new"),
                ("2.5.4.5", "7"),
                ("2.5.4.7", "Ulm"),
                ("2.5.4.8", "BW"),
                ("2.5.4.9", "Gasse 1"),
                ("2.5.4.17", "89073"),
            ),
            "SERIALNUMBER=7,CN=new,POSTALCODE=89073,STREET=Gasse 1,ST=BW,L=Ulm",
        ),
        ((("2.5.4.3", ' #,+"\\<>; '),), r"CN=\ #\,\+\"\\\<\>\;\ "),
        ((("2.5.4.3", "#1"),), r"CN=\#1"),
        # A name that RFC 2253 does not have: the DER of its text, printable or UTF-8.
        (
            (("0.9.2342.19200300.100.1.25", "test"), ("2.5.4.3", "a")),
            "CN=a,0.9.2342.19200300.100.1.25=#130474657374",
        ),
        ((("1.2.840.113549.1.9.1", "a@b"),), "1.2.840.113549.1.9.1=#0c03614062"),
        ((("1.2.3", "x" * 200),), "1.2.3=#1381c8" + "78" * 200),
    ],
)
def test_a_name_as_text(attributes, text):
    """As Go's pkix.Name tells it, which Traefik writes."""
    assert x509.distinguished(attributes) == text
