"""PostgreSQL asks for TLS in its own way: ended here, passed through, with a real server and client."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest
import trustme

from tests.tcp.clients import SSL_REQUEST
from tests.tcp.peers import PATIENCE, STATIC, Client, address_of, document, free_port
from tests.tcp.test_tls_streams import certificates, server_context


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def routed(authority, address, *, through=False, name="db.test"):
    made = document(address, rule=f"HostSNI(`{name}`)", router={"tls": {"passthrough": through}})
    return {**made, "tls": certificates(authority, name)}


async def asked(house, authority, pieces=(SSL_REQUEST,), name="db.test"):
    """Ask for TLS as PostgreSQL does, and begin it when that is agreed to."""
    reader, writer = await asyncio.open_connection(*house.address("db"))
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(context)
        await writer.start_tls(context, server_hostname=name)
    return Client(reader, writer)


async def postgres(authority, answer=b"S"):
    """Start a server that agrees to TLS, and then says what it is sent in capitals."""

    async def serve(reader, writer):
        assert await reader.readexactly(8) == SSL_REQUEST
        writer.write(answer)
        if answer != b"S":
            return
        await writer.start_tls(server_context(authority, "db.test"))
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "pieces", [[SSL_REQUEST], [SSL_REQUEST[:3], SSL_REQUEST[3:]], [b"%c" % each for each in SSL_REQUEST]]
)
async def test_tls_that_ends_here(proxy, server, authority, pieces):
    house = await proxy(routed(authority, (await server("inner")).address))
    client = await asked(house, authority, pieces)
    assert await client.line() == b"inner\n"
    client.send(b"start-up\n")
    assert await client.line() == b"START-UP\n"
    client.close()


async def test_tls_that_passes_through(proxy, authority):
    real = await postgres(authority)
    client = await asked(await proxy(routed(authority, address_of(real), through=True)), authority)
    client.send(b"start-up\n")
    assert await client.line() == b"START-UP\n"
    client.close()
    real.close()


@pytest.mark.parametrize("answer", [b"N", b"SS", b"E" + b"x" * 20])
async def test_a_server_that_does_not_agree(proxy, authority, answer, caplog):
    real = await postgres(authority, answer)
    house = await proxy(routed(authority, address_of(real), through=True))
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await asked(house, authority)
    assert "does not speak TLS for PostgreSQL" in caplog.text
    real.close()


async def test_a_server_that_does_not_answer_is_given_up(proxy, authority):
    """Also where a server may take as long as it likes to accept a connection."""
    silent = socket.create_server(("127.0.0.1", 0))
    made = routed(authority, address_of(silent), through=True)
    made["tcp"]["services"]["db"]["loadBalancer"]["serversTransport"] = "patient"
    made["tcp"]["serversTransports"] = {"patient": {"dialTimeout": 0}}
    house = await proxy(made)
    house._listeners["db"].entry.engine.patience = 0.1
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await asked(house, authority)
    silent.close()


async def test_only_tcp_routers_are_asked(proxy, server, authority):
    house = await proxy(routed(authority, (await server()).address))
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await asked(house, authority, name="other.test")


async def test_no_tls_behind_the_request(proxy, server, connect, authority):
    one = await server("one")
    client = await connect(await proxy(routed(authority, one.address)))
    client.send(SSL_REQUEST)
    client.send(b"no hello")
    assert await client.rest() in (b"S", b"")
    assert one.open == 0


# --- the real one -------------------------------------------------------------------------------------------

BINARIES = next((each.parent for each in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)


@pytest.fixture(scope="module")
def database(authority):
    """Start a PostgreSQL with TLS on a free port; gives the port."""
    if BINARIES is None or shutil.which("psql") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Debian's postgresql is not installed")
    # Not in pytest's own folder: that is closed to other users, and PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="fastproxy-postgres-") as name:
        folder = Path(name)
        leaf = authority.issue_cert("db.test")
        (folder / "server.crt").write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        (folder / "server.key").write_bytes(leaf.private_key_pem.bytes())
        (folder / "server.key").chmod(0o600)
        before = []
        if os.getuid() == 0:
            for each in (folder, *folder.iterdir()):
                shutil.chown(each, "postgres")
            before = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        yield from running(folder, before)


def running(folder, before):
    """Run a server in a folder. before: what makes somebody else of us."""
    data = folder / "data"
    run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*before, BINARIES / "initdb", "-D", data, "-U", "app", "-A", "trust"], **run)
    settings = (
        f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c ssl=on "
        f"-c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key -c fsync=off"
    )
    control = [*before, BINARIES / "pg_ctl", "-D", data, "-w", "-t", "30", "-l", folder / "log"]
    for tries_left in reversed(range(5)):
        port = free_port()  # until it is taken by somebody else, for a moment
        started = subprocess.run([*control, "-o", f"-p {port} {settings}", "start"], **run | {"check": False})
        if started.returncode == 0:
            break
        assert tries_left, (folder / "log").read_text()
    yield port
    subprocess.run([*control, "-m", "immediate", "stop"], **run)


QUERY = "select ssl, 6 * 7 from pg_stat_ssl where pid = pg_backend_pid()"


async def begun(house, *arguments, mode="require", **options):
    host, port = house.address("db")
    place = f"host=db.test hostaddr={host} port={port} user=app dbname=postgres"
    return await asyncio.create_subprocess_exec(
        *("psql", "-XAt", f"{place} sslmode={mode} connect_timeout=10", *arguments),
        stdout=asyncio.subprocess.PIPE,
        **options,
    )


async def psql(house, mode="require"):
    made = await begun(house, "-c", QUERY, mode=mode, stderr=asyncio.subprocess.PIPE)
    out, err = await made.communicate()
    return out.decode().strip() or err.decode()


@pytest.mark.parametrize(("through", "said"), [(True, "t|42"), (False, "f|42")])
async def test_psql_with_tls(proxy, authority, database, through, said):
    """The server sees TLS when it passes through, and none when it ends here."""
    house = await proxy(routed(authority, f"127.0.0.1:{database}", through=through))
    assert await psql(house) == said
    await house.apply(routed(authority, f"127.0.0.1:{database}", through=not through))
    assert await psql(house) == {"t|42": "f|42", "f|42": "t|42"}[said]


async def test_psql_goes_on_where_it_began(proxy, authority, database):
    """While the name goes from one way to the other and back, sessions stay on theirs."""
    house, sessions = await proxy(), []

    async def ask(session):
        session.stdin.write(QUERY.encode() + b";\n")
        async with asyncio.timeout(PATIENCE):
            return await session.stdout.readline()

    ways = (False, True, False)
    for through in ways:
        await house.apply(routed(authority, f"127.0.0.1:{database}", through=through))
        sessions.append(await begun(house, stdin=asyncio.subprocess.PIPE))
        assert [await ask(each) for each in sessions] == [
            b"t|42\n" if each else b"f|42\n" for each in ways[: len(sessions)]
        ]
    for each in sessions:
        await each.communicate(b"\\q\n")


async def test_psql_without_tls(proxy, database):
    house = await proxy(document(f"127.0.0.1:{database}"), STATIC)
    assert await psql(house, "disable") == "f|42"
    assert await psql(house, "require") == "t|42"  # a plain router passes on whatever comes
