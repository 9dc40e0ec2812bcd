"""One repository's catalog: kept up to date by reading what is new, asked by SQL, published as Parquet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from tiervdb.backup.catalog import duck, kept, publishing, tables
from tiervdb.backup.catalog.facts import Facts, Passing, facts
from tiervdb.backup.catalog.known import Known
from tiervdb.backup.catalog.lists import Lists
from tiervdb.backup.catalog.log import LogContents
from tiervdb.backup.catalog.log_tables import log_tables
from tiervdb.backup.catalog.schema import FROM_LOG, TABLES
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, NewerFormatError, StorageError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_operations import CatalogPointer
from tiervdb.storage.given import to_path

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

_T = TypeVar("_T")
_log = logging.getLogger("tiervdb")
SHORT_LOG_PARTS, SHORT_LOG_BYTES = 1000, 64 << 20  # what is read for each publication


class Catalog:
    """Thread-safe. Raises StorageError where the store is away, CorruptionError never: what is damaged is left out."""

    def __init__(self, vault: Vault, known: Known | None = None) -> None:
        """``known``: what was read already; None: what an earlier process published."""
        self._vault = vault
        self._lock = threading.Lock()
        self._known = known
        self._log = LogContents()
        self._lists = Lists()
        self._distrust = False

    def sql(self, query: str, params: duck.Params = None) -> DuckDBPyRelation:
        """The rows of a query over the catalog as it is now. InvalidInputError for a query that cannot be run; what
        goes wrong while the relation is read (a cast, say) is DuckDB's own error."""
        return self.tables(query).sql(query, params)

    def table(self, query: str, params: duck.Params = None) -> pa.Table:
        """Like ``sql``, read whole. InvalidInputError also for what goes wrong then."""
        return self.tables(query).table(query, params)

    def tables(self, *queries: str) -> duck.Tables:
        """All tables as they are now, to be asked more than once; those of the log only if a query reads them."""
        with self._lock:
            found = self._facts()
            loaded = duck.Tables(tables.build(found), self._lists.of(found))
            if any(loaded.names_in(query) & FROM_LOG for query in queries):
                for name, table in self._of_log(found).items():
                    loaded.add(name, table)
            return loaded

    def look(self, at: Callable[[Facts], _T]) -> _T:
        """What ``at`` makes of what the tables are made from, as it is now."""
        with self._lock:
            return at(self._facts())

    def export(self, path: str | PathLike[str]) -> None:
        """All tables in a new DuckDB file. AlreadyExistsError if it exists; nothing is left of one that failed."""
        with self._lock:
            found = self._facts()
            small = {**tables.build(found), **self._of_log(found)}
            loaded = duck.Tables(small, self._lists.of(found))
            every = {name: small[name] if name in small else loaded.rows(name) for name in TABLES}
            duck.export(every, to_path(path, "the path of a new DuckDB file"))

    def publish(self, *, with_log: bool | None = True) -> None:
        """Writes the catalog into the repository as Parquet (docs/catalog.md), as each operation does by itself.

        ``with_log``: also commits and snapshots, for which the whole log is read; None: if it is short. In an encrypted
        repository no Parquet is written.
        """
        with self._lock:
            found = self._facts()
            small = tables.build(found)
            if with_log or (with_log is None and _has_short_log(found)):
                small |= self._of_log(found)
            loaded = duck.Tables(small, self._lists.of(found))
            whole = {**small, "objects": loaded.rows("objects")}
            before = None if self._distrust else self._pointer()
            publishing.publish(self._vault, found, before, whole, loaded.lists_of)
            self._distrust = False

    def _facts(self) -> Facts:
        if self._known is None:
            self._known = self._kept()
        self._known.refresh(self._vault)
        return facts(self._known, _passing(self._vault), self._vault.clock.now_us())

    def _of_log(self, found: Facts) -> dict[str, pa.Table]:
        self._log.refresh(found.held, LogReader(self._vault))
        for error in self._log.damaged.values():
            _log.warning("the catalog leaves commits out: %s", error)
        return log_tables(self._log, found)

    def _pointer(self) -> CatalogPointer | None:
        """None where there is none, or it cannot be read: then all is written anew."""
        try:
            return publishing.read_pointer(self._vault)
        except (CorruptionError, NewerFormatError):
            return None

    def _kept(self) -> Known:
        """What an earlier process published of its knowledge; nothing where there is none, or it is damaged."""
        try:
            pointer = publishing.read_pointer(self._vault)
            return Known() if pointer is None else kept.load(self._vault, pointer.state)
        except (CorruptionError, NewerFormatError, StorageError):
            self._distrust = True  # what is there is written anew
            return Known()


def _passing(vault: Vault) -> Passing:
    """Those that cannot be read are left out: a verification names them."""

    damaged_holds: list[CorruptionError] = []

    def left_out(key: str, error: CorruptionError) -> None:
        _log.warning("the catalog leaves %s out: %s", key, error)
        if key.startswith(paths.HOLDS):
            damaged_holds.append(error)

    return Passing(
        holds=vault.read_all(paths.HOLDS, operations.decode_hold, left_out),
        leases=vault.read_all(paths.LEASES, documents.decode_lease, left_out),
        pins=vault.read_all(paths.PINS, documents.decode_pin, left_out),
        complete=vault.read_all(paths.COMPLETE, documents.decode_complete, left_out),
        damaged_holds=damaged_holds,
    )


def _has_short_log(found: Facts) -> bool:
    parts = [part for archived in found.held.archived.values() for part in archived.parts]
    return len(parts) <= SHORT_LOG_PARTS and sum(part.length for part in parts) <= SHORT_LOG_BYTES
