"""Which certificate a client is shown, what is made when there is none, and sessions taken up again."""

import ssl

import pytest

from fastproxy.build.certificates import Pair, Settings, Shelf
from fastproxy.build.runtime import Broken
from fastproxy.build.work import run_now
from tests.tls.test_https import document, pair

SECRET = b"s" * 32


def made(issued):
    return Pair(issued[0].encode(), issued[1].encode(), SECRET)


def shelf_of(pairs):
    return run_now(Shelf().updated({}, {str(at): each for at, each in enumerate(pairs)}, None))


# --- selection ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "name", "chosen"),
    [
        # Traefik asks the sets in the reverse order of the alphabet, and takes the first that fits
        ([("a.example",), ("b.example",)], "a.example", 0),
        ([("a.example",), ("b.example",)], "c.example", None),
        ([("*.example",), ("a.example",)], "a.example", 1),
        ([("*.example",), ("a.example",)], "b.example", 0),
        ([("*.example",)], "a.b.example", None),
        ([("*.example",)], "example", None),
        ([("*.b.example", "z.example"), ("a.b.example",)], "a.b.example", 1),
        ([("a.b.example", "z.example"), ("*.b.example", "a.a")], "a.b.example", 0),
        ([("m.example", "x.example"), ("n.example", "x.example")], "x.example", 1),
        ([("127.0.0.1",), ("a.example",)], "127.0.0.1", 0),
    ],
)
def test_selection(issue, sets, name, chosen):
    pairs = [made(issue(*names)) for names in sets]
    found = shelf_of(pairs).find(name)
    assert found is (None if chosen is None else pairs[chosen])


def as_the_reference(pairs, name):
    """The rule in plain words: sets in reverse order, the first with the name or its wildcard."""
    rest = "*." + name.partition(".")[2]
    for found in sorted(pairs, key=lambda each: ",".join(each.names), reverse=True):
        if name in found.names or ("." in name and rest in found.names):
            return found
    return None


def test_selection_as_the_reference(issue):
    labels = ["a.x", "b.x", "*.x", "a.b.x", "*.b.x", "c.x"]
    pairs = [made(issue(*sorted({labels[i], labels[j]}))) for i in range(6) for j in range(i + 1, 6)]
    shelf = shelf_of(pairs)
    for name in ("a.x", "b.x", "c.x", "d.x", "a.b.x", "z.b.x", "x", "a", "b.a.b.x"):
        assert shelf.find(name) is as_the_reference(pairs, name), name


@pytest.mark.parametrize(("certificate", "key"), [(0, 1), (1, 0)])
def test_a_key_of_another_certificate(issue, certificate, key):
    pairs = issue("a.example"), issue("b.example")
    with pytest.raises(Broken, match="certificate and key cannot be used: key values mismatch"):
        made((pairs[certificate][0], pairs[key][1]))


@pytest.mark.parametrize(
    "text", ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "nothing"]
)
def test_what_is_no_certificate(issue, text):
    with pytest.raises(Broken, match="certFile: this is no certificate"):
        made((text, issue("a.example")[1]))


async def test_a_broken_certificate_is_told_and_the_others_serve(house, issue):
    broken = (issue("a.example")[0], issue("b.example")[1])
    here = await house(
        lambda url: document(
            url,
            {"r": {"rule": "Host(`b.example`)", "tls": {}}},
            {"certificates": [pair(broken), pair(issue("b.example"))]},
        )
    )
    assert (await here.get("b.example")).common_names == ("b.example",)
    (told,) = [each for each in here.proxy.runtime.records("tls.certificates") if each.status == "disabled"]
    assert "key values mismatch" in told.error[0]


async def test_two_certificates_with_the_same_names_are_told(house, issue):
    both = ("a.example", "b.example")
    first, second, other = issue(*both), issue(*reversed(both)), issue("a.example")
    here = await house(
        lambda url: document(
            url,
            {"r": {"rule": "Host(`a.example`)", "tls": {}}},
            {"certificates": [pair(first), pair(second), pair(other)]},
        )
    )

    def told():
        records = here.proxy.runtime.records("tls.certificates")
        return [each.error for each in records if each.status == "warning"]

    [(why,)] = told()
    assert "has the same names, a.example, b.example" in why
    await here.proxy.apply(document(here.backend.url, {}, {"certificates": [pair(second), pair(other)]}))
    assert told() == []


# --- defaults -----------------------------------------------------------------------------------------------


async def test_the_default_certificate(house, issue):
    here = await house(
        lambda url: document(
            url,
            {"r": {"rule": "PathPrefix(`/`)", "tls": {}}},
            {
                "certificates": [pair(issue("a.example"))],
                "stores": {"default": {"defaultCertificate": pair(issue("fallback.example"))}},
            },
        )
    )
    assert (await here.get("a.example")).common_names == ("a.example",)
    assert (await here.get("other.example")).common_names == ("fallback.example",)
    assert (await here.get(None)).common_names == ("fallback.example",)


