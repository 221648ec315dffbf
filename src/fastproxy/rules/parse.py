"""Text -> tree. The grammar is a Go expression of calls joined by `||`, `&&`, `!` and parentheses.

    either  = both { "||" both }
    both    = one { "&&" one }
    one     = { "!" } ( "(" either ")" | call )
    call    = name "(" [ text { "," text } [ "," ] ] ")"

A newline after a complete operand ends the expression, as Go's automatic semicolon does; only white space and
comments may follow it. Sources: Go language specification, "Lexical elements"; Traefik's rules page.
"""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple, NoReturn

from .syntax import HTTP, And, Language, Matcher, Not, Or, RuleError, Tree, shown

DEPTH = 100  # parentheses inside each other; a rule of people has three

# All that is complete in itself. Text with escapes, and what is wrong, is looked at by character.
_WHOLE = re.compile(
    r"""(?P<blank>[ \t\r]+)
      | (?P<newline>\n)
      | (?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<name>[^\W\d]\w*)
      | `(?P<raw>[^`]*)`
      | "(?P<plain>[^"\\\n]*)"
      | (?P<operator>\|\||&&|[!(),])""",
    re.VERBOSE | re.DOTALL,
)

# What Traefik takes for a name in HostSNI.
_SERVER_NAME = re.compile(r"(\*\.)?[\w.:-]+", re.ASCII)

_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_FOREIGN = {"&": "&&", "|": "||", "=": "&&, || and !", "<": "&&, || and !", ">": "&&, || and !"}


class Token(NamedTuple):
    kind: str  # an operator, "name", "text", "newline" (only where it ends the expression) or "end"
    value: str  # the name, or the text without its quotes
    column: int

    def __str__(self) -> str:
        if self.kind in ("name", "text"):
            return f"{self.kind} {shown(self.value)}"
        ends = {"newline": "the end of the line", "end": "the end of the rule"}
        return ends.get(self.kind, f'"{self.kind}"')


def parse(text: str, language: Language = HTTP) -> Tree:
    """Return the tree of a rule. Raises RuleError with the column of the first thing that is wrong.

    language: the matchers that may stand in it. Names, numbers of arguments, hosts and paths are checked
    here; regular expressions and networks when the tree is compiled.
    """
    try:
        return _Parser(tuple(_Lexer(text).tokens()), language).rule()
    except RuleError as error:
        error.rule = text
        raise


# -- text -> tokens --------------------------------------------------------------------------------------


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 1 if text.startswith("\ufeff") else 0  # Go ignores a byte order mark at the very start
        self.found: list[Token] = []

    def tokens(self) -> list[Token]:
        while self.at < len(self.text):
            whole = _WHOLE.match(self.text, self.at)
            if whole is None:
                self.quoted_text() if self.text[self.at] == '"' else self.refuse(self.text[self.at])
            else:
                self.add_whole(whole)
                self.at = whole.end()
        self.add("end", "")
        return self.found

    def add_whole(self, whole: re.Match[str]) -> None:
        kind = whole.lastgroup
        assert kind is not None
        if kind == "operator":
            self.add(whole[kind], "")
        elif kind == "name":
            self.add("name", whole[kind])
        elif kind == "raw":
            # Go drops carriage returns out of raw strings, so that a file's line ends do not matter.
            self.add("text", whole[kind].replace("\r", ""))
        elif kind == "plain":
            self.add("text", whole[kind])
        elif "\n" in whole[kind]:
            self.newline()

    def newline(self) -> None:
        """Go's rule for the automatic semicolon: after an operand's last token, and only there."""
        if self.found and self.found[-1].kind in ("name", "text", ")"):
            self.add("newline", "")

    def add(self, kind: str, value: str) -> None:
        self.found.append(Token(kind, value, self.at + 1))

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise RuleError(message, (self.at if at is None else at) + 1)

    def refuse(self, char: str) -> NoReturn:
        if char == "`":
            self.fail("this text is not closed; end it with a back-quote")
        if self.text.startswith("/*", self.at):
            self.fail("this comment is not closed; end it with */")
        if char == "'":
            self.fail('single quotes are not allowed; write `text` or "text"')
        if char.isdigit():
            self.fail('a number is not allowed; arguments are written `text` or "text"')
        if char in _FOREIGN:
            self.fail(f'the operator "{char}" is not allowed; write {_FOREIGN[char]}')
        self.fail(f"the character {shown(char)} is not allowed outside of quotes")

    def quoted_text(self) -> None:
        start = self.at
        raw = bytearray()
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] not in '"\n':
            if self.text[self.at] == "\\":
                raw += self.escape()
            else:
                raw += self.text[self.at].encode("utf-8", "surrogateescape")
                self.at += 1
        if not self.text.startswith('"', self.at):
            self.fail('this text is not closed on its line; end it with "', start)
        self.at += 1
        self.found.append(Token("text", raw.decode("utf-8", "surrogateescape"), start + 1))

    def escape(self) -> bytes:
        """Take one escape of a Go string: \\x and \\ooo are bytes, \\u and \\U characters."""
        start = self.at
        kind = self.text[start + 1 : start + 2]
        if kind in _ESCAPES:
            self.at += 2
            return bytes([_ESCAPES[kind]])
        if kind in _DIGITS:
            return self.code(start, start + 2, _DIGITS[kind], 16, kind == "x")
        if kind and kind in "01234567":
            return self.code(start, start + 1, 3, 8, True)
        escape = shown("\\" + kind)
        raise RuleError(
            f"unknown escape {escape}; a backslash is written \\\\, or the text in back-quotes", start + 1
        )

    def code(self, start: int, first: int, count: int, base: int, is_byte: bool) -> bytes:
        digits = self.text[first : first + count]
        escape = shown(self.text[start : first + count].split('"')[0])
        allowed = "01234567" if base == 8 else "0123456789abcdefABCDEF"
        if len(digits) < count or any(digit not in allowed for digit in digits):
            self.fail(f"the escape {escape} needs {count} digits of base {base}", start)
        value = int(digits, base)
        if value > (255 if is_byte else 0x10FFFF) or (not is_byte and 0xD800 <= value < 0xE000):
            self.fail(f"the escape {escape} is no {'byte' if is_byte else 'character'}", start)
        self.at = first + count
        return bytes([value]) if is_byte else chr(value).encode()


