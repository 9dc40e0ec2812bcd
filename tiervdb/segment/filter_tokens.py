"""The first gate of a filter: only plain tokens of an expression, in bounds, reach DuckDB's parser.

A parser that meets hostile text can need exponential time and memory (DuckDB 2.0: sixty times ``with a as (``), and no
statement timeout ends it. So the text is cut into tokens of a few harmless kinds, statements' keywords are refused,
brackets must match, and what goes on is written anew from the tokens.
"""

from __future__ import annotations

import re

from tiervdb.errors import FilterError

MAX_CHARACTERS = 65_536
MAX_DEPTH = 50  # of brackets
MAX_PREFIXES = 8  # signs and NOTs in a row, whose parsing takes quadratic time

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f\v]+)
  | (?P<comment>--|/\*)
  | (?P<string>'(?:[^']|'')*')
  | (?P<quoted>"(?:[^"]|"")+")
  | (?P<number>(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?(?!\w))
  | (?P<parameter>\?\d*|\$\d+)
  | (?P<word>[^\W\d]\w*)
  | (?P<bracket>[()\[\]])
  | (?P<operator>[-+*/<>=~!%^&|@:]+?(?=--|/\*|[^-+*/<>=~!%^&|@:]|\Z)|[,.])
    """,
    re.VERBOSE,
)
_CLOSES = {")": "(", "]": "["}

# Words that start a query, a window or a lambda. As names of columns they can be put into double quotes.
_WORDS = (
    "all any columns describe except exclude exists filter group grouping having intersect lambda lateral over "
    "partition pivot pivot_longer pivot_wider qualify recursive select show some summarize table union unpack unpivot "
    "values window with within"
)
_STATEMENT_WORDS = frozenset(_WORDS.split())


def clean(where: str) -> str:
    """The expression written anew, one space between tokens. Raises FilterError for what no filter needs."""
    if len(where) > MAX_CHARACTERS:
        raise FilterError(
            f"the filter has {len(where)} characters, and at most {MAX_CHARACTERS} are allowed; "
            "pass long lists as one parameter: list_contains(?, rank)"
        )
    tokens: list[str] = []
    open_brackets: list[str] = []
    prefixes = position = 0
    while position < len(where):
        found = _TOKEN.match(where, position)
        if found is None:
            raise FilterError(_unreadable(where, position))
        text, kind = found.group(), found.lastgroup
        if kind == "comment":
            raise FilterError(f"comments are not allowed in filters ({text!r} at character {position + 1})")
        if kind == "bracket":
            _track(text, open_brackets, position)
        elif kind == "word":
            _check_word(text, where[found.end() : found.end() + 1])
        if kind != "space":
            tokens.append(text)
            prefixes = prefixes + 1 if kind == "operator" or text.lower() == "not" else 0
            if prefixes > MAX_PREFIXES:
                raise FilterError(f"the filter has more than {MAX_PREFIXES} operators in a row at {position + 1}")
        position = found.end()
    if open_brackets:
        raise FilterError(f"the filter is incomplete: {open_brackets[-1]!r} is never closed")
    if not tokens:
        raise FilterError("the filter is empty; leave where= out to match all rows")
    return " ".join(tokens)


def _track(bracket: str, open_brackets: list[str], position: int) -> None:
    if bracket not in _CLOSES:
        open_brackets.append(bracket)
        if len(open_brackets) > MAX_DEPTH:
            raise FilterError(f"the filter nests brackets deeper than {MAX_DEPTH} levels")
    elif not open_brackets or open_brackets.pop() != _CLOSES[bracket]:
        raise FilterError(f"the filter has a {bracket!r} at character {position + 1} that nothing opened")


def _check_word(word: str, following: str) -> None:
    if word.lower() in _STATEMENT_WORDS:
        raise FilterError(
            f"{word!r} cannot be used in a filter, which is one expression over the columns of a row; "
            "if it is the name of a column, put it into double quotes"
        )
    if following == "'":
        raise FilterError(f"a prefix before a string ({word}'...') is not allowed in filters; use a plain '...' string")


def _unreadable(where: str, position: int) -> str:
    character = where[position]
    if character == "'":
        return f"the string that starts at character {position + 1} of the filter has no end"
    if character == '"':
        return f"the quoted name that starts at character {position + 1} of the filter is empty or has no end"
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return f"the filter has a character that no expression needs: {shown} at position {position + 1}"
