"""Filters: SQL expressions over the columns of a row, evaluated by DuckDB to bitmaps.

``where=`` may come from somebody else's users, so it is a boundary: the text passes filter_tokens.py, DuckDB's parser
makes a tree of it, the tree passes filter_compile.py, and what runs is SQL written anew from that tree, in an in-memory
database without files, network, extensions or settings, under a limit of memory and time. Regular expressions are
RE2's, linear in the text.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tiervdb.errors import FilterError
from tiervdb.segment.filter_bitmaps import Bitmaps
from tiervdb.segment.filter_compile import ID_COLUMN, Node, check_tree, internal_name
from tiervdb.segment.filter_parameters import Parameter, kinds, plain_parameters
from tiervdb.segment.filter_tables import FilterSource, FilterTables
from tiervdb.segment.filter_tokens import clean
from tiervdb.types import CollectionSchema, Column, IdType, Mask

__all__ = ["Filter", "FilterEngine", "FilterSource", "compile_filter"]

MAX_EXPRESSION_DEPTH = 100
PARSER_MEMORY = 256 << 20
COMPILED_KEPT = 256
COMPILE_SECONDS = 5.0
_SQL_TYPES = {
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "string": "VARCHAR",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[us, UTC]": "TIMESTAMPTZ",
    "list<string>": "VARCHAR[]",
}
_NOTHING = np.zeros(0, np.bool_)
_DEAD_DATABASE = (duckdb.InternalException, duckdb.FatalException)


@dataclass(frozen=True)
class Filter:
    """A checked filter. ``sql`` names columns by internal names; ``key`` is the same for the same filter only.

    ``columns``: those that it uses, ``uses_id``: whether the id is among them.
    """

    where: str
    sql: str
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    uses_id: bool
    key: bytes


@dataclass(frozen=True)
class _Compiled:
    sql: str
    columns: tuple[Column, ...]
    uses_id: bool


def compile_filter(where: str, params: Sequence[Any] | None, schema: CollectionSchema) -> Filter:
    """Checks a filter for a collection's rows; thread-safe, and cheap when the expression was seen before.

    ``where``: an SQL expression of type boolean over the columns and ``id``; null counts as no match. ``params``: a
    value for each ``?``. Raises FilterError for everything else, naming what is wrong.
    """
    parameters = plain_parameters(params or (), schema)
    try:
        compiled = _compiler(os.getpid()).compile(where, parameters, schema)
    except FilterError as error:
        if isinstance(error.__cause__, _DEAD_DATABASE):
            _compiler.cache_clear()
        raise
    digest = hashlib.sha256(repr((compiled.sql, parameters)).encode()).digest()
    return Filter(where, compiled.sql, parameters, compiled.columns, compiled.uses_id, digest)


def _connect(memory_bytes: int) -> Any:
    """A database of its own, locked up."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "max_expression_depth": str(MAX_EXPRESSION_DEPTH),
        "memory_limit": f"{memory_bytes}B",
        "temp_directory": "",
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET lock_configuration = true")
    return connection


@functools.cache
def _compiler(_process: int) -> _Compiler:
    """One a process: a child must not use its parent's, nor free it, which would wait for threads that it lacks."""
    return _Compiler()


