"""From what is known to the catalog's tables, as Arrow. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa

from tiervdb.backup import holds, windows
from tiervdb.backup.catalog import operation_rows
from tiervdb.backup.catalog.facts import Facts, backups_of
from tiervdb.backup.catalog.operation_rows import by, operations
from tiervdb.backup.catalog.schema import TABLES
from tiervdb.backup.holdings import SHARD, Archived, shard_of
from tiervdb.backup.origin import ORIGIN
from tiervdb.format.repository_documents import BackupCollection, BackupDocument, Expiration, PartHeader
from tiervdb.format.repository_operations import CloneOperation, CopyOperation, RestoreOperation

Row = dict[str, Any]
_BEYOND = "made after another writer had taken over"


def build(found: Facts) -> dict[str, pa.Table]:
    """All tables but those of the log and the lists of files."""
    return {
        name: pa.Table.from_pylist(list(rows(found)), schema=TABLES[name].schema) for name, rows in BUILDERS.items()
    }


def _backup_rows(found: Facts) -> Iterator[Row]:
    listed = {backup.id for backup in found.held.backups}
    reasons = {d.id: d.reason for d in found.known.of(Expiration)}
    held = holds.held_backups(found.held.backups, found.passing.holds)
    for backup in backups_of(found.known):
        shard = shard_of(backup)
        listing = found.known.listing(backup.id)
        yield {
            "id": backup.id,
            "kind": backup.kind,
            "label": backup.label,
            "database_id": backup.database_id,
            "timeline": backup.timeline.id,
            "epoch": backup.epoch,
            "seq": shard.seq,
            "time": shard.time_us,
            "first_seq": shard.flushed_seq,
            "first_time": shard.first_time_us,
            "created": backup.created_us,
            "finished": backup.finished_us,
            "seconds": (backup.finished_us - backup.created_us) / 1e6,
            "cold": backup.cold,
            "cold_url": backup.cold_url,
            "files": len(listing),
            "bytes": found.known.bytes_of(listing),
            "sent_objects": backup.sent_objects,
            "sent_bytes": backup.sent_bytes,
            "rows": sum(collection.rows for collection in backup.collections),
            "snapshots": [snapshot.name for snapshot in backup.snapshots],
            "listed": backup.id in listed,
            "unlisted_reason": None if backup.id in listed else reasons.get(backup.id, _BEYOND),
            "held": backup.id in held,
            **by(backup.owner),
        }


def _collection_rows(found: Facts) -> Iterator[Row]:
    for backup in backups_of(found.known):
        for c in backup.collections:
            yield {"backup": backup.id, "collection": c.name, "dim": c.dim, "metric": c.metric, "rows": c.rows}


def _lineage_rows(found: Facts) -> Iterator[Row]:
    for line in found.held.lineage.timelines.values():
        own = line.timeline
        if own.parent is not None:
            seq = own.fork_seqs[SHARD] if own.fork_seqs else None
            yield _edge("fork", "timeline", own.parent, "timeline", own.id, seq, own.fork_time_us)
    for backup in backups_of(found.known):
        shard = shard_of(backup)
        yield _edge("backup", "timeline", backup.timeline.id, "backup", backup.id, shard.seq, shard.time_us)
        for other in backup.reused:
            yield _edge("reuses", "backup", other, "backup", backup.id, None, backup.created_us)
    for timeline, name, seq, time_us in sorted(
        {(b.timeline.id, s.name, s.seq, s.time_us) for b in backups_of(found.known) for s in b.snapshots}
    ):
        yield _edge("snapshot", "timeline", timeline, "snapshot", name, seq, time_us)
    for done in operations(found, RestoreOperation):
        if done.error is None and done.backup is not None and done.timeline is not None:
            start = ("timeline", done.from_timeline or "") if done.backup == ORIGIN else ("backup", done.backup)
            yield _edge("restore", *start, "timeline", done.timeline, done.seq, done.time_us)
    for cloned in operations(found, CloneOperation):
        ends = "timeline", cloned.from_timeline, "timeline", cloned.timeline
        yield _edge("clone", *ends, cloned.seq, cloned.time_us)
    for copied in operations(found, CopyOperation):
        if copied.error is None:
            ends = "repository", copied.source_url, "repository", copied.target_url
            yield _edge("copy", *ends, None, copied.finished_us)


def _edge(
    kind: str, parent_kind: str, parent: str, child_kind: str, child: str, seq: int | None, time_us: int | None
) -> Row:
    return {
        "kind": kind,
        "parent_kind": parent_kind,
        "parent": parent,
        "child_kind": child_kind,
        "child": child,
        "seq": seq,
        "time": time_us,
    }


def _timeline_rows(found: Facts) -> Iterator[Row]:
    current = found.held.lineage.current
    for line in sorted(found.held.lineage.timelines.values(), key=lambda d: (d.created_us, d.timeline.id)):
        own = line.timeline
        archived = found.held.archived.get(own.id, Archived())
        yield {
            "timeline": own.id,
            "database_id": line.database_id,
            "parent": own.parent,
            "parent_database": own.parent_database,
            "fork_seq": own.fork_seqs[SHARD] if own.fork_seqs else None,
            "fork_time": own.fork_time_us,
            "created": own.created_us,
            "fence_seq": archived.fence,
            "current": current is not None and current.timeline.id == own.id,
            "archived_seq": archived.parts[-1].last_seq if archived.parts else None,
            "complete_through": None if archived.complete is None else archived.complete.time_us,
        }


def _epoch_rows(found: Facts) -> Iterator[Row]:
    for epoch in found.held.lineage.epochs:
        yield {
            "epoch": epoch.epoch,
            "timeline": epoch.timeline,
            "database_id": epoch.database_id,
            "created": epoch.created_us,
            "fences": list(epoch.fences),
            **by(epoch.owner),
        }


def _part_rows(found: Facts) -> Iterator[Row]:
    for part in sorted(found.known.of(PartHeader), key=lambda p: (p.timeline, p.shard, p.n)):
        yield {
            "timeline": part.timeline,
            "shard": part.shard,
            "n": part.n,
            "last_n": part.through,
            "kind": part.kind,
            "first_seq": part.first_seq,
            "last_seq": part.last_seq,
            "commits": part.last_seq - part.first_seq + 1 if part.kind == "records" else 0,
            "first_time": part.first_time_us,
            "last_time": part.last_time_us,
            "created": part.created_us,
            "bytes": part.length,
            "epoch": part.epoch,
            "chain": part.after,
            "object": part.key,
        }


def _gap_rows(found: Facts) -> Iterator[Row]:
    for timeline, archived in found.held.archived.items():
        records = [part for part in archived.parts if part.kind == "records"]
        given_up = {seq for part in archived.parts if part.kind == "gap" for seq in (part.first_seq, part.last_seq)}
        for before, after in pairwise(records):
            if after.first_seq > before.last_seq + 1:
                first, last = before.last_seq + 1, after.first_seq - 1
                why = "given up" if {first, last} <= given_up else "missing"
                yield _gap(timeline, first, last, before.last_time_us, after.first_time_us, why)
        if archived.parts and archived.parts[-1].kind == "gap":
            gap = archived.parts[-1]
            yield _gap(timeline, gap.first_seq, gap.last_seq, gap.first_time_us, None, "given up")


def _gap(timeline: str, first: int, last: int, after_us: int, before_us: int | None, why: str) -> Row:
    return {
        "timeline": timeline,
        "first_seq": first,
        "last_seq": last,
        "after": after_us,
        "before": before_us,
        "why": why,
    }


def _window_rows(found: Facts) -> Iterator[Row]:
    current = found.held.lineage.current
    for window in windows.windows(found.held):
        yield {
            "timeline": window.timeline,
            "current": current is not None and current.timeline.id == window.timeline,
            "first_seq": window.first_seq,
            "last_seq": window.last_seq,
            "first_time": window.first_time_us,
            "last_time": window.last_time_us,
            "seconds": (window.last_time_us - window.first_time_us) / 1e6,
            "backups": list(window.backups),
        }


def _move_rows(found: Facts) -> Iterator[Row]:
    """Each once, whichever backups tell of it."""
    told = {
        (move, collection.name)
        for backup in backups_of(found.known)
        for move in backup.tier_moves
        for collection in _named(backup, move.collection)
    }
    for move, collection in sorted(told, key=lambda one: (one[0].time_us, one[1], one[0].rows)):
        yield {
            "time": move.time_us,
            "collection": collection,
            "source": move.source,
            "target": move.target,
            "segments": move.segments,
            "rows": move.rows,
            "bytes": move.bytes,
        }


def _named(backup: BackupDocument, collection: int) -> list[BackupCollection]:
    return [c for c in backup.collections if c.id == collection]


BUILDERS: dict[str, Callable[[Facts], Iterator[Row]]] = {
    "backups": _backup_rows,
    "backup_collections": _collection_rows,
    "lineage": _lineage_rows,
    "timelines": _timeline_rows,
    "epochs": _epoch_rows,
    "wal_files": _part_rows,
    "gaps": _gap_rows,
    "restorable_windows": _window_rows,
    "tier_moves": _move_rows,
    **operation_rows.BUILDERS,
}
