"""What must not happen on the wire: a stall, a leak, a crash, bytes of somebody else, memory without a bound.

Each test is one way in which two sides and our own steps can meet at a bad moment.
"""

import asyncio
import gc
import logging
import ssl
import subprocess
import sys
import time
import weakref
from contextlib import asynccontextmanager, suppress

import pytest
import trustme
import uvloop

from fastproxy._core.awaited import Awaited
from fastproxy._core.balance import RoundRobin
from fastproxy._core.downstream import newcomer
from fastproxy._core.entrypoint import EntryPoint
from fastproxy._core.exchange import in_progress
from fastproxy._core.pool import Pool
from fastproxy._core.rule import Rule
from fastproxy._core.snapshot import Snapshot, Switch
from fastproxy._core.step import Pipeline
from fastproxy._core.steps_headers import HeaderEdits
from fastproxy._core.table import Route, Table
from fastproxy._core.target import Target
from fastproxy.rules.compile import compile_rule
from tests.waiting import eventually, stands_still
from tests.wire.rig import accepting

LOG = logging.getLogger("hazards")
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CA = trustme.CA()


def play(coroutine):
    """Run one scene on a loop of its own; no exchange may be left over."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        out = runner.run(asyncio.wait_for(coroutine, 20))
    assert in_progress() == 0
    return out


def answer(body=b"fine", *fields, status=b"200 OK"):
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Stage:
    """A proxy between clients and scripted servers."""

    def __init__(self):
        self.tasks = []
        self.servers = []
        self.dialled = 0

    async def backend(self, script, tls=False):
        async def serve(reader, writer):
            self.dialled += 1
            self.tasks.append(asyncio.current_task())
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(reader, writer)
            with suppress(Exception):
                writer.close()

        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            CA.issue_cert("localhost").configure_cert(context)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        self.servers.append(server)
        return server.sockets[0].getsockname()[1]

    async def proxy(self, script, steps=(), tls=False, rule="PathPrefix(`/`)", **settings):
        loop = asyncio.get_running_loop()
        port = await self.backend(script, tls)
        more = {}
        if tls:
            context = ssl.create_default_context()
            CA.configure_trust(context)
            more = {"ssl": context, "server_name": "localhost"}
        self.pool = Pool(scheme="https" if tls else "http", host="127.0.0.1", port=port, **more)
        self.target = Target("http://b", self.pool, host=b"b")
        program = compile_rule(rule)
        balancer = RoundRobin("s", [self.target])
        self.route = Route("r", Rule(rule, program.tests, program.keys), Pipeline(steps), balancer)
        switch = Switch()
        switch.swap(Snapshot(1, [Table([self.route])]))
        self.entry = EntryPoint(loop, switch, 0, "web", log=LOG, **settings)
        self.sock, self.acceptor = accepting(self.entry)
        self.port = self.sock.getsockname()[1]

    async def client(self, limit=2**16, **more):
        return await asyncio.open_connection("127.0.0.1", self.port, limit=limit, **more)

    async def close(self):
        for server in self.servers:
            server.close()
        self.acceptor.stop()
        self.sock.close()
        self.entry.abort()
        await self.entry.wait_drained(5)
        self.pool.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await eventually(lambda: self.target.in_flight == 0)


@asynccontextmanager
async def stage(script, steps=(), **more):
    made = Stage()
    await made.proxy(script, steps, **more)
    try:
        yield made
    finally:
        await made.close()


async def read_answer(reader):
    """(status line, fields, body) of an answer with a length or chunks, or without a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *rest = head[:-4].split(b"\r\n")
    fields = {name.lower(): value for name, _, value in (field.partition(b": ") for field in rest)}
    body = b""
    if b"transfer-encoding" in fields:
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    elif b"content-length" in fields:
        body = await reader.readexactly(int(fields[b"content-length"]))
    return line, fields, body


