"""HTTPS beside HTTP on one port: who gets which connection, certificate and terms."""




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
