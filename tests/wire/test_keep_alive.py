"""One connection, many requests: one after the other, ahead of their answers, and cut anywhere."""

import asyncio
import time

import pytest

from fastproxy._core.steps_gate import RedirectScheme
from tests.twins import framing
from tests.twins.head import request
from tests.waiting import eventually, stands_still

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(path, *fields):
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


async def echo(wire):
    """Answer each request with its request line and its body: chunked when the request was."""
    while wire.came or await wire.more():
        head = await wire.head()
        kind, length = framing.of_request(request(head))
        body = framing.decoded(kind, length, await wire.body(kind, length)).data
        said = head.partition(b"\r\n")[0] + b" " + body
        if b"chunked" in head:
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said))
        elif head.startswith(b"HEAD"):
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said))
        else:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))


async def test_one_after_the_other(house):
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    for _ in range(100):
        assert (await client.ask(get(b"/"))).body == b"ok"
    assert len(backend.seen) == 100
    assert len(backend.wires) == 1
    assert (house.count("accepted"), house.count("requests"), house.count("2xx")) == (1, 100, 100)


async def test_ahead_of_their_answers(house):
    backend = house.backend().run(echo)
    house.route(backend)
    client = await house.client()
    await client.send(b"".join(get(b"/%d" % i) for i in range(500)))
    for i in range(500):
        assert (await client.answer()).body == b"GET /%d HTTP/1.1 " % i
    assert len(backend.wires) == 1


async def test_the_first_answer_does_not_wait_for_the_second_request(house):
    house.route(house.backend().run(echo))
    client = await house.client()
    await client.send(get(b"/1") + get(b"/2")[:-1])
    assert (await client.answer()).body == b"GET /1 HTTP/1.1 "
    await client.send(b"\n")
    assert (await client.answer()).body == b"GET /2 HTTP/1.1 "


CONVERSATION = [
    (b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /1 HTTP/1.1 "),
    (b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc\r\n", b"POST /2 HTTP/1.1 abc\r\n"),
    (b"HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    (
        b"PUT /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x\r\nabc\r\n1\r\nd\r\n0\r\nX: y\r\n\r\n",
        b"PUT /4 HTTP/1.1 abcd",
    ),
    (b"\r\nGET /404 HTTP/1.1\r\nHost: b\r\n\r\n", b"404 page not found\n"),
    (b"GET /5 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /5 HTTP/1.1 "),
]


async def read_conversation(client):
    for asked, expected in CONVERSATION:
        answer = await client.answer(asked.split(b" ")[0])
        assert answer.body == expected


async def test_cut_at_every_place(house):
    house.route(house.backend().run(echo), rule="Host(`a`)")
    client = await house.client()
    whole = b"".join(asked for asked, _ in CONVERSATION)
    for i in range(len(whole)):
        await client.send(whole[:i], whole[i:])
        await read_conversation(client)


async def test_byte_by_byte(house):
    house.route(house.backend().run(echo), rule="Host(`a`)")
    client = await house.client()
    whole = b"".join(asked for asked, _ in CONVERSATION)
    await client.send(*[whole[i : i + 1] for i in range(len(whole))])
    await read_conversation(client)


async def test_ten_thousand_requests_in_one_write_that_nobody_serves(house):
    """Answered on the spot, without a call within a call."""
    client = await house.client()
    count = 10_000
    sending = asyncio.create_task(client.send(get(b"/") * count))
    first = await client.answer()
    assert first.status == 404
    await client.skip((count - 1) * (len(first.head) + len(first.body)))
    await sending
    assert house.count("requests") == count
    assert (await client.ask(get(b"/"))).status == 404


async def test_many_requests_in_one_write_of_which_one_is_served(house):
    house.route(house.backend().run(echo), rule="Path(`/served`)")
    client = await house.client()
    await client.send((get(b"/") * 300 + get(b"/served")) * 3)
    for _ in range(3):
        for _ in range(300):
            assert (await client.answer()).status == 404
        assert (await client.answer()).body == b"GET /served HTTP/1.1 "


async def test_a_client_that_only_asks_is_not_read(house):
    """Answers of ours wait for the client as a server's do; no more of its requests are read meanwhile."""
    house.route(house.backend(), steps=[RedirectScheme("r@test", b"https", permanent=True)])
    client = await house.client(receive=4096)
    asked = get(b"/" + b"x" * 8000)
    offered = 4000  # 32 MB; the kernel's buffers take 10 MB at the most

    async def ask():
        for _ in range(offered):
            await client.send(asked)

    asking = asyncio.create_task(ask())
    assert await stands_still(lambda: house.count("requests")) < offered / 2
    first = await client.answer()
    assert first.status == 301
    await client.skip((offered - 1) * len(first.head + first.body))
    await asking


# ---------------------------------------------------------------- the end of a connection


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (get(b"/", b"Connection: close"), b"close"),
        (get(b"/", b"Connection: x, Close"), b"close"),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", b"close"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", b"close"),
    ],
)
@pytest.mark.parametrize("served", [True, False])
async def test_the_client_wants_to_end(house, asked, says, served):
    if served:
        house.route(house.backend(OK))
    client = await house.client()
    # What it sends behind is not read as a request.
    await client.send(asked + get(b"/never"))
    answer = await client.answer()
    assert answer.status == (200 if served else 404)
    assert answer.get(b"connection") == says
    await client.ends()
    assert house.count("requests") == 1


