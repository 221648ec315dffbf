"""Runtime views of documents, and questions to them."""

from fastproxy.build.snapshot import Builder
from fastproxy.build.work import run_now
from fastproxy.config import internal
from fastproxy.config.document import decode
from fastproxy.config.findings import Findings
from fastproxy.config.merge import Merger
from fastproxy.config.sources import decode_static
from fastproxy.conflicts import Conflicts
from fastproxy.explain.questions import Question
from fastproxy.explain.requests import explain
from fastproxy.selfsigned import Fallback

WEB = {"entryPoints": {"web": {"address": ":8000"}}}
SERVICES = {"s": {"loadBalancer": {"servers": [{"url": "http://10.0.0.7:3000"}]}}}


def static_of(document=None):
    findings = Findings()
    made = decode_static(document or WEB, findings)
    assert not findings.errors
    return made.with_implicit_entries()


CONTEXTS = {}
"""TLS to servers, by its settings: to read the system's authorities takes longer than to build a document."""


def build(http, static, others=None):
    """Build an `http` section; returns the builder and the generation. others: sections by provider."""
    return build_all({"http": {"services": SERVICES, **http}}, static, others)


def build_all(document, static, others=None):
    """Build a whole document."""
    sockets = {name: f"/{name}" for name in internal.services_of(static)}
    providers = {
        "file": decode(document, Findings()),
        internal.PROVIDER: internal.internal_configuration(static, sockets),
    }
    for name, section in (others or {}).items():
        providers[name] = decode({"http": section}, Findings())
    builder = Builder(static)
    builder._state.estate.contexts.update(CONTEXTS)
    merged = Conflicts().settle(Merger(static).merge(providers)).configuration
    made = run_now(builder.build(1, Fallback(static).added(merged)))
    run_now(made.settle)
    CONTEXTS.update(builder._state.estate.contexts)
    return builder, made


def ask(http, *question, static=None, others=None, **more):
    """Return the explanation of a request to an `http` section."""
    made = static_of(static)
    return explain(Question(*question, **more), made, build(http, made, others)[0].runtime)


def way(http, *question, **more):
    """Return the one way of a request."""
    [only] = ask(http, *question, **more).ways
    return only