class _Compiler:
    """Parses and checks, and keeps what it compiled last."""

    def __init__(self) -> None:
        self._connection = _connect(PARSER_MEMORY)
        self._skeleton = _parse(self._connection, "TRUE")
        self._kept: OrderedDict[Hashable, _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, where: str, parameters: tuple[Parameter, ...], schema: CollectionSchema) -> _Compiled:
        key = (where, schema, kinds(parameters))
        with self._lock:
            compiled = self._kept.get(key)
            if compiled is not None:
                self._kept.move_to_end(key)
                return compiled
        connection = self._connection.cursor()
        try:
            compiled = self._compile(connection, where, parameters, schema)
        finally:
            connection.close()
        with self._lock:
            self._kept[key] = compiled
            while len(self._kept) > COMPILED_KEPT:
                self._kept.popitem(last=False)
        return compiled

    def _compile(
        self, connection: Any, where: str, parameters: tuple[Parameter, ...], schema: CollectionSchema
    ) -> _Compiled:
        with _translated(where, ()):
            tree = _parse(connection, clean(where))
            checked = check_tree(tree, self._skeleton, schema)
            _check_count(checked.parameters, len(parameters))
            text = connection.execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).fetchone()[0]
        sql = text.removeprefix("SELECT ")
        columns = tuple(checked.columns[c] for c in sorted(checked.columns))
        with _translated(where, columns):
            _check_type(connection, sql, columns, schema.id_type, parameters)
        return _Compiled(sql, columns, checked.uses_id)


def _parse(connection: Any, expression: str) -> Node:
    """The tree of a statement that selects the expression."""
    text = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{expression}\n)"]).fetchone()[0]
    tree: Node = json.loads(text)
    if tree["error"]:
        reason = tree["error_message"]
        raise FilterError(
            f"the filter is not an SQL expression: {reason} (in: {_shortened(expression)}); "
            "a column whose name is an SQL word needs double quotes"
        )
    return tree


def _check_type(
    connection: Any, sql: str, columns: Sequence[Column], id_type: IdType, parameters: Sequence[Parameter]
) -> None:
    """Has DuckDB bind the expression over no rows."""
    typed = [(ID_COLUMN, _SQL_TYPES[id_type]), *((internal_name(c.id), _SQL_TYPES[c.type]) for c in columns)]
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in typed)
    statement = f"SELECT {sql} FROM (SELECT {nulls}) LIMIT 0"  # noqa: S608  (written from the checked tree)
    with _deadline(connection, COMPILE_SECONDS):
        kind = str(connection.execute(statement, list(parameters)).description[0][1])
    if kind not in {"BOOLEAN", '"NULL"', "NULL"}:
        raise FilterError(f"the filter gives a {kind}, and must be true or false; compare it with something")


def _check_count(used: set[int], given: int) -> None:
    if used != set(range(1, len(used) + 1)):
        raise FilterError(f"the filter uses the parameters {sorted(used)}; they are numbered from 1 without gaps")
    if len(used) != given:
        raise FilterError(f"the filter has {len(used)} parameters (?) and params= gives {given} values")


@dataclass(frozen=True)
class _Rest:
    """The rows of a source behind its first ones."""

    source: FilterSource
    start: int
    key: None = None

    @property
    def rows(self) -> int:
        return self.source.rows - self.start

    def table(self, start: int = 0) -> pa.Table:
        return self.source.table(self.start + start)


