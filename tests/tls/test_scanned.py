"""What a scanner says of the default options: sslyze, whose own OpenSSL still speaks what nobody should.

It needs libraries older than ours, so `make test` puts it into a folder beside them, `.venv/scanner`. What it
does not ask, test_weak.py asks by hand.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import trustme

from tests.tcp.clients import WITHOUT_SANITIZER
from tests.tls.test_https import document, pair

SCANNER = Path(sys.prefix) / "scanner"
SCANS = (
    *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--elliptic_curves"),
    *("--compression", "--heartbleed", "--openssl_ccs", "--robot", "--reneg", "--fallback", "--ems"),
    "--early_data",
)

SUITES_13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
SUITES_12 = {
    "AES_128_GCM_SHA256",
    "AES_256_GCM_SHA384",
    "CHACHA20_POLY1305_SHA256",
    "AES_128_CBC_SHA",
    "AES_256_CBC_SHA",
}


@pytest.fixture
def scan(tmp_path):
    """Scan a proxy: what each scan has found, by its name."""
    if not SCANNER.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no sslyze; `make test` installs it")

    async def scan(house):
        host, port = house.address
        scanner = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sslyze", "--quiet", "--mozilla_config=disable", *SCANS),
            *(f"--json_out={tmp_path}/told", f"a.example:{port}{{{host}}}"),
            env={**WITHOUT_SANITIZER, "PYTHONPATH": str(SCANNER)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(scanner.communicate(), 50)
        finally:
            if scanner.returncode is None:
                scanner.kill()
        assert scanner.returncode == 0, said.decode()
        (server,) = json.loads((tmp_path / "told").read_text())["server_scan_results"]
        assert server["scan_status"] == "COMPLETED", server["connectivity_error_trace"]
        made = {
            name: each for name, each in server["scan_result"].items() if each["status"] != "NOT_SCHEDULED"
        }
        assert {name: each["error_trace"] for name, each in made.items() if each["error_trace"]} == {}
        return {name: each["result"] for name, each in made.items()}

    return scan


def suites(told):
    """Return the suites that were accepted, by version."""
    return {
        each["tls_version_used"]: {suite["cipher_suite"]["name"] for suite in each["accepted_cipher_suites"]}
        for name, each in told.items()
        if name.endswith("_cipher_suites")
    }


def facts(told):
    """Return what is said in one word, by its name."""
    return {
        fact: value
        for name, each in told.items()
        if not name.endswith("_cipher_suites")
        for fact, value in each.items()
        if isinstance(value, bool | str)
    }


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
async def test_the_default_options_have_nothing_weak(house, issue, scan, kind):
    certificate = issue("a.example", key_type=trustme.KeyType[kind])
    here = await house(
        lambda url: document(
            url, {"r": {"rule": "Host(`a.example`)", "tls": {}}}, {"certificates": [pair(certificate)]}
        )
    )
    told = await scan(here)
    assert suites(told) == {
        "SSL_2_0": set(),
        "SSL_3_0": set(),
        "TLS_1_0": set(),
        "TLS_1_1": set(),
        "TLS_1_2": {f"TLS_ECDHE_{kind}_WITH_{suite}" for suite in SUITES_12},
        "TLS_1_3": SUITES_13,
    }
    assert facts(told) == {
        "supports_compression": False,
        "supports_early_data": False,
        "is_vulnerable_to_ccs_injection": False,
        "is_vulnerable_to_heartbleed": False,
        "supports_fallback_scsv": True,
        "robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
        "supports_secure_renegotiation": True,
        "is_vulnerable_to_client_renegotiation_dos": False,
        "supports_ecdh_key_exchange": True,
        "supports_ems_extension": True,
    }
    curves = {each["name"] for each in told["elliptic_curves"]["supported_curves"]}
    assert {"X25519", "secp256r1"} <= curves <= {"X25519", "X448", "secp256r1", "secp384r1", "secp521r1"}


async def test_a_scanner_sees_what_is_weak(house, issue, scan):
    """Whoever asks for old versions and suites gets them, and the scan above could have failed."""
    options = {"minVersion": "VersionTLS10", "cipherSuites": ["TLS_RSA_WITH_AES_128_CBC_SHA"]}
    tls = {
        "certificates": [pair(issue("a.example", key_type=trustme.KeyType.RSA))],
        "options": {"default": options},
    }
    here = await house(lambda url: document(url, {"r": {"rule": "Host(`a.example`)", "tls": {}}}, tls))
    found = suites(await scan(here))
    assert found["TLS_1_0"] == found["TLS_1_1"] == found["TLS_1_2"] == {"TLS_RSA_WITH_AES_128_CBC_SHA"}
    assert found["SSL_3_0"] == set()
