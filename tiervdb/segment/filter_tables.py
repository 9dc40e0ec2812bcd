"""Filter columns of segments as DuckDB tables, kept under a byte budget.

Takes DuckDB connections from filter.py. Columns are named by their ids, so renaming a column, or dropping it and
adding another one of that name, never meets a stale table.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tiervdb.errors import CorruptionError
from tiervdb.format.columns import arrow_type
from tiervdb.segment.filter_compile import ID_COLUMN, internal_name
from tiervdb.types import Column

ID = 0  # the id's place among column ids, which start at 1
ROW = "r"


class Growing:
    """The key of rows that get more rows behind them, and never others: what is known of the first of them stays true
    after the next commit. A table of their own never pays."""


class FilterSource(Protocol):
    """Rows that a filter is evaluated over: those of a segment or of a memtable."""

    @property
    def key(self) -> Hashable | None:
        """An identity that no other rows ever have (but see Growing); None where nothing is to be kept."""
        ...

    @property
    def rows(self) -> int: ...

    def table(self, start: int = 0) -> pa.Table:
        """``id`` and the filter columns under the users' names, one row a row from ``start`` on; missing columns are
        null. ``start``: 0 but for rows that grow."""
        ...


@dataclass(frozen=True)
class Readable:
    """A DuckDB table to select from. ``row``: the expression of its row number."""

    name: str
    row: str


@dataclass
class _Kept:
    name: str
    columns: frozenset[int]
    nbytes: int
    leases: int = 0
    evicted: bool = False


def arrow_of(source: FilterSource, columns: Sequence[Column], uses_id: bool) -> pa.Table:
    """The columns under their internal names. Raises CorruptionError if their length is not that of the source."""
    table = source.table()
    if len(table) != source.rows:
        raise CorruptionError(
            f"the filter columns of {source.key} have {len(table)} rows instead of {source.rows}; "
            "run `tiervdb check` on the database"
        )
    arrays = {ID_COLUMN: table.column("id")} if uses_id else {}
    for column in columns:
        kind = arrow_type(column.type)
        present = column.name in table.column_names
        arrays[internal_name(column.id)] = (
            table.column(column.name).cast(kind) if present else pa.nulls(source.rows, kind)
        )
    return pa.table(arrays)


class FilterTables:
    """Tables of immutable sources, loaded when first needed, dropped when others need the room. Thread-safe."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._numbers = count()

    @property
    def nbytes(self) -> int:
        return self._bytes

    @contextmanager
    def open(
        self, connection: Any, sources: Sequence[FilterSource], columns: Sequence[Column], uses_id: bool
    ) -> Iterator[list[Readable]]:
        """A table for each source, that ``connection`` can read inside the block."""
        leased: list[_Kept] = []
        registered: list[str] = []
        try:
            readable = []
            for source in sources:
                lasts = source.key is not None and not isinstance(source.key, Growing)
                kept = self._lease(connection, source, columns, uses_id) if lasts else None
                if kept is not None:
                    leased.append(kept)
                    readable.append(Readable(kept.name, "rowid"))
                else:
                    name = f"m{next(self._numbers)}"
                    table = arrow_of(source, columns, uses_id)
                    connection.register(name, table.append_column(ROW, pa.array(np.arange(source.rows))))
                    registered.append(name)
                    readable.append(Readable(name, ROW))
            yield readable
        finally:
            for name in registered:
                connection.unregister(name)
            self._give_back(connection, leased)

    def _lease(self, connection: Any, source: FilterSource, columns: Sequence[Column], uses_id: bool) -> _Kept | None:
        """The kept table with at least these columns; None if it is larger than the whole budget."""
        wanted = frozenset([*(c.id for c in columns), *([ID] if uses_id else [])])
        with self._lock:
            kept = self._kept.get(source.key)
            if kept is None or not wanted <= kept.columns:
                kept = self._load(connection, source, columns, uses_id, kept)
            if kept is not None:
                self._kept.move_to_end(source.key)
                kept.leases += 1
            return kept

    def _load(
        self, connection: Any, source: FilterSource, columns: Sequence[Column], uses_id: bool, old: _Kept | None
    ) -> _Kept | None:
        arrow = arrow_of(source, columns, uses_id)
        held = old.columns if old else frozenset()
        nbytes = arrow.nbytes + (old.nbytes if old else 0)
        if nbytes > self._budget:
            return None
        kept = _Kept(f"t{next(self._numbers)}", held | _ids(columns, uses_id), nbytes)
        connection.register("incoming", arrow)
        try:
            _create(connection, kept.name, old, [c for c in arrow.column_names if _column_id(c) not in held])
        finally:
            connection.unregister("incoming")
        if old is not None:
            self._evict(connection, source.key)
        self._kept[source.key] = kept
        self._bytes += nbytes
        while self._bytes > self._budget:
            self._evict(connection, next(iter(self._kept)))
        return kept

    def _evict(self, connection: Any, key: Hashable) -> None:
        kept = self._kept.pop(key)
        self._bytes -= kept.nbytes
        kept.evicted = True
        if not kept.leases:
            connection.execute(f"DROP TABLE {kept.name}")

    def _give_back(self, connection: Any, leased: Sequence[_Kept]) -> None:
        with self._lock:
            for kept in leased:
                kept.leases -= 1
                if kept.evicted and not kept.leases:
                    connection.execute(f"DROP TABLE {kept.name}")


def _create(connection: Any, name: str, old: _Kept | None, added: Sequence[str]) -> None:
    """A table of the old one's columns and the added ones, rows in their order."""
    selected = ", ".join(f"incoming.{column}" for column in added)
    if old is None:
        query = f"SELECT {selected} FROM incoming"  # noqa: S608  (internal names)
    else:
        query = f"SELECT o.*, {selected} FROM {old.name} o POSITIONAL JOIN incoming"  # noqa: S608
    connection.execute(f"CREATE TABLE {name} AS {query}")


def _column_id(internal: str) -> int:
    return ID if internal == ID_COLUMN else int(internal[1:])


def _ids(columns: Sequence[Column], uses_id: bool) -> frozenset[int]:
    return frozenset([*(c.id for c in columns), *([ID] if uses_id else [])])
