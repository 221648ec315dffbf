"""A client that resumes its session of TLS 1.3 with each connection, on which it asks once.

    python bench/rig/resume.py PORT PATH SECONDS

Prints how many connections there were and in how many seconds. Exits 1 when one was not resumed, or not
answered.
"""

import socket
import ssl
import sys
import time


def ask(context: ssl.SSLContext, port: int, path: str, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    """Ask on a connection of its own and read all that comes; returns it, closed."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = context.wrap_socket(plain, session=session)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := client.recv(65536):
            answer += more
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"answered with {answer[:80]!r}")
        return client


def main() -> None:
    port, path, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    session = ask(context, port, path, None).session
    count, begun = 0, time.monotonic()
    while time.monotonic() < begun + seconds:
        client = ask(context, port, path, session)
        if not client.session_reused:
            raise SystemExit("a session was not resumed")
        session = client.session
        count += 1
    print(count, time.monotonic() - begun)


main()
