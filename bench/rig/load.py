"""Run wrk and read what it says."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .processes import on_cores

BROWSER_HEAD = {      # with Host, thirteen fields
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
                  "Chrome/126.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://shop.example/catalogue?page=3",
    "Connection": "keep-alive",
    "Cookie": "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; basket=3f2a91c0; consent=1",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Cache-Control": "max-age=0",
}

POST_SCRIPT = """
wrk.method = "POST"
wrk.body = string.rep("x", {size})
wrk.headers["Content-Type"] = "application/octet-stream"
"""

HOSTS_SCRIPT = """
local hosts = {{ {hosts} }}
local requests, at = {{}}, 0
function init(args)
  for i, host in ipairs(hosts) do
    requests[i] = wrk.format("GET", nil, {{ ["Host"] = host }})
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk shall do. `script` is the text of its Lua script, "" for none."""

    path: str = "/small"
    connections: int = 64
    headers: dict[str, str] = field(default_factory=dict)
    script: str = ""
    is_secure: bool = False
    """Over TLS. With `Connection: close` every request shakes hands in full: wrk resumes no session."""

    resumes: str = ""
    """Resumed handshakes, one after the other: "1.2", by `openssl s_time` and without a request, or "1.3", by
    `resume.py` and with one; "" for wrk."""


@dataclass(frozen=True)
class Outcome:
    """What wrk found. `p99` in milliseconds; `failures` in wrk's words, empty when every answer was good."""

    requests: int
    seconds: float
    p99: float
    failures: tuple[str, ...] = ()
    failed: int = 0
    """Answers other than 2xx and 3xx, and sockets that failed, counted together."""


def post_script(size: int) -> str:
    return POST_SCRIPT.format(size=size)


def hosts_script(hosts: list[str]) -> str:
    return HOSTS_SCRIPT.format(hosts=", ".join(f'"{host}"' for host in hosts))


def run_wrk(load: Load, port: int, seconds: float, core: int, folder: Path) -> Outcome:
    """Put *load* on 127.0.0.1:*port* for *seconds* (wrk counts in whole ones), from *core*."""
    if load.resumes == "1.3":
        return run_resume(load, port, seconds, core)
    if load.resumes:
        return run_s_time(port, seconds, core)
    lasting = f"-d{max(1, round(seconds))}s"
    command = ["wrk", "-t1", f"-c{load.connections}", lasting, "--latency", "--timeout", "10s"]
    for name, value in load.headers.items():
        command += ["-H", f"{name}: {value}"]
    if load.script:
        # One file for each run: two runs may overlap in time.
        script = folder / f"load-{os.getpid()}-{port}.lua"
        script.write_text(load.script)
        command += ["-s", str(script)]
    command.append(f"http{'s' * load.is_secure}://127.0.0.1:{port}{load.path}")
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, preexec_fn=on_cores({core}),
    )
    if done.returncode:
        said = done.stderr.strip()
        raise SystemExit(f"bench: {' '.join(command)} ended with status {done.returncode}: {said}")
    return read_wrk(done.stdout)


def run_s_time(port: int, seconds: float, core: int) -> Outcome:
    """Resume one session of TLS 1.2 again and again; `requests` are handshakes."""
    lasting = max(1, round(seconds))
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-reuse", "-time", str(lasting)]
    done = subprocess.run(
        [*command, "-tls1_2"], capture_output=True, text=True, timeout=seconds + 60,
        preexec_fn=on_cores({core}),
    )
    counted = re.search(r"^(\d+) connections in (\d+) real seconds", done.stdout, re.MULTILINE)
    if done.returncode or not counted:
        raise SystemExit(f"bench: openssl s_time failed: {done.stderr.strip() or done.stdout.strip()}")
    return Outcome(int(counted[1]), float(counted[2]), 0.0)


def run_resume(load: Load, port: int, seconds: float, core: int) -> Outcome:
    """Resume one session of TLS 1.3 again and again, and ask once on each connection."""
    command = [sys.executable, str(Path(__file__).parent / "resume.py"), str(port), load.path, str(seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, preexec_fn=on_cores({core}),
    )
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} failed: {done.stderr.strip()}")
    count, lasted = done.stdout.split()
    return Outcome(int(count), float(lasted), 0.0)


MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
COMPLAINTS = ("Socket errors", "Non-2xx")


def read_wrk(text: str) -> Outcome:
    """Read what `wrk --latency` prints."""
    counted = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", text)
    if not counted:
        raise SystemExit(f"bench: wrk said nothing of requests:\n{text}")
    lines = map(str.strip, text.splitlines())
    failures = tuple(line for line in lines if line.startswith(COMPLAINTS))
    return Outcome(
        requests=int(counted[1]),
        seconds=float(counted[2]) * MILLISECONDS[counted[3]] / 1000,
        p99=float(p99[1]) * MILLISECONDS[p99[2]] if p99 else 0.0,
        failures=failures,
        failed=sum(int(number) for line in failures for number in re.findall(r"\b\d+\b", line)),
    )
