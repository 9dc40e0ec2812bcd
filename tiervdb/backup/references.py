"""Backups by reference: cold objects that stay where they are, pinned in the source's cold store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import product

import msgspec

from tiervdb.backup.backup_plan import Item
from tiervdb.backup.source import Source
from tiervdb.backup.vault import Vault
from tiervdb.engine.borrowing import require_whole
from tiervdb.engine.identity import this_process
from tiervdb.errors import InvalidInputError, StorageError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Pin
from tiervdb.format.repository_documents import BackupDocument, BackupProgress
from tiervdb.storage.object_store import ObjectStore

_log = logging.getLogger("tiervdb")


def hold_references(
    vault: Vault,
    source: Source,
    items: Sequence[Item],
    progress: BackupProgress,
    keep: Callable[[BackupProgress], None],
) -> BackupProgress:
    """Pins the objects under the id of each database that owns some, and looks that all of them are there.

    Raises CorruptionError if one is missing or being deleted, InvalidInputError where the cold store is a subdirectory
    of the database: with the directory, all of it would be lost.
    """
    if not items:
        return progress
    if source.cold_private:
        raise InvalidInputError(
            'backup: cold="reference" needs a cold store outside of the database\'s directory, which this one has not; '
            'use cold="copy"'
        )
    owners: dict[str, list[str]] = {}
    for item in items:
        parsed = paths.parse_key(item.name)
        if isinstance(parsed, paths.ObjectKey):
            owners.setdefault(parsed.database_id, []).append(item.name)
    for database_id, keys in sorted(owners.items()):
        pin = _pin(vault, source, progress.repository, keys)
        progress = msgspec.structs.replace(progress, pins=(*progress.pins, pin.id))
        keep(progress)
        source.cold.put(paths.ColdPinKey(database_id, pin.id).key, documents.encode(pin))
    require_whole(source.cold, {item.name for item in items})
    return progress


def release_references(backups: Iterable[BackupDocument], cold: Callable[[str], ObjectStore]) -> None:
    """Takes the pins of expired backups away; ``cold`` opens the store of a URL. One that is away keeps its pins, and
    the log says so."""
    for backup in backups:
        keys = [file.name for file in backup.files if file.object is None]
        owners = {key.database_id for name in keys if isinstance(key := paths.parse_key(name), paths.ObjectKey)}
        if not backup.pins or backup.cold_url is None:
            continue
        try:
            store = cold(backup.cold_url)
            for owner, pin in product(sorted(owners), backup.pins):
                store.delete(paths.ColdPinKey(owner, pin).key)
        except StorageError as error:
            _log.warning(
                "%s keeps the cold objects of the expired backup %s for ever, for its pins could not be removed (%s)",
                backup.cold_url,
                backup.id,
                error,
            )


def _pin(vault: Vault, source: Source, repository_id: str, keys: Sequence[str]) -> Pin:
    return Pin(
        id=paths.random_id(vault.rng),
        kind="backup",
        timeline=source.manifest.timeline,
        shard=source.manifest.shard,
        manifest_version=source.manifest.version,
        seq=source.seq,
        time_us=source.time_us,
        created_us=vault.clock.now_us(),
        owner=this_process(),
        holder=repository_id,
        path=vault.url,
        keys=tuple(keys),
    )
