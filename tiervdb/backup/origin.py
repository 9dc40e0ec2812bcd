"""The empty database that a history begins with: a state that needs no backup.

Where the archive holds the log from the first commit on, everything can be restored from the log alone. The origin
takes part in plans as if it were a backup, and is never written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tiervdb.backup.lineage import Branch, Lineage
from tiervdb.format import manifest as manifests
from tiervdb.format import paths as local_paths
from tiervdb.format.manifest import Manifest
from tiervdb.format.repository_documents import (
    BackupDocument,
    BackupFile,
    PartHeader,
    ShardBackup,
    TimelineDocument,
)
from tiervdb.format.wal_header import CHAIN_START

ORIGIN = "origin"


def of(lineage: Lineage, history: Sequence[Branch], parts: Sequence[PartHeader], shard: int) -> BackupDocument | None:
    """That of a history; ``parts``: the archived log of its first timeline. None if this does not begin at seq 1."""
    first = history[-1].line
    known = lineage.timelines.get(first.id)
    held = parts and parts[0].kind == "records" and (parts[0].n, parts[0].first_seq) == (1, 1)
    if known is None or first.parent is not None or not held or parts[0].before != CHAIN_START.hex():
        return None
    return _document(known, shard)


def is_origin(backup: BackupDocument) -> bool:
    return backup.id == ORIGIN


def manifest_of(backup: BackupDocument) -> Manifest:
    """The manifest of an origin."""
    line = backup.timeline
    return manifests.first(backup.database_id, line.id, backup.shards[0].shard, line.created_us)


def _document(known: TimelineDocument, shard: int) -> BackupDocument:
    line, database_id = known.timeline, known.database_id
    data = manifests.encode(manifests.first(database_id, line.id, shard, line.created_us))
    listed = BackupFile(
        name=local_paths.ManifestName(shard, 1).name,
        role="local",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        object=None,
    )
    empty = ShardBackup(
        shard=shard,
        manifest=listed,
        flushed_seq=0,
        first_time_us=line.created_us,
        seq=0,
        time_us=line.created_us,
        chain=CHAIN_START.hex(),
        files=(),
    )
    return BackupDocument(
        id=ORIGIN,
        kind="full",
        database_id=database_id,
        timeline=line,
        epoch=0,
        created_us=line.created_us,
        finished_us=line.created_us,
        cold="copy",
        cold_url=known.cold_url,
        shards=(empty,),
        sent_bytes=0,
        sent_objects=0,
    )
