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
