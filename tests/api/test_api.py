"""Every endpoint of the API, over enabled, warning and disabled objects."""

import io
import json
import tarfile

import pytest
from msgspec import structs

from fastproxy.api import answer
from fastproxy.build.runtime import Runtime
from fastproxy.config.static import API, StaticConfiguration
from tests.api.documents import DYNAMIC, STATIC, make, view

OBSERVED = {"accessLogs": True, "metrics": True, "tracing": True, "traceVerbosity": "minimal"}
NOTHING = {"total": 0, "warnings": 0, "errors": 0}
JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module", params=["built", "told"])
def ask(request):
    """Return a function that asks for a path, and gives status, headers and what the body says."""
    return asker(getattr(make(), request.param))


def asker(runtime):
    def ask(target, method="GET", static=STATIC):
        path, _, query = target.partition("?")
        status, headers, body = answer(method, path, query, view(runtime, static))
        return status, dict(headers), json.loads(body) if body.startswith((b"{", b"[")) else body

    return ask


def listed(ask, target):
    """Return the names in a list."""
    status, _, body = ask(target)
    assert status == 200
    return [each["name"] for each in body]


# --- the instance -------------------------------------------------------------------------------------------


def test_version(ask):
    status, headers, body = ask("/api/version")
    assert (status, headers) == (200, dict([JSON]))
    assert body == {"Version": "1.2.3", "Codename": "first light", "startDate": "2026-03-04T10:11:12Z"}


def test_version_tells_what_a_dashboard_is_to_show(ask):
    static = structs.replace(STATIC, api=API(disable_dashboard_ad=True, dashboard_name="mine"))
    body = ask("/api/version", static=static)[2]
    assert (body["disableDashboardAd"], body["dashboardName"]) == (True, "mine")


def test_overview(ask):
    assert ask("/api/overview")[2] == {
        "http": {
            "routers": {"total": 8, "warnings": 1, "errors": 3},
            "services": {"total": 5, "warnings": 0, "errors": 1},
            "middlewares": {"total": 5, "warnings": 0, "errors": 2},
        },
        "tcp": {
            "routers": {"total": 2, "warnings": 1, "errors": 1},
            "services": {"total": 4, "warnings": 0, "errors": 1},
            "middlewares": {"total": 1, "warnings": 0, "errors": 0},
        },
        "udp": {
            "routers": {"total": 3, "warnings": 2, "errors": 1},
            "services": {"total": 2, "warnings": 0, "errors": 0},
        },
        "certificates": NOTHING,
        "features": {"tracing": "", "metrics": "", "accessLog": False},
        "providers": ["File"],
    }


def test_entry_points(ask):
    status, headers, body = ask("/api/entrypoints")
    assert (status, headers) == (200, dict([JSON, ("X-Next-Page", "1")]))
    assert [(each["name"], each["address"]) for each in body] == [
        ("admin", "127.0.0.1:81"),
        ("dns", ":53/udp"),
        ("traefik", ":8080"),
        ("web", ":80"),
    ]
    assert body[0]["asDefault"] is True


def test_one_entry_point(ask):
    body = ask("/api/entrypoints/web")[2]
    assert body.pop("http")["maxHeaderBytes"] == 1048576
    assert body == {
        "name": "web",
        "address": ":80",
        "transport": {
            "lifeCycle": {"graceTimeOut": "10s"},
            "respondingTimeouts": {"readTimeout": "1m0s", "idleTimeout": "3m0s"},
        },
        "forwardedHeaders": {},
        "observability": {"accessLogs": True},
        "udp": {"timeout": "3s"},
    }


# --- objects ------------------------------------------------------------------------------------------------

