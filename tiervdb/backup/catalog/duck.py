"""The catalog's home of DuckDB: tables in memory, and queries that reach neither files nor network."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tiervdb.backup.catalog.schema import FROM_LOG, TABLES
from tiervdb.errors import AlreadyExistsError, InvalidInputError, StorageError
from tiervdb.storage.os_errors import os_errors

_UTC = "set TimeZone = 'UTC'"
Params = Sequence[Any] | Mapping[str, Any] | None
_READS = ("SELECT", "EXPLAIN")
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "allow_community_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
# Lists of files are kept as numbers, and put together when they are asked for.
_OBJECTS = """
        select b.id as backup, f.name,
            case when f.role = 'cold' then 'cold' when f.kind = 'wal' then 'log'
                 when f.segment is null then 'meta' else 'hot' end as tier,
            f.kind, f.collection, f.segment, f.bytes, f.hash, f.object, f.stored_bytes, f.uploaded_by
        from internal.listings l
        join internal.files f on f.number = l.file
        join internal.backups b on b.number = l.backup
"""
_VIEWS = {
    "backup_objects": _OBJECTS,
    "objects": """
        with needed as (
            select l.file, count(*) as backups from internal.listings l join internal.backups b on b.number = l.backup
            where b.listed group by l.file
        ), shared as (
            select object from internal.files where object is not null group by object having count(*) > 1
        ), counted as (
            select f.object, n.backups from needed n join internal.files f on f.number = n.file
            where f.object not in (select object from shared)
            union all
            select f.object, count(distinct l.backup) from shared s join internal.files f on f.object = s.object
            join internal.listings l on l.file = f.number join internal.backups b on b.number = l.backup
            where b.listed group by f.object
        )
        select f.object, any_value(f.bytes) as bytes, any_value(f.stored_bytes) as stored_bytes,
            any_value(f.layout) as layout, any_value(f.codec) as codec, any_value(f.hash) as hash,
            any_value(f.uploaded_by) as uploaded_by, coalesce(any_value(n.backups), 0)::bigint as backups
        from internal.files f
        left join counted n on n.object = f.object
        where f.object is not null
        group by f.object
    """,
}


class Tables:
    """A database in memory, loaded once. Relations that were asked of it keep it alive."""

    def __init__(self, tables: Mapping[str, pa.Table], lists: Mapping[str, pa.Table]) -> None:
        """``tables``: by name; ``lists``: listings, files and backups, by numbers."""
        self._connection = duckdb.connect(":memory:", config=_SETTINGS)
        self._connection.execute(_UTC)
        self._connection.execute("create schema internal")
        for name, table in lists.items():
            self._connection.from_arrow(table).create(f"internal.{name}")
        for name, table in tables.items():
            self._load(name, table)
        for name in FROM_LOG - tables.keys():
            self._load(name, TABLES[name].schema.empty_table())
        for name, view in _VIEWS.items():
            self._connection.execute(f"create view {name} as {view}")
        self._connection.execute("set lock_configuration = true")

    def add(self, name: str, table: pa.Table) -> None:
        """Fills a table that was left empty."""
        self._load(name, table)

    def names_in(self, query: str) -> set[str]:
        """The tables that a query reads, in small letters, or a few more. InvalidInputError if it cannot be run."""
        self._check(query)
        try:
            return {name.lower() for name in self._connection.get_table_names(query)}
        except duckdb.Error:  # it does not know parameters; a query that is wrong says so when it is run
            return {name for name in TABLES if re.search(rf"\b{name}\b", query.lower())}

    def sql(self, query: str, params: Params = None) -> duckdb.DuckDBPyRelation:
        """The answer, computed when it is read. InvalidInputError for what is no query of these tables."""
        self._check(query)
        try:
            found = self._connection.cursor().sql(query, params=params)
        except duckdb.Error as error:
            raise _refused(query, error) from error
        if found is None:
            raise InvalidInputError(f"sql: {query!r} gives no rows; write a select")
        return found

    def table(self, query: str, params: Params = None) -> pa.Table:
        """The answer, computed now."""
        found = self.sql(query, params)
        try:
            return found.to_arrow_table()
        except duckdb.Error as error:
            raise _refused(query, error) from error

    def rows(self, name: str) -> pa.Table:
        """All rows of a table or view."""
        return self._connection.table(name).to_arrow_table()

    def lists_of(self, backups: Sequence[str]) -> pa.Table:
        """What these backups list, by backup and name."""
        query = f"{_OBJECTS} where list_contains(?, b.id) order by b.number, f.name"
        return self._connection.sql(query, params=[list(backups)]).to_arrow_table()

    def _load(self, name: str, table: pa.Table) -> None:
        self._connection.execute(f'drop table if exists "{name}"')
        self._connection.from_arrow(table).create(name)

    def _check(self, query: str) -> None:
        if not isinstance(query, str):
            raise InvalidInputError(f"sql: {query!r} is no query; give a text")
        try:
            statements = self._connection.extract_statements(query)
        except duckdb.Error as error:
            raise _refused(query, error) from error
        if len(statements) != 1 or statements[0].type.name not in _READS:
            raise InvalidInputError("sql: give one select; the catalog is derived from documents, and only read")


def export(tables: Mapping[str, pa.Table], path: Path) -> None:
    """A DuckDB file with these tables, there when it is complete. AlreadyExistsError if the path exists."""
    if path.exists():
        raise AlreadyExistsError(f"{path} exists already; give another file, or move it away")
    with os_errors("writing", path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".tiervdb-") as folder:
        made = Path(folder) / path.name
        try:
            _write(tables, made)
        except duckdb.Error as error:
            raise StorageError(f"writing {path}: {str(error).splitlines()[0]}") from error
        made.replace(path)


def _write(tables: Mapping[str, pa.Table], path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        for name, table in tables.items():
            connection.from_arrow(table).create(name)
            for column, _, meaning in TABLES[name].columns:
                text = meaning.replace("'", "''")
                connection.execute(f'comment on column "{name}"."{column}" is \'{text}\'')


def _refused(query: str, error: duckdb.Error) -> InvalidInputError:
    first = str(error).partition("\n\n")[0].strip()
    where = f"in {query.strip()[:200]!r}"
    return InvalidInputError(f"sql: {first} ({where}); `show tables` and docs/catalog.md list what there is")
