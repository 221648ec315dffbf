"""A load balancer of a document becomes a balancer whose targets know how to reach their servers."""

from collections import Counter

import pytest

from fastproxy.build.estate import Estate
from fastproxy.build.runtime import Broken
from fastproxy.build.services import Service, place_of, service_of
from fastproxy.build.transports import transport_of
from fastproxy.build.work import run_now
from fastproxy.config.dynamic import HttpService, ServersTransport
from fastproxy.config.http import LoadBalancer, Server


def made(*servers: Server, estate: Estate | None = None, transport=None, **options) -> Service:
    estate = Estate() if estate is None else estate
    built = run_now(transport_of(transport or ServersTransport(), estate.contexts))
    configured = HttpService(load_balancer=LoadBalancer(servers=servers, **options))
    return run_now(service_of("shop@file", configured, built, estate))


def only(service: Service):
    (target,) = service.balancer.targets
    return target


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://10.0.0.7:8080", ("http", "10.0.0.7", 8080, b"10.0.0.7:8080", b"")),
        ("http://Shop.Example", ("http", "shop.example", 80, b"shop.example", b"")),
        ("https://shop.example/", ("https", "shop.example", 443, b"shop.example", b"")),
        ("HTTP://user:pw@a.example:81/x", ("http", "a.example", 81, b"a.example:81", b"/x")),
        ("http://[::1]:9000/a/b/", ("http", "::1", 9000, b"[::1]:9000", b"/a/b")),
        ("http://[fe80::1%25eth0]:80", ("http", "fe80::1%eth0", 80, b"[fe80::1]:80", b"")),
        ("http://b\u00fccher.example", ("http", "xn--bcher-kva.example", 80, b"xn--bcher-kva.example", b"")),
        ("http://a/b%2Fc/\u00fc d?q#f", ("http", "a", 80, b"a", b"/b%2Fc/%C3%BC%20d")),
        ("unix:///run/app.sock", ("unix", "/run/app.sock", 0, b"localhost", b"")),
    ],
)
def test_places(url, place):
    assert place_of(url) == place


@pytest.mark.parametrize(
    "url", ["", "10.0.0.7:80", "ftp://a", "http://", "http://a:x", "http://[::1", "unix://"]
)
def test_urls_that_are_none(url):
    with pytest.raises(Broken, match="the URL of the server"):
        place_of(url)


def test_weights_and_servers_without_weight():
    service = made(
        Server("http://a:1", weight=3),
        Server("http://b:1"),
        Server("http://c:1", weight=0),
        Server("http://d:1", weight=-1),
    )
    assert Counter(service.balancer.choose() for _ in range(8)) == {"http://a:1": 6, "http://b:1": 2}


def test_no_server_is_a_service_all_the_same():
    assert made().balancer.choose() is None


def test_the_order_is_shuffled():
    servers = [Server(f"http://10.0.0.{n}:80") for n in range(1, 9)]
    assert len({tuple(t.url for t in made(*servers).balancer.targets) for _ in range(20)}) > 1


def test_host_and_prefix():
    target = only(made(Server("http://a.example:81/base/", preserve_path=True), pass_host_header=False))
    assert (target.host, target.path_prefix) == (b"a.example:81", b"/base")
    service = made(Server("http://a.example:81/base/"))
    assert only(service).path_prefix == b""
    assert service.balancer.pass_host


def test_unix_servers():
    pool = only(made(Server("unix:///run/app.sock"))).pool
    assert (pool.scheme, pool.path, pool.host, pool.port) == ("unix", "/run/app.sock", "", 0)


def test_limits_reach_the_pool():
    pool = only(made(Server("http://a"), transport=ServersTransport(max_idle_conns_per_host=5))).pool
    assert (pool.max_idle, pool.dial_timeout, pool.idle_timeout, pool.header_timeout) == (5, 30.0, 90.0, 0.0)


def test_https_servers_are_verified_by_host_or_by_the_name_given():
    estate = Estate()
    pool = only(made(Server("https://a.example:8443"), estate=estate)).pool
    other = ServersTransport(server_name="b.example")
    named = only(made(Server("https://a.example:8443"), estate=estate, transport=other)).pool
    assert (pool.server_name, named.server_name) == ("a.example", "b.example")
    assert pool.ssl is named.ssl


def test_a_transport_with_a_fault_disables_who_needs_tls_only():
    broken = ServersTransport(root_cas=("nowhere.pem",))
    made(Server("http://a"), transport=broken)
    with pytest.raises(Broken, match='the servers transport "t@file" is disabled: rootCAs'):
        made(Server("http://a"), Server("https://b"), transport=broken, servers_transport="t@file")


def test_a_service_without_a_type():
    transport = run_now(transport_of(ServersTransport(), {}))
    with pytest.raises(Broken, match=r'^the service "x@file" does not have any type defined$'):
        run_now(service_of("x@file", HttpService(), transport, Estate()))


# --- the estate -------------------------------------------------------------------------------------


def test_one_address_has_one_pool():
    estate = Estate()
    one = made(Server("http://a:1"), Server("http://a:1/other"), Server("http://b:1"), estate=estate)
    two = made(Server("http://a:1"), estate=estate)
    assert len(one.pools) == 2
    assert two.pools[0] in one.pools
    assert len(estate) == 2


@pytest.mark.parametrize(
    "other",
    [
        ("http://a:2", ServersTransport()),
        ("https://a:1", ServersTransport()),
        ("http://a:1", ServersTransport(max_idle_conns_per_host=9)),
    ],
)
def test_other_addresses_and_other_settings_have_pools_of_their_own(other):
    estate = Estate()
    url, transport = other
    one = made(Server("http://a:1"), estate=estate)
    two = made(Server(url), estate=estate, transport=transport)
    assert not set(map(id, one.pools)) & set(map(id, two.pools))


def test_tls_settings_part_https_pools_and_no_others():
    estate = Estate()
    insecure = ServersTransport(insecure_skip_verify=True)
    one = made(Server("http://a:1"), Server("https://a:2"), estate=estate)
    two = made(Server("http://a:1"), Server("https://a:2"), estate=estate, transport=insecure)
    assert len(set(map(id, one.pools)) & set(map(id, two.pools))) == 1


def swept(estate: Estate) -> int:
    return sum(1 for _ in estate.sweep())


def test_a_pool_lives_as_long_as_somebody_holds_it():
    estate = Estate()
    pools = made(Server("http://a:1"), estate=estate).pools
    estate.hold(pools)
    estate.hold(pools)
    estate.release(pools)
    assert swept(estate) == 0
    assert made(Server("http://a:1"), estate=estate).pools == pools
    estate.release(pools)
    assert swept(estate) == 1
    assert len(estate) == 0
    assert made(Server("http://a:1"), estate=estate).pools != pools


def test_a_pool_that_is_held_again_before_the_sweep_stays():
    estate = Estate()
    pools = made(Server("http://a:1"), estate=estate).pools
    estate.hold(pools)
    estate.release(pools)
    estate.hold(pools)
    assert swept(estate) == 0
