"""A restore of some collections: all of the log is replayed, but of the others no more than that needs is fetched."""

from __future__ import annotations

from collections.abc import Sequence

from tiervdb.backup import hydrate
from tiervdb.backup.hydrate import Hydrator
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.sending import Progress
from tiervdb.config import Options
from tiervdb.engine import gc
from tiervdb.engine import open as engine
from tiervdb.errors import CollectionNotFoundError
from tiervdb.format.operations import DropCollection
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store


def keep_only(
    opened: OpenRepository,
    local: LocalDir,
    names: Sequence[str],
    cold: Store | None,
    progress: Progress | None,
    *,
    fetch: bool,
) -> int:
    """Drops, in a directory that a lazy restore just made, all other collections, by one commit; the last seq then.

    ``fetch``: then fetches what is missing of those that stay. CollectionNotFoundError if one is not there.
    """
    document = hydrate.read(local)
    directory: LocalDir = local
    hydrator = None
    if document is not None:
        hydrating = hydrate.hydrating(local, document, lambda: opened)
        directory, hydrator = hydrating, Hydrator(hydrating, document, lambda: opened)
    setting = engine.Setting(cold=cold, create=False, options=Options(background=False))
    shard, _ = engine.open_shard(directory, setting, opened.vault.clock, opened.vault.rng)
    try:
        collections = shard.view().catalog.collections.values()
        missing = set(names) - {c.name for c in collections}
        if missing:
            there = ", ".join(sorted(c.name for c in collections)) or "none"
            raise CollectionNotFoundError(
                f"restore: there is no collection {min(missing)!r} at that point, but: {there}"
            )
        others = [DropCollection(c.id) for c in collections if c.name not in set(names)]
        if others:
            shard.commit(others, f"only {', '.join(sorted(names))} was wanted of the restore")
        shard.flush()
        gc.collect(shard.core)
        if fetch and hydrator is not None:
            hydrator.run(progress)
        return shard.view().seq
    finally:
        shard.close()