ROUTERS = {
    "app@file": {
        "entryPoints": ["web"],
        "middlewares": ["both@file", "auth/x@file"],
        "service": "app",
        "rule": "Host(`a.test`)",
        "priority": 14,
        "observability": OBSERVED,
        "status": "enabled",
        "using": ["web"],
    },
    "low@file": {
        "entryPoints": ["web", "nowhere"],
        "service": "app",
        "rule": "PathPrefix(`/low`)",
        "priority": 3,
        "observability": OBSERVED,
        "status": "warning",
        "error": ['entryPoint "nowhere" doesn\'t exist'],
        "using": ["web"],
    },
    "lost@file": {
        "entryPoints": ["admin"],
        "service": "gone",
        "rule": "Host(`c.test`)",
        "priority": 14,
        "observability": OBSERVED,
        "status": "disabled",
        "error": ['the service "gone@file" does not exist'],
        "using": ["admin"],
    },
    "bad@file": {
        "entryPoints": ["admin"],
        "service": "app",
        "rule": "Hst(`b.test`)",
        "priority": 13,
        "observability": OBSERVED,
        "status": "disabled",
        "error": [
            "error while parsing rule Hst(`b.test`): column 1: unsupported function: Hst; did you mean Host?"
        ],
        "using": ["admin"],
    },
    "api@internal": {
        "entryPoints": ["traefik"],
        "service": "api@internal",
        "rule": "PathPrefix(`/api`)",
        "priority": 9223372036854775806,
        "observability": OBSERVED,
        "status": "enabled",
        "using": ["traefik"],
    },
    "unread@file": {"status": "disabled", "error": ['rul: unknown option "rul"; did you mean rule?']},
    "status@file": {
        "entryPoints": ["web"],
        "service": "ping@internal",
        "rule": "Path(`/healthz`)",
        "priority": 16,
        "observability": OBSERVED,
        "status": "enabled",
        "using": ["web"],
    },
    "ping@internal": {
        "entryPoints": ["traefik"],
        "service": "ping@internal",
        "rule": "PathPrefix(`/ping`)",
        "priority": 9223372036854775807,
        "observability": OBSERVED,
        "status": "enabled",
        "using": ["traefik"],
    },
}

SERVICES = {
    "app@file": (
        {
            "loadBalancer": {
                "servers": [
                    {"url": "http://10.0.0.1:8080", "weight": 3},
                    {"url": "http://10.0.0.2:8080/base", "preservePath": True},
                ],
                "strategy": "wrr",
                "passHostHeader": True,
                "responseForwarding": {"flushInterval": "100ms"},
            },
            "status": "enabled",
            "usedBy": ["app@file", "bad@file", "low@file"],
            "serverStatus": {"http://10.0.0.1:8080": "UP", "http://10.0.0.2:8080/base": "UP"},
        },
        "loadbalancer",
    ),
    "empty@file": (
        {
            "loadBalancer": {
                "strategy": "wrr",
                "passHostHeader": False,
                "serversTransport": "slow@file",
                "responseForwarding": {"flushInterval": "1s"},
            },
            "status": "enabled",
        },
        "loadbalancer",
    ),
    "broken@file": (
        {
            "loadBalancer": {
                "servers": [{"url": "http://10.0.0.3"}],
                "strategy": "wrr",
                "passHostHeader": True,
                "serversTransport": "nowhere@file",
                "responseForwarding": {"flushInterval": "100ms"},
            },
            "status": "disabled",
            "error": ["servers transport not found nowhere@file"],
        },
        "loadbalancer",
    ),
    "api@internal": ({"status": "enabled", "usedBy": ["api@internal"]}, None),
    "ping@internal": ({"status": "enabled", "usedBy": ["ping@internal", "status@file"]}, None),
}

