"""`middlewares`: one section of the document becomes the steps it takes in a pipeline.

Chains are no steps of their own: whoever puts a pipeline together puts their members in their place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._core.awaited import Awaited
from .._core.message import field_name, field_value
from .._core.netset import NetSet
from .._core.rewrite import Rewrite
from .._core.step import Step
from .._core.steps_gate import IPAllowList, RedirectRegex, RedirectScheme
from .._core.steps_headers import Cors, HeaderEdits, PassClientCert, SecurityHeaders
from .._core.steps_path import AddPrefix, ReplacePath, ReplacePathRegex, StripPrefix, StripPrefixRegex
from ..config import middlewares as config
from ..errors import PluginError
from ..plugins.api import Wants
from ..plugins.load import Plugins, SettingsError
from ..regex import Pattern, compile_pattern
from .clientcert import ClientCert
from .runtime import Broken

Steps = Iterable[Step]


class _Refused(Exception):
    """A setting that cannot be built. `option` is its path below the type of the middleware."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def steps_of(name: str, configured: config.HttpMiddleware, plugins: Plugins) -> tuple[Step, ...]:
    """Build the steps of one middleware that is no chain, new ones with each call.

    name: qualified, for logs. configured: as decode left it, so that it has exactly one type and what is
    required. Raises Broken, with the option that is wrong: `headers.customRequestHeaders.Host: ...`.
    """
    kind = configured.kind
    try:
        return tuple(CONSTRUCTORS[kind](name, configured.settings, plugins))
    except _Refused as refused:
        raise Broken(f"{kind}.{refused.option}: {refused}") from refused


# -- bytes ---------------------------------------------------------------------------------------------------


def _text(option: str, text: str) -> bytes:
    """Return the bytes of what goes into a field of a head; line breaks become blanks, as in Go."""
    try:
        return field_value(text.replace("\r", " ").replace("\n", " "))
    except ValueError as error:
        raise _Refused(option, str(error)) from None


def _texts(option: str, texts: Iterable[str]) -> list[bytes]:
    return [_text(f"{option}[{at}]", text) for at, text in enumerate(texts)]


def _pattern(option: str, text: str) -> Pattern:
    try:
        return compile_pattern(text)
    except ValueError as error:
        raise _Refused(option, str(error)) from None


def _patterns(option: str, texts: Iterable[str]) -> list[Pattern]:
    return [_pattern(f"{option}[{at}]", text) for at, text in enumerate(texts)]


