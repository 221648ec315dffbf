"""What pairs of connections cost that a TCP router has tied together, while nothing happens on them.

Each client says a word and gets it back, and then is silent. Counted is the memory that only the proxy's
process tree has, before and after; what the kernel keeps for its sockets is not ours.

    python bench/idle_pairs.py --pairs 10000

Exits 1 when a pair costs more than 4 KiB. Needs two open files a pair in the proxy, which has two workers for
that, and one here; the servers' ends are another process's (`rig/streams.c`).
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import fleet, machine, streams
from rig.processes import end_on_signal, free_ports, raise_open_files, server
from rig.promises import judge

KIB = 1024
MAY_COST = 4 * KIB
AT_ONCE = 64
SPARE_FILES = 200
WORD = b"hello\n"

STATIC = """
entryPoints:
  relay: {{address: "127.0.0.1:{relay}"}}
  web: {{address: "127.0.0.1:{web}"}}
providers: {{file: {{filename: {folder}/dynamic.yml}}}}
core: {{workers: 2}}
ping: {{entryPoint: web}}
"""
DYNAMIC = """
tcp:
  services: {{echo: {{loadBalancer: {{servers: [{{address: "127.0.0.1:{backend}"}}]}}}}}}
  routers: {{all: {{rule: "HostSNI(`*`)", service: echo, entryPoints: [relay]}}}}
"""

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextmanager
def proxy(folder: Path, backend: int) -> Iterator[tuple[int, int]]:
    """Run a fastproxy that passes everything on; yields its process and its port."""
    relay, web = free_ports(2)
    (folder / "static.yml").write_text(STATIC.format(relay=relay, web=web, folder=folder))
    (folder / "dynamic.yml").write_text(DYNAMIC.format(backend=backend))
    command = [sys.executable, "-m", "fastproxy", f"--configFile={folder}/static.yml"]
    ready = lambda: fleet.status_of(web, "/ping") == 200        # noqa: E731
    with server(command, cores=os.sched_getaffinity(0), log=folder / "log", ready=ready) as process:
        yield process.pid, relay


async def open_pairs(port: int, count: int) -> list[Pair]:
    async def one() -> Pair:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await said(reader, writer)
        return reader, writer

    pairs: list[Pair] = []
    for first in range(0, count, AT_ONCE):
        pairs += await asyncio.gather(*(one() for _ in range(min(AT_ONCE, count - first))))
    return pairs


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(WORD)
    if await reader.readline() != WORD:
        raise SystemExit("bench: a pair does not pass on what is said")


async def close(pairs: list[Pair]) -> None:
    for _, writer in pairs:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in pairs), return_exceptions=True)


async def measure(count: int, folder: Path) -> list[tuple[bool, str]]:
    core = min(os.sched_getaffinity(0))
    servers = fleet.stream_servers(streams.compiled(folder), folder / "servers", core)
    with servers as ports, proxy(folder, ports["echo"]) as (pid, port):
        await close(await open_pairs(port, AT_ONCE))    # what grows once and for all
        await asyncio.sleep(0.5)
        before = machine.memory_of(pid).uss
        pairs = await open_pairs(port, count)
        await asyncio.sleep(0.5)
        cost = (machine.memory_of(pid).uss - before) / count
        for pair in pairs[:: max(1, count // 100)]:
            await said(*pair)
        await close(pairs)
    return [(cost <= MAY_COST, f"{count} idle pairs cost {cost / KIB:.2f} KiB each (<= {MAY_COST // KIB})")]


def main() -> int:
    end_on_signal()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10_000, metavar="N")
    given = parser.parse_args()
    raise_open_files(given.pairs + SPARE_FILES)
    with tempfile.TemporaryDirectory(prefix="fastproxy-pairs-") as folder:
        return judge(asyncio.run(measure(given.pairs, Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
