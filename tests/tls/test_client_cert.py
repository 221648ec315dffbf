"""passTLSClientCert: what servers are told of the certificate that a client has shown."""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus

import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.tls.test_https import document, pair


@pytest.fixture
def client(authority):
    return authority.issue_cert(
        "me@a.example", "me.example", "192.0.2.1", organization_name="We & Co", common_name="me"
    )


@pytest.fixture
def telling(house, issue, authority):
    """Start a proxy whose middleware has these options."""

    async def start(mode="VerifyClientCertIfGiven", **options):
        routers = {"r": {"rule": "Host(`a.example`)", "tls": {}, "middlewares": ["told"]}}
        auth = {"clientAuthType": mode, "caFiles": [authority.cert_pem.bytes().decode()]}
        tls = {"certificates": [pair(issue("a.example"))], "options": {"default": {"clientAuth": auth}}}
        middlewares = {"told": {"passTLSClientCert": options}}
        return await house(lambda url: document(url, routers, tls, middlewares=middlewares))

    return start


def fields(answer):
    return {
        name.lower(): value
        for name, _, value in (line.partition(": ") for line in answer.body.decode().split("\r\n"))
        if name.lower().startswith("x-forwarded-tls")
    }


def der(leaf):
    return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())


async def test_the_whole_certificate(telling, client, authority):
    here = await telling(pem=True)
    told = fields(await here.get("a.example", certificate=client))
    chain = (der(client), ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode()))
    shown = ",".join(base64.b64encode(each).decode() for each in chain)  # the client sends its authority too
    assert told == {"x-forwarded-tls-client-cert": shown}
    forged = {"x-forwarded-tls-client-cert": "forged"}
    assert fields(await here.get("a.example", headers=forged)) == {}  # who shows none has none
    assert fields(await here.get("a.example", certificate=client, headers=forged)) == told


async def test_a_resumed_session_knows_the_certificate(telling, client):
    here = await telling(pem=True)
    context = here.context()
    client.configure_cert(context)
    first = await here.get("a.example", context=context)
    again = await here.get("a.example", context=context, session=here.session)
    assert again.was_resumed
    own = fields(first)["x-forwarded-tls-client-cert"].partition(",")[0]
    assert fields(again)["x-forwarded-tls-client-cert"].partition(",")[0] == own


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_clients_are_told_whose_certificates_are_believed(telling, version):
    """A browser offers those of its user that will do, and not all of them."""
    here = await telling()
    told = await here.openssl("-servername", "a.example", version, said=b"Q\n")
    _, found, names = told.partition("Acceptable client certificate CA names\n")
    assert found, told
    assert "Testing CA" in names.partition("\n")[0]


async def test_parts_of_it(telling, client):
    here = await telling(
        info={
            "notAfter": True,
            "notBefore": True,
            "sans": True,
            "serialNumber": True,
            "subject": {"organization": True, "commonName": True, "country": True},
            "issuer": {"organization": True},
        }
    )
    told = fields(await here.get("a.example", certificate=client))
    made = oracle.load_der_x509_certificate(der(client))
    (issuer,) = made.issuer.get_attributes_for_oid(oracle.NameOID.ORGANIZATION_NAME)
    own, *_ = unquote_plus(told["x-forwarded-tls-client-cert-info"]).split(",Subject=")
    assert own == ";".join(
        (
            'Subject="O=We & Co,CN=me"',
            f'Issuer="O={issuer.value}"',
            f'SerialNumber="{made.serial_number}"',
            f'NB="{int(made.not_valid_before_utc.timestamp())}"',
            f'NA="{int(made.not_valid_after_utc.timestamp())}"',
            'SAN="me.example,me@a.example,192.0.2.1"',
        )
    )


@pytest.fixture
def unreadable(tmp_path):
    """Write certificates with a key, as OpenSSL lets them pass."""

    def write(names):
        key = ec.generate_private_key(ec.SECP256R1())
        odd = oracle.Name([oracle.NameAttribute(oracle.NameOID.COMMON_NAME, "odd")])
        alternatives = oracle.UnrecognizedExtension(oracle.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
        now = datetime.now(UTC)
        made = oracle.CertificateBuilder(odd, odd, key.public_key(), 7, now, now + timedelta(days=1))
        signed = made.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = tmp_path / "odd.pem"
        file.write_bytes(signed.public_bytes(Encoding.PEM) + secret)
        return file

    return write


@pytest.mark.parametrize(
    "names",
    [b"\x30\x07\x87\x05\x01\x02\x03\x04\x05", b"\x30\x04\x82\x02\xff\xff"],
    ids=["address", "name"],
)
async def test_who_shows_what_cannot_be_read_is_told_so(telling, unreadable, names, caplog):
    """And nobody's log is filled by it: `RequireAnyClientCert` asks for no authority."""
    here = await telling("RequireAnyClientCert", info={"sans": True})
    context = here.context()
    context.load_cert_chain(unreadable(names))
    assert (await here.get("a.example", context=context)).status == 400
    assert [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")] == []


async def test_nothing_is_asked_for_nothing_is_told(telling, client):
    here = await telling("NoClientCert", pem=True, info={"sans": True})
    assert fields(await here.get("a.example", certificate=client)) == {}
