"""A rule in plain Python: the tree, asked matcher by matcher. Oracle of the compiled one, and its measure."""

import ipaddress
import re
from dataclasses import dataclass

from fastproxy.regex import compile_pattern
from fastproxy.rules.syntax import And, Matcher, Not, Tree


@dataclass(frozen=True)
class Asked:
    """What a rule may ask of a request: `host` and `path` as they are after canonicalisation."""

    method: bytes = b"GET"
    host: bytes = b""
    path: bytes = b"/"
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    client: str = ""


def asked(request) -> Asked:
    """Read a compiled Request through its Python face."""
    return Asked(
        request.method_name.encode(),
        request.host_name.encode(),
        request.matched_path,
        request.query_string.encode("latin-1"),
        tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers()),
        request.client_ip,
    )


def matches(tree: Tree, request: Asked) -> bool:
    if isinstance(tree, Matcher):
        arguments = [argument.encode("utf-8", "surrogateescape") for argument in tree.arguments]
        return MATCHERS[tree.name](request, *arguments)
    if isinstance(tree, Not):
        return not matches(tree.part, request)
    answers = (matches(part, request) for part in tree.parts)
    return all(answers) if isinstance(tree, And) else any(answers)


def found(pattern: bytes, text: bytes) -> bool:
    return compile_pattern(pattern.decode()).search(text) is not None


def host(request: Asked, name: bytes) -> bool:
    name = name.lower().removesuffix(b".")
    if name == b"*":
        return True
    if name.startswith(b"*"):
        _, dot, rest = request.host.partition(b".")
        return bool(request.host) and b"*" + dot + rest == name
    return bool(request.host) and request.host == name


def header_lines(request: Asked, name: bytes) -> list[bytes]:
    if name.lower() in (b"host", b"transfer-encoding", b"trailer"):
        return []
    return [value for key, value in request.headers if key.lower() == name.lower()]


def unescaped(text: bytes) -> bytes | None:
    if re.search(rb"%(?![0-9A-Fa-f]{2})", text):
        return None
    text = text.replace(b"+", b" ")
    return re.sub(rb"%(..)", lambda hit: bytes([int(hit[1], 16)]), text, flags=re.DOTALL)


def query_values(request: Asked, name: bytes) -> list[bytes]:
    pairs = [pair.partition(b"=") for pair in request.query.split(b"&") if pair]
    decoded = [(unescaped(key), unescaped(value)) for key, _, value in pairs]
    return [value for key, value in decoded if key == name and value is not None]


def client_ip(request: Asked, network: bytes) -> bool:
    try:
        address = ipaddress.ip_address(request.client)
    except ValueError:
        return False
    allowed = ipaddress.ip_network(network.decode(), strict=False)
    return address.version == allowed.version and address in allowed


def query_regexp(request: Asked, name: bytes, pattern: bytes | None = None) -> bool:
    values = query_values(request, name)
    return b"" in values if pattern is None else any(found(pattern, value) for value in values)


MATCHERS = {
    "Host": host,
    "HostRegexp": lambda request, pattern: found(pattern, request.host),
    "Path": lambda request, path: request.path == path,
    "PathPrefix": lambda request, prefix: request.path.startswith(prefix),
    "PathRegexp": lambda request, pattern: found(pattern, request.path),
    "Method": lambda request, method: request.method == method.upper(),
    "Header": lambda request, name, value: value in header_lines(request, name),
    "HeaderRegexp": lambda request, name, pattern: any(
        found(pattern, value) for value in header_lines(request, name)
    ),
    "Query": lambda request, name, value=b"": value in query_values(request, name),
    "QueryRegexp": query_regexp,
    "ClientIP": client_ip,
}
