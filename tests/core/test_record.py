"""Lines of the access log: those of the reference, of the plain twin, and what no client can do to them."""

import asyncio
import json
import logging
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy._core.engine import Engine
from fastproxy._core.journal import Journal
from fastproxy._core.record import NUMBER_NAMES, TEXT_NAMES, AccessLog
from fastproxy.config.observability import FIELDS, Fields, Filters, HeaderFields, QueryParameters
from fastproxy.config.observability import AccessLog as Settings
from fastproxy.observe import accesslog
from tests.twins import accesslog as twin

BEGAN = 10**15
TEXTS = {
    "client": b"203.0.113.9",
    "method": b"GET",
    "target": b"/a?b=1",
    "host": b"shop.test",
    "router": b"shop@file",
    "service": b"shop@file",
    "url": b"http://10.0.0.5:8080",
    "address": b"10.0.0.5:8080",
    "entry_point": b"web",
}
NUMBERS = {
    "port": 51234,
    "minor": 1,
    "began": BEGAN,
    "ended": BEGAN + 7_123_456,
    "status": 200,
    "size": 512,
    "origin_duration": 6_900_000,
    "origin_status": 200,
    "origin_size": 512,
}
ASKED = b"GET /a?b=1 HTTP/1.1\r\nHost: shop.test\r\n%s\r\n"


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


LOOP = asyncio.new_event_loop()
"""Never runs: lines are written when a test says so."""


class Told:
    """An access log into a file that only it has."""

    def __init__(self, settings, counter=None):
        self.read = os.memfd_create("told")
        logger = logging.Logger("told")
        journal = Journal(LOOP, Engine.of(LOOP, logger).wheel, logger, os.dup(self.read))
        headers = settings.fields.headers
        self.log = AccessLog(
            journal,
            accesslog.program_of(settings),
            default=headers.default_mode,
            fields=headers.names,
            statuses=accesslog.ranges_of(settings),
            retried=settings.filters.retry_attempts,
            least=settings.filters.min_duration,
            cuts_query=settings.fields.query_parameters.default_mode == "drop",
            counter=counter,
        )

    def of(self, texts=TEXTS, numbers=NUMBERS, **heads):
        """Return what is told of a request; b"" for nothing."""
        start = os.fstat(self.read).st_size
        self.log.note(texts, numbers, **heads)
        self.log.journal.flush()
        return os.pread(self.read, 1 << 24, start)

    def close(self):
        self.log.journal.close()
        os.close(self.read)


@pytest.fixture
def told():
    """Call it with settings; returns an access log to be asked for lines."""
    made = []

    def told(settings=None, counter=None):
        made.append(Told(settings or Settings(), counter))
        return made[-1]

    yield told
    for each in made:
        each.close()


def since_1970(log, monotonic=BEGAN):
    """Return the seconds since 1970 of a moment of the monotonic clock."""
    return (monotonic + log.log.epoch) // 10**9


def clf(log):
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(since_1970(log))).encode()


# --- the reference -----------------------------------------------------------------------------------


def test_a_line_of_the_common_format(told):
    log = told()
    log.of()
    log.of()
    assert log.of() == (
        b'203.0.113.9 - - [%s] "GET /a?b=1 HTTP/1.1" 200 512 "-" "-" 3 "shop@file" '
        b'"http://10.0.0.5:8080" 7ms\n' % clf(log)
    )


def test_a_line_of_the_generic_common_format(told):
    log = told(Settings(format="genericCLF"))
    line = log.of()
    assert line == b'203.0.113.9 - - [%s] "GET /a?b=1 HTTP/1.1" 200 512 "-" "-"\n' % clf(log)


