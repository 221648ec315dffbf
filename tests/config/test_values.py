"""Text to value: what is read, as what, and what is refused with which words."""

import pytest

from fastproxy.config.values import (
    HOUR,
    LONGEST,
    MILLISECOND,
    MINUTE,
    SECOND,
    Plain,
    boolean,
    byte_count,
    duration,
    integer,
    is_typed,
    listen_address,
    natural,
    network,
    regexp,
    server_url,
    split_address,
    text_of_duration,
)


def refusal(read, text):
    with pytest.raises(ValueError) as caught:
        read(text)
    return str(caught.value)


# --- durations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("30", 30 * SECOND),
        ("-1", -SECOND),
        ("+5", 5 * SECOND),
        ("250ms", 250 * MILLISECOND),
        ("1m30s", MINUTE + 30 * SECOND),
        ("1h0m0.5s", HOUR + SECOND // 2),
        ("1.5h", 90 * MINUTE),
        (".5s", SECOND // 2),
        ("1.s", SECOND),
        ("-1m", -MINUTE),
        ("7us", 7_000),
        ("7µs", 7_000),
        ("7μs", 7_000),
        ("7ns", 7),
        ("0.9ns", 0),
        ("1s1s", 2 * SECOND),
        ("9223372036", 9223372036 * SECOND),
        ("0.000000000000000000001h", 0),
    ],
)
def test_durations(text, nanoseconds):
    assert duration(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 minute", '"1 minute" is not a duration; write "1m" or a number of seconds'),
        ("2d", '"2d" is not a duration; write "48h" or a number of seconds'),
        ("30 sec", '"30 sec" is not a duration; write "30s" or a number of seconds'),
        ("5MIN", '"5MIN" is not a duration; write "5m" or a number of seconds'),
        ("soon", '"soon" is not a duration; write "1m30s", "250ms" or a whole number of seconds'),
        ("", '"" is not a duration; write "1m30s", "250ms" or a whole number of seconds'),
        ("1.5", '"1.5" is not a duration; write "1m30s", "250ms" or a whole number of seconds'),
        ("1s ", '"1s " is not a duration; write "1s" or a number of seconds'),
        ("١s", '"١s" is not a duration; write "1m30s", "250ms" or a whole number of seconds'),
        ("9223372037", '"9223372037" is longer than 292 years, the longest duration there is'),
        ("9" * 30 + "h", f'"{"9" * 30}h" is longer than 292 years, the longest duration there is'),
        ("99999999h", '"99999999h" is longer than 292 years, the longest duration there is'),
    ],
)
def test_refused_durations(text, message):
    assert refusal(duration, text) == message


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("64MiB", 64 << 20),
        ("64 mib", 64 << 20),
        ("2GiB", 2 << 30),
        ("3KiB", 3072),
        ("3KB", 3000),
        ("7MB", 7_000_000),
        ("1GB", 10**9),
        ("5B", 5),
    ],
)
def test_numbers_of_bytes(text, count):
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["", "-1", "1.5MiB", "MiB", "64M", "64MiBs", "٣", "1  MB", "64MiB "])
def test_refused_numbers_of_bytes(text):
    told = "is not a number of bytes; write one such as 1048576, 64MiB or 1GiB"
    assert refusal(byte_count, text) == f'"{text}" {told}'


def test_a_number_of_bytes_that_is_too_large():
    assert refusal(byte_count, "9999999999GiB") == f"9999999999GiB is too much; the most is {LONGEST} bytes"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (250 * MILLISECOND, "250ms"),
        (SECOND, "1s"),
        (90 * SECOND, "1m30s"),
        (2 * MINUTE, "2m0s"),
        (HOUR + SECOND // 2, "1h0m0.5s"),
        (-90 * SECOND, "-1m30s"),
    ],
)
def test_durations_are_written_as_go_does(nanoseconds, text):
    assert text_of_duration(nanoseconds) == text
    assert duration(text) == nanoseconds


# --- numbers and booleans -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-7", -7), ("+7", 7), ("0777", 777), (str(LONGEST), LONGEST)]
)
def test_integers(text, value):
    assert integer(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seven", '"seven" is not a whole number'),
        ("1.0", '"1.0" is not a whole number'),
        ("1_000", '"1_000" is not a whole number'),
        ("0x10", '"0x10" is not a whole number'),
        ("", '"" is not a whole number'),
        ("9223372036854775808", "9223372036854775808 is past the range of a 64-bit number"),
        ("9" * 5000, f"{'9' * 5000} is past the range of a 64-bit number"),
    ],
)
def test_refused_integers(text, message):
    assert refusal(integer, text) == message


@pytest.mark.parametrize("text", ["1", "t", "T", "true", "True", "TRUE"])
def test_true(text):
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["0", "f", "F", "false", "False", "FALSE"])
def test_false(text):
    assert boolean(text) is False


@pytest.mark.parametrize("text", ["yes", "on", "no", "off", "y", "tRUE", ""])
def test_no_boolean(text):
    assert refusal(boolean, text) == f'"{text}" is not a boolean; write true or false'


