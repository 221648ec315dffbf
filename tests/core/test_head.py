"""The compiled head against its plain twin: the same verdict and fields, on good and on damaged input."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastproxy._core.framing import Body
from fastproxy._core.head import Head
from tests.core.strategies import REQUEST_HEADS, RESPONSE_HEADS, TOKENS, VALUES, damaged
from tests.twins import framing as framing_twin
from tests.twins import head as twin


def by_core(parse, data):
    """What the compiled half makes of a head and its framing: (what it says, its size), None, or a status."""
    try:
        head = parse(data)
        if head is None:
            return None
        body = Body(head)
    except ValueError as refused:
        return int(str(refused).partition(":")[0])
    fields = [(name.lower(), value) for name, value in head.fields]
    said = (head.method_text, head.target_text, head.status, head.reason_text, head.minor, fields, body.kind)
    return said, head.size


def by_twin(parse, frame, data):
    try:
        head = parse(data)
        if head is None:
            return None
        kind, _ = frame(head)
    except twin.Refused as refused:
        return refused.status
    said = (head.method, head.target, head.status, head.reason, head.minor, list(head.fields), kind)
    return said, head.size


def core_request(data):
    return by_core(Head.of_request, data)


def core_response(data):
    return by_core(Head.of_response, data)


def twin_request(data):
    return by_twin(twin.request, framing_twin.of_request, data)


def twin_response(data):
    return by_twin(twin.response, framing_twin.of_response, data)


def agree(core, plain, data):
    """Both accept and see the same, or both refuse; what is not whole may be refused early, then for good."""
    if isinstance(plain, tuple) or isinstance(core, tuple):
        assert core == plain
    elif plain is None:
        assert core is None or isinstance(core, int)
    else:
        assert isinstance(core, int)


GET = b"GET / HTTP/1.1\r\n"


@example(GET + b"A: b\r\n c\r\n\r\n")
@example(GET + b"A:\r\n c\r\n\r\n")
@example(b"\r\n\r\n" + GET + b"\r\n")
@example(b"M" * 65 + b" / HTTP/1.1\r\n\r\n")
@given(damaged(REQUEST_HEADS))
def test_requests_as_the_twin(data):
    agree(core_request(data), twin_request(data), data)


@example(b"HTTP/1.1 200 a\x00b\r\n\r\n")
@example(b"HTTP/1.1 200\r\n\r\n")
@example(b"HTTP/1.1 200 \x01\r\n\r\n")
@given(damaged(RESPONSE_HEADS))
def test_answers_as_the_twin(data):
    agree(core_response(data), twin_response(data), data)


@given(REQUEST_HEADS)
def test_a_request_that_is_accepted_is_awaited_at_every_length(data):
    if isinstance(core_request(data), tuple):
        assert [core_request(data[:size]) for size in range(len(data))] == [None] * len(data)


@given(RESPONSE_HEADS)
def test_an_answer_that_is_accepted_is_awaited_at_every_length(data):
    if isinstance(core_response(data), tuple):
        assert [core_response(data[:size]) for size in range(len(data))] == [None] * len(data)


@example(b"M" * 70 + b" / HTTP/1.1\r\n\r\n")
@given(damaged(REQUEST_HEADS))
def test_what_is_refused_early_is_refused_whole(data):
    if any(isinstance(core_request(data[:size]), int) for size in range(len(data))):
        assert isinstance(core_request(data + b"\r\n\r\n"), int)


@given(st.lists(st.tuples(TOKENS, VALUES), max_size=40))
def test_fields_come_out_as_they_went_in(fields):
    data = GET + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    head = Head.of_request(data)
    assert [(name.lower(), value) for name, value in head.fields] == [
        (name.lower(), value.strip(b" \t")) for name, value in fields]


@pytest.mark.parametrize(("sent", "written"), [
    (b"host", b"Host"),
    (b"HOST", b"Host"),
    (b"x-forwarded-for", b"X-Forwarded-For"),
    (b"X_Auth_User", b"X_auth_user"),
    (b"sec-websocket-key", b"Sec-WebSocket-Key"),
    (b"SEC-WEBSOCKET-PROTOCOL", b"Sec-WebSocket-Protocol"),
    (b"sec-websocketx", b"Sec-Websocketx"),
    (b"-a--b", b"-A--B"),
    (b"etag", b"Etag"),
    (b"a", b"A"),
    (b"x-1a", b"X-1a"),
])
def test_names_are_spelled_as_go_spells_them(sent, written):
    assert Head.of_request(GET + sent + b": v\r\n\r\n").fields == [(written, b"v")]


@pytest.mark.parametrize(("count", "status"), [(1000, None), (1001, 431)])
def test_a_head_holds_so_many_fields(count, status):
    data = GET + b"A: b\r\n" * count + b"\r\n"
    outcome = core_request(data)
    assert (outcome if isinstance(outcome, int) else None) == status


@pytest.mark.parametrize("ahead", [b"", b"\r\n"])
def test_a_head_ends_behind_its_empty_line(ahead):
    data = ahead + GET + b"Host: a\r\n\r\nGET /next"
    assert Head.of_request(data).size == len(data) - len(b"GET /next")


@pytest.mark.parametrize("line", [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 404 ", b"HTTP/1.0 999 x", b"HTTP/1.1 200", b"HTTP/1.1 200 \xe4 \t\x80"])
def test_status_lines_that_pass(line):
    head = Head.of_response(line + b"\r\n\r\n")
    assert head.start_line == line
    assert head.status == int(line[9:12])
    assert head.reason_text == line[13:]