async def echo_length(reader, writer):
    """A server that reads each request whole and says how long its body was."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        size = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                size = int(line[15:])
        left = size
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                return
            left -= len(piece)
        writer.write(answer(b"%d" % size))


async def fine(reader, writer):
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer())


class Waits:
    """A plugin that waits in both phases."""

    def __init__(self, seconds=0.05):
        self.seconds = seconds
        self.seen = []

    async def on_request(self, request):
        await asyncio.sleep(self.seconds)
        self.seen.append(request)

    async def on_response(self, request, response):
        await asyncio.sleep(self.seconds)
        response.set_header("X-Late", "yes")


# -- memory ----------------------------------------------------------------------------------------------


def test_a_loop_that_ends_with_connections_open_leaves_nothing_behind():
    code = """if True:
        import asyncio, gc, sys, uvloop
        sys.path[:0] = ["."]
        from tests.wire import test_hazards as t
        async def scene():
            made = t.Stage()
            await made.proxy(t.fine)
            reader, writer = await made.client()
            writer.write(t.GET)
            await t.read_answer(reader)
            idle = await made.client()
            await t.eventually(lambda: made.entry.connections == 2)
        for i in range(3):
            loop = uvloop.new_event_loop()
            loop.run_until_complete(scene())
            loop.close()
            del loop
            gc.collect()
        print("over")
    """
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, timeout=50)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert b"over" in done.stdout


class DeadLoop:
    """A loop that has ended: it calls nobody and knows nobody."""

    def call_later(self, seconds, callback):
        return self


class DeadTransport:
    def __init__(self, protocol):
        self.protocol = protocol

    def get_extra_info(self, name):
        return ("127.0.0.1", 1)


def test_connections_are_collected_with_the_wheel_their_deadlines_are_in():
    """Garbage is taken apart in any order: a deadline may find its wheel gone, or the wheel its owner."""
    for _ in range(20):
        entry = EntryPoint(DeadLoop(), Switch(), 0, "web", log=LOG)
        for _ in range(10):
            connection = newcomer(entry)
            connection.connection_made(DeadTransport(connection))
        engine = weakref.ref(entry.engine)
        assert engine().wheel.armed == 10
        del entry, connection
        gc.collect()
        assert engine() is None


def test_fields_of_steps_survive_a_response_step_that_waits():
    """What a step added does not point into the head that is moved when the answer has to wait."""

    async def scene():
        edits = HeaderEdits("edits", (), [(b"X-Edit", b"from a step")])
        late = Awaited("late", Waits(), wants_request=False, wants_response=True)
        async with stage(fine, [late, edits]) as made:
            reader, writer = await made.client()
            for _ in range(3):
                writer.write(GET)
                line, fields, body = await read_answer(reader)
                assert line == b"HTTP/1.1 200 OK"
                assert fields[b"x-edit"] == b"from a step"
                assert fields[b"x-late"] == b"yes"
                assert body == b"fine"

    play(scene())


def test_an_answer_of_ours_passes_a_response_step_that_waits():
    async def scene():
        async with stage(fine, [Awaited("late", Waits(), wants_request=False, wants_response=True)]) as made:
            made.target.is_up = False
            reader, writer = await made.client()
            for _ in range(3):
                writer.write(GET)
                line, fields, body = await read_answer(reader)
                assert line == b"HTTP/1.1 503 Service Unavailable"
                assert fields[b"x-late"] == b"yes"
                assert body == b"no available server\n"
                assert fields[b"content-type"] == b"text/plain; charset=utf-8"

    play(scene())


def test_an_answer_of_ours_behind_one_of_a_server_has_its_own_phrase():
    async def scene():
        async def proud(reader, writer):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer(status=b"200 What A Phrase"))

        async with stage(proud, rule="Host(`a`)") as made:
            reader, writer = await made.client()
            writer.write(GET)
            assert (await read_answer(reader))[0] == b"HTTP/1.1 200 What A Phrase"
            writer.write(b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n")
            assert (await read_answer(reader))[0] == b"HTTP/1.1 404 Not Found"

    play(scene())


def test_a_request_that_a_plugin_keeps_holds_no_freed_bytes():
    async def scene():
        plugin = Waits(0)
        async with stage(fine, [Awaited("keeps", plugin)]) as made:
            reader, writer = await made.client()
            for _ in range(3):
                writer.write(GET)
                await read_answer(reader)
        heads = [request.head for request in plugin.seen]
        for request in plugin.seen:
            with pytest.raises(RuntimeError, match="over"):
                request.headers()
        return heads

    heads = play(scene())
    gc.collect()
    assert [head.fields for head in heads] == [[], [], []]
    assert [head.method_text for head in heads] == [b"", b"", b""]


# -- stalls ----------------------------------------------------------------------------------------------


async def upload(made, size, pieces=8):
    reader, writer = await made.client()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(pieces):
        writer.write(b"x" * (size // pieces))
        await writer.drain()
        await asyncio.sleep(0.01)
    line, _, body = await asyncio.wait_for(read_answer(reader), 5)
    writer.close()
    return line, int(body)


@pytest.mark.parametrize("warm", [False, True])
def test_a_body_goes_on_behind_a_request_step_that_waited(warm):
    async def scene():
        async with stage(echo_length, [Awaited("waits", Waits())]) as made:
            if warm:
                reader, writer = await made.client()
                writer.write(GET)
                await read_answer(reader)
                assert made.pool.idle == 1
            assert await upload(made, 800_000) == (b"HTTP/1.1 200 OK", 800_000)

    play(scene())


def test_a_body_goes_on_behind_a_response_step_that_waited():
    """A server that answers before it has read all, as an echo does."""

    async def early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        left = 800_000
        while left:
            left -= len(await reader.read(65536))
        writer.write(b"800000")

    async def scene():
        waits = Awaited("waits", Waits(), wants_request=False, wants_response=True)
        async with stage(early, [waits]) as made:
            assert await upload(made, 800_000) == (b"HTTP/1.1 200 OK", 800_000)

    play(scene())


def test_a_head_that_waited_goes_out_before_its_body_comes():
    async def scene():
        go = asyncio.Event()

        async def slow(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            await go.wait()
            writer.write(b"fine")
            await reader.read()

        async with stage(slow, [Awaited("waits", Waits(), wants_request=False, wants_response=True)]) as made:
            reader, writer = await made.client()
            writer.write(GET)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
            go.set()
            assert await reader.readexactly(4) == b"fine"

    play(scene())


def test_a_body_goes_whole_to_a_server_behind_tls():
    async def scene():
        async with stage(echo_length, tls=True) as made:
            for _ in range(3):
                assert await upload(made, 800_000) == (b"HTTP/1.1 200 OK", 800_000)

    play(scene())


def test_connections_to_servers_behind_tls_are_used_again():
    async def scene():
        async with stage(fine, tls=True) as made:
            reader, writer = await made.client()
            for _ in range(6):
                writer.write(GET)
                assert (await read_answer(reader))[2] == b"fine"
            assert made.dialled == 1

    play(scene())


def test_interim_heads_to_a_client_that_reads_late():
    async def scene():
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"x" * 2000 + b">\r\n\r\n"

        sent = 0

        async def talkative(reader, writer):
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            for sent in range(6000):  # noqa: B007
                writer.write(hint)
                await writer.drain()
            writer.write(answer())

        async with stage(talkative) as made:
            reader, writer = await made.client()
            writer.transport.pause_reading()
            writer.write(GET)
            await stands_still(lambda: sent)
            writer.transport.resume_reading()
            line = b""
            while line != b"HTTP/1.1 200 OK":
                line, _, body = await asyncio.wait_for(read_answer(reader), 5)
            assert body == b"fine"

    play(scene())


# -- bounds ----------------------------------------------------------------------------------------------


def test_a_client_that_asks_ahead_and_does_not_read_gets_no_more_than_fits():
    async def scene():
        asked = 0

        async def large(reader, writer):
            nonlocal asked
            while True:
                await reader.readuntil(b"\r\n\r\n")
                asked += 1
                writer.write(answer(b"x" * 60_000))

        async with stage(large) as made:
            reader, writer = await made.client()
            writer.transport.pause_reading()
            writer.write(GET * 1500)
            # What the kernel's buffers hold, and little more.
            assert await stands_still(lambda: asked) < 400
            writer.transport.resume_reading()
            for _ in range(1500):
                assert len((await read_answer(reader))[2]) == 60_000

    play(scene())


def test_answers_of_ours_wait_for_a_client_that_does_not_read():
    async def scene():
        async with stage(fine, rule="Host(`nobody`)") as made:
            reader, writer = await made.client()
            writer.transport.pause_reading()
            # 2.7 MB of questions, which the kernel takes, are 17 MB of answers, which it does not.
            writer.write(GET * 100_000)
            assert await stands_still(lambda: made.entry.tally.snapshot()["4xx"]) < 90_000
            writer.transport.resume_reading()
            for _ in range(100_000):
                line, _, _ = await read_answer(reader)
                assert line == b"HTTP/1.1 404 Not Found"

    play(scene())


def test_a_client_that_never_reads_the_end_of_its_answer_is_let_go():
    async def scene():
        async def large(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(b"x" * 16_000_000))
            await reader.read()

        async with stage(large, idle_timeout=0.3) as made:
            made.entry.engine.patience = 0.3
            reader, writer = await made.client()
            writer.transport.pause_reading()
            writer.write(GET)
            await eventually(in_progress)
            # Take just so much that the rest is all with us and the kernel.
            while in_progress():
                writer.transport.resume_reading()
                await reader.read(65536)
                writer.transport.pause_reading()
            await eventually(lambda: made.entry.connections == 0)

    play(scene())


def test_many_names_in_connection_cost_no_more_than_their_bytes():
    async def scene():
        async with stage(fine) as made:
            reader, writer = await made.client()
            fields = b"".join(b"x%d: 1\r\n" % i for i in range(900))
            names = b",".join(b"y%d" % (i % 10) for i in range(200_000))
            before = time.process_time()
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"Connection: " + names + b"\r\n\r\n")
            assert (await read_answer(reader))[0] == b"HTTP/1.1 200 OK"
            assert time.process_time() - before < 0.5

    play(scene())


def test_a_head_in_pieces_is_due_on_an_entry_point_without_idle_timeout():
    async def scene():
        async with stage(fine, idle_timeout=0.0, read_timeout=0.3) as made:
            reader, writer = await made.client()
            writer.write(GET)
            await read_answer(reader)
            writer.write(b"GET / HT")
            line, _, _ = await asyncio.wait_for(read_answer(reader), 3)
            assert line == b"HTTP/1.1 408 Request Timeout"

    play(scene())


# -- protocol --------------------------------------------------------------------------------------------


def test_an_answer_before_the_end_of_the_request_says_that_the_connection_ends():
    async def scene():
        async with stage(fine, rule="Host(`nobody`)") as made:
            reader, writer = await made.client()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
            line, fields, _ = await read_answer(reader)
            assert line == b"HTTP/1.1 404 Not Found"
            assert fields[b"connection"] == b"close"
            assert await reader.read() == b""

    play(scene())


def test_a_server_that_hangs_up_at_once_is_a_502():
    async def scene():
        async def rude(reader, writer):
            writer.transport.abort()

        async with stage(rude) as made:
            for _ in range(20):
                reader, writer = await made.client()
                writer.write(GET)
                assert (await asyncio.wait_for(read_answer(reader), 3))[0] == b"HTTP/1.1 502 Bad Gateway"
                writer.close()

    play(scene())


def test_an_interim_head_speaks_of_no_connection():
    async def scene():
        async def script(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 103 Early Hints\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nLink: <a>\r\n"
                         b"Content-Length: 5\r\nKeep-Alive: 1\r\n\r\n" + answer())
            await reader.read()

        async with stage(script) as made:
            reader, writer = await made.client()
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head == b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
            assert (await read_answer(reader))[2] == b"fine"

    play(scene())


UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n"
CHANGED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_leaves_ends_its_tunnel(tls):
    async def scene():
        ended = asyncio.Event()

        async def chat(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(CHANGED)
            writer.write(await reader.readexactly(4))
            assert await reader.read() == b""
            ended.set()

        async with stage(chat, tls=tls) as made:
            reader, writer = await made.client()
            writer.write(UPGRADE + b"\r\nping")
            assert await reader.readuntil(b"\r\n\r\n") == CHANGED
            assert await reader.readexactly(4) == b"ping"
            writer.close()
            await asyncio.wait_for(ended.wait(), 3)

    play(scene())


def test_a_protocol_is_not_changed_within_a_request():
    """Framed bytes of a body would reach the server as bytes of the new protocol."""

    async def scene():
        async def hasty(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(CHANGED)
            await reader.read()

        async with stage(hasty) as made:
            reader, writer = await made.client()
            writer.write(UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe")
            line, _, _ = await read_answer(reader)
            assert line == b"HTTP/1.1 500 Internal Server Error"

    play(scene())
