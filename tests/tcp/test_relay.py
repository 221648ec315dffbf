"""A connection that a TCP router takes: what passes, who ends it, and which server it is given."""

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import time
from collections import Counter

import pytest

from tests.faults import nobody_answers
from tests.tcp.peers import PATIENCE, STATIC, address_of, document, free_port, servers, there_are
from tests.tls.byhand import ByHand, serving
from tests.waiting import eventually

# --- what passes --------------------------------------------------------------------------------------------


async def test_the_server_may_speak_first(proxy, server, connect):
    client = await connect(await proxy(document((await server("one")).address)))
    assert await client.line() == b"one\n"


async def test_the_client_may_speak_first(proxy, server, connect):
    client = await connect(await proxy(document((await server(greets=False)).address)))
    client.send(b"abc\n")
    assert await client.line() == b"ABC\n"


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 8, b"PROXY x\r\n"]
)
async def test_bytes_that_look_like_another_protocol_pass_as_they_are(proxy, server, connect, data):
    client = await connect(await proxy(document((await server(greets=False)).address)))
    client.send(data + b"\n")
    expected = (data + b"\n").upper() + b"bye"
    client.end()
    assert await client.rest() == expected


async def test_much_passes_both_ways(proxy, connect):
    async def echo(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    echoing = await asyncio.start_server(echo, "127.0.0.1", 0)
    client = await connect(
        await proxy({"tcp": with_transport(address_of(echoing), {"terminationDelay": "-1s"})})
    )
    sent = os.urandom(8 * 1024 * 1024)

    async def send():
        for at in range(0, len(sent), 65536):
            client.send(sent[at : at + 65536])
            await client.writer.drain()
        client.end()

    sending = asyncio.create_task(send())
    assert await client.rest() == sent
    await sending
    echoing.close()


def with_transport(address, transport):
    """Return a `tcp` section with one service under a transport of its own."""
    made = document(address)["tcp"]
    made["services"]["db"]["loadBalancer"]["serversTransport"] = "own"
    return {**made, "serversTransports": {"own": transport}}


# --- the end ------------------------------------------------------------------------------------------------


async def test_the_end_of_the_client_is_passed_on_and_the_server_may_finish(proxy, server, connect):
    client = await connect(await proxy(document((await server()).address)))
    client.send(b"abc\n")
    client.end()
    assert await client.rest() == b"one\nABC\nbye"


async def test_a_client_that_ends_before_the_server_is_reached(proxy, server, connect):
    made = await server()
    client = await connect(await proxy(document(made.address)))
    client.end()
    assert await client.rest() == b"one\nbye"


async def test_the_end_of_the_server_is_passed_on(proxy, connect):
    got = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        writer.write(b"done")
        writer.write_eof()
        got.set_result(await reader.read())
        writer.close()

    ending = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = address_of(ending)
    client = await connect(await proxy({"tcp": with_transport(address, {"terminationDelay": "-1s"})}))
    assert await client.rest() == b"done"
    client.send(b"and you?")
    client.end()
    async with asyncio.timeout(PATIENCE):
        assert await got == b"and you?"
    ending.close()


async def never_ending(connections):
    """Start a server that reads and never ends."""

    async def serve(reader, writer):
        connections.append(writer)
        await reader.read()
        connections.append("ended")
        await asyncio.Event().wait()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_after_one_side_ended_the_other_has_the_termination_delay(proxy, connect):
    seen = []
    endless = await never_ending(seen)
    address = address_of(endless)
    made = await proxy({"tcp": with_transport(address, {"terminationDelay": "300ms"})})
    client = await connect(made)
    begun = asyncio.get_running_loop().time()
    client.end()
    assert await client.rest() == b""
    assert 0.25 < asyncio.get_running_loop().time() - begun < PATIENCE
    assert seen[1:] == ["ended"]
    seen[0].close()
    endless.close()


async def test_a_client_that_never_stops_speaking_has_no_more_time_than_others(proxy):
    """There is always something of it that has not been read yet."""
    listening, (always, said) = socket.create_server(("127.0.0.1", 0)), socket.socketpair()

    def serve():
        peer, _ = listening.accept()
        with peer, contextlib.suppress(ConnectionError):
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1 << 20):
                pass

    def speak(address):
        begun = time.monotonic()
        with socket.create_connection(address) as client, contextlib.suppress(ConnectionError):
            while time.monotonic() - begun < PATIENCE:
                client.sendall(bytes(1 << 20))
        return time.monotonic() - begun

    made = await proxy({"tcp": with_transport(address_of(listening), {"terminationDelay": "200ms"})})
    said.send(b"x")
    asyncio.get_running_loop().add_reader(always, time.sleep, 0.01)  # so that it is ahead of us
    serving = asyncio.create_task(asyncio.to_thread(serve))
    try:
        assert await asyncio.to_thread(speak, made.address("db")) < PATIENCE / 2
        await serving
    finally:
        asyncio.get_running_loop().remove_reader(always)
        for each in (listening, always, said):
            each.close()


