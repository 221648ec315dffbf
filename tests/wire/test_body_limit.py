"""`core.limits.requestBody`: a body may be as long as it says and no longer, however it is framed."""

import pytest

from tests.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LIMIT = 10


def of_length(size: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % size + b"~" * size


def in_chunks(*sizes: int) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (size, b"~" * size) for size in sizes) + b"0\r\n\r\n"


AT_THE_LIMIT = [of_length(LIMIT), in_chunks(4, 6), in_chunks(LIMIT), in_chunks(*[1] * LIMIT)]


@pytest.mark.parametrize("request_", AT_THE_LIMIT)
async def test_a_body_at_the_limit_is_passed_on_and_the_connection_goes_on(open_house, request_):
    house = await open_house(max_body=LIMIT)
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    for _ in range(2):
        assert (await client.ask(request_)).status == 200
    assert [seen.count(b"~") for seen in backend.seen] == [LIMIT, LIMIT]


async def test_a_length_beyond_the_limit_is_refused_before_any_of_the_body_is_read(open_house):
    house = await open_house(max_body=LIMIT)
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    answer = await client.ask(POST + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1))
    assert (answer.status, answer.body) == (413, b"413 Request Entity Too Large")
    assert answer.get(b"connection") == b"close"
    await client.ends()
    assert backend.seen == []
    assert house.count("refused") == 1
    assert "413 to 127.0.0.1: the body is longer than core.limits.requestBody" in house.log.lines


async def test_who_asks_first_whether_to_send_is_told_not_to(open_house):
    house = await open_house(max_body=LIMIT)
    house.route(house.backend(OK))
    client = await house.client()
    answer = await client.ask(POST + b"Expect: 100-continue\r\nContent-Length: 11\r\n\r\n")
    assert answer.status == 413
    await client.ends()


@pytest.mark.parametrize("sizes", [(LIMIT + 1,), (LIMIT, 1), (1,) * 11])
async def test_chunks_beyond_the_limit_are_refused_and_the_server_gets_no_whole_request(open_house, sizes):
    house = await open_house(max_body=LIMIT)
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    answer = await client.ask(in_chunks(*sizes))
    assert (answer.status, answer.body) == (413, b"413 Request Entity Too Large")
    assert answer.get(b"connection") == b"close"
    await client.ends()
    assert backend.seen == []
    assert any("the body is longer than core.limits.requestBody" in line for line in house.log.lines)


async def test_an_answer_that_has_begun_is_cut_off(open_house):
    house = await open_house(max_body=LIMIT)
    backend = house.backend()

    async def converse(wire):
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        await wire.rest()

    backend.run(converse)
    house.route(backend)
    client = await house.client()
    await client.send(CHUNKED)
    await client.until(b"ab")
    await client.send(b"b\r\n" + b"~" * 11 + b"\r\n")
    await client.rest()
    assert client.came == b""
    await eventually(lambda: house.entry.connections == 0)


async def test_without_a_limit_a_long_body_passes(house):
    backend = house.backend(OK)
    house.route(backend)
    client = await house.client()
    assert (await client.ask(of_length(1 << 20))).status == 200
