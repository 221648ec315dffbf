"""Lines on their way to a descriptor: whole, in order, soon, and lost only where nobody takes them."""

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import resource
import socket

import pytest

from fastproxy._core.engine import Engine
from fastproxy._core.journal import Journal
from fastproxy._core.record import AccessLog

PIPE_BUF = 4096
ROOM = 131_072  # what is gathered at most, twice over


class Writer:
    """A journal of lines that are told as they are."""

    def __init__(self, descriptor, **settings):
        loop = asyncio.get_running_loop()
        self.warnings = []
        logger = logging.Logger("journal")
        handler = logging.Handler()
        handler.emit = lambda record: self.warnings.append(record.getMessage())
        logger.addHandler(handler)
        self.journal = Journal(loop, Engine.of(loop, logger).wheel, logger, descriptor, **settings)
        self.log = AccessLog(self.journal, ((b"", "RequestMethod", "plain"), (b"\n", "", "plain")))

    def tell(self, *lines):
        for line in lines:
            self.log.note({"method": line}, {})

    def tell_numbered(self, count, size=100, first=0):
        for number in range(first, first + count):
            self.tell(b"%d %s" % (number, b"x" * (size - 10)))


@pytest.fixture
async def write():
    """Call it with a descriptor; returns a writer, which is closed after the test."""
    made = []

    def write(descriptor, **settings):
        made.append(Writer(descriptor, **settings))
        return made[-1]

    yield write
    for each in made:
        each.journal.close()


@pytest.fixture
def file(tmp_path):
    """A file, and a function that opens it for appending."""
    path = tmp_path / "lines"
    path.touch()
    return path


def appending(path):
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BUF)
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)