MIDDLEWARES = {
    "both@file": (
        {"chain": {"middlewares": ["strip@file"]}, "status": "enabled", "usedBy": ["app@file"]},
        "chain",
    ),
    "strip@file": (
        {"stripPrefix": {"prefixes": ["/x"]}, "status": "enabled", "usedBy": ["both@file"]},
        "stripprefix",
    ),
    "auth/x@file": (
        {
            "headers": {"customRequestHeaders": {"X-User": "me"}, "accessControlMaxAge": 0},
            "status": "enabled",
            "usedBy": ["app@file"],
        },
        "headers",
    ),
    "loop@file": (
        {
            "chain": {"middlewares": ["loop@file"]},
            "status": "disabled",
            "error": ["a chain that leads back to itself: loop@file -> loop@file"],
            "usedBy": ["loop@file"],
        },
        "chain",
    ),
    "unknown@file": (
        {
            "plugin": {"nobody": {"a": 1}},
            "status": "disabled",
            "error": [
                'plugin.nobody: there is no plugin "nobody", nor any other; '
                "declare it in core.plugins or install it"
            ],
        },
        "nobody",
    ),
}


def named(name, body, kind=None):
    """Add what lists and details say beside `rawdata`."""
    more = {"name": name, "provider": name.rpartition("@")[2]}
    if kind:
        more["type"] = kind
    if "priority" in body:
        more["priorityStr"] = str(body["priority"])
    return {**body, **more}


def escaped(name):
    return name.replace("/", "%2F")


@pytest.mark.parametrize("name", ROUTERS)
def test_routers(ask, name):
    body = ROUTERS[name]
    assert ask("/api/rawdata")[2]["routers"][name] == body
    assert ask(f"/api/http/routers/{escaped(name)}") == (200, dict([JSON]), named(name, body))
    assert named(name, body) in ask("/api/http/routers")[2]


@pytest.mark.parametrize("name", SERVICES)
def test_services(ask, name):
    body, kind = SERVICES[name]
    assert ask("/api/rawdata")[2]["services"][name] == body
    assert ask(f"/api/http/services/{escaped(name)}") == (200, dict([JSON]), named(name, body, kind))
    assert named(name, body, kind) in ask("/api/http/services")[2]


@pytest.mark.parametrize("name", MIDDLEWARES)
def test_middlewares(ask, name):
    body, kind = MIDDLEWARES[name]
    assert ask("/api/rawdata")[2]["middlewares"][name] == body
    assert ask(f"/api/http/middlewares/{escaped(name)}") == (200, dict([JSON]), named(name, body, kind))
    assert named(name, body, kind) in ask("/api/http/middlewares")[2]


TCP = {
    ("tcpRouters", "tcp/routers", "db@file"): (
        "",
        {
            "entryPoints": ["web", "nowhere"],
            "middlewares": ["office@file"],
            "service": "both",
            "rule": "HostSNI(`*`)",
            "priority": -1,
            "status": "warning",
            "error": ['entryPoint "nowhere" doesn\'t exist'],
            "using": ["web"],
        },
    ),
    ("tcpRouters", "tcp/routers", "named@file"): (
        "",
        {
            "entryPoints": ["admin"],
            "service": "pg",
            "rule": "HostSNI(`db.test`)",
            "priority": 18,
            "status": "disabled",
            "error": ['invalid rule: "HostSNI(`db.test`)" , has HostSNI matcher, but no TLS on router'],
            "using": ["admin"],
        },
    ),
    ("tcpServices", "tcp/services", "both@file"): (
        "weighted",
        {
            "weighted": {"services": [{"name": "pg@file", "weight": 3}, {"name": "spare@file", "weight": 1}]},
            "status": "enabled",
            "usedBy": ["db@file"],
        },
    ),
    ("tcpServices", "tcp/services", "pg@file"): (
        "loadbalancer",
        {
            "loadBalancer": {
                "servers": [{"address": "10.0.0.5:5432"}, {"address": "10.0.0.6:5432", "tls": True}],
                "serversTransport": "close@file",
            },
            "status": "enabled",
            "usedBy": ["both@file", "named@file"],
            "serverStatus": {"10.0.0.5:5432": "UP", "10.0.0.6:5432": "UP"},
        },
    ),
    ("tcpMiddlewares", "tcp/middlewares", "office@file"): (
        "ipallowlist",
        {"ipAllowList": {"sourceRange": ["10.0.0.0/8"]}, "status": "enabled", "usedBy": ["db@file"]},
    ),
}


