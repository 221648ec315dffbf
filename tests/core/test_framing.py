"""The compiled framing against its plain twin, whatever pieces a body comes in."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastproxy._core.framing import Body
from fastproxy._core.head import Head
from tests.core.strategies import chunked_bodies, damaged, pieces
from tests.twins import framing as twin
from tests.twins.head import Refused

POST = b"POST / HTTP/1.1\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
REFUSED = "refused"


def request_body(*fields, version=b"1.1"):
    head = b"POST / HTTP/" + version + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n"
    return Body(Head.of_request(head))


def answer_body(*fields, status=b"200 OK", version=b"1.1", to_head=False):
    head = b"HTTP/" + version + b" " + status + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"\r\n"
    return Body(Head.of_response(head), to_head=to_head)


def chunked():
    return request_body(b"Transfer-Encoding: chunked")


def by_core(parts):
    """Feed a chunked body piece by piece: (data, trailer, the rest), None when not whole, or REFUSED."""
    body = chunked()
    data, behind = [], b""
    for part in parts:
        if body.over:
            behind += part
            continue
        try:
            run, behind = body.feed(part)
        except ValueError:
            return REFUSED
        data.append(run)
    return (b"".join(data), body.trailer, behind) if body.over else None


def by_twin(whole):
    try:
        out = twin.dechunked(whole)
    except Refused:
        return REFUSED
    return out and (out.data, out.trailer, out.behind)


def agree(core, plain):
    """What is not whole yet may be refused early; see test_what_is_refused_early_stays_refused."""
    assert core == plain or (plain is None and core == REFUSED)


@example(b"0\r\nA: b\n\r\n")
@example(b"0\r\nA\r\n\r\n")
@example(b"0\r\n A: b\r\n\r\n")
@example(b"0\r\nA: \x00\r\n\r\n")
@example(b"0\r\nA: b\rc\r\n\r\n")
@example(b"0\r\n\n\r\n")
@example(b"0\r\n: b\r\n\r\n")
@example(b"5\r\nabcde0\r\n\r\n")
@given(damaged(chunked_bodies().map(lambda body: body + b"GET /next")))
def test_chunks_as_the_twin(data):
    agree(by_core([data]), by_twin(data))


@given(st.data())
def test_pieces_make_no_difference(data):
    whole = data.draw(damaged(chunked_bodies()))
    outcome = by_core([whole])
    assert by_core(data.draw(pieces(whole))) == outcome
    assert by_core([whole[i:i + 1] for i in range(len(whole))]) == outcome


@given(chunked_bodies())
def test_a_body_that_is_accepted_is_awaited_at_every_length(data):
    if isinstance(by_core([data]), tuple):
        assert [by_core([data[:size]]) for size in range(len(data))] == [None] * len(data)


@given(st.data())
def test_what_is_refused_early_stays_refused(data):
    whole = data.draw(damaged(chunked_bodies()))
    size = data.draw(st.integers(0, len(whole)))
    if by_core([whole[:size]]) == REFUSED:
        assert by_core([whole]) == REFUSED
        assert by_twin(whole[:size] + b"\r\n\r\n") in (REFUSED, None)


@given(st.data())
def test_a_length_is_counted_across_pieces(data):
    length = data.draw(st.integers(1, 60))
    whole = data.draw(st.binary(max_size=80))
    body = request_body(b"Content-Length: %d" % length)
    out, behind = b"", b""
    for part in data.draw(pieces(whole)):
        if body.over:
            behind += part
        else:
            run, behind = body.feed(part)
            out += run
    plain = twin.decoded(twin.LENGTH, length, whole)
    assert (out, behind) == ((plain.data, plain.behind) if plain else (whole, b""))
    assert body.over == (plain is not None)


@pytest.mark.parametrize(("line", "why"), [
    (b"5\n", "bare LF behind a size"),
    (b"5\r\r\n", "CR twice"),
    (b"\r\n", "no size"),
    (b" 5\r\n", "blank before a size"),
    (b"5 \r\n", "blank behind a size"),
    (b"0x5\r\n", "a prefix"),
    (b"+5\r\n", "a sign"),
    (b"-1\r\n", "a negative size"),
    (b"5g\r\n", "no hexadecimal digit"),
    (b"1000000000000000\r\n", "16 digits"),
    (b"0000000000000005\r\n", "16 digits, most of them zero"),
    (b"5;a=\x00\r\n", "NUL in an extension"),
    (b"5;a\nb\r\n", "LF in an extension"),
    (b'5;a="\r\n', "a quoted string that does not end"),
    (b'5;a="b\r\nc"\r\n', "a line end in a quoted string"),
    (b"5;" + b"a" * 4096 + b"\r\n", "a line of more than 4096 bytes"),
    (b"5,5\r\n", "two sizes"),
    (b"5.\r\n", "a point"),
])
def test_chunk_lines_that_are_refused(line, why):
    assert by_core([line + b"abcde\r\n0\r\n\r\n"]) == REFUSED, why
    assert by_twin(line + b"abcde\r\n0\r\n\r\n") == REFUSED, why


@pytest.mark.parametrize(("behind", "why"), [
    (b"abcdef\r\n0\r\n\r\n", "a chunk longer than its size"),
    (b"abcd\r\n0\r\n\r\n", "a chunk shorter than its size"),
    (b"abcde\n0\r\n\r\n", "bare LF behind a chunk"),
    (b"abcde0\r\n\r\n", "nothing behind a chunk"),
    (b"abcde\r\n0\r\n\n", "bare LF at the end"),
    (b"abcde\r\n0\r\nGET / HTTP/1.1\r\n\r\n", "a request in the place of a trailer"),
    (b"abcde\r\n0\r\nA: b\n\r\n", "bare LF behind a trailer line"),
    (b"abcde\r\n0\r\nA: b\r\n c\r\n\r\n", "a folded trailer line"),
    (b"abcde\r\n0\r\nA : b\r\n\r\n", "a blank before the colon of a trailer"),
    (b"abcde\r\n0\r\n: b\r\n\r\n", "a trailer without a name"),
    (b"abcde\r\n0\r\nA: b\x00\r\n\r\n", "NUL in a trailer"),
    (b"abcde\r\n0\r\nA: b\rX: c\r\n\r\n", "bare CR in a trailer"),
    (b"abcde\r\n0\r\nA: " + b"b" * 16400 + b"\r\n\r\n", "a trailer section of more than 16384 bytes"),
])
def test_bodies_that_are_refused(behind, why):
    assert by_core([b"5\r\n" + behind]) == REFUSED, why
    assert by_twin(b"5\r\n" + behind + b"\r\n\r\n") == REFUSED, why


@pytest.mark.parametrize(("body", "data"), [
    (b"0\r\n\r\n", b""),
    (b"5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
    (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    (b"a\r\n0123456789\r\n00000\r\n\r\n", b"0123456789"),
    (b"000000000000001\r\nx\r\n0\r\n\r\n", b"x"),
    (b'1;n="a;\\"b\r";x'.replace(b"\r", b"") + b"\r\nx\r\n0;last\r\n\r\n", b"x"),
    (b"1 ;n\r\nx\r\n0\r\n\r\n", b"x"),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
])
def test_bodies_that_pass(body, data):
    assert by_core([body]) == (data, b"", b"")
    assert by_twin(body) == (data, b"", b"")


@pytest.mark.parametrize(("fields", "of", "kind"), [
    ((), {}, "until-close"),
    ((b"Content-Length: 5",), {}, "length"),
    ((b"Content-Length: 0",), {}, "none"),
    ((b"Transfer-Encoding: chunked",), {}, "chunked"),
    ((b"Content-Length: 5",), {"to_head": True}, "none"),
    ((b"Transfer-Encoding: chunked",), {"to_head": True}, "none"),
    ((), {"to_head": True}, "none"),
    ((b"Content-Length: 5",), {"status": b"204 No Content"}, "none"),
    ((b"Content-Length: 5",), {"status": b"304 Not Modified"}, "none"),
    ((b"Transfer-Encoding: chunked",), {"status": b"304 Not Modified"}, "none"),
    ((b"Content-Length: 5",), {"status": b"103 Early Hints"}, "none"),
    ((), {"version": b"1.0"}, "until-close"),
    ((b"Content-Length: 5",), {"version": b"1.0"}, "length"),
    ((b"Content-Length: 5",), {"status": b"205 Reset Content"}, "length"),
])
def test_kinds_of_answers(fields, of, kind):
    assert answer_body(*fields, **of).kind == kind


@pytest.mark.parametrize("fields", [
    (b"Transfer-Encoding: gzip",),
    (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    (b"Content-Length: 5", b"Content-Length: 5"),
    (b"Content-Length: 5", b"Content-Length: 6"),
    (b"Content-Length: five",),
    (b"Content-Length: 5, 5",),
    (b"Transfer-Encoding: gzip, chunked",),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
])
@pytest.mark.parametrize("of", [{}, {"to_head": True}, {"status": b"304 Not Modified"}])
def test_answers_whose_framing_is_refused(fields, of):
    with pytest.raises(ValueError):
        answer_body(*fields, **of)


def test_a_coding_in_an_answer_of_http_1_0_is_refused():
    with pytest.raises(ValueError):
        answer_body(b"Transfer-Encoding: chunked", version=b"1.0")


def test_the_largest_length():
    assert request_body(b"Content-Length: 999999999999999999").kind == "length"
    with pytest.raises(ValueError):
        request_body(b"Content-Length: 1000000000000000000")