async def test_a_delay_of_nothing_cuts_at_once(proxy, connect):
    seen = []
    endless = await never_ending(seen)
    address = address_of(endless)
    client = await connect(await proxy({"tcp": with_transport(address, {"terminationDelay": 0})}))
    client.end()
    assert await client.rest() == b""
    seen[0].close()
    endless.close()


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_reset_ends_both_and_nothing_is_left(proxy, server, connect, who):
    made = await server()
    house = await proxy(document(made.address))
    client = await connect(house)
    assert await client.line() == b"one\n"
    if who == "client":
        client.reset()
    else:
        await made.stop()
        client.send(b"x\n")
        client.reset()
    async with asyncio.timeout(PATIENCE):
        await made.closed.wait()
    await there_are(house, 0)


# --- who is asked -------------------------------------------------------------------------------------------


async def names(connect, proxy, count):
    found = []
    for _ in range(count):
        client = await connect(proxy)
        found.append((await client.line()).decode().strip())
        client.close()
    return found


async def test_servers_take_turns(proxy, server, connect):
    addresses = [(await server(name)).address for name in ("one", "two", "three")]
    found = await names(connect, await proxy(document(*addresses)), 9)
    assert Counter(found) == {"one": 3, "two": 3, "three": 3}
    assert found[:3] * 3 == found


async def test_weighted_services_get_their_share(proxy, server, connect):
    tcp = {
        "routers": {"db": {"rule": "HostSNI(`*`)", "service": "all"}},
        "services": {
            "all": {
                "weighted": {
                    "services": [{"name": "a", "weight": 3}, {"name": "b"}, {"name": "c", "weight": 0}]
                }
            },
            "a": servers((await server("one")).address),
            "b": servers((await server("two")).address),
            "c": servers((await server("never")).address),
        },
    }
    found = await names(connect, await proxy({"tcp": tcp}), 8)
    assert Counter(found) == {"one": 6, "two": 2}


async def test_no_server_no_byte(proxy, connect):
    client = await connect(await proxy(document()))
    assert await client.rest() == b""


async def test_a_server_that_cannot_be_reached_is_not_replaced(proxy, server, connect, caplog):
    living, dead = (await server("one")).address, f"127.0.0.1:{free_port()}"
    house = await proxy(document(living, dead))
    told = [(await connect(house)) for _ in range(2)]
    first = sorted([await each.reader.read(4) for each in told])
    assert first == [b"", b"one\n"]
    assert f"server {dead} cannot be reached" in caplog.text
    told[0].close()
    told[1].close()
    await there_are(house, 0)


async def test_a_server_that_does_not_answer_is_given_up_in_time(proxy, connect, caplog):
    with nobody_answers() as (host, port):
        transport = {"dialTimeout": "200ms"}
        client = await connect(await proxy({"tcp": with_transport(f"{host}:{port}", transport)}))
        assert await client.rest() == b""
        assert "cannot be reached: TimeoutError" in caplog.text


async def test_ipv6_and_names(proxy, server, connect):
    six = await server("six", host="::1")
    house = await proxy(document(six.address))
    assert await (await connect(house)).line() == b"six\n"
    four = await server("four")
    await house.apply(document(four.address.replace("127.0.0.1", "localhost")))
    assert await (await connect(house)).line() == b"four\n"


# --- TLS to servers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    import trustme

    return trustme.CA()