TCP |= {
    ("udpRouters", "udp/routers", "dns@file"): (
        "",
        {
            "entryPoints": ["dns"],
            "service": "both",
            "status": "warning",
            "error": ['entryPoint "dns" is served by router late@file: of several the last by name'],
            "using": ["dns"],
        },
    ),
    ("udpRouters", "udp/routers", "late@file"): (
        "",
        {
            "entryPoints": ["dns", "nowhere"],
            "service": "one",
            "status": "warning",
            "error": ['entryPoint "nowhere" doesn\'t exist'],
            "using": ["dns"],
        },
    ),
    ("udpServices", "udp/services", "both@file"): (
        "weighted",
        {
            "weighted": {"services": [{"name": "one@file", "weight": 2}]},
            "status": "enabled",
            "usedBy": ["dns@file"],
        },
    ),
    ("udpServices", "udp/services", "one@file"): (
        "loadbalancer",
        {
            "loadBalancer": {"servers": [{"address": "10.0.0.8:53"}]},
            "status": "enabled",
            "usedBy": ["both@file", "late@file"],
        },
    ),
}


@pytest.mark.parametrize(("table", "path", "name"), TCP)
def test_tcp(ask, table, path, name):
    kind, body = TCP[table, path, name]
    assert ask("/api/rawdata")[2][table][name] == body
    assert ask(f"/api/{path}/{name}") == (200, dict([JSON]), named(name, body, kind))
    assert named(name, body, kind) in ask(f"/api/{path}")[2]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("tcp/routers", "db@file named@file"),
        ("tcp/routers?sortBy=priority&direction=desc", "named@file db@file"),
        ("tcp/routers?search=db.test", "named@file"),
        ("tcp/routers?serviceName=pg", "named@file"),
        ("tcp/routers?middlewareName=office", "db@file"),
        ("tcp/routers?status=warning", "db@file"),
        ("tcp/services?sortBy=servers", "both@file broken@file spare@file pg@file"),
        ("tcp/services?status=disabled", "broken@file"),
        ("tcp/middlewares?sortBy=type", "office@file"),
        ("udp/routers?sortBy=service", "dns@file lost@file late@file"),
        ("udp/routers?serviceName=one", "late@file"),
        ("udp/services?sortBy=servers&direction=desc", "one@file both@file"),
    ],
)
def test_lists_of_tcp(ask, query, found):
    assert listed(ask, f"/api/{query}") == found.split()


def test_a_disabled_middleware_and_a_plugin(ask):
    loop = ask("/api/http/middlewares/loop@file")[2]
    assert (loop["status"], loop["usedBy"]) == ("disabled", ["loop@file"])
    assert loop["error"] == ["a chain that leads back to itself: loop@file -> loop@file"]
    plugin = ask("/api/http/middlewares/unknown@file")[2]
    assert (plugin["type"], plugin["plugin"]) == ("nobody", {"nobody": {"a": 1}})


def test_raw_data_is_all_of_it(ask):
    raw = ask("/api/rawdata")[2]
    assert {kind: raw[kind] for kind in ("routers", "services", "middlewares")} == {
        "routers": ROUTERS,
        "services": {name: body for name, (body, _) in SERVICES.items()},
        "middlewares": {name: body for name, (body, _) in MIDDLEWARES.items()},
    }