def _fields(option: str, fields: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a mapping as bytes."""
    made = []
    for name, value in fields.items():
        try:
            made.append((field_name(name), _text(f"{option}.{name}", value)))
        except ValueError as error:
            raise _Refused(f"{option}.{name}", str(error)) from None
    return made


def _networks(option: str, networks: Sequence[str]) -> NetSet:
    try:
        return NetSet(networks)
    except ValueError as error:
        raise _Refused(option, str(error)) from None


# -- paths ---------------------------------------------------------------------------------------------------


def _add_prefix(name: str, settings: config.AddPrefix, _: Plugins) -> Steps:
    yield AddPrefix(name, settings.prefix.encode())


def _strip_prefix(name: str, settings: config.StripPrefix, _: Plugins) -> Steps:
    prefixes = _texts("prefixes", settings.prefixes)
    yield StripPrefix(name, prefixes, force_slash=settings.force_slash)


def _strip_prefix_regex(name: str, settings: config.StripPrefixRegex, _: Plugins) -> Steps:
    yield StripPrefixRegex(name, _patterns("regex", settings.regex))


def _replace_path(name: str, settings: config.ReplacePath, _: Plugins) -> Steps:
    yield ReplacePath(name, settings.path.encode())


def _replace_path_regex(name: str, settings: config.ReplacePathRegex, _: Plugins) -> Steps:
    yield ReplacePathRegex(name, Rewrite(_pattern("regex", settings.regex), settings.replacement))


# -- gates ---------------------------------------------------------------------------------------------------


def _redirect_regex(name: str, settings: config.RedirectRegex, _: Plugins) -> Steps:
    rewrite = Rewrite(_pattern("regex", settings.regex), settings.replacement)
    yield RedirectRegex(name, rewrite, permanent=settings.permanent)


def _redirect_scheme(name: str, settings: config.RedirectScheme, _: Plugins) -> Steps:
    # In capitals it would never equal the scheme of a request, and redirect for ever.
    scheme = settings.scheme.lower().encode()
    yield RedirectScheme(name, scheme, settings.port.encode(), permanent=settings.permanent)


def _ip_allow_list(name: str, settings: config.IPAllowList, _: Plugins) -> Steps:
    yield _allow_list(name, settings.source_range, settings.ip_strategy, settings.reject_status_code)


def _ip_white_list(name: str, settings: config.IPWhiteList, _: Plugins) -> Steps:
    yield _allow_list(name, settings.source_range, settings.ip_strategy, 403)


def _allow_list(
    name: str, ranges: Sequence[str], strategy: config.IPStrategy | None, status: int
) -> IPAllowList:
    strategy = strategy or config.IPStrategy()
    excluded = strategy.excluded_ips
    return IPAllowList(
        name,
        _networks("sourceRange", ranges),
        depth=strategy.depth,
        excluded=_networks("ipStrategy.excludedIPs", excluded) if excluded else None,
        ipv6_bits=strategy.ipv6_subnet or 0,
        status=status,
    )


# -- headers -------------------------------------------------------------------------------------------------


def _headers(name: str, settings: config.Headers, _: Plugins) -> Steps:
    """Up to three steps, in the order in which Traefik lets a request meet them."""
    makers = (_cors, _header_edits, _security_headers)
    # Options that do nothing alone, such as isDevelopment, are a middleware without steps.
    return [step for make in makers if (step := make(name, settings)) is not None]


def _cors(name: str, settings: config.Headers) -> Step | None:
    wanted = (
        settings.access_control_allow_credentials,
        settings.access_control_allow_headers,
        settings.access_control_allow_methods,
        settings.access_control_allow_origin_list,
        settings.access_control_allow_origin_list_regex,
        settings.access_control_expose_headers,
        settings.access_control_max_age is not None,
        settings.add_vary_header,
    )
    if not any(wanted):
        return None
    return Cors(
        name,
        credentials=settings.access_control_allow_credentials,
        allow_headers=_texts("accessControlAllowHeaders", settings.access_control_allow_headers),
        allow_methods=_texts("accessControlAllowMethods", settings.access_control_allow_methods),
        origins=_texts("accessControlAllowOriginList", settings.access_control_allow_origin_list),
        patterns=_patterns(
            "accessControlAllowOriginListRegex", settings.access_control_allow_origin_list_regex
        ),
        expose_headers=_texts("accessControlExposeHeaders", settings.access_control_expose_headers),
        max_age=settings.access_control_max_age,
        vary=settings.add_vary_header,
    )


def _header_edits(name: str, settings: config.Headers) -> Step | None:
    request_fields = _fields("customRequestHeaders", settings.custom_request_headers)
    response_fields = _fields("customResponseHeaders", settings.custom_response_headers)
    if not request_fields and not response_fields:
        return None
    try:
        return HeaderEdits(name, request_fields, response_fields)
    except ValueError as error:
        # What is left that no schema could know: a Host that is none.
        raise _Refused("customRequestHeaders", str(error)) from None


def _security_headers(name: str, settings: config.Headers) -> Step | None:
    serious = not settings.is_development
    step = SecurityHeaders(
        name,
        list(_security_fields(settings)),
        sts=_sts(settings) if serious else b"",
        force_sts=settings.force_sts_header,
        public_key=_text("publicKey", settings.public_key) if serious else b"",
        allowed_hosts=_texts("allowedHosts", settings.allowed_hosts) if serious else (),
        host_headers=_texts("hostsProxyHeaders", settings.hosts_proxy_headers),
        proxy_headers=_fields("sslProxyHeaders", settings.ssl_proxy_headers),
    )
    return step if step.wants_request or step.wants_response else None


def _sts(settings: config.Headers) -> bytes:
    if not settings.sts_seconds:
        return b""
    subdomains = b"; includeSubDomains" if settings.sts_include_subdomains else b""
    preload = b"; preload" if settings.sts_preload else b""
    return b"max-age=%d%s%s" % (settings.sts_seconds, subdomains, preload)


def _security_fields(settings: config.Headers) -> Iterable[tuple[bytes, bytes]]:
    """Yield the fields that every answer gets."""
    frame_options = settings.custom_frame_options_value or ("DENY" if settings.frame_deny else "")
    xss = settings.custom_browser_xss_value or ("1; mode=block" if settings.browser_xss_filter else "")
    for field, option, value in (
        (b"X-Frame-Options", "customFrameOptionsValue", frame_options),
        (b"X-Content-Type-Options", "contentTypeNosniff", "nosniff" if settings.content_type_nosniff else ""),
        (b"X-XSS-Protection", "customBrowserXSSValue", xss),
        (b"Content-Security-Policy", "contentSecurityPolicy", settings.content_security_policy),
        (
            b"Content-Security-Policy-Report-Only",
            "contentSecurityPolicyReportOnly",
            settings.content_security_policy_report_only,
        ),
        (b"Referrer-Policy", "referrerPolicy", settings.referrer_policy),
        (b"Permissions-Policy", "permissionsPolicy", settings.permissions_policy),
    ):
        text = _text(option, value)
        if text:
            yield field, text


def _pass_tls_client_cert(name: str, settings: config.PassTLSClientCert, _: Plugins) -> Steps:
    if settings.pem or settings.info is not None:
        yield PassClientCert(name, ClientCert(settings))


# -- plugins -------------------------------------------------------------------------------------------------


def _plugin(name: str, settings: Mapping[str, Any], plugins: Plugins) -> Steps:
    [(plugin_name, options)] = settings.items()
    try:
        plugin = plugins.find(plugin_name)
        middleware = plugin.make(options)
    except SettingsError as error:
        raise _Refused(".".join(filter(None, (plugin_name, error.option))), str(error)) from error
    except PluginError as error:
        raise _Refused(plugin_name, str(error)) from error
    yield Awaited(
        name,
        middleware,
        wants_request=Wants.REQUEST_HEAD in plugin.wants,
        wants_response=Wants.RESPONSE_HEAD in plugin.wants,
        timeout=plugin.timeout,
    )


CONSTRUCTORS: dict[str, Callable[[str, Any, Plugins], Steps]] = {
    "addPrefix": _add_prefix,
    "headers": _headers,
    "ipAllowList": _ip_allow_list,
    "ipWhiteList": _ip_white_list,
    "passTLSClientCert": _pass_tls_client_cert,
    "plugin": _plugin,
    "redirectRegex": _redirect_regex,
    "redirectScheme": _redirect_scheme,
    "replacePath": _replace_path,
    "replacePathRegex": _replace_path_regex,
    "stripPrefix": _strip_prefix,
    "stripPrefixRegex": _strip_prefix_regex,
}
"""By the key of the document. A new middleware is a Section, a step, a line here, and a page of tests."""
