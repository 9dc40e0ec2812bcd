"""Object Lock: what an expiry keeps cannot be deleted by anybody for a while, where the store has that."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tiervdb.backup.holdings import Holdings
from tiervdb.backup.vault import Vault
from tiervdb.format import repository_paths as paths
from tiervdb.storage.retention import RetainingStore, retaining

_AT_ONCE = 16


def extend(vault: Vault, kept: Holdings, until_us: int) -> int:
    """Sets or extends the retention of every object that ``kept`` consists of; how many there are. 0 where the store
    has no Object Lock. ObjectNotFoundError if one is missing, StoreRefusedError."""
    store = retaining(vault.store)
    if store is None:
        return 0
    keys = sorted(set(_keys(kept)))
    _retain_all(store, keys, until_us)
    return len(keys)


def _retain_all(store: RetainingStore, keys: list[str], until_us: int) -> None:
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tiervdb-lock") as pool:
        list(pool.map(lambda key: store.retain(key, until_us), keys))


def _keys(kept: Holdings) -> Iterator[str]:
    yield paths.REPOSITORY
    for timeline in kept.lineage.timelines:
        yield paths.TimelineKey(timeline).key
    for epoch in kept.lineage.epochs:
        yield paths.RepositoryEpochKey(epoch.epoch).key
    for backup in kept.backups:
        yield paths.BackupKey(backup.id).key
        yield from (file.object.key for file in backup.files if file.object is not None)
    for timeline, archived in kept.archived.items():
        yield from (paths.PartKey(timeline, part.shard, part.n).key for part in archived.parts)