def test_support_dump(ask):
    status, headers, body = ask("/api/support-dump")
    assert (status, headers) == (
        200,
        {
            "Content-Type": "application/gzip",
            "Content-Disposition": "attachment; filename=support-dump.tar.gz",
        },
    )
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        files = {name: json.load(tar.extractfile(name)) for name in tar.getnames()}
    assert files.keys() == {"version.json", "static-config.json", "runtime-config.json"}
    assert files["version.json"] == ask("/api/version")[2]
    assert files["runtime-config.json"] == ask("/api/rawdata")[2]
    static = files["static-config.json"]
    assert static["entryPoints"].keys() == {"web", "admin", "dns", "traefik"}
    assert static["entryPoints"]["web"]["address"] == "xxxx"
    assert static["providers"]["file"]["filename"] == "xxxx"
    assert static["log"]["level"] == "INFO"
    assert static["api"]["insecure"] is True


def test_raw_data_leaves_out_what_there_is_none_of(ask):
    assert set(ask("/api/rawdata")[2]) == {
        *("routers", "services", "middlewares"),
        *("tcpRouters", "tcpServices", "tcpMiddlewares"),
        *("udpRouters", "udpServices"),
    }
    empty = view(Runtime(STATIC.entry_points))
    assert answer("GET", "/api/rawdata", "", empty).body == b"{}\n"


# --- lists --------------------------------------------------------------------------------------------------


def names(words):
    """Return names of objects; a word without a provider is one of the file."""
    return [word if "@" in word else f"{word}@file" for word in words.split()]


ALL = names("api@internal app bad lost low ping@internal status unread")


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("routers", "search=LO", "lost low"),
        ("routers", "search=a.TEST", "app"),  # in the rule
        ("routers", "search=%2Fping", "ping@internal"),
        ("routers", "search=internal", "api@internal ping@internal"),
        ("routers", "search=nothing", ""),
        ("routers", "status=warning", "low"),
        ("routers", "status=DISABLED", "bad lost unread"),
        ("routers", "status=strange", ""),
        ("routers", "serviceName=app", "app bad low"),
        ("routers", "serviceName=app@file", "app bad low"),
        ("routers", "serviceName=app@docker", ""),
        ("routers", "serviceName=ping@internal", "ping@internal status"),
        ("routers", "middlewareName=both@file", "app"),
        ("routers", "middlewareName=both", "app"),
        ("routers", "middlewareName=strip@file", ""),
        ("routers", "status=enabled&search=file&serviceName=app", "app"),
        ("services", "search=E", "api@internal app broken empty ping@internal"),
        ("services", "search=ping", "ping@internal"),
        ("services", "status=disabled", "broken"),
        ("services", "serviceName=app", "api@internal app broken empty ping@internal"),
        ("middlewares", "search=/X", "auth/x"),
        ("middlewares", "status=disabled", "loop unknown"),
    ],
)
def test_filters(ask, path, query, words):
    assert listed(ask, f"/api/http/{path}?{query}") == names(words)


@pytest.mark.parametrize("query", ["", "search=", "status=", "foo=bar"])
def test_without_a_filter_there_is_everything(ask, query):
    assert listed(ask, f"/api/http/routers?{query}") == ALL


@pytest.mark.parametrize(
    ("path", "sort_by", "words"),
    [
        ("routers", "name", "api@internal app bad lost low ping@internal status unread"),
        ("routers", "colour", "api@internal app bad lost low ping@internal status unread"),
        ("routers", "provider", "app bad lost low status unread api@internal ping@internal"),
        ("routers", "priority", "unread low bad app lost status api@internal ping@internal"),
        ("routers", "status", "bad lost unread api@internal app ping@internal status low"),
        ("routers", "rule", "unread app lost bad status api@internal low ping@internal"),
        ("routers", "service", "unread api@internal app bad low lost ping@internal status"),
        ("routers", "entryPoints", "unread bad lost api@internal ping@internal app status low"),
        ("services", "type", "api@internal ping@internal app broken empty"),
        ("services", "servers", "empty api@internal broken ping@internal app"),
        ("services", "status", "broken api@internal app empty ping@internal"),
        ("services", "provider", "app broken empty api@internal ping@internal"),
        ("middlewares", "type", "both loop auth/x unknown strip"),
        ("middlewares", "status", "loop unknown auth/x both strip"),
    ],
)
def test_order(ask, path, sort_by, words):
    order = names(words)
    assert listed(ask, f"/api/http/{path}?sortBy={sort_by}") == order
    assert listed(ask, f"/api/http/{path}?sortBy={sort_by}&direction=asc") == order
    assert listed(ask, f"/api/http/{path}?sortBy={sort_by}&direction=desc") == order[::-1]


