"""Reading in blocks gives what reading the whole gives, whatever the document; and the same objects again."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastproxy.config.blocks import NotInBlocks, cut
from fastproxy.config.document import Document, read_whole

SECTIONS = {
    "http": ("routers", "services", "middlewares", "serversTransports"),
    "tcp": ("routers", "services", "middlewares", "serversTransports"),
    "tls": ("options", "certificates"),
}


def routers(count, changed=-1):
    lines = ["http:", "  routers:"]
    for at in range(count):
        host = "changed" if at == changed else f"h{at}"
        lines += [f"    r{at}:", f"      rule: Host(`{host}`) && Path(`/`)", "      service: s"]
    return "\n".join(
        [*lines, "  services:", "    s:", "      loadBalancer: {servers: [{url: http://a}]}", ""]
    )


# --- the same objects ---------------------------------------------------------------------------------------


def test_only_what_changed_is_made_again():
    document = Document("d.yml")
    before = document.read(routers(20)).configuration.http
    after = document.read(routers(20, changed=7)).configuration.http
    assert [name for name in before.routers if before.routers[name] is not after.routers[name]] == ["r7"]
    assert after.routers["r7"].rule == "Host(`changed`) && Path(`/`)"
    assert after.services["s"] is before.services["s"]


@pytest.mark.parametrize("other", ["tls: {}\n", "x-a: &a 1\n", "http:\n  routers: {r0: {}\n"])
def test_the_objects_stay_the_same_through_a_document_of_another_shape(other):
    document = Document("d.yml")
    before = document.read(routers(3)).configuration.http
    between = document.read(routers(3) + other).configuration
    if between is not None:
        assert between.http.routers["r1"] is before.routers["r1"]
    assert document.read(routers(3)).configuration.http.routers["r1"] is before.routers["r1"]


@pytest.mark.parametrize("other", ["tcp:\n  routers:\n    r0: {}\n", "tls:\n  options:\n    o: {}\n"])
def test_a_document_with_several_roots_is_in_blocks(other):
    document = Document("d.yml")
    before = document.read(other + routers(3)).configuration.http
    after = document.read(other + routers(3, changed=1)).configuration.http
    assert [name for name in before.routers if before.routers[name] is not after.routers[name]] == ["r1"]


def test_a_certificate_stays_the_same_object_when_others_come_before_it():
    document = Document("d.yml")
    item = "    - certFile: {0}.pem\n      keyFile: {0}.key\n".format
    before = document.read("tls:\n  certificates:\n" + item("a") + item("b")).configuration.tls
    after = document.read("tls:\n  certificates:\n" + item("c") + item("b")).configuration.tls
    assert list(after.certificates) == ["c.pem", "b.pem"]
    assert after.certificates["b.pem"] is before.certificates["b.pem"]


def test_one_text_at_another_depth_is_read_again():
    document = Document("d.yml")
    text = "http:\n  routers:\n    a:\n      rule: R\n      service: s\n"
    deeper = "http:\n  routers:\n        a:\n      rule: R\n      service: s\n"
    assert document.read(text).problems == []
    assert document.read(deeper) == read_whole(deeper, "d.yml")


def test_toml_keeps_the_objects_too():
    document = Document("d.toml")
    text = '[http.routers]\na = {rule = "R", service = "s"}\nb = {rule = "R", service = "s"}\n'
    before = document.read(text).configuration.http.routers
    after = document.read(text.replace('b = {rule = "R"', 'b = {rule = "Q"')).configuration.http.routers
    assert after["a"] is before["a"]
    assert after["b"].rule == "Q"


def test_problems_move_with_their_blocks():
    document = Document("d.yml")
    text = routers(3).replace("      service: s\n  services", "      servce: s\n  services")
    assert [str(each) for each in document.read(text).problems] == [
        'd.yml:11:7: http.routers.r2.servce: unknown option "servce"; did you mean service?'
    ]
    moved = text.replace("    r0:", "    # one\n    # two\n    r0:\n      priority: 1")
    assert [each.line for each in document.read(moved).problems] == [14]
    assert document.read(moved) == read_whole(moved, "d.yml")


# --- the cut ------------------------------------------------------------------------------------------------


def test_cut():
    text = (
        "# a\n---\n# b\nhttp: # c\n\n  services:\n     # d\n     a:\n       x: 1\n\n     b: {}\n"
        "  routers: #e\n   c: 1"
    )
    assert parts_of(text) == [
        ("http", "services", ["a:\n       x: 1\n", "b: {}"], 5, [8, 11]),
        ("http", "routers", ["c: 1"], 3, [13]),
    ]


def test_cut_with_several_roots():
    text = (
        "tcp: # a\n routers:\n   a: 1\n# b\n\nhttp:\n  # c\n  routers:\n    b: 2\ntls:\n  certificates:\n"
        "  # d\n  - certFile: c\n    keyFile:\n  - {}\n  options:\n    d: {}\n"
    )
    assert parts_of(text) == [
        ("tcp", "routers", ["a: 1\n# b\n"], 3, [3]),
        ("http", "routers", ["b: 2"], 4, [9]),
        ("tls", "certificates", ["- certFile: c\n    keyFile:", "- {}"], 2, [13, 15]),
        ("tls", "options", ["d: {}"], 4, [17]),
    ]


def parts_of(text):
    return [
        (each.root, each.section, each.texts, each.depth, list(each.lines()))
        for each in cut(text, SECTIONS)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http:",
        "http:\n",
        "http: {}\n",
        "HTTP:\n  routers:\n    a: 1\n",
        "udp:\n  routers:\n    a: 1\n",
        "http:\n  routers:\n    a: 1\nhttp:\n  routers:\n    b: 1\n",
        "http:\n  routers:\n    a: 1\ntcp:\n",
        "http:\n  routers:\n    a: 1\ntcp: {}\n",
        "http:\n  routers:\n    a: 1\n\ttcp:\n",
        "http:\n  routers:\n  a: 1\n",
        "tls:\n  certificates:\n    a: 1\n",
        "tls:\n  certificates:\n -  a: 1\n",
        "tls:\n  certificates:\n  -\n    a: 1\n",
        "http:\n  Routers:\n    a: 1\n",
        "http:\n  routers: {a: 1}\n",
        "http:\n  routers:\n  services:\n",
        "http:\nrouters:\n    a: 1\n",
        "http:\r\n  routers:\r\n    a: 1\r\n",
        "http:\n  routers:\n    a: 1\n...\n",
        "http:\n  routers:\n    a: \u20281\n",
        "%YAML 1.1\n---\nhttp:\n  routers:\n    a: 1\n",
        "---\n---\nhttp:\n  routers:\n    a: 1\n",
    ],
)
def test_documents_that_are_not_cut(text):
    with pytest.raises(NotInBlocks):
        cut(text, SECTIONS)


# --- the same meaning ---------------------------------------------------------------------------------------

# Entries of a section, and lines that spoil, bend or end one: a document is any sequence of these.
PIECES = [
    "    a:\n      rule: R\n      service: s\n",
    "    b: {rule: R, service: s}\n",
    "    c:\n      rule: 'it''s\n        long'\n      service: s\n",
    '    "d e": {rule: "x\n     y", service: s}\n',
    "    e:\n      rule: |\n        R\n      service: s\n",
    "    f:\n      rule: |+\n        R\n\n\n      service: s\n",
    "    g:\n      service: s\n      rule: |+\n        R\n\n",
    "    h:\n      service: s\n      rule: >-\n        R\n        S\n",
    "    i: {rule: R, service: s, servce: x}\n",
    "    j: {addPrefix: {prefix: /a}}\n",
    "    k: {loadBalancer: {servers: [{url: 'http://a'}]}}\n",
    "    l: &anchor {rule: R, service: s}\n",
    "    m: *anchor\n",
    "    n: {<<: *anchor}\n",
    "    o:\n",
    "    p: ~\n",
    "    ? q\n    : {rule: R, service: s}\n",
    "    - r\n",
    "    {s: {rule: R, service: s}}\n",
    "    t: {rule: R,\n service: s}\n",
    "    u: [\n",
    "    ]\n",
    '    v: "\n',
    '    w: "x"\n',
    "    x: {rule: R, rule: S, service: s}\n",
    "    y: !tag {rule: R, service: s}\n",
    "    z@z: {rule: R, service: s}\n",
    "   three: {rule: R, service: s}\n",
    "     five: {rule: R, service: s}\n",
    "    # a comment\n",
    "# a comment\n",
    "\n",
    "  \n",
    "\t\n",
    "    \ttab: 1\n",
    "  routers:\n",
    "  services:\n",
    "  middlewares: # here\n",
    "  middlewares: {}\n",
    "  nothing:\n",
    "http:\n",
    "http: {}\n",
    "tcp: {}\n",
    "tcp:\n",
    "tcp:\n  routers:\n",
    "tls:\n  certificates:\n",
    "  certificates:\n",
    "  - {certFile: a, keyFile: b}\n",
    "    - certFile: a\n      keyFile: b\n",
    "    - certFile: b\n      # c\n\n      keyFile: 'b\n\n        b'\n",
    "    - {certFile: a, keyFile: b, stores: [default]}\n",
    "    - {certFile: a}\n",
    "    -\n      certFile: a\n",
    "    - - certFile: a\n",
    "    -  {certFile: c, keyFile: d}\n",
    "x-own: {a: b}\n",
    "---\n",
    "...\n",
    "    1: {rule: R, service: s}\n",
    "    a: &x\n",
    "    text\n",
    "    'q': {rule: R, service: s}\n",
    "    rule: R\r\n",
    "    a : {rule: R, service: s}\n",
    "    a: {rule: R, service: s} # c\n",
    "    a: !!map {rule: R, service: s}\n",
    "    long: {rule: aaaaaaaaaaaaaaaaaaaa,\n      service: s}\n",
    "    a:{rule: R}\n",
    "    routers:\n      rule: R\n",
    "      rule: R\n",
]
HEADS = st.sampled_from(
    [
        "http:\n",
        "---\nhttp:\n",
        "# c\n\nhttp: # c\n",
        "http:\n  routers:\n",
        "http:\n  services:\n",
        "tcp:\n  routers:\n",
        "tls:\n  certificates:\n",
        "tls:\n  options:\n    o: {sniStrict: true}\n  certificates:\n",
        "udp:\n  services:\n    a: {loadBalancer: {servers: [{address: 'a:1'}]}}\n",
    ]
)
DOCUMENTS = st.builds(
    lambda head, pieces, end: head + "".join(pieces) + end,
    HEADS,
    st.lists(st.sampled_from(PIECES), max_size=8),
    st.sampled_from(["", "", "    end: {rule: R, service: s}", "    end: |+\n      a\n\n\n", "#"]),
)
SHARED = st.sampled_from(PIECES[:14])
ITEMS = st.sampled_from([each for each in PIECES if each.startswith("    - ")])


def section(head, entries):
    return st.builds(
        lambda made: head + "".join(made) if made else "", st.lists(entries, max_size=6, unique=True)
    )


TIDY = st.builds(
    lambda parts: "".join(parts),
    st.permutations(
        [
            ("http:\n", ("  routers:\n", SHARED), ("  services:\n", SHARED)),
            ("tcp:\n", ("  routers:\n", SHARED), ("  middlewares:\n", SHARED)),
            ("tls:\n", ("  certificates:\n", ITEMS), ("  options:\n", SHARED)),
        ]
    ).flatmap(
        lambda roots: st.tuples(
            *(
                st.builds(lambda *parts: "".join(parts), st.just(root), *(section(*each) for each in rest))
                for root, *rest in roots
            )
        )
    ),
)


@settings(max_examples=400)
@given(st.lists(st.one_of(TIDY, DOCUMENTS), min_size=1, max_size=4))
@example(["http:\n  routers:\n    l: &anchor {rule: R, service: s}\n    m: *anchor\n"] * 2)
@example(
    [
        "http:\n  routers:\n    a: {rule: R, service: s}\n",
        "http:\n  routers:\n    a: {rule: R, service: s}\n...",
    ]
)
@example(["http:\n  routers:\n    a: |+\n      x\n", "http:\n  routers:\n    a: |+\n      x"])
def test_blocks_mean_what_the_whole_means(texts):
    document = Document("d.yml")
    for text in texts:
        assert document.read(text) == read_whole(text, "d.yml")
