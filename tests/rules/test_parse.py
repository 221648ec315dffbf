"""The grammar: what is a rule, what tree it has, and what is said of text that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastproxy.rules.parse import DEPTH, parse
from fastproxy.rules.syntax import MATCHERS, And, Matcher, Not, Or, RuleError, matchers, pushed

A, B, C = (Matcher("Host", (name,)) for name in "abc")


@pytest.mark.parametrize(
    ("rule", "tree"),
    [
        ("Host(`a`)", A),
        ("Host(`a`) || Host(`b`) && Host(`c`)", Or((A, And((B, C))))),
        ("Host(`a`) && Host(`b`) || Host(`c`)", Or((And((A, B)), C))),
        ("(Host(`a`) || Host(`b`)) && Host(`c`)", And((Or((A, B)), C))),
        ("Host(`a`)||Host(`b`)||Host(`c`)", Or((A, B, C))),
        ("!Host(`a`) && Host(`b`)", And((Not(A), B))),
        ("!(Host(`a`) && Host(`b`))", Not(And((A, B)))),
        ("!!Host(`a`)", A),
        ("! ! !Host(`a`)", Not(A)),
        ("((Host(`a`)))", A),
        ("!(!(Host(`a`)))", Not(Not(A))),
        # white space and lines
        ("  Host ( `a` )\t", A),
        ("Host(`a`) ||\n Host(`b`)", Or((A, B))),
        ("(\n\nHost(`a`))", A),
        ("!\nHost(`a`)", Not(A)),
        ("Host(\n`a`)", A),
        ("Host(`a`,\n)", A),
        ("\n\n Host(`a`)\n\n", A),
        ("Host(`a`)\r\n", A),
        ("\ufeffHost(`a`)", A),
        # comments
        ("Host(`a`) // the shop", A),
        ("Host(`a`) || // the shop\nHost(`b`)", Or((A, B))),
        ("/* one */ Host(/* two */`a`)", A),
        ("Host(`a`) /* one\ntwo */", A),
        ("Host(`a`) || /* one\ntwo */ Host(`b`)", Or((A, B))),
        ("Host(`a`)\n// the end", A),
        # commas
        ("Host(`a`,)", A),
        ("Header(`k`, `v`)", Matcher("Header", ("k", "v"))),
        ("Header(`k`,`v`,)", Matcher("Header", ("k", "v"))),
    ],
)
def test_tree(rule, tree):
    assert parse(rule) == tree


@pytest.mark.parametrize("name", MATCHERS)
def test_four_spellings(name):
    arguments = ("/x",) * MATCHERS[name][0]
    for spelling in (name, name.lower(), name.upper(), name.lower().title()):
        rule = f"{spelling}({', '.join(f'`{argument}`' for argument in arguments)})"
        assert parse(rule) == Matcher(name, arguments)


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("`/a b`", "/a b"),
        (r"`/a\.b\n`", r"/a\.b\n"),
        ('`/"`', '/"'),
        ("`/a\nb`", "/a\nb"),
        ("`/a\r\nb`", "/a\nb"),
        ("`//x/*y*/`", "//x/*y*/"),
        ('"/a`b"', "/a`b"),
        ('"/a//b"', "/a//b"),
        (r'"/\\."', r"/\."),
        (r'"/\""', '/"'),
        (r'"/\a\b\f\n\r\t\v"', "/\a\b\f\n\r\t\v"),
        (r'"/\u00e9"', "/é"),
        (r'"/\U0001F600"', "/\U0001f600"),
        (r'"/\xc3\xa9"', "/é"),
        (r'"/\303\251"', "/é"),
        (r'"/\xff"', "/\udcff"),
        (r'"/\377"', "/\udcff"),
        ('"/é"', "/é"),
        ("`/é`", "/é"),
    ],
)
def test_literals(literal, value):
    assert parse(f"Path({literal})") == Matcher("Path", (value,))


@pytest.mark.parametrize(
    ("rule", "column", "message"),
    [
        ("", 1, "the rule is empty"),
        ("  \n", 1, "the rule is empty"),
        ("// nothing", 1, "the rule is empty"),
        # names
        ("HostReg(`a`)", 1, "unsupported function: HostReg; did you mean HostRegexp?"),
        ("Host(`a`) && Heder(`a`, `b`)", 14, "unsupported function: Heder; did you mean Header?"),
        ("hOST(`a`)", 1, "unsupported function: hOST; the letters' case is not free, write Host"),
        ("pathPrefix(`/a`)", 1, "write PathPrefix"),
        ("HostSNI(`a`)", 1, "unsupported function: HostSNI"),
        ("zzz(`a`)", 1, "known are Host, HostRegexp"),
        ("Höst(`a`)", 1, "unsupported function: Höst"),
        # what an operand is
        ("Host", 5, "found the end of the rule where ( after Host was expected"),
        ("`a`", 1, 'found text "a" where a matcher like Host(`example.com`) was expected'),
        ("Host(`a`) && `b`", 14, 'found text "b"'),
        ("Host(`a`) || ", 14, "found the end of the rule where a matcher"),
        ("Host(`a`) || || Host(`b`)", 14, 'found "||"'),
        ("&& Host(`a`)", 1, 'found "&&"'),
        ("!", 2, "found the end of the rule"),
        ("()", 2, 'found ")"'),
        ("Host(`a`) Host(`b`)", 11, 'found name "Host" where &&, || or the end of the rule was expected'),
        ("Host(`a`)!", 10, 'found "!"'),
        ("(Host(`a`)", 11, "found the end of the rule where &&, || or ) was expected"),
        ("Host(`a`))", 10, 'found ")" where &&, || or the end of the rule was expected'),
        ("Host(`a`), Host(`b`)", 10, 'found ","'),
        ("(Host)(`a`)", 6, 'found ")" where ( after Host was expected'),
        # other operators, other characters
        ("Host(`a`) & Host(`b`)", 11, 'the operator "&" is not allowed; write &&'),
        ("Host(`a`) | Host(`b`)", 11, 'the operator "|" is not allowed; write ||'),
        ("Host(`a`) == Host(`b`)", 11, 'the operator "=" is not allowed; write &&, || and !'),
        ("Host(`a`) and Host(`b`)", 11, 'found name "and"'),
        ("Host(`a`);", 10, 'the character ";" is not allowed outside of quotes'),
        ("Host(`a`)\u00a0", 10, r'the character "\xa0" is not allowed'),
        ("Host(`a`)\x00", 10, r'the character "\x00" is not allowed'),
        ("x.Host(`a`)", 2, 'the character "." is not allowed'),
        ("Host(`a`...)", 9, 'the character "." is not allowed'),
        # lines
        ("Host(`a`)\n|| Host(`b`)", 10, "found the end of the line"),
        ("Host(`a`)\n\nHost(`b`)", 10, "found the end of the line"),
        ("Host(`a`) // c\n|| Host(`b`)", 15, "break lines after an operator, a comma or ("),
        ("Host(`a`) /* \n */ || Host(`b`)", 11, "found the end of the line"),
        ("Host\n(`a`)", 5, "found the end of the line"),
        ("Host(`a`\n)", 9, "found the end of the line where , or ) was expected"),
        ("(Host(`a`)\n)", 11, "found the end of the line"),
        # literals
        ("Host('a')", 6, 'single quotes are not allowed; write `text` or "text"'),
        ("Host(1)", 6, "a number is not allowed"),
        ("Host(a)", 6, 'found name "a" where an argument of Host in `` or quotes was expected'),
        ("Host(Host(`a`))", 6, 'found name "Host"'),
        ("Host((`a`))", 6, 'found "("'),
        ("Host(`a)", 6, "this text is not closed; end it with a back-quote"),
        ('Host("a)', 6, 'this text is not closed on its line; end it with "'),
        ('Host("a\n")', 6, "this text is not closed on its line"),
        ('Host("a\\', 8, "unknown escape"),
        ("/* Host(`a`)", 1, "this comment is not closed; end it with */"),
        (r'Path("/\.")', 8, r'unknown escape "\."; a backslash is written \\, or the text in back-quotes'),
        (r"""Path("/\'")""", 8, "unknown escape"),
        (r'Path("/\x4")', 8, r'the escape "\x4" needs 2 digits of base 16'),
        (r'Path("/\u12")', 8, r'the escape "\u12" needs 4 digits of base 16'),
        (r'Path("/\8")', 8, "unknown escape"),
        (r'Path("/\18")', 8, r'the escape "\18" needs 3 digits of base 8'),
        (r'Path("/\400")', 8, r'the escape "\400" is no byte'),
        (r'Path("/\ud800")', 8, r'the escape "\ud800" is no character'),
        (r'Path("/\U00110000")', 8, "is no character"),
        # arguments
        ("Host()", 1, "unexpected number of parameters; got 0, Host takes 1"),
        ("Host(`a`, `b`)", 1, "unexpected number of parameters; got 2, Host takes 1"),
        ("Header(`a`)", 1, "unexpected number of parameters; got 1, Header takes 2"),
        ("Query(`a`, `b`, `c`)", 1, "unexpected number of parameters; got 3, Query takes 1 or 2"),
        ("Host(,)", 6, 'found ","'),
        ("Host(`a`,,)", 10, 'found ","'),
        ("Header(`a` `b`)", 12, 'found text "b" where , or ) was expected'),
        ("Host(``)", 6, "empty argument of Host"),
        ('Header(`a`, "")', 13, "empty argument of Header"),
        ("Query(`a`, ``)", 12, "empty argument of Query"),
        ("Host(`exämple.com`)", 6, 'invalid value "exämple.com" for Host matcher, non-ASCII'),
        (r'HostRegexp("\xff")', 12, r'invalid value "\xff" for HostRegexp matcher'),
        ("Host(`**.example.com`)", 6, 'the double wildcard "**.example.com" is not supported yet'),
        ("Path(`a`)", 6, 'path "a" does not start with a /'),
        ("PathPrefix(`*`)", 12, 'path "*" does not start with a /'),
        ("(" * (DEPTH + 1) + "Host(`a`)" + ")" * (DEPTH + 1), DEPTH + 1, "parentheses inside each other"),
    ],
)
def test_refused(rule, column, message):
    with pytest.raises(RuleError) as caught:
        parse(rule)
    assert message in caught.value.message
    assert caught.value.column == column
    assert "\n" not in str(caught.value)


def test_the_error_opens_as_traefiks_does():
    with pytest.raises(RuleError) as caught:
        parse("Host(`a`) ||\nHeder(`a`, `b`)")
    assert str(caught.value) == (
        "error while parsing rule Host(`a`) || Heder(`a`, `b`): column 14: "
        "unsupported function: Heder; did you mean Header?"
    )


def test_columns_of_arguments():
    assert parse("  Header(`k`, `v`)").columns == (3, 10, 15)


def test_a_long_rule_is_no_deep_one():
    rule = " || ".join(f"Host(`h{number}`)" for number in range(5000))
    assert len(parse(rule).parts) == 5000
    assert parse("!" * 10001 + "Host(`a`)") == Not(A)


@pytest.mark.parametrize(
    ("rule", "tree"),
    [
        ("!(Host(`a`) && Host(`b`))", Or((Not(A), Not(B)))),
        ("!(Host(`a`) || !Host(`b`))", And((Not(A), B))),
        ("!(!(Host(`a`) && !(Host(`b`) || Host(`c`))))", And((A, And((Not(B), Not(C)))))),
    ],
)
def test_negation_is_pushed_down(rule, tree):
    assert pushed(parse(rule)) == tree


trees = st.recursive(
    st.sampled_from([A, B, C]),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=12,
)


def written(tree):
    if isinstance(tree, Matcher):
        return f"{tree.name}(`{tree.arguments[0]}`)"
    if isinstance(tree, Not):
        return f"!({written(tree.part)})"
    return (" && " if isinstance(tree, And) else " || ").join(f"({written(part)})" for part in tree.parts)


def holds(tree, true):
    if isinstance(tree, Matcher):
        return tree in true
    if isinstance(tree, Not):
        return not holds(tree.part, true)
    return (all if isinstance(tree, And) else any)(holds(part, true) for part in tree.parts)


@given(trees)
def test_what_is_written_is_read_back(tree):
    assert parse(written(tree)) == tree
    assert matchers(parse(written(tree))) == matchers(tree)


@given(trees, st.sets(st.sampled_from([A, B, C])))
def test_pushing_negation_down_changes_nothing(tree, true):
    assert holds(pushed(tree), true) == holds(tree, true)


@given(st.text(alphabet="Host(`a`)|&! \n\"\\x4/*,'", max_size=30))
def test_any_text_is_a_tree_or_an_error(text):
    try:
        parse(text)
    except RuleError as error:
        assert 1 <= error.column <= len(text) + 1