async def test_without_a_name_the_address_is_the_name(house, issue):
    here = await house(
        lambda url: document(
            url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}, {"certificates": [pair(issue("127.0.0.1"))]}
        )
    )
    assert (await here.get(None)).common_names == ("127.0.0.1",)


async def test_a_certificate_is_made_when_there_is_none(house):
    here = await house(lambda url: document(url, {"r": {"rule": "PathPrefix(`/`)", "tls": {}}}))
    assert (await here.get("a.example", insecure=True)).status == 200
    said = await here.openssl("-servername", "a.example")
    assert "CN = FASTPROXY DEFAULT CERT" in said
    # the same one after a reload
    first = said.partition("-----BEGIN")[2].partition("-----END")[0]
    await here.proxy.apply(document(here.backend.url, {"q": {"rule": "PathPrefix(`/`)", "tls": {}}}))
    assert (await here.openssl()).partition("-----BEGIN")[2].partition("-----END")[0] == first


async def test_an_entry_point_of_tls_without_routers(house):
    here = await house(lambda url: document(url, {}), http={"tls": {}})
    assert (await here.get("a.example", insecure=True)).status == 404


async def test_an_entry_point_makes_tls_routers(house, issue):
    here = await house(
        lambda url: document(
            url, {"r": {"rule": "Host(`a.example`)"}}, {"certificates": [pair(issue("a.example"))]}
        ),
        http={"tls": {}},
    )
    assert (await here.get("a.example")).status == 200
    assert (await here.plain("a.example"))[0] == 404


async def test_an_entry_point_redirects(house, issue):
    here = await house(
        lambda url: document(url, {"r": {"rule": "PathPrefix(`/`)"}}),
        http={"redirections": {"entryPoint": {"to": ":8443"}}},
    )
    status, body = await here.plain("a.example", "/x?y=1")
    assert (status, body) == (301, b"Moved Permanently")


# --- sessions -----------------------------------------------------------------------------------------------

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)


def one_router(url, issued, **options):
    tls = {"certificates": [pair(issued)], "options": {"default": options} if options else {}}
    return document(url, {"r": {"rule": "Host(`a.example`)", "tls": {}}}, tls)


def bound(here, version):
    return here.context(minimum_version=version, maximum_version=version)


@VERSIONS
async def test_a_session_is_resumed_also_after_a_reload(house, issue, version):
    here = await house(lambda url: one_router(url, issue("a.example")))
    context = bound(here, version)
    assert not (await here.get("a.example", context=context)).was_resumed
    session = here.session
    assert (await here.get("a.example", context=context, session=session)).was_resumed
    changed = one_router(here.backend.url, issue("a.example"))
    changed["http"]["routers"]["more"] = {"rule": "Host(`b.example`)", "service": "s", "tls": {}}
    await here.proxy.apply(changed)
    assert (await here.get("a.example", context=context, session=session)).was_resumed


@VERSIONS
async def test_another_certificate_or_other_terms_begin_anew(house, issue, version):
    here = await house(lambda url: one_router(url, issue("a.example")))
    context = bound(here, version)
    await here.get("a.example", context=context)
    session = here.session
    await here.proxy.apply(one_router(here.backend.url, issue("a.example", again=1)))
    assert not (await here.get("a.example", context=context, session=session)).was_resumed
    session = here.session
    await here.proxy.apply(one_router(here.backend.url, issue("a.example", again=1), sniStrict=True))
    assert (await here.get("a.example", context=context, session=session)).was_resumed
    narrow = {"curvePreferences": ["X25519"]}
    await here.proxy.apply(one_router(here.backend.url, issue("a.example", again=1), **narrow))
    assert not (await here.get("a.example", context=context, session=session)).was_resumed


@VERSIONS
async def test_tickets_can_be_switched_off(house, issue, version):
    here = await house(lambda url: one_router(url, issue("a.example"), disableSessionTickets=True))
    context = bound(here, version)
    await here.get("a.example", context=context)
    assert not (await here.get("a.example", context=context, session=here.session)).was_resumed


def test_workers_with_one_secret_take_each_others_tickets(issue):
    """Contexts that different processes make of the same things, as workers do."""
    issued = issue("a.example")
    one, two, stranger = (
        Pair(issued[0].encode(), issued[1].encode(), secret).context(Settings())
        for secret in (SECRET, SECRET, b"t" * 32)
    )
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    session = handshake(client, one, None).session
    assert handshake(client, two, session).session_reused
    assert not handshake(client, stranger, session).session_reused


def handshake(client, server, session):
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="a.example", session=session)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [one, two]
    while waiting:
        for each in list(waiting):
            try:
                each.do_handshake()
                waiting.remove(each)
            except ssl.SSLWantReadError:
                pass
    two.write(b"x")
    assert one.read(1) == b"x"
    return one
