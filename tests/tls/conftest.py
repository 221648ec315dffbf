"""A proxy in the test's own loop, certificates that nobody believes outside, and a server behind."""

import ssl

import pytest
import trustme

from fastproxy import Proxy
from tests.tls.rig import Backend, House


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def issue(authority):
    """Make a certificate for names: (certificate, key), PEM texts."""
    made = {}

    def issue(*names, ca=None, again=0, **options):
        key = (names, id(ca), again, tuple(options.items()))
        if key not in made:
            leaf = (ca or authority).issue_cert(*names, **options)
            chain = b"".join(each.bytes() for each in leaf.cert_chain_pems)
            made[key] = chain.decode(), leaf.private_key_pem.bytes().decode()
        return made[key]

    return issue


@pytest.fixture
async def backend():
    async with Backend() as server:
        yield server


@pytest.fixture
async def house(authority, backend):
    """Start a proxy: `await house(document)`; {url} of the document's servers is the backend's."""
    houses = []

    async def start(dynamic, **static):
        proxy = Proxy(
            {"entryPoints": {"web": {"address": "127.0.0.1:0", **static}}, **dynamic(backend.url)}
            if callable(dynamic)
            else dynamic
        )
        await proxy.start()
        houses.append(proxy)
        return House(proxy, authority, backend)

    yield start
    for proxy in houses:
        await proxy.stop(grace=0)


@pytest.fixture
def believing(authority):
    """Return a client's context that believes the authority."""

    def context(**settings):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(made)
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    return context
