"""What a middleware does to a request, in words: what changes, or why nothing does."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..build.trial import Answered, Met, Sent
from ..config.middlewares import Headers, HttpMiddleware, IPStrategy

END = "the request goes no further"
_NONCE = re.compile("'nonce-[^']*'")


def effects_of(configured: HttpMiddleware, met: Met, client: str) -> list[str]:
    """Say what a middleware did to a request. client: the address of the peer."""
    kind, settings = configured.kind, configured.settings
    if met.answer is not None:
        return [_answer(kind, settings, met, client)]
    done = [*changes(met.before, met.after), *_on_the_answer(settings, met)]
    if done:
        return done
    why = _WHY_NOT.get(kind)
    return [why(settings, met.before, client) if why else "lets it pass"]


def untried(configured: HttpMiddleware) -> str:
    """Say of a middleware that is not tried what is known of it."""
    if configured.plugin is not None:
        name = next(iter(configured.plugin), "")
        return f"runs the plugin {name}, which may change the request or answer it; not tried here"
    return "what it does hangs on more than this request; not tried here"


def changes(before: Sent, after: Sent) -> Iterator[str]:
    """Say what is different about what is sent."""
    if (before.path or "/") != (after.path or "/"):
        yield f"path {before.path or '/'} -> {after.path or '/'}"
    if before.query != after.query:
        yield f"query {before.query or ''} -> {after.query or ''}"
    old, new = _by_name(before.fields), _by_name(after.fields)
    for folded, (name, values) in new.items():
        known = old.get(folded)
        if known is None:
            yield f"{name}: {values}"
        elif known[1] != values:
            yield f"{name}: {values}, in place of {known[1]}"
    for folded, (name, _) in old.items():
        if folded not in new:
            yield f"{name} is removed"


def _by_name(fields: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Return fields by their name in lower case: the name as written, and the values in one text."""
    found: dict[str, tuple[str, str]] = {}
    for name, value in fields:
        first, values = found.get(name.lower(), (name, ""))
        found[name.lower()] = first, f"{values}, {value}" if values else value
    return found


def _on_the_answer(settings: Any, met: Met) -> Iterator[str]:
    for name, value in met.adds:
        yield f"the answer gets {name}: {_NONCE.sub('$NONCE', value)}"
    if isinstance(settings, Headers):
        for name, value in settings.custom_response_headers.items():
            if not value:
                yield f"the answer loses {name}"


# --- answers ------------------------------------------------------------------------------------------------


def _answer(kind: str, settings: Any, met: Met, client: str) -> str:
    assert met.answer is not None
    status, location = met.answer.status, _location(met.answer)
    if location:
        return f"answers {status} to {location}: {END}"
    why = _WHY.get(kind, lambda settings, before, client: "")(settings, met.before, client)
    return f"answers {status}{f': {why}' if why else ''}: {END}"


def _location(answer: Answered) -> str:
    return next((value for name, value in answer.fields if name == "Location"), "")


def _outside(settings: Any, before: Sent, client: str) -> str:
    return f"{_whose(settings.ip_strategy, client)} is in none of {', '.join(settings.source_range)}"


def _inside(settings: Any, before: Sent, client: str) -> str:
    return f"lets it pass: {_whose(settings.ip_strategy, client)} is in {', '.join(settings.source_range)}"


def _whose(strategy: IPStrategy | None, client: str) -> str:
    """Say whose address counts."""
    if strategy is not None and strategy.depth:
        return f"the entry {strategy.depth} from the right of X-Forwarded-For"
    if strategy is not None and strategy.excluded_ips:
        excluded = ", ".join(strategy.excluded_ips)
        return f"the first entry from the right of X-Forwarded-For that is not in {excluded}"
    return client or "a client without an address"


def _headers_answer(settings: Headers, before: Sent, client: str) -> str:
    names = {name.lower() for name, _ in before.fields}
    if before.method == "OPTIONS" and "access-control-request-method" in names:
        return "it is a preflight request"
    return f"{before.host} is none of allowedHosts"


_WHY: dict[str, Callable[[Any, Sent, str], str]] = {
    "ipAllowList": _outside,
    "ipWhiteList": _outside,
    "headers": _headers_answer,
    "stripPrefix": lambda settings, before, client: "what is left is no path in its simplest form",
    "stripPrefixRegex": lambda settings, before, client: "what is left is no path in its simplest form",
    "replacePath": lambda settings, before, client: "an escape in the new path is malformed",
    "replacePathRegex": lambda settings, before, client: "what comes out is no path that may be sent",
    "redirectRegex": lambda settings, before, client: "what comes out is no URL",
    "redirectScheme": lambda settings, before, client: "what comes out is no URL",
}
"""Why it answered, where that is no other URL."""

_WHY_NOT: dict[str, Callable[[Any, Sent, str], str]] = {
    "ipAllowList": _inside,
    "ipWhiteList": _inside,
    "redirectRegex": lambda settings, before, client: "lets it pass: the URL stays the same",
    "redirectScheme": lambda settings, before, client: f"lets it pass: it came by {settings.scheme} already",
    "replacePathRegex": lambda settings, before, client: f"does nothing: {settings.regex} is not in the path",
    "stripPrefix": lambda settings, before, client: (
        f"does nothing: the path begins with none of {', '.join(settings.prefixes)}"
    ),
    "stripPrefixRegex": lambda settings, before, client: (
        f"does nothing: none of {', '.join(settings.regex)} matches at the start of the path"
    ),
}
"""Why it changed nothing."""