class FilterEngine:
    """Evaluates filters over segments and memtables, and keeps bitmaps and filter columns. Thread-safe.

    ``budget_bytes``: for both together. ``statement_seconds``: after which an evaluation is given up.
    """

    def __init__(self, budget_bytes: int, statement_seconds: float = 30.0) -> None:
        self._budget = budget_bytes
        self._seconds = statement_seconds
        self._bitmaps = Bitmaps(budget_bytes // 2)
        self._lock = threading.Lock()
        self._open: tuple[Any, FilterTables] | None = None

    def masks(self, where: Filter, sources: Sequence[FilterSource]) -> list[Mask]:
        """One flag a row for each source. Those that are not known yet take one SQL statement together.

        Raises FilterError where the expression fails on a value, needs too much memory or takes too long.
        """
        known = [self._known(where, source) for source in sources]
        missing = [n for n, source in enumerate(sources) if len(known[n]) < source.rows]
        if missing:
            rest = [_Rest(sources[n], len(known[n])) if len(known[n]) else sources[n] for n in missing]
            for n, mask in zip(missing, self._evaluate(where, rest), strict=True):
                known[n] = np.concatenate([known[n], mask])
                if sources[n].key is not None:
                    self._bitmaps.put((sources[n].key, where.key), known[n])
        return known

    def _known(self, where: Filter, source: FilterSource) -> Mask:
        """What was found out before of the source's first rows: of all of them, or of none unless they grow."""
        mask = self._bitmaps.get((source.key, where.key)) if source.key is not None else None
        return _NOTHING if mask is None else mask[: source.rows]

    @property
    def kept_bytes(self) -> int:
        """Bytes of the bitmaps and of the columns that are kept."""
        return self._bitmaps.nbytes + (self._open[1].nbytes if self._open else 0)

    def close(self) -> None:
        """Frees memory. The engine can be used again afterwards."""
        with self._lock:
            if self._open is not None:
                self._open[0].close()
            self._open = None
            self._bitmaps = Bitmaps(self._budget // 2)

    def _database(self) -> tuple[Any, FilterTables]:
        """A connection for the calling thread, and the tables of its database."""
        with self._lock:
            if self._open is None:
                self._open = (_connect(max(2 * self._budget, PARSER_MEMORY)), FilterTables(self._budget // 2))
            connection, tables = self._open
            return connection.cursor(), tables

    def _evaluate(self, where: Filter, sources: Sequence[FilterSource]) -> list[Mask]:
        connection, tables = self._database()
        try:
            with _translated(where.where, where.columns):
                matches = self._run(connection, tables, where, sources)
        except FilterError as error:
            if isinstance(error.__cause__, _DEAD_DATABASE):  # DuckDB refuses all further work after such an error
                self.close()
            raise
        finally:
            connection.close()
        return _split(matches, [s.rows for s in sources])

    def _run(
        self, connection: Any, tables: FilterTables, where: Filter, sources: Sequence[FilterSource]
    ) -> npt.NDArray[np.int64]:
        """Matching rows, numbered through all sources."""
        if not where.columns and not where.uses_id:
            (matches,) = connection.execute(f"SELECT {where.sql}", list(where.parameters)).fetchone()
            return np.arange(sum(s.rows for s in sources) if matches else 0)
        offsets = np.cumsum([0, *(s.rows for s in sources)]).tolist()
        with tables.open(connection, sources, where.columns, where.uses_id) as readable:
            parts = [
                f"SELECT {table.row} + {offset} AS r FROM {table.name} WHERE {where.sql}"  # noqa: S608
                for table, offset in zip(readable, offsets[:-1], strict=True)
            ]
            with _deadline(connection, self._seconds):
                found = connection.execute(" UNION ALL ".join(parts), list(where.parameters)).fetchnumpy()["r"]
        rows: npt.NDArray[np.int64] = found
        return rows


def _split(matches: npt.NDArray[np.int64], rows: Sequence[int]) -> list[Mask]:
    mask = np.zeros(sum(rows), np.bool_)
    mask[matches] = True
    return np.split(mask, np.cumsum(rows)[:-1])


@contextmanager
def _deadline(connection: Any, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _translated(where: str, columns: Sequence[Column]) -> Iterator[None]:
    """DuckDB's errors as FilterError, with the users' names of columns."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise FilterError(f"the filter took too long and was given up; simplify it: {_shortened(where)}") from error
    except duckdb.OutOfMemoryException as error:
        raise FilterError(f"the filter needs more memory than filters get; simplify it: {_shortened(where)}") from error
    except duckdb.Error as error:
        raise FilterError(f"cannot evaluate the filter {_shortened(where)}: {_readable(error, columns)}") from error


def _readable(error: Exception, columns: Sequence[Column]) -> str:
    text = str(error).split("\n", 1)[0]
    text = re.sub(r"^(Binder|Conversion|Invalid Input|Out of Range|Parser|Catalog) Error: ", "", text)
    text = text.split(", or SET ", 1)[0]
    names = {internal_name(c.id): c.name for c in columns}
    return re.sub(r"\bc\d+\b", lambda found: names.get(found.group(), found.group()), text)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
