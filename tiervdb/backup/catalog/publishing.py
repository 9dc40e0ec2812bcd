"""Publishing a catalog: Parquet files in a new directory, complete before the pointer names it; and what is known.

In an encrypted repository no Parquet is written, and what is known is sealed like everything else.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from tiervdb.backup.catalog import kept
from tiervdb.backup.catalog.facts import Facts
from tiervdb.backup.vault import Vault
from tiervdb.errors import ObjectNotFoundError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.format.repository_operations import CatalogPointer
from tiervdb.format.repository_paths import CatalogFileKey
from tiervdb.storage.object_store import ObjectStat

BACKUPS_A_PIECE = 256  # of backup_objects: a full piece never changes, and is copied inside the store
_LISTS = "backup_objects"
_SENDERS = 8
_READING_US = 3600 * 1_000_000

Ids = tuple[str, ...]


def read_pointer(vault: Vault) -> CatalogPointer | None:
    """The newest publication; None if there is none."""
    return vault.find(paths.CATALOG_POINTER, operations.decode_pointer)


def publish(
    vault: Vault, found: Facts, before: CatalogPointer | None, tables: Mapping[str, pa.Table], lists: ListsOf
) -> None:
    """Writes what is not there yet, then the pointer. ``tables``: all but the lists of files, which ``lists`` gives."""
    state = _publish_state(vault, found, before)
    directory, names, pieces = None, {}, {}
    if not vault.encrypted:
        publication = local_paths.random_id(vault.rng)
        directory = f"{paths.CATALOG}{publication}"
        _write_tables(vault, publication, tables)
        pieces = _write_lists(vault, publication, found, before, lists)
        names = {name: (f"{name}.parquet",) for name in tables} | {_LISTS: tuple(pieces)}
    pointer = CatalogPointer(
        published_us=vault.clock.now_us(), directory=directory, tables=names, pieces=pieces, state=tuple(state)
    )
    vault.replace(paths.CATALOG_POINTER, pointer)


ListsOf = Callable[[Ids], pa.Table]  # the rows of backup_objects of these backups


def _publish_state(vault: Vault, found: Facts, before: CatalogPointer | None) -> list[str]:
    held = {entry.key for entry in vault.store.list(paths.CATALOG_STATE)}
    there = held & set(() if before is None else before.state)
    pieces = kept.pieces(found.known)
    for key, data in pieces:
        if key not in there:
            vault.store.put(key, vault.seal(key, kept.stored(data)))
    return [key for key, _ in pieces]


def _write_tables(vault: Vault, publication: str, tables: Mapping[str, pa.Table]) -> None:
    def one(name: str) -> None:
        vault.store.put(CatalogFileKey(publication, name).key, _parquet(tables[name]))

    with ThreadPoolExecutor(_SENDERS, thread_name_prefix="tiervdb-catalog") as pool:
        list(pool.map(one, tables))


def _write_lists(
    vault: Vault, publication: str, found: Facts, before: CatalogPointer | None, lists: ListsOf
) -> dict[str, str]:
    """The pieces of backup_objects by name, each with what tells it from another."""
    written = {}
    for number, ids in enumerate(_pieces(found)):
        key = CatalogFileKey(publication, _LISTS, number).key
        fingerprint = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        if not _copied(vault, before, fingerprint, key):
            vault.store.put(key, _parquet(lists(ids)))
        written[key.removeprefix(f"{paths.CATALOG}{publication}/")] = fingerprint
    return written


def _copied(vault: Vault, before: CatalogPointer | None, fingerprint: str, key: str) -> bool:
    """Whether the publication before has the same piece, which is copied then."""
    if before is None or before.directory is None:
        return False
    same = next((name for name, known in before.pieces.items() if known == fingerprint), None)
    if same is None:
        return False
    try:
        vault.store.copy(f"{before.directory}/{same}", key)
    except ObjectNotFoundError:
        return False
    return True


def _pieces(found: Facts) -> Sequence[Ids]:
    """In the order of reading, so that what was full once stays as it is; one, if there is none, for its columns."""
    ids = [backup.id for backup in found.known.of(BackupDocument)]
    return [tuple(ids[at : at + BACKUPS_A_PIECE]) for at in range(0, max(len(ids), 1), BACKUPS_A_PIECE)]


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def sweep(vault: Vault) -> int:
    """Deletes what stopped being current an hour ago, for who reads it may still do so; how many objects that were."""
    pointer = read_pointer(vault)
    if pointer is None:
        return 0
    newest_us = vault.store.stat(paths.CATALOG_POINTER).modified_us
    entries = list(vault.store.list(paths.CATALOG))
    replaced = _replaced_us(entries)
    old = [
        entry.key
        for entry in entries
        if entry.key not in {*pointer.state, paths.CATALOG_POINTER}
        and _directory(entry.key) != pointer.directory
        and replaced.get(_directory(entry.key), entry.modified_us) < newest_us - _READING_US
    ]
    for key in old:
        vault.store.delete(key)
    return len(old)


def _replaced_us(entries: Sequence[ObjectStat]) -> dict[str, int]:
    """By directory, when the one after it came."""
    made: dict[str, int] = {}
    for entry in entries:
        if isinstance(paths.parse(entry.key), CatalogFileKey):
            made[_directory(entry.key)] = max(made.get(_directory(entry.key), 0), entry.modified_us)
    order = sorted(made, key=lambda directory: made[directory])
    return {directory: made[after] for directory, after in zip(order, [*order[1:], *order[-1:]], strict=True)}


def _directory(key: str) -> str:
    """That of a table's file."""
    return "/".join(key.split("/")[:2])
