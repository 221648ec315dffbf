"""Messages for property tests: good ones, and good ones that somebody damaged."""

from hypothesis import strategies as st

TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(str.encode)
METHODS = st.sampled_from([
    b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"DELETE", b"PATCH", b"get", b"M-SEARCH"]) | TOKENS
TARGETS = st.sampled_from([
    b"/", b"*", b"/a?b=c", b"//a/../b", b"http://a.example/x?y", b"a:80", b"/%2e%2F", b"/#x",
]) | st.text("/ab.%20?=&;~", max_size=12).map(lambda text: b"/" + text.encode())
VERSIONS = st.sampled_from([
    *[b"HTTP/1.1"] * 8, *[b"HTTP/1.0"] * 3, b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.10"])
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=("Cc",)), max_size=20).map(
    lambda text: text.encode("latin-1")
) | st.sampled_from([b"", b" ", b"\t x \t", b"a, b", b"close", b"5", b"chunked"])
FRAMING_FIELDS = st.sampled_from([
    b"Content-Length: 0", b"Content-Length: 5", b"content-length:17", b"Content-Length: 5, 5",
    b"Content-Length: +5", b"Content-Length: 0x5", b"Content-Length: ",
    b"Content-Length: 184467440737095516150", b"Content-Length: 5 ",
    b"Content-Length: 999999999999999999", b"Content-Length: 1_000", b"Content-Length: -1",
    b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: ", b"Transfer-Encoding : chunked",
    b" Transfer-Encoding: chunked", b"Host: a.example", b"Host: b.example:81", b"Host: ", b"Host: a b",
    b"Connection: close", b"Upgrade: websocket", b"Connection: upgrade", b"Connection: keep-alive",
    b"Proxy-Connection: close", b"Expect: 100-continue",
])
FIELDS = st.builds(lambda name, blank, value: name + b":" + blank + value,
                   TOKENS, st.sampled_from([b"", b" ", b"\t", b"  "]), VALUES) | FRAMING_FIELDS
REASONS = st.sampled_from([b" OK", b" Not Found", b" ", b"", b" \xe4\t!", b" a\x00b", b" a\x7f"])
STATUSES = st.sampled_from([
    b"200", b"101", b"100", b"103", b"204", b"304", b"999", b"404", b"099", b"20", b"2000"])

# What an attacker, or a broken program, puts in the place of a byte.
NOISE = st.sampled_from([
    b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n ", b"\r\n\t", b"\x00", b"\x01", b"\x0b", b"\x0c", b"\x7f", b"\x85",
    b"\xa0", b"\xff", b" ", b"\t", b":", b",", b";", b"0", b"-", b"\"", b"\\",
])


@st.composite
def damaged(draw, messages):
    """A message with up to three of its bytes cut out, doubled, or replaced."""
    data = draw(messages)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 2))
        data = data[:at] + draw(NOISE | st.just(b"")) + data[at + cut:]
    return data


def lines(first, *fields):
    return b"\r\n".join([first, *fields, b"", b""])


REQUEST_HEADS = st.builds(
    lambda method, target, version, fields: lines(b" ".join((method, target, version)), *fields),
    METHODS, TARGETS, VERSIONS, st.lists(FIELDS, max_size=6))
RESPONSE_HEADS = st.builds(
    lambda version, status, reason, fields: lines(version + b" " + status + reason, *fields),
    VERSIONS, STATUSES, REASONS, st.lists(FIELDS, max_size=6))

EXTENSIONS = st.sampled_from([
    *[b""] * 6, b";a", b";a=b", b' ;a="b;c"', b';a="\\""', b";", b" ", b"\t;x", b';a="', b";\xff"])
SIZES = st.integers(1, 40)


@st.composite
def chunked_bodies(draw):
    """A chunked body: most are well formed, with sizes as they are or zeros before them."""
    out = []
    for size in draw(st.lists(SIZES, max_size=4)):
        digits = draw(st.sampled_from([b"%x", b"%X", b"0%x", b"000000000000%x"])) % size
        data = draw(st.binary(min_size=size, max_size=size))
        out.append(digits + draw(EXTENSIONS) + b"\r\n" + data + b"\r\n")
    out.append(draw(st.sampled_from([b"0", b"0", b"00", b"0;x=y"])) + b"\r\n")
    for line in draw(st.lists(FIELDS, max_size=2)):
        out.append(line + b"\r\n")
    return b"".join(out) + b"\r\n"


@st.composite
def pieces(draw, data):
    """Cut *data* into pieces at any places."""
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