# -- tokens -> tree --------------------------------------------------------------------------------------


class _Parser:
    def __init__(self, tokens: tuple[Token, ...], language: Language) -> None:
        self.tokens = tokens
        self.language = language
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, kind: str) -> bool:
        """Step over the next token if it is of this kind."""
        if self.next.kind != kind:
            return False
        self.at += 1
        return True

    def expect(self, kind: str, why: str) -> None:
        if not self.take(kind):
            self.unexpected(why)

    def unexpected(self, wanted: str) -> NoReturn:
        hint = "; break lines after an operator, a comma or (" if self.next.kind == "newline" else ""
        raise RuleError(f"found {self.next} where {wanted} was expected{hint}", self.next.column)

    def rule(self) -> Tree:
        if self.next.kind == "end":
            raise RuleError(f"the rule is empty; write one like {self.language.example}", 1)
        tree = self.either()
        if self.next.kind == "newline" and self.tokens[self.at + 1].kind == "end":
            self.at += 1
        self.expect("end", "&&, || or the end of the rule")
        return tree

    def either(self) -> Tree:
        parts = [self.both()]
        while self.take("||"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self) -> Tree:
        parts = [self.one()]
        while self.take("&&"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def one(self) -> Tree:
        negated = False
        while self.take("!"):
            negated = not negated
        tree = self.group() if self.next.kind == "(" else self.call()
        return Not(tree) if negated else tree

    def group(self) -> Tree:
        self.depth += 1
        if self.depth > DEPTH:
            raise RuleError(f"more than {DEPTH} parentheses inside each other", self.next.column)
        self.expect("(", "(")
        tree = self.either()
        self.expect(")", "&&, || or )")
        self.depth -= 1
        return tree

    def call(self) -> Matcher:
        name = self.next
        self.expect("name", f"a matcher like {self.language.example}")
        if name.value not in self.language.spellings:
            nearest = _nearest(name.value, self.language)
            raise RuleError(f"unsupported function: {name.value}; {nearest}", name.column)
        self.expect("(", f"( after {name.value}")
        arguments = self.arguments(name.value)
        matcher = Matcher(
            self.language.spellings[name.value],
            tuple(token.value for token in arguments),
            (name.column, *(token.column for token in arguments)),
        )
        _check(matcher, self.language)
        return matcher

    def arguments(self, name: str) -> list[Token]:
        found: list[Token] = []
        while not self.take(")"):
            found.append(self.next)
            self.expect("text", f"an argument of {name} in `` or quotes")
            if self.next.kind != ")":
                self.expect(",", ", or )")
        return found


def _nearest(name: str, language: Language) -> str:
    folded = {known.lower(): known for known in language.matchers}
    if name.lower() in folded:
        return f"the letters' case is not free, write {folded[name.lower()]}"
    close = difflib.get_close_matches(name.lower(), folded, 1)
    return f"did you mean {folded[close[0]]}?" if close else "known are " + ", ".join(language.matchers)


# -- arguments -------------------------------------------------------------------------------------------


def _check(matcher: Matcher, language: Language) -> None:
    """Refuse wrong numbers of arguments, empty ones, names that are none and paths without a slash."""
    name, arguments, columns = matcher.name, matcher.arguments, matcher.columns
    allowed = language.matchers[name]
    if len(arguments) not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise RuleError(
            f"unexpected number of parameters; got {len(arguments)}, {name} takes {wanted}", columns[0]
        )
    for argument, column in zip(arguments, columns[1:], strict=True):
        if not argument:
            raise RuleError(f"empty argument of {name}; every argument needs a text", column)
    if name in ("Host", "HostRegexp", "HostSNIRegexp"):
        _check_host(name, arguments[0], columns[1])
    if name == "HostSNI" and arguments[0] != "*" and not _SERVER_NAME.fullmatch(arguments[0]):
        raise RuleError(
            f"invalid value {shown(arguments[0])} for HostSNI matcher, it is not a valid hostname", columns[1]
        )
    if name == "ALPN" and arguments[0] == "acme-tls/1":
        raise RuleError(
            f"invalid protocol value for ALPN matcher, {shown(arguments[0])} is not allowed", columns[1]
        )
    if name == "ALPN" and len(arguments[0].encode("utf-8", "surrogateescape")) > 255:
        raise RuleError("a protocol of ALPN has at most 255 bytes", columns[1])
    if name in ("Path", "PathPrefix") and not arguments[0].startswith("/"):
        raise RuleError(f"path {shown(arguments[0])} does not start with a /", columns[1])


def _check_host(name: str, host: str, column: int) -> None:
    if not host.isascii():
        raise RuleError(
            f"invalid value {shown(host)} for {name} matcher, non-ASCII characters are not allowed; "
            "write the host in punycode",
            column,
        )
    if name == "Host" and host.startswith("**."):
        raise RuleError(f"the double wildcard {shown(host)} is not supported yet; write HostRegexp", column)
