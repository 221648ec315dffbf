"""Rules of routers: text -> the compiled object that asks a request."""

from .._core.rule import Rule
from ..rules.compile import compile_rule
from ..rules.syntax import RuleError
from .runtime import Broken


def rule_of(text: str) -> Rule:
    """Compile a rule. Raises Broken with the column of the first mistake."""
    try:
        program = compile_rule(text)
    except RuleError as error:
        raise Broken(str(error)) from None
    return Rule(text, program.tests, program.keys)