def test_a_line_of_json(told):
    """Every member, in the order of their names; nothing else."""
    log = told(Settings(format="json"))
    line = log.of()
    start = twin.rfc3339(BEGAN + log.log.epoch, twin.UTC, fine=True)
    end = twin.rfc3339(NUMBERS["ended"] + log.log.epoch, None, fine=False)
    expected = {
        "ClientAddr": "203.0.113.9:51234",
        "ClientHost": "203.0.113.9",
        "ClientPort": "51234",
        "ClientUsername": "-",
        "DownstreamContentSize": 512,
        "DownstreamStatus": 200,
        "Duration": 7123456,
        "OriginContentSize": 512,
        "OriginDuration": 6900000,
        "OriginStatus": 200,
        "Overhead": 223456,
        "RequestAddr": "shop.test",
        "RequestContentSize": 0,
        "RequestCount": 1,
        "RequestHost": "shop.test",
        "RequestMethod": "GET",
        "RequestPath": "/a?b=1",
        "RequestPort": "-",
        "RequestProtocol": "HTTP/1.1",
        "RequestScheme": "http",
        "RetryAttempts": 0,
        "RouterName": "shop@file",
        "ServiceAddr": "10.0.0.5:8080",
        "ServiceName": "shop@file",
        "ServiceURL": "http://10.0.0.5:8080",
        "StartLocal": start,
        "StartUTC": start,
        "entryPointName": "web",
        "level": "info",
        "msg": "",
        "time": end,
    }
    assert line == json.dumps(expected, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    ("changes", "member", "value"),
    [
        ({"texts": {"client": b"2001:db8::7"}}, "ClientAddr", "[2001:db8::7]:51234"),
        ({"texts": {"client": b"2001:db8::7"}}, "ClientHost", "2001:db8::7"),
        ({"texts": {"client": b""}}, "ClientAddr", "-"),
        ({"texts": {"forwarded": b"198.51.100.7, 10.0.0.1"}}, "ClientHost", "198.51.100.7, 10.0.0.1"),
        ({"texts": {"user": b"ada"}}, "ClientUsername", "ada"),
        ({"texts": {"host": b"shop.test:8443"}}, "RequestAddr", "shop.test:8443"),
        ({"texts": {"host": b"shop.test:8443"}}, "RequestHost", "shop.test"),
        ({"texts": {"host": b"shop.test:8443"}}, "RequestPort", "8443"),
        ({"texts": {"host": b"[::1]:80"}}, "RequestHost", "::1"),
        ({"texts": {"host": b"[::1]:80"}}, "RequestPort", "80"),
        ({"texts": {"host": b"[::1]"}}, "RequestHost", "[::1]"),
        ({"texts": {"target": b"*"}}, "RequestPath", "*"),
        ({"texts": {"target": b"http://shop.test/x?y"}}, "RequestPath", "/x?y"),
        ({"texts": {"target": b"HTTPS://shop.test"}}, "RequestPath", "/"),
        ({"texts": {"router": b""}}, "RouterName", None),
        ({"texts": {"url": b""}}, "ServiceURL", None),
        ({"texts": {"address": b""}}, "ServiceAddr", None),
        ({"texts": {"service": b""}}, "ServiceName", None),
        ({"numbers": {"minor": 0}}, "RequestProtocol", "HTTP/1.0"),
        ({"numbers": {"is_tls": 1}}, "RequestScheme", "https"),
        ({"numbers": {"status": 499}}, "DownstreamStatus", 499),
        ({"numbers": {"retries": 2}}, "RetryAttempts", 2),
        ({"numbers": {"origin_size": 512}}, "GzipRatio", None),
        ({"numbers": {"origin_size": 1280}}, "GzipRatio", 2.5),
        ({"numbers": {"origin_size": 1024}}, "GzipRatio", 2),
        ({"numbers": {"origin_size": 0}}, "GzipRatio", 0),
        ({"numbers": {"size": 0}}, "GzipRatio", None),
        ({"numbers": {"ended": BEGAN - 5}}, "Duration", 0),
        ({"numbers": {"size": 2**63 - 1, "origin_size": 2**63 - 1}}, "DownstreamContentSize", 2**63 - 1),
    ],
)
def test_members(told, changes, member, value):
    texts, numbers = TEXTS | changes.get("texts", {}), NUMBERS | changes.get("numbers", {})
    assert json.loads(told(Settings(format="json")).of(texts, numbers)).get(member) == value


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (Fields(names={"clienthost": "drop"}), b'- - - [%s] "GET /a?b=1 HTTP/1.1" 200 512 "-" "-"\n'),
        (
            Fields(default_mode="drop"),
            b'- - - [-] "- - -" - - "-" "-"\n',
        ),
        (
            Fields(default_mode="drop", names={"RequestPath": "keep", "DownstreamStatus": "keep"}),
            b'- - - [-] "- /a?b=1 -" 200 - "-" "-"\n',
        ),
        (
            Fields(query_parameters=QueryParameters(default_mode="drop")),
            b'203.0.113.9 - - [%s] "GET /a HTTP/1.1" 200 512 "-" "-"\n',
        ),
        (
            Fields(headers=HeaderFields(default_mode="keep")),
            b'203.0.113.9 - - [%s] "GET /a?b=1 HTTP/1.1" 200 512 "http://from.test/" "curl/8 \\"x\\""\n',
        ),
        (
            Fields(headers=HeaderFields(names={"user-agent": "keep", "REFERER": "redact"})),
            b'203.0.113.9 - - [%s] "GET /a?b=1 HTTP/1.1" 200 512 "REDACTED" "curl/8 \\"x\\""\n',
        ),
    ],
)
def test_fields_of_common_lines(told, fields, line):
    log = told(Settings(format="genericCLF", fields=fields))
    found = log.of(TEXTS | {"referer": b"http://from.test/", "agent": b'curl/8 "x"'})
    assert found == (line % clf(log) if b"%s" in line else line)


