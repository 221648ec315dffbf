"""A gibibyte down and a gibibyte up through a slow reader: how much memory the proxy takes meanwhile.

Who sends does so as fast as it may; who reads rests first, then takes a little at a time. Each direction is
tried with a length and in chunks; with fastproxy also over TLS, and through a TCP router, which passes the
same bytes on unread. Counted is the memory that only the proxy's process tree has, every 50 ms.

    python bench/slow_reader.py --mebibytes 1024 --way tcp --way tls

Exits 1 when the memory grew by more than 32 MiB, or a byte was lost.
"""

import argparse
import os
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple

from rig import configs, fleet, machine
from rig.processes import end_on_signal, free_ports, server
from rig.promises import judge

MIB = 2**20
MAY_GROW = 32 * MIB
PIECE = b"\x00" * (256 * 1024)
REST_FIRST = 2.0        # seconds for which the reader takes nothing: buffers fill as far as they go
REST = 0.002            # seconds between two reads: about 100 MiB a second
SAMPLE_EVERY = 0.05


# -- both ends --------------------------------------------------------------------------------------------

def send_body(connection: socket.socket, size: int, chunked: bool) -> None:
    """Send *size* bytes as fast as the connection takes them."""
    for _ in range(size // len(PIECE)):
        connection.sendall(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
    if chunked:
        connection.sendall(b"0\r\n\r\n")


class SlowReader:
    """Reads bodies from *stream*, with a rest after every 256 KiB however small the chunks are."""

    def __init__(self, stream) -> None:
        self.stream = stream
        self.taken = 0          # bytes since the last rest

    def read(self, fields: dict[str, str]) -> int:
        """Read the body whose head has *fields*; return its size, without the framing."""
        time.sleep(REST_FIRST)
        if "transfer-encoding" not in fields:
            return self.drop(int(fields["content-length"]))
        total = 0
        while size := int(self.stream.readline(), 16):
            total += self.drop(size)
            self.stream.readline()
        self.stream.readline()
        return total

    def drop(self, size: int) -> int:
        """Read *size* bytes and forget them; return how many came before the other side left."""
        left = size
        while left and (piece := self.stream.read(min(left, len(PIECE) - self.taken))):
            left -= len(piece)
            self.taken += len(piece)
            if self.taken == len(PIECE):
                self.taken = 0
                time.sleep(REST)
        return size - left


def read_head(stream) -> tuple[str, dict[str, str]]:
    """Return the first line of a head and its fields, names in lower case."""
    first = stream.readline().decode().strip()
    fields = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return first, fields


def framing(size: int, chunked: bool) -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size


def serve(listener: socket.socket, size: int) -> None:
    """Answer a connection at a time: GET /chunked and /length with a large body, POST with a count."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return      # closed: the run is over
        with connection, connection.makefile("rb") as stream:
            while (request := read_head(stream))[0]:
                answer(connection, stream, *request, size)


def answer(connection: socket.socket, stream, line: str, fields: dict[str, str], size: int) -> None:
    if line.startswith("POST"):
        taken = b"%d" % SlowReader(stream).read(fields)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing(len(taken), False) + taken)
    elif "/small" in line or "/seen" in line:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing(0, False))
    else:
        chunked = "/chunked" in line
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing(size, chunked))
        send_body(connection, size, chunked)


# -- the runs ---------------------------------------------------------------------------------------------

class Way(NamedTuple):
    """How a client comes in."""

    port: int
    over_tls: bool = False

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        if not self.over_tls:
            return connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname="bench.example")


def download(way: Way, size: int, chunked: bool) -> int:
    with way.connect() as connection, connection.makefile("rb") as stream:
        path = b"/chunked" if chunked else b"/length"
        connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: bench.example\r\n\r\n")
        line, fields = read_head(stream)
        return SlowReader(stream).read(fields) if " 200 " in line else 0


def upload(way: Way, size: int, chunked: bool) -> int:
    with way.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"POST /taken HTTP/1.1\r\nHost: bench.example\r\n" + framing(size, chunked))
        send_body(connection, size, chunked)
        line, fields = read_head(stream)
        return int(stream.read(int(fields["content-length"]))) if " 200 " in line else 0


RUNS = {
    "down, length": (download, False), "down, chunked": (download, True),
    "up, length": (upload, False), "up, chunked": (upload, True),
}


@contextmanager
def peak_of(root: int) -> Iterator[list[int]]:
    """Watch the memory of the tree under *root*; yields a list that holds its greatest so far, in bytes."""
    over = threading.Event()
    peak = [machine.memory_of(root).uss]

    def watch() -> None:
        while not over.wait(SAMPLE_EVERY):
            peak[0] = max(peak[0], machine.memory_of(root).uss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def run(pid: int, ways: dict[str, Way], size: int) -> Iterator[tuple[bool, str]]:
    """Yield (kept, what was found) for each way, direction and framing."""
    began = machine.memory_of(pid).uss
    for way, (name, (move, chunked)) in product(ways, RUNS.items()):
        if chunked and way == "tcp":
            continue    # bytes like any other
        with peak_of(pid) as peak:
            started = time.monotonic()
            moved = move(ways[way], size, chunked)
            took = time.monotonic() - started
        grown = peak[0] - began
        lost = "" if moved == size else f", but {size - moved} bytes were lost"
        found = f"{moved / MIB:.0f} MiB in {took:.1f} s, memory grew by {grown / MIB:.1f} MiB{lost}"
        yield grown <= MAY_GROW and not lost, f"{way}, {name}: {found}"


ROUTES = """    safe: {rule: "PathPrefix(`/`)", service: backend, tls: {}}
tcp:
  services:
    backend: {loadBalancer: {servers: [{address: "127.0.0.1:%d"}]}}
  routers:
    all: {rule: "HostSNI(`*`)", service: backend, entryPoints: [relay]}
"""


@contextmanager
def three_ways(folder: Path, backend: int) -> Iterator[tuple[int, dict[str, Way]]]:
    """Run a fastproxy that is reached by HTTP, HTTPS and TCP; yields its process and the ways."""
    port, relay = free_ports(2)
    folder.mkdir()
    command = configs.fastproxy(configs.Site(folder, port, (backend, backend), []))
    for file, before, more in (
        ("static.yml", "providers:\n", f'  relay: {{address: "127.0.0.1:{relay}"}}\n'),
        ("dynamic.yml", "", ROUTES % backend),
    ):
        text = (folder / file).read_text()
        (folder / file).write_text(text.replace(before, more + before, 1) if before else text + more)
    ready = lambda: fleet.status_of(port, "/small") == 200          # noqa: E731
    with server(command, cores=os.sched_getaffinity(0), log=folder / "log", ready=ready) as process:
        yield process.pid, {"http": Way(port), "tls": Way(port, over_tls=True), "tcp": Way(relay)}


@contextmanager
def one_way(kind: str, folder: Path, backend: int) -> Iterator[tuple[int, dict[str, Way]]]:
    """Run a proxy of some kind."""
    cores = os.sched_getaffinity(0)
    with fleet.proxy(kind, folder, cores, (backend, backend), checked=False) as running:
        yield running.pid, {"http": Way(running.port)}


@contextmanager
def own_backend(size: int) -> Iterator[int]:
    """Serve in threads of this process; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(serve, listener, size)
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)     # wakes those that wait in accept


def main() -> int:
    end_on_signal()
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--mebibytes", type=int, default=1024, metavar="N", help="in each run, default 1024")
    parser.add_argument("--proxy", choices=list(configs.COMMANDS), default="fastproxy")
    parser.add_argument("--way", action="append", choices=["http", "tls", "tcp"], help="default: all")
    given = parser.parse_args()
    machine.need(given.proxy)
    size = given.mebibytes * MIB
    with tempfile.TemporaryDirectory(prefix="fastproxy-slow-") as folder, own_backend(size) as backend:
        place = Path(folder) / "proxy"
        is_ours = given.proxy == "fastproxy"
        running = three_ways(place, backend) if is_ours else one_way(given.proxy, place, backend)
        with running as (pid, ways):
            chosen = {name: way for name, way in ways.items() if name in (given.way or ways)}
            results = run(pid, chosen, size)
            return judge((kept, f"{found} (<= {MAY_GROW / MIB:.0f})") for kept, found in results)


if __name__ == "__main__":
    sys.exit(main())
