"""Lines of the access log in plain Python, of the same facts and settings: oracle of `_core.record`."""

from datetime import UTC, datetime

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def line(settings, texts, numbers, count, epoch, asked=()):
    """Return the line of a request. epoch: as of the core; asked: header fields of the request, in order."""
    if settings.format == "json":
        return json_line(settings, texts, numbers, count, epoch, asked)
    return common_line(settings, texts, numbers, count, epoch)


def facts(settings, texts, numbers, count, epoch):
    """Return everything that can be told, by the names of Traefik; bytes for what came from outside."""
    text = lambda name: texts.get(name, b"")  # noqa: E731
    number = lambda name: numbers.get(name, 0)  # noqa: E731
    host, port = split_port(text("host"))
    duration = max(number("ended") - number("began"), 0)
    client = text("client") or b"-"
    told = {
        "ClientAddr": (b"[%s]:%d" if b":" in client else b"%s:%d") % (client, number("port")),
        "ClientHost": text("forwarded") or client,
        "ClientPort": b"%d" % number("port"),
        "ClientUsername": text("user") or b"-",
        "DownstreamContentSize": number("size"),
        "DownstreamStatus": number("status"),
        "Duration": duration,
        "OriginContentSize": number("origin_size"),
        "OriginDuration": number("origin_duration"),
        "OriginStatus": number("origin_status"),
        "Overhead": max(number("ended") - number("began") - number("origin_duration"), 0),
        "RequestAddr": text("host"),
        "RequestContentSize": number("asked_size"),
        "RequestCount": count,
        "RequestHost": host,
        "RequestMethod": text("method"),
        "RequestPath": path_of(text("target"), settings.fields.query_parameters.default_mode == "drop"),
        "RequestPort": port,
        "RequestProtocol": b"HTTP/1.1" if number("minor") else b"HTTP/1.0",
        "RequestScheme": b"https" if number("is_tls") else b"http",
        "RetryAttempts": number("retries"),
        "StartLocal": number("began") + epoch,
        "StartUTC": number("began") + epoch,
        "entryPointName": text("entry_point"),
    }
    if client == b"-":
        told["ClientAddr"] = told["ClientPort"] = b"-"
    if number("size") not in (0, number("origin_size")):
        # Of doubles, as in Go: beyond 2**53 a quotient of whole numbers would be rounded to another one.
        told["GzipRatio"] = float(number("origin_size")) / float(number("size"))
    for name, key in (
        ("router", "RouterName"),
        ("service", "ServiceName"),
        ("url", "ServiceURL"),
        ("tls_version", "TLSVersion"),
        ("tls_cipher", "TLSCipher"),
        ("tls_subject", "TLSClientSubject"),
    ):
        if text(name):
            told[key] = text(name)
    if text("address"):
        told["ServiceAddr"] = text("address")
    return told


def common_line(settings, texts, numbers, count, epoch):
    fields = settings.fields
    told = facts(settings, texts, numbers, count, epoch)
    kept = {name: value for name, value in told.items() if fields.keeps(name)}
    plain = lambda name: escaped(kept[name]) if kept.get(name) not in (None, b"") else "-"  # noqa: E731
    quoted = lambda name: f'"{plain(name)}"'  # noqa: E731
    zone = UTC if "StartUTC" in kept else None
    start = kept.get("StartUTC", kept.get("StartLocal"))
    parts = [
        plain("ClientHost"),
        "-",
        plain("ClientUsername"),
        "[-]" if start is None else f"[{clf(start, zone)}]",
        f'"{plain("RequestMethod")} {plain("RequestPath")} {plain("RequestProtocol")}"',
        plain("DownstreamStatus"),
        plain("DownstreamContentSize"),
        header(settings, "Referer", texts.get("referer", b"")),
        header(settings, "User-Agent", texts.get("agent", b"")),
    ]
    if settings.format == "common":
        milliseconds = kept.get("Duration", 0) // 1_000_000
        parts += [plain("RequestCount"), quoted("RouterName"), quoted("ServiceURL"), f"{milliseconds}ms"]
    return (" ".join(parts) + "\n").encode()


