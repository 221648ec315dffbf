"""What a document says about servers is what they see: TLS, names, hosts, paths, sockets."""

import asyncio
import contextlib
import ssl

import pytest
import trustme

from tests.reload.peers import document


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def root(authority):
    return authority.cert_pem.bytes().decode()


@pytest.fixture
async def serve():
    """Start a server that answers the head of the request as body; returns its port or nothing."""
    servers = []

    async def answer(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(head), head))
        writer.close()

    async def start(context=None, path=None):
        if path is not None:
            servers.append(await asyncio.start_unix_server(answer, path))
            return None
        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context))
        return servers[-1].sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()


def context_of(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def to(url, transport=None, **server):
    """Return a document with one server, reached by transport `t` if there are settings for it."""
    balancer = {"servers": [{"url": url, **server}]}
    transports = {}
    if transport is not None:
        balancer["serversTransport"] = "t"
        transports = {"serversTransports": {"t": transport}}
    return document({"r": ("PathPrefix(`/`)", "s")}, {"s": {"loadBalancer": balancer}}, **transports)


# --- TLS --------------------------------------------------------------------------------------------


async def test_a_certificate_of_a_root_that_is_given_is_believed(serve, authority, root, proxy, connect):
    port = await serve(context_of(authority, "localhost", "127.0.0.1"))
    for host in ("localhost", "127.0.0.1"):
        running = await proxy(to(f"https://{host}:{port}", {"rootCAs": [root]}))
        assert (await (await connect(running)).get())[0] == 200


async def test_a_certificate_that_cannot_be_verified_is_500(serve, authority, proxy, connect, caplog):
    port = await serve(context_of(authority, "localhost"))
    running = await proxy(to(f"https://localhost:{port}"))
    assert await (await connect(running)).get() == (500, "Internal Server Error")
    assert "localhost" in caplog.text


async def test_a_certificate_of_another_name_is_500(serve, authority, root, proxy, connect):
    port = await serve(context_of(authority, "other.example"))
    running = await proxy(to(f"https://localhost:{port}", {"rootCAs": [root]}))
    assert (await (await connect(running)).get())[0] == 500
    await running.apply(to(f"https://localhost:{port}", {"rootCAs": [root], "serverName": "other.example"}))
    assert (await (await connect(running)).get())[0] == 200


async def test_insecure_skip_verify(serve, authority, proxy, connect):
    port = await serve(context_of(authority, "other.example"))
    running = await proxy(to(f"https://localhost:{port}", {"insecureSkipVerify": True}))
    assert (await (await connect(running)).get())[0] == 200


async def test_a_certificate_of_our_own_is_shown(serve, authority, root, proxy, connect):
    context = context_of(authority, "localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    port = await serve(context)
    running = await proxy(to(f"https://localhost:{port}", {"rootCAs": [root]}))
    assert (await (await connect(running)).get())[0] >= 500
    leaf = authority.issue_cert("client.example")
    pair = {
        "certFile": leaf.cert_chain_pems[0].bytes().decode(),
        "keyFile": leaf.private_key_pem.bytes().decode(),
    }
    await running.apply(to(f"https://localhost:{port}", {"rootCAs": [root], "certificates": [pair]}))
    assert (await (await connect(running)).get())[0] == 200


async def test_versions_are_kept_to(serve, authority, root, proxy, connect):
    context = context_of(authority, "localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = await serve(context)
    for least, status in (("VersionTLS12", 200), ("VersionTLS13", 502)):
        transport = {"rootCAs": [root], "minVersion": least}
        running = await proxy(to(f"https://localhost:{port}", transport))
        assert (await (await connect(running)).get())[0] == status


async def test_the_default_transport_is_that_of_the_static_configuration(
    serve, authority, root, proxy, connect
):
    port = await serve(context_of(authority, "localhost"))
    static = {
        "entryPoints": {"web": {"address": "127.0.0.1:0"}},
        "serversTransport": {"rootCAs": [root]},
    }
    running = await proxy(to(f"https://localhost:{port}"), static)
    assert (await (await connect(running)).get())[0] == 200


async def test_settings_that_are_invalid_are_never_weaker_ones(serve, authority, proxy, connect):
    port = await serve(context_of(authority, "localhost"))
    transport = {"insecureSkipVerify": True, "cipherSuites": ["TLS_OF_MY_OWN"]}
    running = await proxy(to(f"https://localhost:{port}", transport))
    assert (await (await connect(running)).get())[0] == 404  # the router is disabled
    (record,) = running.runtime.records("http.routers")
    assert 'cipherSuites[0]: "TLS_OF_MY_OWN"' in record.error[0]


# --- hosts, paths, sockets --------------------------------------------------------------------------


def host_of(answer):
    (host,) = (line for line in answer[1].split("\r\n") if line.lower().startswith("host:"))
    return host.split(": ")[1]


async def test_the_host_that_servers_see(serve, proxy, connect):
    port = await serve()
    dynamic = to(f"http://localhost:{port}")
    running = await proxy(dynamic)
    client = await connect(running)
    assert host_of(await client.get(host="a.example:81")) == "a.example:81"
    dynamic["http"]["services"]["s"]["loadBalancer"]["passHostHeader"] = False
    await running.apply(dynamic)
    assert host_of(await client.get(host="a.example:81")) == f"localhost:{port}"


@pytest.mark.parametrize(
    ("path", "preserve", "target", "seen"),
    [
        ("/base", True, "/x?q=1", "/base/x?q=1"),
        ("/base/", True, "/x", "/base/x"),
        ("/base", False, "/x", "/x"),
        ("", True, "/x", "/x"),
        ("/b%2Fc/\u00fc", True, "/%41", "/b%2Fc/%C3%BC/A"),
    ],
)
async def test_the_path_that_servers_see(serve, proxy, connect, path, preserve, target, seen):
    port = await serve()
    running = await proxy(to(f"http://localhost:{port}{path}", preservePath=preserve))
    _, head = await (await connect(running)).get(target)
    assert head.split()[1] == seen


async def test_a_server_behind_a_unix_socket(serve, proxy, connect, tmp_path):
    path = str(tmp_path / "s.sock")
    await serve(path=path)
    dynamic = to(f"unix://{path}")
    dynamic["http"]["services"]["s"]["loadBalancer"]["passHostHeader"] = False
    client = await connect(await proxy(dynamic))
    answer = await client.get("/x")
    assert (answer[0], answer[1].split()[1], host_of(answer)) == (200, "/x", "localhost")


async def test_nobody_there(proxy, connect, tmp_path):
    running = await proxy(to(f"unix://{tmp_path}/none.sock"))
    assert await (await connect(running)).get() == (502, "Bad Gateway")
    await running.apply(document({"r": ("PathPrefix(`/`)", "s")}, {"s": []}))
    assert (await (await connect(running)).get())[0] == 503
