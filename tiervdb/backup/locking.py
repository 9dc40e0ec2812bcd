"""Object Lock: what an expiry keeps cannot be deleted by anybody for a while, where the store has that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tiervdb.backup import log_cover
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.vault import Vault
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import repository_paths as paths
from tiervdb.storage.retention import RetainingStore, retaining

_AT_ONCE = 16


def extend(vault: Vault, held: Holdings, kept: Holdings, until_us: int) -> int:
    """Sets or extends the retention of every object that ``kept``, of ``held``, consists of; how many there are.

    0 where the store has no Object Lock. CorruptionError if one is missing, StoreRefusedError.
    """
    store = retaining(vault.store)
    if store is None:
        return 0
    listed = set(_listed(vault))
    going = set(_part_keys(held)) - set(_part_keys(kept)) | log_cover.superseded(listed)
    keys = {*_keys(kept), *(listed - going)}
    _retain_all(store, sorted(keys), until_us, vault.url)
    return len(keys)


def _retain_all(store: RetainingStore, keys: list[str], until_us: int, url: str) -> None:
    def one(key: str) -> None:
        try:
            store.retain(key, until_us)
        except ObjectNotFoundError as error:
            raise CorruptionError(
                f"{key} in {url} is missing, so nothing was expired: `tiervdb verify` says what depends on it. To "
                "expire all the same, give lock=None"
            ) from error

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tiervdb-lock") as pool:
        list(pool.map(one, keys))


def _keys(kept: Holdings) -> Iterator[str]:
    yield paths.REPOSITORY
    for timeline in kept.lineage.timelines:
        yield paths.TimelineKey(timeline).key
    for epoch in kept.lineage.epochs:
        yield paths.RepositoryEpochKey(epoch.epoch).key
    for backup in kept.backups:
        yield paths.BackupKey(backup.id).key
        yield from (file.object.key for file in backup.files if file.object is not None)


def _part_keys(found: Holdings) -> Iterator[str]:
    for archived in found.archived.values():
        yield from (part.key for part in archived.parts)


def _listed(vault: Vault) -> Iterator[str]:
    """Keys and holds; the log with its fences, which no plan names."""
    for prefix in (paths.KEYS, paths.HOLDS, paths.WAL):
        yield from (entry.key for entry in vault.store.list(prefix))
