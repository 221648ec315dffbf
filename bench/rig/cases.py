"""What is measured, and what is to be reached."""

from dataclasses import dataclass, field

from .configs import host_names
from .load import BROWSER_HEAD, Load, hosts_script, post_script
from .streams import Stream

ASKED_HOSTS = 64        # of all the names a proxy knows, so many are asked for, spread evenly


@dataclass(frozen=True)
class Case:
    """One load on every proxy. `targets` are the highest ratios of CPU per request to reach, by peer.

    A request of a stream is a message there and back, a MiB, a connection, or a session.
    """

    name: str
    title: str
    load: Load | Stream
    hosts: int = 0
    """Names the proxies tell apart; 0 for a single route."""
    changing: bool = False
    """One route changes every second meanwhile."""
    log: str = ""
    """Format of the access log: common or json; "" for none."""
    targets: dict[str, float] = field(default_factory=dict)


def asked_hosts(count: int) -> list[str]:
    """Return the hosts that are asked for where *count* are known."""
    names = host_names(count)
    return [names[number * count // ASKED_HOSTS] for number in range(ASKED_HOSTS)]


def _hosts(count: int, **more) -> dict:
    return {"load": Load(script=hosts_script(asked_hosts(count))), "hosts": count, **more}


CASES = (
    Case("small", "small GET, 64 connections", Load(), targets={"nginx": 1.00, "haproxy": 0.95}),
    Case("small1000", "small GET, 1000 connections", Load(connections=1000)),
    Case("accesslog", "small GET, access log", Load(), log="common", targets={"small": 1.05}),
    Case("accesslogjson", "small GET, access log as JSON", Load(), log="json", targets={"small": 1.05}),
    Case("browser", "browser's head, 13 fields", Load(headers=BROWSER_HEAD), targets={"nginx": 1.00}),
    Case("10k", "10 KiB answer", Load("/files/10k"), targets={"nginx": 1.05}),
    Case("1m", "1 MiB answer, 16 connections", Load("/files/1m", 16), targets={"nginx": 1.10}),
    Case("post", "10 KiB POST", Load("/post", script=post_script(10_240)), targets={"nginx": 1.05}),
    Case("new", "new connection per request", Load(headers={"Connection": "close"}), targets={"nginx": 1.25}),
    Case("hosts1", "1 Host router", **_hosts(1)),
    Case("hosts1k", "1 000 Host routers", **_hosts(1_000)),
    Case("hosts10k", "10 000 Host routers", **_hosts(10_000)),
    Case("hosts100k", "100 000 Host routers", **_hosts(100_000), targets={"hosts1": 1.10}),
    Case("tls", "small GET over TLS", Load(is_secure=True), targets={"nginx": 0.95}),
    Case("tls1m", "1 MiB answer over TLS, 16 connections", Load("/files/1m", 16, is_secure=True),
         targets={"nginx": 1.10}),
    Case("tlsnew", "full handshake and a small GET", Load(headers={"Connection": "close"}, is_secure=True),
         targets={"nginx": 1.30}),
    Case("resumed", "resumed handshake, one after the other", Load(is_secure=True, resumes="1.2"),
         targets={"nginx": 1.50}),
    Case("resumed13", "resumed handshake of TLS 1.3 and a small GET", Load(is_secure=True, resumes="1.3"),
         targets={"nginx": 1.50}),
    Case("tcp_pingpong", "TCP, 64 bytes there and back, 64 connections", Stream("ping"),
         targets={"haproxy": 0.95}),
    Case("tcp_bulk", "TCP, a MiB, 4 connections", Stream("bulk", 4), targets={"haproxy-splice": 1.00}),
    Case("tcp_new", "TCP, a connection with one message", Stream("new"), targets={"haproxy": 1.25}),
    Case("udp", "UDP, 64 bytes there and back, 64 sessions", Stream("datagrams"), targets={"nginx": 1.00}),
    Case("udp1", "UDP, 1 session", Stream("datagrams", 1), targets={"nginx": 1.00}),
    Case("udp4000", "UDP, 4 000 sessions", Stream("datagrams", 4000), targets={"nginx": 1.00}),
    Case("udp_new", "UDP, a session for each datagram", Stream("sessions"), targets={"nginx": 1.00}),
    Case("changing", "10 000, one changes every second", **_hosts(10_000, changing=True)),
)

IDLE = "idle"           # measured in bytes, not in time
IDLE_TLS = "idletls"    # likewise, of connections over TLS
IDLE_CONNECTIONS = 4000
IDLE_TARGET = 2048      # bytes of the worker's own memory per idle connection

NAMES = [case.name for case in CASES] + [IDLE, IDLE_TLS]