def test_what_the_common_format_says_of_what_is_dropped(told):
    names = dict.fromkeys(("RequestCount", "RouterName", "ServiceURL", "Duration"), "drop")
    assert told(Settings(fields=Fields(names=names))).of().endswith(b' "-" "-" - "-" "-" 0ms\n')


def test_json_without_anything(told):
    line = json.loads(told(Settings(format="json", fields=Fields(default_mode="drop"))).of())
    assert sorted(line) == ["level", "msg", "time"]


@pytest.mark.parametrize("name", FIELDS)
def test_each_member_can_be_kept_alone_and_dropped_alone(told, name):
    numbers = NUMBERS | {"origin_size": 1}
    texts = TEXTS | {"tls_version": b"1.3", "tls_cipher": b"TLS_AES_128_GCM_SHA256", "tls_subject": b"CN=ada"}
    alone = told(Settings(format="json", fields=Fields(default_mode="drop", names={name: "keep"})))
    always = ["level", "msg", "time"]
    assert sorted(json.loads(alone.of(texts, numbers))) == sorted([name, *always])
    without = told(Settings(format="json", fields=Fields(names={name: "drop"})))
    members = json.loads(without.of(texts, numbers))
    assert name not in members
    assert sorted([*members, name]) == sorted([*FIELDS, *always])


