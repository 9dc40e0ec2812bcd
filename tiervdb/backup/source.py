"""What is backed up: one pinned state of a database."""

from __future__ import annotations

from dataclasses import dataclass

from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest, SnapshotName
from tiervdb.format.repository_documents import BackupCollection, GoldenQuery
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Source:
    """A pinned, fsynced state of a database: its manifest, and the log after it up to ``seq``.

    ``snapshots``: the names that live at ``seq``. ``cold``: its cold store; ``cold_private``: a subdirectory of it.
    ``golden``: answers that a drill is to find again.
    """

    local: LocalDir
    cold: ObjectStore
    identity: Identity
    manifest: Manifest
    seq: int
    time_us: int
    snapshots: tuple[SnapshotName, ...]
    collections: tuple[BackupCollection, ...] = ()
    golden: tuple[GoldenQuery, ...] = ()

    @property
    def cold_private(self) -> bool:
        return self.identity.cold_url is None
