"""How a section of the document is described: a frozen Struct, and what else Traefik knows in that place.

The description is read by `decode`; whoever uses the values sees ordinary msgspec Structs.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import msgspec

Mistake = tuple[str | tuple[str, ...], str]


class Reads(msgspec.Struct, frozen=True):
    """Stands in `Annotated[type, Reads(...)]`: how the text of an option becomes its value.

    `parse` takes the text as the user wrote it (numbers and booleans too) and returns the value; it raises
    ValueError with a message that says what was found and what is allowed.
    """

    parse: Callable[[str], Any]


class Choice(msgspec.Struct, frozen=True):
    """Stands in `Annotated[Literal[...], Choice(...)]`: what other words mean."""

    not_yet: str = ""
    """Words, separated by blanks, that Traefik knows and fastproxy does not support yet."""

    otherwise: str | None = None
    """What an unknown word means, with a warning; None: it is an error."""


class Section(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, rename="camel"):
    """The base of all sections. Attributes are snake_case, names in a document camelCase (in any case).

    Frozen, comparable, encoded and decoded by msgspec (JSON, msgpack); what is left out is the default.
    """

    NOT_YET: ClassVar[str] = ""
    """Names, separated by blanks, that Traefik knows here and fastproxy does not support yet."""

    WITHOUT_EFFECT: ClassVar[str] = ""
    """Names, separated by blanks, that Traefik v3 takes and ignores: accepted with a warning."""

    HIDDEN: ClassVar[str] = ""
    """Attributes, separated by blanks, that no document may set and nobody is shown: notes of our own."""

    MAY_BE_EMPTY: ClassVar[bool] = False
    """Whether `{}` and `true` declare the section with its defaults; otherwise they declare nothing."""

    def mistakes(self) -> Iterator[Mistake]:
        """Yield (option, message) for what no single value can know; option '' is the section itself.

        A tuple of names leads further down. An option that is missing is told under its own name; so nothing
        is told twice when it was written and could not be read.
        """
        return iter(())

    def idle(self) -> Iterator[tuple[str, str]]:
        """Yield (option, message) for options that do nothing beside the others: who writes one is warned."""
        return iter(())