async def test_so_many_requests_and_no_more(open_house):
    house = await open_house(keep_alive_max_requests=3)
    house.route(house.backend(OK))
    client = await house.client()
    assert (await client.ask(get(b"/"))).get(b"connection") is None
    await client.send(get(b"/") * 3)
    assert (await client.answer()).get(b"connection") is None
    assert (await client.answer()).get(b"connection") == b"close"
    await client.ends()
    assert house.count("requests") == 3


async def test_so_long_and_no_longer(open_house):
    house = await open_house(keep_alive_max_time=0.05, read_timeout=0.05)
    house.route(house.backend(OK))
    client = await house.client()
    assert (await client.ask(get(b"/"))).get(b"connection") is None
    await house.outwait()
    assert (await client.ask(get(b"/"))).get(b"connection") == b"close"
    await client.ends()


async def test_draining(house):
    backend = house.backend()
    house.route(backend)
    idle, busy, half = [await house.client() for _ in range(3)]
    await busy.send(get(b"/"))
    server = await backend.accept()
    await server.head()
    await half.send(get(b"/") + get(b"/")[:10])
    second = await backend.accept()
    await second.head()
    await second.send(OK)
    assert (await half.answer()).body == b"ok"
    await eventually(lambda: house.entry.connections == 3)
    house.entry.drain(0.1)
    await idle.ends()
    # What has begun is finished.
    await server.send(OK)
    answer = await busy.answer()
    assert (answer.body, answer.get(b"connection")) == (b"ok", b"close")
    await busy.ends()
    await half.send(get(b"/")[10:])
    await server.head()
    await server.send(OK)
    assert (await half.answer()).get(b"connection") == b"close"
    await half.ends()
    assert await house.entry.wait_drained(5) == 0


async def test_draining_does_not_wait_for_ever(house):
    client, server = await house.asked(get(b"/"))
    house.entry.drain(0.05)
    assert await house.entry.wait_drained(0.05) == 1
    house.entry.abort()
    await client.is_cut_off()
    await server.rest()
    assert await house.entry.wait_drained(5) == 0


async def test_what_an_idle_client_asks_while_draining_begins_is_answered(house):
    """It cannot know yet: its request may be on its way."""
    house.route(house.backend(OK))
    asked_before, fresh = await house.client(), await house.client()
    assert (await asked_before.ask(get(b"/"))).get(b"connection") is None
    await eventually(lambda: house.entry.connections == 2)
    house.entry.drain(10)
    for client in (asked_before, fresh):
        answer = await client.ask(get(b"/"))
        assert (answer.body, answer.get(b"connection")) == (b"ok", b"close")
        await client.ends()
        client.close()
    assert await house.entry.wait_drained(5) == 0


