"""What a pool is told, and refuses; how connections lie in it the wire tests show."""

import ssl

import pytest

from fastproxy._core.pool import Pool


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({"scheme": "http", "host": "10.0.0.7", "port": 80}, "10.0.0.7:80"),
        ({"scheme": "http", "host": "::1", "port": 80}, "[::1]:80"),
        ({"scheme": "unix", "path": "/run/x"}, "/run/x"),
        ({"scheme": "https", "host": "a", "port": 443, "ssl": ssl.create_default_context()}, "a:443"),
    ],
)
def test_addresses(settings, address):
    pool = Pool(**settings)
    assert (pool.address, pool.idle) == (address, 0)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("10.0.0.7", b"\x01\xbb" + bytes([10, 0, 0, 7])),
        ("::1", b"\x01\xbb" + bytes(4) + bytes(15) + b"\x01"),
        ("localhost", None),
        ("10.0.0", None),
        ("fe80::1%eth0", None),
    ],
)
def test_an_address_is_a_place_and_a_name_is_none(host, place):
    found = Pool(scheme="http", host=host, port=443).place
    assert found[2:].startswith(place) if place else found is None


@pytest.mark.parametrize(("size", "known"), [(1, True), (107, True), (108, False)])
def test_the_place_of_a_unix_socket(size, known):
    place = Pool(scheme="unix", path="x" * size).place
    assert place is not None if known else place is None
    assert not known or place[2:].rstrip(b"\0") == b"x" * size


@pytest.mark.parametrize(
    "settings",
    [
        {"scheme": "ftp", "host": "a", "port": 21},
        {"scheme": "http", "host": "a", "port": 0},
        {"scheme": "http", "host": "a", "port": 65536},
        {"scheme": "http", "host": "", "port": 80},
        {"scheme": "unix"},
        {"scheme": "https", "host": "a", "port": 443},
        {"scheme": "http", "host": "a", "port": 80, "ssl": ssl.create_default_context()},
    ],
)
def test_refused(settings):
    with pytest.raises(ValueError):
        Pool(**settings)
