"""`fastproxy healthcheck`: asks the ping of an instance with the same static configuration.

Source: the command `healthcheck` of Traefik v3: HEAD /ping on the entry point of ping, over plain HTTP.
"""

import http.client
import sys
from contextlib import closing

from .config.static import StaticConfiguration

SECONDS = 5.0

_EVERYWHERE = {"": ("127.0.0.1", "::1"), "0.0.0.0": ("127.0.0.1",), "::": ("127.0.0.1", "::1")}
"""Where an entry point that listens on all addresses is asked."""


def run(static: StaticConfiguration) -> int:
    """Print `OK: <url>`, or what is wrong; returns the exit status: 0 if ping answers 200, else 1."""
    if static.ping is None:
        return _failed("please enable ping: add `ping: {}` to the static configuration, or --ping")
    point = static.entry_points.get(static.ping.entry_point)
    if point is None:
        return _failed(f"ping: missing {static.ping.entry_point} entry point")
    host, port, _ = point.location
    url = f"http://[{host}]:{port}/ping" if ":" in host else f"http://{host}:{port}/ping"
    try:
        status, phrase = _ask(_EVERYWHERE.get(host, (host,)), port)
    except (OSError, http.client.HTTPException) as error:
        return _failed(f"Error calling healthcheck: {url}: {_reason(error)}")
    if status != 200:
        return _failed(f"Bad healthcheck status: {status} {phrase}".rstrip())
    print(f"OK: {url}")
    return 0


def _ask(hosts: tuple[str, ...], port: int) -> tuple[int, str]:
    """Return status and phrase of the first of the hosts that can be reached. OSError, HTTPException."""
    for host in hosts:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        with closing(connection):
            try:
                connection.connect()
            except OSError:
                if host == hosts[-1]:
                    raise
                continue
            connection.request("HEAD", "/ping")
            answer = connection.getresponse()
            return answer.status, answer.reason
    raise OSError("there is no address to ask")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:.0f} seconds"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
