"""A serversTransport becomes limits and a TLS context, or says why not."""

import os
import ssl
import weakref

import pytest
import trustme

from fastproxy.build.runtime import Broken
from fastproxy.build.transports import TLS, Transport, make_context, transport_of
from fastproxy.build.work import run_now
from fastproxy.config.dynamic import ServersTransport
from fastproxy.config.static import ForwardingTimeouts
from fastproxy.config.tls import CertificatePair

SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def root(authority):
    return authority.cert_pem.bytes().decode()


def made(configured, contexts=None) -> Transport:
    return run_now(transport_of(configured, weakref.WeakValueDictionary() if contexts is None else contexts))


def fault(**options) -> str:
    return made(ServersTransport(**options)).fault


@pytest.mark.parametrize(
    ("configured", "max_idle"),
    [
        (ServersTransport(), 2),
        (ServersTransport(max_idle_conns_per_host=0), 2),
        (ServersTransport(max_idle_conns_per_host=7), 7),
        (ServersTransport(max_idle_conns_per_host=-1), 0),
    ],
)
def test_idle_connections(configured, max_idle):
    assert made(configured).limits.max_idle == max_idle


def test_timeouts_in_seconds():
    limits = made(
        ServersTransport(
            forwarding_timeouts=ForwardingTimeouts(
                dial_timeout=SECOND // 2, response_header_timeout=3 * SECOND, idle_conn_timeout=-SECOND
            )
        )
    ).limits
    assert (limits.dial_timeout, limits.header_timeout, limits.idle_timeout) == (0.5, 3.0, 0.0)


def test_default_settings_make_no_context_before_it_is_needed():
    transport = made(ServersTransport(server_name="inner.example"))
    assert transport == made(ServersTransport(server_name="inner.example"))
    assert (transport.context, transport.tls, transport.server_name) == (None, TLS(), "inner.example")


def test_default_context_verifies_against_the_system():
    context = make_context(TLS())
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert (context.minimum_version, context.maximum_version) == (
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    )


def test_insecure_skip_verify():
    context = made(ServersTransport(insecure_skip_verify=True)).context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_roots_as_file_and_as_text_replace_the_system_store(tmp_path, root):
    (tmp_path / "ca.pem").write_text(root)
    for given in (root, str(tmp_path / "ca.pem")):
        context = made(ServersTransport(root_cas=(given,))).context
        assert len(context.get_ca_certs()) == 1
        assert context.verify_mode == ssl.CERT_REQUIRED


def test_equal_settings_share_a_context(tmp_path, root):
    contexts = weakref.WeakValueDictionary()
    one = made(ServersTransport(root_cas=(root,)), contexts)
    two = made(ServersTransport(root_cas=(root,), max_idle_conns_per_host=9), contexts)
    assert one.context is two.context
    assert one.limits != two.limits


def test_a_changed_file_makes_another_context(tmp_path, root):
    file = tmp_path / "ca.pem"
    contexts = weakref.WeakValueDictionary()
    file.write_text(root)
    one = made(ServersTransport(root_cas=(str(file),)), contexts)
    file.write_text(trustme.CA().cert_pem.bytes().decode())
    two = made(ServersTransport(root_cas=(str(file),)), contexts)
    assert one.context is not two.context


def test_own_certificate_of_either_form(tmp_path, authority):
    leaf = authority.issue_cert("client.example")
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    key = leaf.private_key_pem.bytes()
    (tmp_path / "c.pem").write_bytes(chain)
    (tmp_path / "k.pem").write_bytes(key)
    for pair in (
        CertificatePair(chain.decode(), key.decode()),
        CertificatePair(str(tmp_path / "c.pem"), str(tmp_path / "k.pem")),
    ):
        transport = made(ServersTransport(certificates=(pair,)))
        assert transport.fault == ""
        assert transport.context is not None


def test_versions_and_ciphers():
    context = made(
        ServersTransport(
            min_version="VersionTLS12",
            max_version="VersionTLS12",
            cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        )
    ).context
    assert context.maximum_version == ssl.TLSVersion.TLSv1_2
    older = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert older == {"ECDHE-RSA-AES128-GCM-SHA256"}


def test_a_least_version_without_a_greatest_is_accepted():
    context = made(ServersTransport(min_version="VersionTLS13")).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_a_greatest_version_below_the_default_least():
    context = made(ServersTransport(max_version="VersionTLS11")).context
    assert context.maximum_version == ssl.TLSVersion.TLSv1_1


def test_old_versions_can_be_asked_for():
    context = made(ServersTransport(min_version="VersionTLS10")).context
    assert any(cipher["name"].endswith("-SHA") for cipher in context.get_ciphers())


def test_suites_of_tls_1_3_only_ask_for_that_version():
    """They cannot be chosen one by one; and what is older has none of those that were listed."""
    context = made(ServersTransport(cipher_suites=("TLS_AES_128_GCM_SHA256",))).context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


GARBAGE = "-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"root_cas": ("no/such.pem",)}, 'rootCAs[0]: "no/such.pem" is neither a file nor a PEM text'),
        ({"root_cas": ("/proc",)}, 'rootCAs[0]: cannot read "/proc": is a directory'),
        ({"root_cas": (GARBAGE,)}, "rootCAs[0]: no certificate can be read: "),
        ({"root_cas": (os.devnull,)}, "rootCAs[0]: no certificate can be read: empty certificate data"),
        ({"cipher_suites": ("TLS_NULL",)}, 'cipherSuites[0]: "TLS_NULL" is not a cipher suite'),
        (
            {"cipher_suites": ("TLS_AES_128_GCM_SHA256",), "max_version": "VersionTLS12"},
            "cipherSuites: all of them are of TLS 1.3, and maxVersion is VersionTLS12",
        ),
        (
            {"min_version": "VersionTLS13", "max_version": "VersionTLS12"},
            "minVersion: VersionTLS13 is above maxVersion, VersionTLS12",
        ),
        (
            {"certificates": (CertificatePair("a", "b"), CertificatePair("c", "d"))},
            "certificates: 2 pairs; more than one is not supported yet",
        ),
        ({"certificates": (CertificatePair(GARBAGE, GARBAGE),)}, "certificates[0]: certificate and"),
        ({"certificates": (CertificatePair("", ""),)}, 'certificates[0].certFile: "" is neither'),
    ],
)
def test_invalid_tls_is_a_fault_and_never_a_weaker_context(options, reason):
    transport = made(ServersTransport(**options))
    assert transport.fault.startswith(reason)
    assert transport.context is None


def test_a_key_behind_a_password_is_refused_without_asking(tmp_path, authority):
    from cryptography.hazmat.primitives import serialization

    leaf = authority.issue_cert("client.example")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    hidden = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    pair = CertificatePair(leaf.cert_chain_pems[0].bytes().decode(), hidden.decode())
    assert fault(certificates=(pair,)).endswith("the key is encrypted")


def test_a_fault_is_raised_where_a_context_is_made():
    with pytest.raises(Broken, match=r"rootCAs\[0\]"):
        make_context(TLS(roots=(GARBAGE.encode(),)))