def tls_options(authority, name="db.test"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return {"ssl": context}


def with_tls(address, tls):
    made = with_transport(address, {"tls": tls} if tls is not None else {"dialTimeout": "5s"})
    made["services"]["db"]["loadBalancer"]["servers"][0]["tls"] = True
    return {"tcp": made}


async def test_tls_to_a_server(proxy, server, connect, authority):
    made = await server("tls", **tls_options(authority))
    root = authority.cert_pem.bytes().decode()
    client = await connect(await proxy(with_tls(made.address, {"serverName": "db.test", "rootCAs": [root]})))
    assert await client.line() == b"tls\n"
    client.send(b"abc\n")
    assert await client.line() == b"ABC\n"


@pytest.mark.parametrize(
    "tls",
    [
        None,
        {"rootCAs": True},
        {"rootCAs": True, "serverName": "other.test"},
        {"serverName": "db.test"},
    ],
)
async def test_a_server_that_is_not_who_it_should_be(proxy, server, connect, authority, tls, caplog):
    made = await server("tls", **tls_options(authority))
    if tls is not None and tls.get("rootCAs"):
        tls = {**tls, "rootCAs": [authority.cert_pem.bytes().decode()]}
    client = await connect(await proxy(with_tls(made.address, tls)))
    assert await client.rest() == b""
    assert f"TLS with server {made.address} failed" in caplog.text


async def test_verification_that_is_switched_off(proxy, server, connect, authority):
    made = await server("tls", **tls_options(authority))
    client = await connect(await proxy(with_tls(made.address, {"insecureSkipVerify": True})))
    assert await client.line() == b"tls\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("ends", [False, True])
async def test_a_tls_server_may_speak_with_its_last_words_of_the_handshake(
    proxy, connect, authority, host, version, ends
):
    """Also where a task has dialled, as for a name, and has not been told yet that hands are shaken."""
    context = tls_options(authority)["ssl"]
    context.maximum_version = version

    async def serve(reader, writer):
        peer = ByHand(reader, writer, context, server_side=True)
        last = await peer.shake(last=False)
        peer.send(last + peer.seal(b"hello\n") + (peer.farewell() if ends else b""))
        if not ends:
            peer.send(peer.seal((await peer.until(b"\n")).upper()) + peer.farewell())
        await peer.closed()
        peer.close()

    greeting = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = address_of(greeting).replace("127.0.0.1", host)
    client = await connect(await proxy(with_tls(address, {"insecureSkipVerify": True})))
    assert await client.line() == b"hello\n"
    if not ends:
        client.send(b"abc\n")
    assert await client.rest() == (b"" if ends else b"ABC\n")
    greeting.close()


async def test_a_tls_server_may_finish_after_the_client_ended(proxy, connect, authority):
    """It is told by TLS that nothing more comes, as a plain one is by the kernel."""

    async def converse(peer):
        said = await peer.rest()
        peer.send(peer.seal(said.upper()) + peer.farewell())

    async with serving(tls_options(authority)["ssl"], converse) as (host, port):
        client = await connect(await proxy(with_tls(f"{host}:{port}", {"insecureSkipVerify": True})))
        client.send(b"abc\n")
        client.end()
        assert await client.rest() == b"ABC\n"


# --- who may come in ----------------------------------------------------------------------------------------


async def test_only_listed_addresses_are_let_in(proxy, server, connect):
    made = await server("one")
    allowed = {"in": {"ipAllowList": {"sourceRange": ["127.0.0.2"]}}}
    house = await proxy(document(made.address, router={"middlewares": ["in"]}, middlewares=allowed))
    assert await (await connect(house)).rest() == b""
    assert await (await connect(house, local_addr=("127.0.0.2", 0))).line() == b"one\n"
    assert made.open == 1


async def test_client_ip_decides_between_routers(proxy, server, connect):
    tcp = {
        "routers": {
            "two": {"rule": "ClientIP(`127.0.0.2`)", "service": "two"},
            "rest": {"rule": "HostSNI(`*`)", "service": "one"},
        },
        "services": {
            "one": servers((await server("one")).address),
            "two": servers((await server("two")).address),
        },
    }
    house = await proxy({"tcp": tcp})
    assert await (await connect(house)).line() == b"one\n"
    assert await (await connect(house, local_addr=("127.0.0.2", 0))).line() == b"two\n"


async def test_who_matches_no_tcp_router_is_served_in_http(proxy, server, connect):
    house = await proxy(document((await server()).address, rule="ClientIP(`127.0.0.9`)"))
    client = await connect(house)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 404 ")


async def test_the_limit_of_connections_holds_for_tcp(proxy, server, connect, caplog):
    made = await server()
    static = {**STATIC, "core": {"limits": {"connectionsPerEntryPoint": 1}}}
    house = await proxy(document(made.address), static)
    first = await connect(house)
    assert await first.line() == b"one\n"
    second = await connect(house)
    second.send(b"abc\n")
    answer = asyncio.create_task(second.line())
    await eventually(lambda: "connections have to wait on entry point db" in caplog.text)
    first.send(b"abc\n")
    assert await first.line() == b"ABC\n"
    assert (made.open, answer.done()) == (1, False)
    first.close()
    assert [await answer, await second.line()] == [b"one\n", b"ABC\n"]


async def test_a_real_program_behind_it(proxy, connect, tmp_path):
    """Half-close as programs use it: all of the answer comes after the end of the question."""
    script = "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1])"

    async def serve(reader, writer):
        data = await reader.read()
        done = await asyncio.to_thread(
            subprocess.run, ["python3", "-c", script], input=data, stdout=subprocess.PIPE, check=True
        )
        writer.write(done.stdout)
        writer.close()

    program = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = address_of(program)
    client = await connect(await proxy({"tcp": with_transport(address, {"terminationDelay": "30s"})}))
    client.send(b"abc")
    client.end()
    assert await client.rest() == b"cba"
    program.close()
