"""HTTPS beside HTTP on one port: who gets which connection, certificate and terms."""

import pytest


def document(url, routers, tls=None, **http):
    return {
        "http": {
            "routers": {name: {"service": "s", **router} for name, router in routers.items()},
            "services": {"s": {"loadBalancer": {"servers": [{"url": url}]}}},
            **http,
        },
        **({"tls": tls} if tls else {}),
    }


def pair(issued):
    return {"certFile": issued[0], "keyFile": issued[1]}


async def test_one_port_serves_both(house, issue):
    here = await house(
        lambda url: document(
            url,
            {
                "safe": {"rule": "Host(`a.example`)", "tls": {}},
                "plain": {"rule": "Host(`b.example`)"},
            },
            {"certificates": [pair(issue("a.example"))]},
        )
    )
    told = await here.get("a.example")
    assert (told.status, told.common_names) == (200, ("a.example",))
    assert b"X-Forwarded-Proto: https\r\n" in told.body
    assert b"X-Forwarded-Port: 443\r\n" in told.body
    status, body = await here.plain("b.example")
    assert status == 200
    assert b"X-Forwarded-Proto: http\r\n" in body
    # a router with tls serves TLS only, one without serves plain connections only
    assert (await here.plain("a.example"))[0] == 404
    assert (await here.get("b.example", insecure=True)).status == 404


def only_safe(url, issue):
    return document(
        url, {"r": {"rule": "Host(`a.example`)", "tls": {}}}, {"certificates": [pair(issue("a.example"))]}
    )


async def test_a_plain_tcp_router_takes_no_connection_of_tls(house, issue):
    def with_tcp(url):
        return {
            **only_safe(url, issue),
            "tcp": {
                "routers": {"all": {"rule": "HostSNI(`*`)", "service": "none"}},
                "services": {"none": {"loadBalancer": {"servers": []}}},
            },
        }

    here = await house(with_tcp)
    assert (await here.get("a.example")).status == 200
    assert await here.said(b"anything") == b""


@pytest.mark.parametrize("pieces", [1, 7])
async def test_the_proxy_protocol_comes_before_tls(house, issue, pieces):
    here = await house(lambda url: only_safe(url, issue), proxyProtocol={"trustedIPs": ["127.0.0.1"]})
    line = b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 443\r\n"
    size = len(line) // pieces + 1
    told = await here.get("a.example", before=[line[at : at + size] for at in range(0, len(line), size)])
    assert told.status == 200
    assert b"X-Real-Ip: 192.0.2.7\r\n" in told.body
    assert (await here.get("a.example")).status == 200  # it may be left out
    assert await here.said(b"PROXY TCP4 nonsense\r\n") == b""
