"""The HTTP middlewares as a document spells them: `http.middlewares.<name>`, exactly one type each.

Source of names, types and defaults: the HTTP middlewares of Traefik v3.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

from msgspec import field

from .schema import Mistake, Reads, Section
from .values import Network, NotNegative, Regexp, Trimmed, TrimmedRegexp, integer


class AddPrefix(Section, frozen=True):
    """`addPrefix`: put a prefix before the path."""

    prefix: str = ""

    def mistakes(self) -> Iterator[Mistake]:
        if not self.prefix:
            yield "prefix", "missing; write what to put before the path, such as /api"


class StripPrefix(Section, frozen=True):
    """`stripPrefix`: cut the first of the prefixes with which the path begins."""

    prefixes: tuple[Trimmed, ...] = ()

    force_slash: bool = False
    """Deprecated. True: the rest always begins with exactly one added slash."""


class StripPrefixRegex(Section, frozen=True):
    """`stripPrefixRegex`: cut what the first of the expressions matches at the start of the path."""

    regex: tuple[TrimmedRegexp, ...] = ()


class ReplacePath(Section, frozen=True):
    """`replacePath`: send another path; the old one goes on in X-Replaced-Path."""

    path: str = ""


class ReplacePathRegex(Section, frozen=True):
    """`replacePathRegex`: replace in the escaped path what an expression matches."""

    regex: TrimmedRegexp = ""
    replacement: Trimmed = ""
    """Holds `$1`, `${1}`, `${name}` for groups."""


class RedirectRegex(Section, frozen=True):
    """`redirectRegex`: answer with another URL, made from the request's absolute URL."""

    regex: Regexp = ""
    replacement: str = ""
    permanent: bool = False


class RedirectScheme(Section, frozen=True):
    """`redirectScheme`: answer with the same URL under another scheme or port."""

    scheme: str = ""
    port: str = ""
    permanent: bool = False

    def mistakes(self) -> Iterator[Mistake]:
        if not self.scheme:
            yield "scheme", "missing; write https"
        if self.port and not (self.port.isascii() and self.port.isdigit() and 0 < int(self.port[:6]) < 65536):
            yield "port", f'"{self.port}" is not a port from 1 to 65535'


class Headers(Section, frozen=True):
    """`headers`: set, replace and delete fields of requests and answers; other origins; security headers."""

    MAY_BE_EMPTY = True  # so that its own message is the one that is told
    WITHOUT_EFFECT = "featurePolicy sslRedirect sslTemporaryRedirect sslHost sslForceHost"

    custom_request_headers: dict[str, str] = {}
    """An empty value deletes. `Host` sets the request's host; `X-Forwarded-For: ""` also keeps the proxy from
    adding it."""

    custom_response_headers: dict[str, str] = {}
    """An empty value deletes. Line breaks in a value become blanks."""

    access_control_allow_credentials: bool = False
    access_control_allow_headers: tuple[str, ...] = ()
    access_control_allow_methods: tuple[str, ...] = ()
    access_control_allow_origin_list: tuple[str, ...] = ()
    """Origins as a browser sends them, or `*`."""

    access_control_allow_origin_list_regex: tuple[Regexp, ...] = ()
    """Searched for in the origin."""

    access_control_expose_headers: tuple[str, ...] = ()
    access_control_max_age: int | None = None
    """Seconds a preflight answer may be kept; None: not said."""

    add_vary_header: bool = False
    """Append Origin to Vary."""

    allowed_hosts: tuple[str, ...] = ()
    """Hosts that may be asked for, with the port if clients send one; empty: all."""

    hosts_proxy_headers: tuple[str, ...] = ()
    """Request fields that hold the host in place of Host, if they are there."""

    ssl_proxy_headers: dict[str, str] = {}
    """Request fields whose value means that the client came by TLS."""

    sts_seconds: int | None = None
    """Strict-Transport-Security on TLS; 0 and None: none."""

    sts_include_subdomains: bool = False
    sts_preload: bool = False
    force_sts_header: bool = field(default=False, name="forceSTSHeader")
    """Strict-Transport-Security without TLS, too."""

    frame_deny: bool = False
    custom_frame_options_value: str = ""
    """Wins over frameDeny."""

    content_type_nosniff: bool = False
    browser_xss_filter: bool = False
    custom_browser_xss_value: str = field(default="", name="customBrowserXSSValue")
    """Wins over browserXssFilter."""

    content_security_policy: str = ""
    """`$NONCE` becomes 'nonce-...', new for each answer."""

    content_security_policy_report_only: str = ""
    referrer_policy: str = ""
    permissions_policy: str = ""
    public_key: str = ""
    """Public-Key-Pins, on TLS."""

    is_development: bool = False
    """No allowedHosts, no Strict-Transport-Security, no Public-Key-Pins."""

    def mistakes(self) -> Iterator[Mistake]:
        if self == Headers():
            yield "", "headers configuration not valid; set at least one option, such as customRequestHeaders"
        for option, fields, unfit in (
            ("customRequestHeaders", self.custom_request_headers, "\r\n\0"),
            ("customResponseHeaders", self.custom_response_headers, "\0"),
            ("sslProxyHeaders", self.ssl_proxy_headers, "\r\n\0"),
        ):
            for name, value in fields.items():
                yield from _field_mistakes((option, name), name, value, unfit)


