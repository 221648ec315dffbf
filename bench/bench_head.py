"""A head read: the compiled parser beside the plain twin. Named one by one, so that a name stays the same."""

import pytest

from fastproxy._core.head import Head
from tests.twins import head as twin

pytestmark = pytest.mark.benchmark(min_time=0.0002, max_time=0.2)

HEADS = {
    "small": b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    "browser": (
        b"GET /catalogue/shoes?page=2 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\n"
        b'sec-ch-ua: "Chromium";v="126"\r\nsec-ch-ua-mobile: ?0\r\nUpgrade-Insecure-Requests: 1\r\n'
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0\r\n"
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
        b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nReferer: https://shop.example/\r\n"
        b"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: a=b; c=d\r\n\r\n"
    ),
}
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n"
    b"Content-Length: 1234\r\nConnection: keep-alive\r\n\r\n"
)
READERS = {"compiled": (Head.of_request, Head.of_response), "twin": (twin.request, twin.response)}


@pytest.mark.parametrize("side", READERS)
@pytest.mark.parametrize("name", HEADS)
def test_request_head(benchmark, name, side):
    benchmark.group = f"head: {name}"
    assert benchmark(READERS[side][0], HEADS[name]).size == len(HEADS[name])


@pytest.mark.parametrize("side", READERS)
def test_answer_head(benchmark, side):
    benchmark.group = "head: answer"
    assert benchmark(READERS[side][1], ANSWER).status == 200
