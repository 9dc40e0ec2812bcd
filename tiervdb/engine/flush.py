"""Flush: the frozen memtable becomes segments and deletion vectors, in one edit of the manifest.

No index is built here, so that a flush takes no longer than writing its bytes: merges do that, in the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tiervdb.engine.core import Frozen, ShardCore
from tiervdb.engine.deaths import mark
from tiervdb.engine.deletions import write_deletions
from tiervdb.engine.memtable import MISSING
from tiervdb.engine.source import SegmentState
from tiervdb.engine.state import Late
from tiervdb.errors import WritesRefusedError
from tiervdb.format import paths
from tiervdb.format.manifest import Flushed, ManifestEdit, SegmentEntry
from tiervdb.segment.hot import write_hot
from tiervdb.segment.segment import BatchSource


def flush(core: ShardCore) -> bool:
    """Writes everything that was committed before the call; False if there was nothing. Writers go on meanwhile."""
    until = core.state.tip.seq
    with core.flush_lock, core.building.job():
        frozen = core.freeze()
        if frozen is None:
            return False
        while frozen is not None:
            _flush(core, frozen)  # what an earlier flush froze and could not finish comes first
            frozen = core.freeze() if frozen.tip.seq < until else None
    return True


def _flush(core: ShardCore, frozen: Frozen) -> None:
    if min(core.group.fsynced_seq, core.group.durable_seq) < frozen.tip.seq:
        core.group.fsync()  # a manifest holds nothing that the log could lose, and nothing that is not visible
    if core.group.durable_seq < frozen.tip.seq:
        raise WritesRefusedError(
            f"a flush up to commit {frozen.tip.seq} waits, because the repository has not confirmed all of it yet "
            '(archive="sync"); it is tried again'
        )
    entries = _write_segments(core, frozen)
    with core.manifest_lock:
        edit = _edit(core, frozen, entries)
        core.install(edit, late=lambda opened: _late_deaths(frozen, entries, opened))


def _write_segments(core: ShardCore, frozen: Frozen) -> list[SegmentEntry]:
    entries = []
    low_seq = core.state.manifest.flushed_seq + 1
    for collection, rows in frozen.table:
        schema = frozen.tip.catalog.collections.get(collection)
        batch = rows.at(frozen.tip.seq).batch() if schema is not None else None
        if schema is None or batch is None or not len(batch):
            continue
        segment_id = core.building.add(paths.random_id(core.env.rng))
        entries.append(
            write_hot(
                core.env.local,
                segment_id,
                schema,
                BatchSource(batch),
                shard=core.env.shard,
                codebook=None,
                low_seq=low_seq,
                high_seq=frozen.tip.seq,
                clock=core.env.clock,
            )
        )
    return entries


def _edit(core: ShardCore, frozen: Frozen, entries: Sequence[SegmentEntry]) -> ManifestEdit:
    manifest, catalog = core.state.manifest, frozen.tip.catalog
    gone = frozenset(s.id for s in manifest.segments if s.collection not in catalog.collections)
    return ManifestEdit(
        flushed=Flushed(
            seq=frozen.tip.seq,
            time_us=frozen.tip.time_us,
            chain=core.wal.chain_at(frozen.tip.seq),
            collections=tuple(catalog.collections.values()),
            snapshots=tuple(catalog.snapshots.values()),
            next_collection_id=catalog.next_collection_id,
        ),
        remove_segments=gone,
        remove_codebooks=frozenset(c.id for c in manifest.codebooks if c.collection not in catalog.collections),
        add_segments=tuple(entries),
        replace_segments=tuple(_with_deaths(core, frozen, gone)),
    )


def _with_deaths(core: ShardCore, frozen: Frozen, gone: frozenset[str]) -> list[SegmentEntry]:
    """The entries of the segments whose rows died in the frozen memtable, with new deletion vectors."""
    replaced = []
    for segment_id, log in frozen.table.deaths.items():
        if segment_id in gone or not len(log):
            continue
        state = core.state.segments[segment_id]
        dead = mark(state.dead, state.segment.rows, log.rows())
        if dead is not None:
            replaced.append(write_deletions(core.env.local, state.entry, dead, core.state.manifest.version + 1))
    return replaced


def _late_deaths(frozen: Frozen, entries: Sequence[SegmentEntry], opened: Mapping[str, SegmentState]) -> Late:
    """Rows of the frozen memtable that died after it was frozen: found again by id in the new segments."""
    late = []
    for entry in entries:
        table = frozen.table.collections[entry.collection]
        rows, seqs = table.late_deaths(frozen.tip.seq)
        if len(rows):
            found = opened[entry.id].segment.lookup(table.at(frozen.tip.seq).ids(rows))
            late.append((entry.id, found[found != MISSING], np.asarray(seqs)[found != MISSING]))
    return late