# --- addresses, networks, URLs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (":80", ("", 80, "tcp")),
        (":0", ("", 0, "tcp")),
        ("127.0.0.1:8080", ("127.0.0.1", 8080, "tcp")),
        ("[::1]:443/TCP", ("::1", 443, "tcp")),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1, "tcp")),
        ("localhost:65535", ("localhost", 65535, "tcp")),
        (":53/udp", ("", 53, "udp")),
    ],
)
def test_addresses(text, parts):
    assert split_address(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8080", '"8080" has no port; write ":8080"'),
        ("host", '"host" has no port'),
        ("", '"" has no port'),
        (":65536", '":65536" has no port from 0 to 65535 after the colon'),
        (":http", '":http" has no port from 0 to 65535 after the colon'),
        (":", '":" has no port from 0 to 65535 after the colon'),
        (":80/sctp", '":80/sctp" ends in /sctp; the protocol of an address is /tcp or /udp'),
        ("::1:80", '"::1:80" has an IPv6 address without brackets; write "[::1]:port"'),
        ("a b:80", '"a b:80" has a host that is neither an address nor a name'),
        ("[::1:80", '"[::1:80" has an IPv6 address without brackets; write "[[::1]:port"'),
        ("[1.2.3.4]:80", '"[1.2.3.4]:80" has brackets round what is no IPv6 address'),
    ],
)
def test_refused_addresses(text, message):
    assert refusal(split_address, text) == message


def test_an_address_to_listen_on_stays_as_it_is():
    assert listen_address("[::1]:53/UDP") == "[::1]:53/UDP"


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "10.1.2.3/8", "::1", "fd00::/8", "0.0.0.0/0", "::ffff:10.0.0.1"]
)
def test_networks(text):
    assert network(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0", "10.0.0.1/33", "10.0.0.1/", "10.0.0.1/255.0.0.0", "fe80::1%1", "fd00::/129", "host"],
)
def test_refused_networks(text):
    assert refusal(network, text) == (
        f'"{text}" is neither an IP address nor a network; write 10.0.0.1, 10.0.0.0/8 or fd00::/8'
    )


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:3000",
        "https://shop.example",
        "HTTP://Shop.Example:80/api?x=1",
        "http://user:secret@host/",
        "http://[::1]:8080",
        "http://host:65535/a/b",
        "unix:///run/app.sock",
    ],
)
def test_server_urls(text):
    assert server_url(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:3000", '"127.0.0.1:3000" is not the URL of a server; write "http://host:port"'),
        ("", '"" is not the URL of a server; write "http://host:port"'),
        ("http:/host", '"http:/host" is not the URL of a server; write "http://host:port"'),
        ("http://", '"http://" is the URL of a server without a host; write "http://host:port"'),
        ("http://:80", '"http://:80" is the URL of a server without a host; write "http://host:port"'),
        ("http://a:b", '"http://a:b" is not the URL of a server: its host or port cannot be read'),
        ("http://a:99999", '"http://a:99999" is not the URL of a server: its host or port cannot be read'),
        ("http://[::1", '"http://[::1" is not the URL of a server: its host or port cannot be read'),
        ("http://a:0", '"http://a:0" has port 0; a server has a port from 1 to 65535'),
        ("http://a b", '"http://a b" holds white space or a control character, which no URL may'),
        ("http://a\n", '"http://a\n" holds white space or a control character, which no URL may'),
        ("h2c://a", '"h2c://a": servers by h2c are not supported yet'),
        ("wss://a", '"wss://a": a server is http, https or unix; write https, web sockets pass through'),
        ("ws://a", '"ws://a": a server is http, https or unix; write http, web sockets pass through'),
        ("ftp://a", '"ftp://a" has the scheme ftp; a server is http, https or unix'),
        ("unix://run/x", '"unix://run/x" names no socket; write "unix:///run/app.sock", with three slashes'),
        ("unix:///", '"unix:///" names no socket; write "unix:///run/app.sock", with three slashes'),
    ],
)
def test_refused_server_urls(text, message):
    assert refusal(server_url, text) == message


def test_regular_expressions():
    assert regexp("^/api/(v[12])") == "^/api/(v[12])"
    assert refusal(regexp, "(") == '"(" is not a regular expression: missing ): ('


# --- values without a schema --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("1_000", "1_000"),
        ("22:22", "22:22"),
        ("yes", "yes"),
        ("2024-01-01", "2024-01-01"),
        ("0xzz", "0xzz"),
        (".", "."),
        ("-", "-"),
        ("trueish", "trueish"),
    ],
)
def test_unquoted_scalars_are_those_of_yaml_1_2(text, value):
    made = natural(Plain(text) if is_typed(text) else text)
    assert made == value
    assert type(made) is type(value)


def test_natural_goes_into_lists_and_mappings():
    assert natural({"a": [Plain("1"), "1", {"b": Plain("true")}], "c": None}) == {
        "a": [1, "1", {"b": True}],
        "c": None,
    }