_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _field_mistakes(path: tuple[str, ...], name: str, value: str, unfit: str) -> Iterator[Mistake]:
    """Yield what makes a field unfit to be sent (RFC 9110, 5.1 and 5.5)."""
    if not name or not _TOKEN.issuperset(name):
        yield path, f'"{name}" is not the name of a header field'
    if name.lower() in ("content-length", "transfer-encoding"):
        yield path, f"{name} belongs to the proxy: it tells where the body ends; remove it"
    if any(character in value for character in unfit):
        yield path, "the value holds a line break or a zero byte, which no header field may"


class IPStrategy(Section, frozen=True):
    """`ipStrategy`: whose address counts. depth wins over excludedIPs; neither: the peer's."""

    MAY_BE_EMPTY = True

    depth: NotNegative = 0
    """Take the entry of X-Forwarded-For that stands there, counted from the right; 0: do not."""

    excluded_ips: tuple[Network, ...] = field(default=(), name="excludedIPs")
    """Take the first entry from the right that is not in these networks."""

    ipv6_subnet: int | None = None
    """Reduce IPv6 addresses to networks of this many bits, 1..128."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.ipv6_subnet is not None and not 1 <= self.ipv6_subnet <= 128:
            yield "ipv6Subnet", f"{self.ipv6_subnet} is not a number of bits from 1 to 128"


def status_code(text: str) -> int:
    """Read the code of an HTTP status that has a name and can be an answer."""
    code = integer(text)
    if code not in HTTPStatus._value2member_map_ or code < 200:
        raise ValueError(f"{text} is not the code of a known HTTP status from 200 to 599")
    return code


class IPAllowList(Section, frozen=True):
    """`ipAllowList`: let in only clients with these addresses."""

    source_range: tuple[Network, ...] = ()
    ip_strategy: IPStrategy | None = None
    reject_status_code: Annotated[int, Reads(status_code)] = 403

    def mistakes(self) -> Iterator[Mistake]:
        if not self.source_range:
            yield "sourceRange", "missing; list the addresses or networks to let in"


class IPWhiteList(Section, frozen=True):
    """`ipWhiteList`: the deprecated name of ipAllowList, without rejectStatusCode."""

    source_range: tuple[Network, ...] = ()
    ip_strategy: IPStrategy | None = None

    def mistakes(self) -> Iterator[Mistake]:
        if not self.source_range:
            yield "sourceRange", "missing; list the addresses or networks to let in"


class IssuerFields(Section, frozen=True):
    """`info.issuer`: what to tell of who signed a certificate."""

    country: bool = False
    province: bool = False
    locality: bool = False
    organization: bool = False
    common_name: bool = False
    serial_number: bool = False
    domain_component: bool = False


class SubjectFields(IssuerFields, frozen=True):
    """`info.subject`: what to tell of whose a certificate is."""

    organizational_unit: bool = False


class ClientCertInfo(Section, frozen=True):
    """`passTLSClientCert.info`: parts of the certificate in X-Forwarded-Tls-Client-Cert-Info."""

    not_after: bool = False
    not_before: bool = False
    sans: bool = False
    serial_number: bool = False
    subject: SubjectFields | None = None
    issuer: IssuerFields | None = None


class PassTLSClientCert(Section, frozen=True):
    """`passTLSClientCert`: tell servers which certificate the client has shown."""

    pem: bool = False
    """All of it, and what leads to its authority, in X-Forwarded-Tls-Client-Cert."""

    info: ClientCertInfo | None = None


class Chain(Section, frozen=True):
    """`chain`: other middlewares, in order."""

    middlewares: tuple[str, ...] = ()


class HttpMiddleware(Section, frozen=True):
    """`http.middlewares.<name>`. Exactly one attribute is not None: `kind` names it, `settings` gives it."""

    NOT_YET = (
        "basicAuth buffering circuitBreaker compress contentType digestAuth encodedCharacters errors "
        "forwardAuth grpcWeb inFlightReq rateLimit retry"
    )

    add_prefix: AddPrefix | None = None
    strip_prefix: StripPrefix | None = None
    strip_prefix_regex: StripPrefixRegex | None = None
    replace_path: ReplacePath | None = None
    replace_path_regex: ReplacePathRegex | None = None
    headers: Headers | None = None
    redirect_scheme: RedirectScheme | None = None
    redirect_regex: RedirectRegex | None = None
    ip_allow_list: IPAllowList | None = None
    ip_white_list: IPWhiteList | None = None
    pass_tls_client_cert: PassTLSClientCert | None = field(default=None, name="passTLSClientCert")
    chain: Chain | None = None

    plugin: dict[str, Any] | None = None
    """One name of `core.plugins` or of an installed plugin, and its settings as the document has them."""

    @property
    def kind(self) -> str:
        """The type as a document writes it: `addPrefix`, `ipAllowList`, `plugin`."""
        for attribute, name in zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True):
            if getattr(self, attribute) is not None:
                return name
        return ""

    @property
    def settings(self) -> Any:
        """The section of its type: an `AddPrefix` and so on; for a plugin the mapping {name: settings}."""
        values = (getattr(self, attribute) for attribute in self.__struct_fields__)
        return next((value for value in values if value is not None), None)

    def mistakes(self) -> Iterator[Mistake]:
        kinds = [attribute for attribute in self.__struct_fields__ if getattr(self, attribute) is not None]
        if not kinds:
            yield (
                "",
                "invalid middleware type or middleware does not exist; a middleware has exactly one type",
            )
        if len(kinds) > 1:
            yield (
                "",
                "cannot create middleware: multi-types middleware not supported, consider declaring two "
                "different pieces of middleware instead",
            )
        if self.plugin is not None and len(self.plugin) != 1:
            yield "plugin", f"{len(self.plugin)} plugins; a middleware has exactly one"
