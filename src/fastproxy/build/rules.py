"""Rules of routers: text -> the compiled object that asks a request."""

from .._core.rule import Rule
from ..rules.compile import Program, compile_rule
from ..rules.syntax import HTTP, Language, RuleError
from .runtime import Broken


def rule_of(text: str) -> Rule:
    """Compile a rule of an HTTP router. Raises Broken with the column of the first mistake."""
    program = program_of(text)
    return Rule(text, program.tests, program.keys)


def program_of(text: str, language: Language = HTTP) -> Program:
    """Compile a rule to a program that is not in the core yet. Raises Broken likewise."""
    try:
        return compile_rule(text, language)
    except RuleError as error:
        raise Broken(str(error)) from None
