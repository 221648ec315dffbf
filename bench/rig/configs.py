"""What each proxy is told, so that all do the same work for a request.

All of them: one worker, no access log unless the site says so, keep-alive to the client and to the backend,
the client's Host passed on, and six forwarded fields set: X-Forwarded-For, X-Real-Ip, X-Forwarded-Proto,
-Host, -Port and -Server. A site without names sends everything to the backend; one with names answers 404 to
any other.

nginx finds a name in a `map` (a hash), HAProxy in a map file (a tree): what each is given for many of them.

nginx gathers lines of its log in a buffer, as fastproxy does. HAProxy writes no files: it logs to a pipe or a
socket, so it has no part in what is measured with a log.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

IDLE_UPSTREAMS = 1024       # more than the most connections of any case, for all three
OPEN_FILES = 20_000


class Site(NamedTuple):
    """Where one proxy listens, where it sends, and what it knows."""

    folder: Path
    port: int
    backends: tuple[int, int]
    """Two ports of the same backend: where everything goes, and where a route is sent when it is changed."""
    names: list[str]
    """Hosts to tell apart; empty: everything goes to the first backend."""
    log: str = ""
    """Format of the access log: common or json; "" for none. In `access.log` of the folder."""

    is_secure: bool = False
    """TLS towards clients, with the certificate of `certificate`."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """Return a self-signed certificate (P-256) and its key in *folder*; made if they are not there."""
    paths = folder / "bench.pem", folder / "bench.key"
    if not paths[0].exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example,IP:127.0.0.1",
             "-days", "2", "-out", str(paths[0]), "-keyout", str(paths[1])],
            check=True, capture_output=True,
        )
        (folder / "bench.both.pem").write_text(paths[0].read_text() + paths[1].read_text())
    return paths


def host_names(count: int) -> list[str]:
    return [f"host-{number}.bench.example" for number in range(count)]


# -- the backend ------------------------------------------------------------------------------------------

SEEN = [
    "X-Forwarded-For", "X-Real-Ip", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
    "X-Forwarded-Server",
]

NGINX_HEAD = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
    server_tokens off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
"""

BACKEND = NGINX_HEAD + """
    access_log off;
    default_type text/plain;
    sendfile on;
    open_file_cache max=16;
    server {{
        listen 127.0.0.1:{ports[0]} backlog=4096;
        listen 127.0.0.1:{ports[1]} backlog=4096;
        location = /small {{ return 200 "hello from the backend\\n"; }}
        location = /port {{ return 200 "$server_port\n"; }}
        location = /post {{ return 200 "taken\\n"; }}
        location = /seen {{ return 200 "$connection_requests\\n{seen}"; }}
        location /files/ {{ alias {folder}/files/; }}
    }}
}}
"""


def backend(folder: Path, ports: tuple[int, int]) -> list[str]:
    """Write the backend's configuration and files; return its command."""
    files = folder / "files"
    files.mkdir(parents=True)
    (files / "10k").write_bytes(b"x" * 10_240)
    (files / "1m").write_bytes(b"x" * 1_048_576)
    seen = "".join(f"$http_{name.lower().replace('-', '_')}\\n" for name in SEEN)
    return _nginx(folder, BACKEND.format(**_common(folder), ports=ports, seen=seen))


# -- nginx ------------------------------------------------------------------------------------------------

NGINX = NGINX_HEAD + """
    map_hash_max_size 262144;
    map_hash_bucket_size 128;
    log_format json escape=json {json};
    {log}
    {chosen}
    upstream backend {{
        server 127.0.0.1:{backends[0]};
        keepalive {idle};
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    upstream other {{
        server 127.0.0.1:{backends[1]};
        keepalive {idle};
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} {secure} backlog=4096;
        {certificate}
        location / {{
            {refused}
            proxy_pass http://{target};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Real-Ip $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Server $hostname;
        }}
    }}
}}
"""


# The fields of fastproxy's line that nginx knows.
NGINX_JSON = """'{'
    '"ClientAddr":"$remote_addr:$remote_port","ClientHost":"$remote_addr","ClientPort":"$remote_port",'
    '"ClientUsername":"$remote_user","DownstreamContentSize":$body_bytes_sent,"DownstreamStatus":$status,'
    '"Duration":$request_time,"OriginContentSize":$upstream_response_length,'
    '"OriginDuration":$upstream_response_time,"OriginStatus":$upstream_status,"RequestAddr":"$http_host",'
    '"RequestContentSize":$content_length,"RequestCount":$connection_requests,"RequestHost":"$host",'
    '"RequestMethod":"$request_method","RequestPath":"$request_uri","RequestProtocol":"$server_protocol",'
    '"RequestScheme":"$scheme","ServiceAddr":"$upstream_addr","ServiceName":"$proxy_host",'
    '"StartUTC":"$msec","entryPointName":"$server_port","level":"info","msg":"","time":"$time_iso8601"'
    '}'"""

LOGGED = "access_log {folder}/access.log {format} buffer=64k flush=1s;"


def nginx(site: Site) -> list[str]:
    """Write nginx's configuration; return its command."""
    if site.names:
        nginx_map(site)
        chosen = f"map $host $chosen {{ default ''; include {site.folder}/hosts.map; }}"
        refused, target = "if ($chosen = '') { return 404; }", "$chosen"
    else:
        chosen, refused, target = "", "", "backend"
    text = NGINX.format(
        **_common(site.folder), port=site.port, backends=site.backends, idle=IDLE_UPSTREAMS,
        chosen=chosen, refused=refused, target=target, json=NGINX_JSON, log=_nginx_log(site),
        **_nginx_tls(site),
    )
    return _nginx(site.folder, text)


