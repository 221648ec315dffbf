"""A chunked body decoded: compiled beside the plain twin."""

import pytest

from fastproxy._core.framing import Body
from fastproxy._core.head import Head
from tests.twins import framing as twin

pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

HEAD = Head.of_request(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
BODIES = {
    "one chunk of 10 KiB": b"2800\r\n" + bytes(10240) + b"\r\n0\r\n\r\n",
    "a hundred chunks of 64 bytes": (b"40\r\n" + bytes(64) + b"\r\n") * 100 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("side", ["compiled", "twin"])
@pytest.mark.parametrize("name", BODIES)
def test_chunks(benchmark, name, side):
    benchmark.group = f"framing: {name}"
    if side == "compiled":
        assert benchmark(lambda: Body(HEAD).feed(BODIES[name]))[1] == b""
    else:
        assert benchmark(twin.dechunked, BODIES[name]).behind == b""
