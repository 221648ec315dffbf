"""`core.limits.pendingPerServer`: how many requests a server may have to answer at once."""

from tests.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def asked(house, backend, many):
    """Let *many* clients ask, and return the server's ends of their requests."""
    clients = [await house.client() for _ in range(many)]
    for client in clients:
        await client.send(GET)
    wires = [await backend.accept() for _ in clients]
    for wire in wires:
        await wire.head()
    return clients, wires


async def test_one_more_than_the_limit_is_refused_and_the_next_is_served_when_one_was_answered(house):
    backend = house.backend()
    house.route(backend, most_pending=2)
    clients, wires = await asked(house, backend, 2)
    late = await house.client()
    answer = await late.ask(GET)
    assert (answer.status, answer.body) == (503, b"Service Unavailable")
    assert any("1 requests were answered 503, of late to service s0@test" in line for line in house.log.lines)
    await wires[0].send(OK)
    assert (await clients[0].answer()).status == 200
    await late.send(GET)
    await wires[0].head()
    await wires[0].send(OK)
    assert (await late.answer()).status == 200
    await wires[1].send(OK)
    assert (await clients[1].answer()).status == 200


async def test_an_answer_that_has_begun_is_pending_no_more(house):
    backend = house.backend()
    house.route(backend, most_pending=1)
    [client], [wire] = await asked(house, backend, 1)
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    await client.head()
    [other], [second] = await asked(house, backend, 1)
    await second.send(OK)
    assert (await other.answer()).status == 200
    await wire.send(b"ok")
    assert await client.read(2) == b"ok"


async def test_other_servers_of_the_service_take_what_a_full_one_does_not(house):
    full, free = house.backend(), house.backend(OK)
    house.route(full, free, most_pending=1)
    waiting = await house.client()
    await waiting.send(GET)
    wire = await full.accept()
    await wire.head()
    client = await house.client()
    assert [(await client.ask(GET)).status for _ in range(4)] == [200] * 4
    assert len(free.seen) == 4
    await wire.send(OK)
    assert (await waiting.answer()).status == 200


async def test_clients_that_leave_and_servers_that_close_leave_no_count_behind(house):
    backend = house.backend()
    house.route(backend, most_pending=1)
    for _ in range(3):
        [client], _ = await asked(house, backend, 1)
        client.reset()
        await house.is_idle()
    for _ in range(3):
        [client], [wire] = await asked(house, backend, 1)
        wire.close()
        assert (await client.answer()).status == 502
    [client], [wire] = await asked(house, backend, 1)
    await wire.send(OK)
    assert (await client.answer()).status == 200


async def test_a_server_that_cannot_be_reached_is_not_pending_for_ever(house):
    backend = house.backend()
    backend.sock.close()
    house.route(backend, most_pending=1)
    client = await house.client()
    assert [(await client.ask(GET)).status for _ in range(3)] == [502] * 3


async def test_tunnels_are_not_pending(house):
    backend = house.backend()
    house.route(backend, most_pending=1)
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    for _ in range(3):
        client = await house.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade)
        wire = await backend.accept()
        await wire.head()
        await wire.send(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade)
        await client.head()
    await eventually(lambda: house.count("1xx") == 3)