async def test_idle_clients_have_a_second_and_silent_ones_five(house):
    house.route(house.backend(OK))
    idle, silent = await house.client(), await house.client()
    await idle.ask(get(b"/"))
    await eventually(lambda: house.entry.connections == 2)
    began = asyncio.get_running_loop().time()
    house.entry.drain(60)
    await idle.ends()
    assert 0.9 <= asyncio.get_running_loop().time() - began < 4
    assert (await silent.ask(get(b"/"))).get(b"connection") == b"close"


async def test_at_most_half_of_the_grace_time_is_waited_for_idle_clients(house):
    house.route(house.backend(OK))
    idle, silent = await house.client(), await house.client()
    await idle.ask(get(b"/"))
    await eventually(lambda: house.entry.connections == 2)
    house.entry.drain(0.4)
    await idle.ends()
    await silent.ends()
    assert await house.entry.wait_drained(0.2) == 0


async def test_who_comes_while_draining_is_answered_once(house):
    house.route(house.backend(OK))
    house.entry.drain(10)
    client = await house.client()
    assert (await client.ask(get(b"/"))).get(b"connection") == b"close"
    await client.ends()


async def test_an_answer_that_has_begun_without_a_close_is_not_the_last(house):
    """The client was not told that the connection ends, so what it asks next must still be answered."""
    client, server = await house.asked(get(b"/"))
    await server.send(OK[:-1])
    assert b"close" not in await client.head()
    house.entry.drain(10)
    await server.send(OK[-1:])
    assert await client.read(2) == b"ok"
    await client.send(get(b"/"))
    await server.head()
    await server.send(OK)
    assert (await client.answer()).get(b"connection") == b"close"
    await client.ends()


async def test_a_request_that_the_loop_has_not_read_when_the_time_is_over(open_house):
    """The deadline of an idle connection comes before its bytes when both are due in one turn."""
    house = await open_house(idle_timeout=0.05)
    house.route(house.backend(OK))
    client = await house.client()
    await client.ask(get(b"/"))
    client.sock.setblocking(True)
    client.sock.sendall(get(b"/"))
    time.sleep(0.2)  # the loop stands still
    client.sock.setblocking(False)
    assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize("settings", [{"keep_alive_max_requests": 2}, {"keep_alive_max_time": 0.01}])
async def test_the_last_answer_of_a_connection_is_not_overtaken_by_a_reset(open_house, settings):
    """A client that asks on, not having read yet that the connection ends, reads what it was answered."""
    house = await open_house(read_timeout=0.02, **settings)
    house.route(house.backend(OK))
    client = await house.client()
    await client.ask(get(b"/"))
    await house.outwait()
    await client.send(get(b"/"))
    await eventually(lambda: house.count("2xx") == 2)
    for _ in range(3):
        await client.send(get(b"/too-late"))
    assert (await client.answer()).get(b"connection") == b"close"
    await client.ends()
    assert house.count("requests") == 2


async def test_a_client_that_has_said_all_is_gone(house):
    """As for Traefik: the end of its side is the end of its interest."""
    client, server = await house.asked(get(b"/"))
    client.end()
    await client.ends()
    await server.rest()
    await eventually(lambda: house.count("gone") == 1)


async def test_the_last_answer_is_read_in_peace(house):
    """Bytes that nobody read would turn the end into a reset, and the answer might be lost."""
    house.route(house.backend(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)))
    for _ in range(20):
        client = await house.client()
        await client.send(get(b"/", b"Connection: close") + get(b"/more") * 100)
        assert len((await client.answer()).body) == 100_000
        await client.ends()


async def test_a_second_snapshot_serves_the_second_request(house):
    first, second = house.backend(OK), house.backend(OK.replace(b"ok", b"2."))
    house.route(first)
    client = await house.client()
    assert (await client.ask(get(b"/"))).body == b"ok"
    house.routes.clear()
    house.route(second)
    assert (await client.ask(get(b"/"))).body == b"2."
    assert len(first.seen) == len(second.seen) == 1
