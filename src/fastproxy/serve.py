"""`fastproxy serve :8080 http://127.0.0.1:3000`: a proxy without any file."""

from collections.abc import Sequence

from .config.dynamic import Configuration
from .config.http import HttpConfiguration, HttpRouter, HttpService, LoadBalancer, Server
from .config.static import Core, EntryPoint, Log, LogLevel, StaticConfiguration
from .config.values import listen_address, server_url, split_address

PROVIDER = "serve"
"""What the names of the one router and the one service end in: `all@serve`, `servers@serve`."""


def address_of(text: str) -> str:
    """Read where to listen: `:8080`, `8080`, `127.0.0.1:8080`. ValueError if it is no address."""
    address = listen_address(f":{text}" if text.isascii() and text.isdigit() else text)
    if split_address(address).protocol == "udp":
        raise ValueError(f'"{text}" is an address for UDP; servers here speak HTTP')
    return address


def server_of(text: str) -> str:
    """Read a server: a URL, `host:port`, or a port on this machine, `3000` or `:3000`. Else ValueError."""
    if "://" not in text:
        port = text.removeprefix(":")
        text = f"http://127.0.0.1:{port}" if port.isascii() and port.isdigit() else f"http://{text}"
    return server_url(text)


def static_configuration(address: str, workers: int = 0, level: LogLevel = "INFO") -> StaticConfiguration:
    """Return what the supervisor needs: one entry point, `web`. workers: 0 for one on each usable core."""
    return StaticConfiguration(
        entry_points={"web": EntryPoint(address=address)}, core=Core(workers=workers), log=Log(level=level)
    )


def configuration(servers: Sequence[str]) -> Configuration:
    """Return one router that takes every request to these servers in turn."""
    balancer = LoadBalancer(servers=tuple(Server(url=each) for each in servers))
    return Configuration(
        http=HttpConfiguration(
            routers={"all": HttpRouter(rule="PathPrefix(`/`)", service="servers")},
            services={"servers": HttpService(load_balancer=balancer)},
        )
    )
