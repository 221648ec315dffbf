"""Clients that never come to the end of a head: a byte now and then, and back at once when closed.

    python bench/rig/loris.py PORT CONNECTIONS SECONDS

Prints what became of them: connections made, and of them closed by the other side.
"""

import contextlib
import resource
import socket
import sys
import time

HEAD = b"GET / HTTP/1.1\r\nHost: bench.example\r\nX-Slow: " + b"x" * 4096
EVERY = 1.0     # seconds between two bytes of a connection
ROUND = 0.05    # seconds in which a part of the connections gets its byte


class Slow:
    """One such client."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.made = self.lost = 0
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.at = 0
        self.made += 1
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", self.port))

    def dribble(self) -> None:
        """Send the next byte; connect again if the other side has closed."""
        try:
            self.at += self.socket.send(HEAD[self.at : self.at + 1])
            return
        except BlockingIOError:
            return      # not connected yet, or the backlog is full
        except OSError:
            self.lost += 1
        self.socket.close()
        self._connect()


def main() -> int:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    clients: list[Slow] = []
    parts = round(EVERY / ROUND)
    turn = 0
    while (now := time.monotonic()) < began + seconds:
        while len(clients) < min(count, count * (now - began)):     # all are there after a second
            clients.append(Slow(port))
        for client in clients[turn % parts :: parts]:
            client.dribble()
        turn += 1
        time.sleep(max(0.0, now + ROUND - time.monotonic()))
    print(f"{sum(each.made for each in clients)} connections, {sum(each.lost for each in clients)} closed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
