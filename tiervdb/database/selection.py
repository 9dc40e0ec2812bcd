"""Which columns a call wants, as users say it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tiervdb.database.inputs.rows import known_column
from tiervdb.errors import InvalidInputError
from tiervdb.types import CollectionSchema, Column

ALL = "*"

ColumnNames = Sequence[str] | str | None


class Selection(msgspec.Struct, frozen=True):
    """The columns in the order asked, and whether the vector is wanted. The id always comes along."""

    columns: tuple[Column, ...]
    vectors: bool = False


def select(names: ColumnNames, schema: CollectionSchema, what: str, vectors: bool = False) -> Selection:
    """Columns by name: ``"*"`` is all of them, ``"vector"`` the vector, None none. SchemaError for an unknown name."""
    if names is None:
        return Selection((), vectors)
    if names == ALL:
        return Selection(schema.columns, vectors)
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InvalidInputError(f'{what}: give a list of column names, or "*" for all, not {names!r}')
    wanted: dict[str, Column] = {}
    for name in names:
        if name == ALL:
            wanted.update({c.name: c for c in schema.columns})
        elif name == "vector":
            vectors = True
        elif name != "id":
            column = known_column(name, schema, what)
            wanted[column.name] = column
    return Selection(tuple(wanted.values()), vectors)
