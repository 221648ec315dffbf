"""One configuration with enabled, warning and disabled objects of each kind, as the API sees it."""

from typing import NamedTuple

from fastproxy.api import View
from fastproxy.build.runtime import Runtime
from fastproxy.build.snapshot import Builder
from fastproxy.build.work import run_now
from fastproxy.config import internal
from fastproxy.config.document import read_whole
from fastproxy.config.merge import Merger
from fastproxy.config.static import API, EntryPoint, FileProvider, Ping, Providers, StaticConfiguration

STATIC = StaticConfiguration(
    entry_points={
        "web": EntryPoint(address=":80"),
        "admin": EntryPoint(address="127.0.0.1:81", as_default=True),
        "dns": EntryPoint(address=":53/udp"),
    },
    providers=Providers(file=FileProvider(filename="dynamic.yml")),
    api=API(insecure=True),
    ping=Ping(),
).with_implicit_entries()

DYNAMIC = """\
http:
  routers:
    app:
      rule: Host(`a.test`)
      entryPoints: [web]
      middlewares: [both, auth/x]
      service: app
    low:
      rule: PathPrefix(`/low`)
      entryPoints: [web, nowhere]
      service: app
      priority: 3
    bad:
      rule: Hst(`b.test`)
      service: app
    lost:
      rule: Host(`c.test`)
      service: gone
    unread:
      rul: Host(`d.test`)
      service: app
    status:
      rule: Path(`/healthz`)
      entryPoints: [web]
      service: ping@internal
  services:
    app:
      loadBalancer:
        servers:
          - url: http://10.0.0.1:8080
            weight: 3
          - url: http://10.0.0.2:8080/base
            preservePath: true
    empty:
      loadBalancer:
        passHostHeader: false
        serversTransport: slow
        responseForwarding: {flushInterval: 1s}
    broken:
      loadBalancer:
        servers: [{url: "http://10.0.0.3"}]
        serversTransport: nowhere
  middlewares:
    both:
      chain: {middlewares: [strip]}
    strip:
      stripPrefix: {prefixes: [/x]}
    auth/x:
      headers:
        customRequestHeaders: {X-User: me}
        accessControlMaxAge: 0
    loop:
      chain: {middlewares: [loop]}
    unknown:
      plugin: {nobody: {a: 1}}
  serversTransports:
    slow:
      forwardingTimeouts: {dialTimeout: 5s}
tcp:
  routers:
    db:
      rule: HostSNI(`*`)
      entryPoints: [web, nowhere]
      middlewares: [office]
      service: both
    named:
      rule: HostSNI(`db.test`)
      service: pg
  services:
    both:
      weighted:
        services:
          - {name: pg, weight: 3}
          - {name: spare}
    pg:
      loadBalancer:
        servers:
          - address: 10.0.0.5:5432
          - {address: "10.0.0.6:5432", tls: true}
        serversTransport: close
    spare:
      loadBalancer:
        servers: [{address: "10.0.0.7:5432"}]
    broken:
      weighted: {services: [{name: broken}]}
  middlewares:
    office:
      ipAllowList: {sourceRange: [10.0.0.0/8]}
  serversTransports:
    close:
      dialTimeout: 1s
      tls: {serverName: db.test}
udp:
  routers:
    dns: {service: both}
    late: {service: one, entryPoints: [dns, nowhere]}
    lost: {service: nobody}
  services:
    both:
      weighted: {services: [{name: one, weight: 2}]}
    one:
      loadBalancer: {servers: [{address: "10.0.0.8:53"}]}
tls:
  options: {strict: {minVersion: VersionTLS13}}
  stores: {default: {}}
  certificates: [{certFile: nowhere.pem, keyFile: nowhere.key}]
"""


class Made(NamedTuple):
    """What a builder has of it, and the same put together from what it tells."""

    built: Runtime
    told: Runtime


def make(text=DYNAMIC, static=STATIC):
    """Build a document of the provider `file` together with the internal one."""
    sockets = {name: f"/run/fastproxy/{name}" for name in internal.services_of(static)}
    documents = {
        "file": read_whole(text, "dynamic.yml").configuration,
        internal.PROVIDER: internal.internal_configuration(static, sockets),
    }
    configuration = Merger(static).merge(documents).configuration
    builder = Builder(static)
    made = run_now(builder.build(7, configuration))
    run_now(made.settle)
    built = builder.runtime
    told = Runtime.of(configuration, static.entry_points, 7, built.failures, built.warnings)
    return Made(built, told)


def view(runtime, static=STATIC):
    return View(static, runtime, "1.2.3", "2026-03-04T10:11:12Z")
