"""Names: what may be one, and what was probably meant by a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from tiervdb.errors import InvalidInputError

MAX_NAME = 200  # characters


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, and all there are."""
    names = sorted(known)
    if not names:
        return "there are none"
    close = difflib.get_close_matches(name.casefold(), [n.casefold() for n in names], n=1)
    listed = "there are: " + ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
    if not close:
        return listed
    meant = next(n for n in names if n.casefold() == close[0])
    return f"did you mean {meant!r}? {listed}"


def check_name(name: object, what: str) -> str:
    """A usable name of a collection, column or snapshot: 1 to 200 printable characters, no blanks at its ends."""
    if not isinstance(name, str):
        raise InvalidInputError(f"{what} must be a string, not {type(name).__name__}")
    if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
        shown = name if len(name) <= MAX_NAME else name[:40] + "..."
        raise InvalidInputError(
            f"{what} {shown!r} is not usable: give 1 to {MAX_NAME} printable characters without blanks at the ends"
        )
    return name