def header(settings, name, value):
    mode = mode_of(settings, name)
    if not value or mode == "drop":
        return '"-"'
    return '"REDACTED"' if mode == "redact" else f'"{escaped(value)}"'


def mode_of(settings, name):
    headers = settings.fields.headers
    modes = {known.lower(): mode for known, mode in headers.names.items()}
    return modes.get(name.lower(), headers.default_mode)


def json_line(settings, texts, numbers, count, epoch, asked):
    told = facts(settings, texts, numbers, count, epoch)
    kept = {name: value for name, value in told.items() if settings.fields.keeps(name)}
    for name in ("StartUTC", "StartLocal"):
        if name in kept:
            kept[name] = rfc3339(kept[name], UTC if name == "StartUTC" else None, fine=True)
    kept |= {"level": "info", "msg": "", "time": rfc3339(numbers.get("ended", 0) + epoch, None, fine=False)}
    kept |= headers(settings, texts, asked)
    return {name: readable(value) for name, value in kept.items()}


def headers(settings, texts, asked):
    """Return the fields of the request that are told; those of one name joined."""
    gathered = {}
    for name, value in asked:
        mode = mode_of(settings, name.decode())
        if mode == "drop" or name.lower() == b"host":
            continue
        key = "request_" + "-".join(part.capitalize() for part in name.decode().split("-"))
        if name.lower() == b"x-forwarded-for":
            value = texts.get("forwarded", b"")
            if not value:
                continue
            gathered.pop(key, None)  # what was believed is told once
        if mode == "redact":
            gathered[key] = [b"REDACTED"]
        else:
            gathered.setdefault(key, []).append(value)
    # Each value is made readable by itself: halves of a character on both sides of a comma are no character.
    return {key: b",".join(readable(value).encode() for value in values) for key, values in gathered.items()}


def readable(value):
    """Return a text as JSON can hold it: what is no UTF-8 becomes U+FFFD, byte by byte."""
    if not isinstance(value, bytes):
        return value
    text = value.decode(errors="surrogateescape")
    return "".join("\ufffd" if 0xDC80 <= ord(character) <= 0xDCFF else character for character in text)


def escaped(value):
    """Return a value as a line of common logs has it."""
    if not isinstance(value, bytes):
        return str(value)
    out = ""
    for character in value.decode(errors="surrogateescape"):
        code = ord(character)
        hidden = code < 32 or 127 <= code < 160 or code in (0x2028, 0x2029) or 0xDC80 <= code <= 0xDCFF
        if hidden:
            out += "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
        else:
            out += "\\" + character if character in '"\\' else character
    return out


def split_port(address):
    if address.startswith(b"["):
        inside, bracket, port = address[1:].partition(b"]")
        return (inside, port[1:]) if bracket and port.startswith(b":") else (address, b"-")
    host, colon, port = address.partition(b":")
    return (host, port) if colon and b":" not in port else (address, b"-")


def path_of(target, cuts_query):
    if target and target[:1] not in b"/*":
        _, colon, rest = target.partition(b"://")
        rest = rest if colon else target
        target = rest[rest.index(b"/") :] if b"/" in rest else b"/"
    return target.partition(b"?")[0] if cuts_query else target


def moment(nanoseconds, zone):
    """Return the date and time of a number of nanoseconds since 1970, in a zone; None: the machine's."""
    found = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return found if zone is UTC else found.astimezone(zone)


def clf(nanoseconds, zone):
    at = moment(nanoseconds, zone)
    return f"{at:%d}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S %z}"


def rfc3339(nanoseconds, zone, *, fine):
    at = moment(nanoseconds, zone)
    part = f".{nanoseconds % 10**9:09d}".rstrip("0") if fine and nanoseconds % 10**9 else ""
    end = f"{at:%z}"
    end = f"{end[:3]}:{end[3:]}" if at.utcoffset() else "Z"
    return f"{at:%Y-%m-%dT%H:%M:%S}{part}{end}"
