"""Random rules and requests that meet often: few hosts, few paths, all of them alike."""

from hypothesis import strategies as st

from fastproxy.rules.syntax import And, Matcher, Not, Or
from tests.twins.rule import Asked

HOSTS = ["a.example", "b.example", "A.Example.", "*.example", "*.b.example", "*", "x.b.example", "::1"]
PATHS = ["/", "/a", "/ab", "/ab/c", "/a/b", "/%2F", "/é"]
PATTERNS = ["^a", "a$", ".+", "^/a$", "^/a", "b|c", "(?i)A", "^.{3}$", r"^/ab\/c", "[^a]"]


def matcher(name, *arguments):
    return st.tuples(*arguments).map(lambda chosen: Matcher(name, chosen))


names, values = st.sampled_from(["k", "K", "x-k", "Host"]), st.sampled_from(["v", "V", "a b", "1"])
hosts, paths, patterns = map(st.sampled_from, (HOSTS, PATHS, PATTERNS))

any_matcher = st.one_of(
    matcher("Host", hosts),
    matcher("Host", hosts),
    matcher("HostRegexp", patterns),
    matcher("Path", paths),
    matcher("PathPrefix", paths),
    matcher("PathRegexp", patterns),
    matcher("Method", st.sampled_from(["GET", "get", "POST"])),
    matcher("Header", names, values),
    matcher("HeaderRegexp", names, patterns),
    matcher("Query", names),
    matcher("Query", names, values),
    matcher("QueryRegexp", names),
    matcher("QueryRegexp", names, patterns),
    matcher("ClientIP", st.sampled_from(["10.0.0.0/8", "10.0.0.1", "::/0", "fd00::1", "0.0.0.0/0"])),
)

trees = st.recursive(
    any_matcher,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=8,
)

requests = st.builds(
    Asked,
    method=st.sampled_from([b"GET", b"POST", b"get"]),
    host=st.sampled_from(
        [b"", b"a.example", b"b.example", b"x.b.example", b"example", b".example", b"::1", b"c"]
    ),
    path=st.sampled_from([b"/", b"/a", b"/ab", b"/ab/c", b"/a/b", b"/%2F", "/é".encode(), b"*"]),
    query=st.lists(
        st.sampled_from(
            [b"k", b"k=", b"k=v", b"K=V", b"k=a+b", b"k=a%20b", b"%6b=1", b"k=%zz", b"%k=v", b"", b"="]
        ),
        max_size=4,
    ).map(b"&".join),
    headers=st.lists(
        st.tuples(st.sampled_from([b"K", b"k", b"X-K"]), st.sampled_from([b"v", b"V", b"a b", b"v, V", b""])),
        max_size=3,
    ).map(tuple),
    client=st.sampled_from(["10.0.0.1", "10.9.9.9", "192.0.2.1", "fd00::1", ""]),
)