@pytest.mark.parametrize(
    ("query", "expected", "following"),
    [
        ("", ALL, "1"),
        ("per_page=3", ALL[:3], "2"),
        ("per_page=3&page=1", ALL[:3], "2"),
        ("per_page=3&page=2", ALL[3:6], "3"),
        ("per_page=3&page=3", ALL[6:], "1"),
        ("per_page=8", ALL, "1"),
        ("per_page=4&page=2", ALL[4:], "1"),
        ("per_page=1000", ALL, "1"),
        ("per_page=2&direction=desc", ALL[:-3:-1], "2"),
        ("search=nothing", [], "1"),
    ],
)
def test_pages(ask, query, expected, following):
    _, headers, _ = ask(f"/api/http/routers?{query}")
    assert headers["X-Next-Page"] == following
    assert listed(ask, f"/api/http/routers?{query}") == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("per_page=0", "invalid request: per_page: 0"),
        ("per_page=-1", "invalid request: per_page: -1"),
        ("per_page=x", "invalid request: per_page: 0"),
        ("page=0", "invalid request: page: 0"),
        ("page=1.5", "invalid request: page: 0"),
        ("page=2", "invalid request: page: 2, per_page: 100"),
        ("page=3&per_page=4", "invalid request: page: 3, per_page: 4"),
        ("page=99999999999999999999", "invalid request: page: 0"),
    ],
)
@pytest.mark.parametrize("path", ["http/routers", "http/middlewares", "tcp/services", "entrypoints"])
def test_pages_that_are_none(ask, path, query, message):
    status, headers, body = ask(f"/api/{path}?{query}")
    assert (status, body) == (400, {"message": message})
    assert headers == {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


# --- what is not there --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("http/routers/x@p", "router not found: x@p"),
        ("http/routers/my%2Frouter@file", "router not found: my/router@file"),
        ("http/services/app", "service not found: app"),
        ("http/middlewares/x@file", "middleware not found: x@file"),
        ("tcp/routers/x@p", "router not found: x@p"),
        ("tcp/services/x@p", "service not found: x@p"),
        ("tcp/middlewares/x@p", "middleware not found: x@p"),
        ("udp/routers/x@p", "router not found: x@p"),
        ("udp/services/x@p", "service not found: x@p"),
        ("entrypoints/x", "entry point not found: x"),
    ],
)
def test_not_found(ask, path, message):
    status, headers, body = ask(f"/api/{path}")
    assert (status, body) == (404, {"message": message})
    assert headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/",
        "/api/nothing",
        "/api/http",
        "/api/http/routers/",
        "/api/http/routers/a/b",
        "/api/version/x",
        "/api/udp/middlewares",
        "/apiversion",
        "//api/version",
        "/x/api/version",
        "/API/version",
    ],
)
def test_no_such_path(ask, path):
    assert ask(path)[::2] == (404, b"404 page not found\n")
    assert ask(path, "POST")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get"])
def test_only_get(ask, method):
    assert ask("/api/version", method) == (405, {"Allow": "GET"}, b"")


@pytest.mark.parametrize("base", ["/proxy", "/proxy/", "/a/b"])
def test_base_path(ask, base):
    static = structs.replace(STATIC, api=API(base_path=base))
    assert ask(f"{base.rstrip('/')}/api/version", static=static)[0] == 200
    assert ask("/api/version", static=static)[0] == 404