def _nginx_log(site: Site) -> str:
    if not site.log:
        return "access_log off;"
    return LOGGED.format(folder=site.folder, format={"common": "combined"}.get(site.log, site.log))


def _nginx_tls(site: Site) -> dict[str, str]:
    if not site.is_secure:
        return {"secure": "", "certificate": ""}
    chain, key = certificate(site.folder)
    return {
        "secure": "ssl",
        "certificate": f"ssl_certificate {chain}; ssl_certificate_key {key}; ssl_session_cache off; "
        "ssl_session_tickets on; ssl_protocols TLSv1.2 TLSv1.3;",
    }


def nginx_map(site: Site, other: str = "") -> None:
    """Write the map of names; the name *other* gets the other upstream."""
    lines = (f"{name} {'other' if name == other else 'backend'};\n" for name in site.names)
    replace(site.folder / "hosts.map", "".join(lines))


def _nginx(folder: Path, text: str) -> list[str]:
    (folder / "nginx.conf").write_text(text)
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _common(folder: Path) -> dict[str, object]:
    # Without this, a worker started by root runs as another user, who cannot use our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    return {"folder": folder, "user": user, "files": OPEN_FILES, "connections": OPEN_FILES // 2}


# -- HAProxy ----------------------------------------------------------------------------------------------

HAPROXY = """
global
    nbthread 1
    maxconn {connections}
    stats socket {folder}/control level admin
defaults
    mode http
    option http-keep-alive
    timeout connect 10s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
frontend web
    bind 127.0.0.1:{port} backlog 4096 {secure}
    option forwardfor
    http-request set-header X-Real-Ip %[src]
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Forwarded-Server {server}
    {chosen}
backend backend
    http-reuse always
    server one 127.0.0.1:{backends[0]}
backend other
    http-reuse always
    server one 127.0.0.1:{backends[1]}
backend nowhere
    http-request return status 404
"""


def haproxy(site: Site) -> list[str]:
    """Write HAProxy's configuration; return its command."""
    if site.names:
        (site.folder / "hosts.map").write_text("".join(f"{name} backend\n" for name in site.names))
        chosen = f"use_backend %[req.hdr(host),lower,map({site.folder}/hosts.map,nowhere)]"
    else:
        chosen = "default_backend backend"
    text = HAPROXY.format(
        folder=site.folder, connections=OPEN_FILES // 3, port=site.port, backends=site.backends,
        server=os.uname().nodename, chosen=chosen, secure=_haproxy_tls(site),
        scheme="https" if site.is_secure else "http",
    )
    (site.folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(site.folder / "haproxy.cfg")]


def _haproxy_tls(site: Site) -> str:
    if not site.is_secure:
        return ""
    certificate(site.folder)
    return f"ssl crt {site.folder}/bench.both.pem alpn http/1.1"


# -- fastproxy --------------------------------------------------------------------------------------------

STATIC = """
entryPoints:
  web:
    address: "127.0.0.1:{port}"
providers:
  providersThrottleDuration: 500ms
  file:
    filename: {folder}/dynamic.yml
serversTransport:
  maxIdleConnsPerHost: {idle}
core:
  workers: 1
{log}"""     # throttle: the default of 2s would hold back changes of a file that changes every second

DYNAMIC = """http:
  services:
    backend: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{backends[0]}"}}]}}}}
    other: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{backends[1]}"}}]}}}}
  routers:
"""


def fastproxy(site: Site) -> list[str]:
    """Write fastproxy's two files; return the command that starts it, with this interpreter."""
    log = f"accessLog: {{filePath: {site.folder}/access.log, format: {site.log}}}\n" if site.log else ""
    static = STATIC.format(folder=site.folder, port=site.port, idle=IDLE_UPSTREAMS, log=log)
    (site.folder / "static.yml").write_text(static)
    fastproxy_routers(site)
    return [sys.executable, "-m", "fastproxy", f"--configFile={site.folder}/static.yml"]


def fastproxy_routers(site: Site, other: str = "") -> None:
    """Write the dynamic file, by rename; the router of the name *other* gets the other service."""
    lines = [DYNAMIC.format(backends=site.backends)]
    for number, name in enumerate(site.names):
        service = "other" if name == other else "backend"
        lines.append(f'    r{number}: {{rule: "Host(`{name}`)", service: {service}}}\n')
    if not site.names:
        secure = ", tls: {}" if site.is_secure else ""
        lines.append(f'    all: {{rule: "PathPrefix(`/`)", service: backend{secure}}}\n')
    if site.is_secure:
        chain, key = certificate(site.folder)
        lines.append(f"tls:\n  certificates: [{{certFile: {chain}, keyFile: {key}}}]\n")
    replace(site.folder / "dynamic.yml", "".join(lines))


def replace(path: Path, text: str) -> None:
    """Write *text* beside *path* and rename it into place, as a careful writer does."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.rename(path)


COMMANDS = {"fastproxy": fastproxy, "nginx": nginx, "haproxy": haproxy}

WITHOUT_LOG = ("haproxy",)
"""Proxies that have no part in what is measured with an access log."""