def numbers_in(data):
    """The numbers of whole lines, which are as long as they were told."""
    lines = data.split(b"\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"\d+ x+", line) for line in lines)
    return [int(line.split()[0]) for line in lines]


async def gathered(reading, until):
    """Read until a condition holds for what came; returns all of it."""
    data = b""
    async with asyncio.timeout(20):
        while not until(data):
            with contextlib.suppress(BlockingIOError):
                data += os.read(reading, 65536)
            await asyncio.sleep(0)
    return data


async def test_a_line_is_written_soon_and_not_at_once(write, file):
    writer = write(appending(file))
    writer.tell(b"one")
    assert file.read_bytes() == b""
    async with asyncio.timeout(20):
        while file.read_bytes() != b"one\n":
            await asyncio.sleep(0.01)
    writer.tell(b"two")
    async with asyncio.timeout(20):
        while file.read_bytes() != b"one\ntwo\n":
            await asyncio.sleep(0.01)


async def test_many_lines_are_written_without_the_loop(write, file):
    writer = write(appending(file))
    writer.tell_numbered(5000)
    assert len(numbers_in(file.read_bytes())) >= 5000 - ROOM // 100
    writer.journal.flush()
    assert numbers_in(file.read_bytes()) == list(range(5000))


async def test_the_last_lines_are_written_at_the_end(write, file):
    writer = write(appending(file))
    writer.tell(b"last")
    writer.journal.close()
    writer.journal.close()
    assert file.read_bytes() == b"last\n"
    writer.tell(b"too late")
    assert file.read_bytes() == b"last\n"
    assert writer.journal.lost == 1


async def test_reopened_under_its_name(write, file, tmp_path):
    writer = write(appending(file))
    writer.tell(b"before")
    file.rename(tmp_path / "moved")
    writer.tell(b"moved")
    writer.journal.reopen(appending(file))
    writer.tell(b"after")
    writer.journal.flush()
    assert (tmp_path / "moved").read_bytes() == b"before\nmoved\n"
    assert file.read_bytes() == b"after\n"


# --- nobody takes them --------------------------------------------------------------------------------


async def test_a_full_disk_loses_lines_and_says_how_many(write):
    writer = write(os.open("/dev/full", os.O_WRONLY))
    writer.tell(b"one", b"two", b"three")
    writer.journal.flush()
    assert writer.journal.lost == 3
    assert writer.warnings == ["3 lines of the access log were lost: No space left on device"]
    writer.tell(b"four")
    writer.journal.flush()
    assert len(writer.warnings) == 1  # the next one a second later
    writer.journal.close()
    assert writer.journal.lost == 4
    assert writer.warnings[1:] == ["1 lines of the access log were lost: No space left on device"]


async def test_half_a_line_is_ended_before_the_next_one(write, file):
    """A file may become as long as RLIMIT_FSIZE says, to the byte, and then no longer."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = write(appending(file))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        writer.tell_numbered(20)
        writer.journal.flush()
        assert writer.journal.lost == 20 - 1000 // len(b"0 " + b"x" * 90 + b"\n")
        writer.tell(b"lost too")
        writer.journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    half = file.read_bytes()
    assert len(half) == 1000
    lost = writer.journal.lost
    writer.tell(b"whole")
    writer.journal.flush()
    assert file.read_bytes() == half + b"\nwhole\n"
    assert writer.journal.lost == lost


async def test_half_a_line_does_not_follow_into_another_file(write, file, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = write(appending(file))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5, limits[1]))
        writer.tell(b"too long")
        writer.journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.journal.reopen(appending(tmp_path / "other"))
    writer.tell(b"whole")
    writer.journal.flush()
    assert (tmp_path / "other").read_bytes() == b"whole\n"


async def test_lines_wait_for_a_full_pipe(write, pipe):
    reading, writing = pipe
    writer = write(writing)
    writer.tell_numbered(5000)
    assert writer.journal.lost == 0
    data = await gathered(reading, lambda data: data.count(b"\n") == 5000)
    assert numbers_in(data) == list(range(5000))


@pytest.mark.parametrize("blocks", [True, False])
async def test_beyond_a_limit_lines_are_lost(write, pipe, blocks):
    reading, writing = pipe
    os.set_blocking(writing, blocks)
    writer = write(writing, most_lines=50)
    writer.tell_numbered(3000)
    writer.journal.flush()
    writer.tell_numbered(1000, first=3000)
    lost = writer.journal.lost
    assert lost >= 1000
    writer.journal.flush()
    data = await gathered(reading, lambda data: data.count(b"\n") == 4000 - lost)
    assert len(numbers_in(data)) == 4000 - lost
    writer.tell_numbered(1, first=5000)
    data = await gathered(reading, lambda data: data.endswith(b"x\n"))
    assert numbers_in(data) == [5000]
    assert "nobody takes them" in writer.warnings[0]


async def test_without_a_limit_of_lines_two_mebibytes_wait(write, pipe):
    writer = write(pipe[1])
    writer.tell_numbered(30_000)
    kept = 2 * 2**20 // len(b"29999 " + b"x" * 90 + b"\n")
    assert 0 <= 30_000 - writer.journal.lost - kept < 1000  # and what the pipe holds


async def test_a_reader_that_is_gone(write):
    reading, writing = os.pipe()
    writer = write(writing)
    os.close(reading)
    writer.tell(b"one")
    writer.journal.flush()
    assert writer.warnings == ["1 lines of the access log were lost: Broken pipe"]


async def test_a_socket(write):
    reading, writing = socket.socketpair()
    with reading:
        writer = write(writing.detach())
        writer.tell_numbered(5000)
        reading.setblocking(False)
        data = await gathered(reading.fileno(), lambda data: data.count(b"\n") == 5000)
        assert numbers_in(data) == list(range(5000))


async def test_what_is_left_at_the_end_is_told_to_be_lost(write, pipe):
    writer = write(pipe[1])
    writer.tell_numbered(1000)
    writer.journal.close()
    assert writer.journal.lost > 900
    assert f"{writer.journal.lost} lines" in writer.warnings[0]


async def test_two_writers_never_write_into_each_others_lines(write, pipe):
    reading, writing = pipe
    writers = [write(os.dup(writing)), write(writing)]
    for number in range(400):
        for who, writer in enumerate(writers):
            writer.tell(b"%d %s" % (who, b"x" * (number * 7 % 900 + 1)))
            if number % 50 == 0:
                writer.journal.flush()
    for writer in writers:
        writer.journal.flush()
    data = await gathered(reading, lambda data: data.count(b"\n") == 800)
    assert sorted(numbers_in(data)) == [0] * 400 + [1] * 400


async def test_a_line_longer_than_a_pipe_takes_at_once(write, pipe):
    reading, writing = pipe
    writer = write(writing)
    writer.tell(b"a" * 16_000, b"b" * 16_000)
    writer.journal.flush()
    data = await gathered(reading, lambda data: data.count(b"\n") == 2)
    assert data == b"a" * 16_000 + b"\n" + b"b" * 16_000 + b"\n"