def test_an_instance_without_files():
    static = StaticConfiguration(api=API())
    empty = view(Runtime(), static)
    assert json.loads(answer("GET", "/api/overview", "", empty).body)["providers"] == []


# --- explain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["built", "told"])
def test_explain(made):
    ask = asker(getattr(make(DYNAMIC.partition("tcp:\n")[0]), made))
    query = "url=http://a.test/x/y&header=X-User:%20you&header=K:v&clientIP=10.0.0.1&method=POST"
    status, headers, body = ask(f"/api/explain?{query}")
    assert (status, headers) == (200, dict([JSON]))
    assert (body["method"], body["client"], body["chosen"]) == ("POST", "10.0.0.1", "listens on port 80")
    [way] = body["ways"]
    assert (way["entryPoint"], way["router"], way["priority"]) == ("web", "app@file", 14)
    assert [each["name"] for each in way["middlewares"]] == ["strip@file", "auth/x@file"]
    assert way["request"]["target"] == "/y"
    assert "X-User: me, in place of you" in way["request"]["changes"]
    assert way["service"]["servers"] == [
        {"url": "http://10.0.0.1:8080", "weight": 3, "status": "UP"},
        {"url": "http://10.0.0.2:8080/base", "weight": 1, "status": "UP", "target": "/base/y"},
    ]


def test_explain_on_another_entry_point(ask):
    [way] = ask("/api/explain?url=http://a.test/x&entryPoint=admin")[2]["ways"]
    assert (way["entryPoint"], way["status"]) == ("admin", 404)
    assert way["near"][0]["why"] == ["it is on web, not on admin"]


def test_explain_a_connection(ask):
    query = "sni=db.test&alpn=h2&alpn=x&entryPoint=web&clientIP=10.0.0.1"
    status, headers, body = ask(f"/api/explain/tcp?{query}")
    assert (status, headers) == (200, dict([JSON]))
    assert (body["protocol"], body["sni"], body["alpn"], body["tls"]) == ("tcp", "db.test", ["h2", "x"], True)
    [way] = body["ways"]  # nobody has tls there
    assert (way["row"], way["router"], way["service"]["name"]) == ("3", "db@file", "both@file")
    [way] = ask("/api/explain/tcp?postgres=true&entryPoint=web")[2]["ways"]
    assert way["closed"] == "the middleware office@file closes it"


def test_explain_datagrams(ask):
    body = ask("/api/explain/udp")[2]
    [way] = body["ways"]
    assert (body["protocol"], way["entryPoint"], way["router"]) == ("udp", "dns", "late@file")
    assert way["service"]["servers"] == [{"address": "10.0.0.8:53"}]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tcp?clientIP=a", '"a" is not an address; write one like 203.0.113.9'),
        ("tcp?tls=yes", 'tls: "yes" is not true or false'),
        ("tcp?entryPoint=dns", 'unknown entry point "dns"; there is admin, traefik, web'),
        ("udp?entryPoint=web", 'unknown entry point "web"; there is dns'),
    ],
)
def test_questions_about_connections_that_are_none(ask, path, message):
    status, _, body = ask(f"/api/explain/{path}")
    assert (status, body) == (400, {"message": f"invalid request: {message}"})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "url: missing; write one like url=https://shop.example/path"),
        ("url=x", '"x" is not a URL; write one like https://shop.example/path?query=1'),
        ("url=http://a&header=x", 'header: "x" has no colon; write one like X-User: me'),
        ("url=http://a&clientIP=me", '"me" is not an address; write one like 203.0.113.9'),
        ("url=http://a&entryPoint=x", 'unknown entry point "x"; there is admin, traefik, web'),
    ],
)
def test_questions_that_are_none(ask, query, message):
    status, _, body = ask(f"/api/explain?{query}")
    assert (status, body) == (400, {"message": f"invalid request: {message}"})