@pytest.mark.parametrize(
    ("zone", "clock"), [("Europe/Berlin", 1), ("America/St_Johns", -3.5), ("Asia/Kathmandu", 5.75)]
)
@pytest.mark.parametrize("format", ["common", "json"])
def test_local_time(told, monkeypatch, zone, clock, format):
    """Who drops StartUTC gets the time of the machine's zone, as TZ says."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    settings = Settings(format=format, fields=Fields(names={"StartUTC": "drop"}))
    log = told(settings)
    line = log.of()
    expected = twin.line(settings, TEXTS, NUMBERS, 1, log.log.epoch)
    assert (json.loads(line) if format == "json" else line) == expected
    assert b"+0000" not in line


# --- header fields -----------------------------------------------------------------------------------


def test_header_fields(told):
    modes = HeaderFields(default_mode="keep", names={"cookie": "redact", "Accept": "drop"})
    log = told(Settings(format="json", fields=Fields(default_mode="drop", headers=modes)))
    fields = b"x-b: 2\r\nCookie: id=1\r\nACCEPT: */*\r\nX-A: 1\r\nx-B: 3\r\nX-Forwarded-For: forged\r\n"
    asked = ASKED % fields
    origin = b"HTTP/1.1 200 OK\r\nserver: it\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"
    answered = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\n\r\n"
    line = log.of({"forwarded": b"10.0.0.9"}, {}, asked=asked, origin=origin, answered=answered)
    members = json.loads(line)
    assert list(members) == sorted(members)
    del members["time"]
    assert members == {
        "level": "info",
        "msg": "",
        "request_Cookie": "REDACTED",
        "request_X-A": "1",
        "request_X-B": "2,3",
        "request_X-Forwarded-For": "10.0.0.9",
        "origin_Server": "it",
        "origin_Set-Cookie": "a,b",
        "downstream_Set-Cookie": "a",
    }


def test_as_many_header_fields_as_there_may_be(told):
    log = told(Settings(format="json", fields=Fields(headers=HeaderFields(default_mode="keep"))))
    asked = ASKED % b"".join(b"x-%d: \xff%d\r\n" % (number, number) for number in range(999))
    members = json.loads(log.of(asked=asked))
    assert len([name for name in members if name.startswith("request_")]) == 999


def test_header_fields_of_a_megabyte_are_cut(told):
    log = told(Settings(format="json", fields=Fields(headers=HeaderFields(default_mode="keep"))))
    asked = ASKED % b"".join(b"x-%d: %s\r\n" % (number, b"\xff" * 40_000) for number in range(25))
    line = log.of(asked=asked)
    assert 100_000 < len(line) < 400_000
    assert json.loads(line)["request_X-0"] == "\ufffd" * 16_384


# --- filters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "told_of"),
    [
        (Filters(), {"fine", "retried", "slow", "bad"}),
        (Filters(status_codes=("500-599",)), {"bad"}),
        (Filters(status_codes=("200", "404")), {"fine", "retried", "slow"}),
        (Filters(retry_attempts=True), {"retried"}),
        (Filters(min_duration=1_000_000_000), {"slow"}),
        (Filters(min_duration=2_000_000_000), set()),
        (Filters(status_codes=("502",), min_duration=1), {"fine", "retried", "slow", "bad"}),
        (Filters(status_codes=("502",), retry_attempts=True), {"retried", "bad"}),
    ],
)
def test_filters(told, filters, told_of):
    """A request is told of if any filter says so; minDuration itself is not longer."""
    log = told(Settings(filters=filters))
    requests = {
        "fine": {},
        "retried": {"retries": 1},
        "slow": {"ended": BEGAN + 2_000_000_000},
        "bad": {"status": 502},
    }
    assert {name for name, changes in requests.items() if log.of(numbers=NUMBERS | changes)} == told_of


def test_requests_are_counted_also_by_others(told):
    counter = bytearray((41).to_bytes(8, "little"))
    first, second = told(Settings(filters=Filters(status_codes=("500",))), counter), told(None, counter)
    assert first.of() == b""
    assert b'"-" 43 "shop@file"' in second.of()
    assert int.from_bytes(counter, "little") == 43


# --- any input ---------------------------------------------------------------------------------------

BYTES = st.binary(max_size=40) | st.text(max_size=12).map(lambda text: text.encode(errors="surrogatepass"))
MANY_TEXTS = st.fixed_dictionaries({}, optional={name: BYTES for name in TEXT_NAMES})
SIZES = st.integers(0, 2**63 - 1)
MANY_NUMBERS = st.fixed_dictionaries(
    {
        name: SIZES
        for name in NUMBER_NAMES
        if name not in ("began", "ended", "origin_duration", "minor", "is_tls", "status")
    }
    | {
        "began": st.integers(0, 2**60),
        "ended": st.integers(0, 2**60),
        "origin_duration": st.integers(0, 2**60),
        "minor": st.integers(0, 1),
        "is_tls": st.integers(0, 1),
        "status": st.integers(0, 999),
    }
)
MODES = st.sampled_from(["keep", "drop"])
HEADER_MODES = st.sampled_from(["keep", "drop", "redact"])
MANY_SETTINGS = st.builds(
    Settings,
    format=st.sampled_from(["common", "genericCLF", "json"]),
    fields=st.builds(
        Fields,
        default_mode=MODES,
        names=st.dictionaries(st.sampled_from(FIELDS), MODES),
        headers=st.builds(
            HeaderFields,
            default_mode=HEADER_MODES,
            names=st.dictionaries(st.sampled_from(["User-Agent", "referer", "X-A"]), HEADER_MODES),
        ),
        query_parameters=st.builds(QueryParameters, default_mode=MODES),
    ),
)
NAMES = st.sampled_from([b"x-a", b"X-A", b"x-bc", b"User-Agent", b"Referer", b"X-Forwarded-For", b"a"])
VALUES = st.binary(max_size=20).map(
    lambda text: bytes(byte for byte in text if byte > 32 and byte != 127)
)


@given(MANY_SETTINGS, MANY_TEXTS, MANY_NUMBERS, st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_whatever_is_told_is_one_line_and_that_of_the_twin(settings, texts, numbers, fields):
    log = Told(settings)
    try:
        asked = ASKED % b"".join(b"%s: %s\r\n" % field for field in fields)
        line = log.of(texts, numbers, asked=asked)
        expected = twin.line(settings, texts, numbers, 1, log.log.epoch, fields)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert len(line.decode().splitlines()) == 1
        if settings.format == "json":
            assert json.loads(line, parse_constant=pytest.fail) == expected
        else:
            assert line == expected
    finally:
        log.close()


@pytest.mark.parametrize("format", ["common", "json"])
@pytest.mark.parametrize(
    "text",
    [
        b'/" 200 1\n127.0.0.1 - - [forged] "GET /',
        b"/\r\n\x1b[2J\x00\x7f",
        "/\u2028\u2029\x85".encode(),
        b"/\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80",
        b"/\\",
        b'/","DownstreamStatus":200,"x":"',
    ],
)
def test_no_client_writes_lines_of_its_own(told, format, text):
    settings = Settings(format=format)
    log = told(settings)
    line = log.of(TEXTS | {"target": text, "method": text})
    assert len(line.decode().splitlines()) == 1
    assert not set(line[:-1]) & {0, 10, 13, 27, 127}
    expected = twin.line(settings, TEXTS | {"target": text, "method": text}, NUMBERS, 1, log.log.epoch)
    assert (json.loads(line) if format == "json" else line) == expected


@pytest.mark.parametrize("special", [0, 9, 31, 34, 92, 127, 128, 255])
def test_what_is_to_be_escaped_is_found_wherever_it_stands(told, special):
    settings = Settings(format="json", fields=Fields(default_mode="drop", names={"RequestMethod": "keep"}))
    log = told(settings)
    for size in range(1, 34):
        for place in range(size):
            text = bytearray(b"~" * size)
            text[place] = special
            line = json.loads(log.of({"method": bytes(text)}, {}))
            assert line["RequestMethod"] == twin.readable(bytes(text))


@pytest.mark.parametrize("digits", range(1, 20))
def test_numbers_of_any_size(told, digits):
    log = told(Settings(format="json", fields=Fields(default_mode="drop", names={"RetryAttempts": "keep"})))
    for number in (10 ** (digits - 1), 10**digits - 1, int("1234567890123456789"[:digits])):
        if number < 2**63:
            line = log.of({}, {"retries": number})
            assert b'{"RetryAttempts":%d,' % number == line.partition(b'"level"')[0]


@pytest.mark.parametrize("part", [0, 1, 10, 100_000_000, 120_000_000, 999_999_999, 1_000, 123_456_789])
def test_parts_of_a_second(told, part):
    log = told(Settings(format="json", fields=Fields(default_mode="drop", names={"StartUTC": "keep"})))
    log.of()
    began = 10**18 - log.log.epoch + part
    line = json.loads(log.of({}, {"began": began}))
    assert line["StartUTC"] == twin.rfc3339(began + log.log.epoch, twin.UTC, fine=True)


@pytest.mark.parametrize("format", ["common", "json"])
def test_long_texts_are_cut(told, format):
    log = told(Settings(format=format, fields=Fields(headers=HeaderFields(default_mode="keep"))))
    line = log.of(TEXTS | {"target": b"/" + b"\x01" * 1_000_000, "agent": b'"' * 100_000})
    assert 16_384 < len(line) < 200_000
    assert line.endswith(b"ms\n" if format == "common" else b'"}\n')
    assert log.of()[:11] in (b"203.0.113.9", b'{"ClientAdd')
    assert log.log.journal.lost == 0


def test_a_counter_needs_memory():
    log = Told(Settings())
    try:
        with pytest.raises(ValueError, match="eight aligned bytes"):
            AccessLog(log.log.journal, (), counter=bytearray(7))
        with pytest.raises(KeyError):
            AccessLog(log.log.journal, ((b"", "Nonsense", "plain"),))
        with pytest.raises(ValueError, match="no statuses"):
            AccessLog(log.log.journal, (), statuses=[(500, 1000)])
    finally:
        log.close()
