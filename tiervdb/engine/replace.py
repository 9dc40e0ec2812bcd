"""Swapping segments for others that hold the same rows: how every merge, move and rewrite ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from tiervdb.engine.core import ShardCore
from tiervdb.engine.deletions import write_deletions
from tiervdb.engine.memtable import MISSING
from tiervdb.engine.sketching import Coding
from tiervdb.engine.source import SegmentState
from tiervdb.errors import CollectionNotFoundError
from tiervdb.format import manifest as fmt
from tiervdb.format.manifest import CodebookEntry, Manifest, ManifestEdit, SegmentEntry, TierMoveEntry
from tiervdb.types import Mask, Rows


@dataclass(frozen=True)
class Input:
    """A segment that is replaced, and the rows that were dead when its live rows were read."""

    state: SegmentState
    dead: Mask | None

    @property
    def live(self) -> Mask | None:
        return None if self.dead is None else ~self.dead


def replace(
    core: ShardCore,
    inputs: Sequence[Input],
    entries: Sequence[SegmentEntry],
    coding: Coding | None = None,
    epoch: int | None = None,
) -> bool:
    """Installs ``entries``, which hold the rows of ``inputs`` that were live, in their place.

    Rows that died meanwhile are found again by id: those that the manifest knows of go into the deletion vectors of the
    new segments, the others stay in the memtable. False, changing nothing, if an input is gone: its collection was
    dropped.
    """
    with core.manifest_lock:
        manifest = core.state.manifest
        if any(manifest.segment(i.state.id) is None for i in inputs):
            return False
        entries = [_as_old_as(entry, inputs) for entry in entries]
        edit = msgspec.structs.replace(_edit(core, inputs, entries, coding or Coding(None)), epoch=epoch)
        with_deaths = _with_deaths(core, fmt.apply(manifest, edit), inputs, entries)
        edit = msgspec.structs.replace(edit, add_segments=tuple(with_deaths))
        new_ids = [entry.id for entry in entries]
        core.install(edit, moved={i.state.id: new_ids for i in inputs})
    accesses = core.env.tools.accesses
    if accesses is not None and all(_stays(entry, inputs) for entry in entries):
        accesses.inherit([i.state.id for i in inputs], new_ids)
    return True


def _as_old_as(entry: SegmentEntry, inputs: Sequence[Input]) -> SegmentEntry:
    """Within a tier rows do not become younger by being rewritten; a move begins their life in the other one."""
    if not _stays(entry, inputs):
        return entry
    return msgspec.structs.replace(entry, created_us=max(i.state.entry.created_us for i in inputs))


def _stays(entry: SegmentEntry, inputs: Sequence[Input]) -> bool:
    return all(i.state.entry.tier == entry.tier for i in inputs)


def _moves(inputs: Sequence[Input], entries: Sequence[SegmentEntry]) -> Iterator[TierMoveEntry]:
    """What went to the other tier, if anything did."""
    for entry in entries:
        if not _stays(entry, inputs):
            moved = entry.objects if entry.tier == "cold" else entry.files
            yield TierMoveEntry(
                time_us=entry.created_us,
                collection=entry.collection,
                source="hot" if entry.tier == "cold" else "cold",
                target=entry.tier,
                segments=len(inputs),
                rows=entry.rows,
                bytes=sum(reference.size for reference in moved.values()),
            )


def input_of(core: ShardCore, segment_id: str) -> Input:
    """A segment as it is now. CollectionNotFoundError if it is gone: its collection was dropped."""
    state = core.state.segments.get(segment_id)
    if state is None:
        raise CollectionNotFoundError(f"segment {segment_id} is gone: its collection was dropped meanwhile")
    return Input(state, state.dead)


def _edit(core: ShardCore, inputs: Sequence[Input], entries: Sequence[SegmentEntry], coding: Coding) -> ManifestEdit:
    added = () if coding.new is None else (coding.new,)
    removed = frozenset(i.state.id for i in inputs)
    unused = _unused_codebooks(core.state.manifest, removed, entries, added)
    return ManifestEdit(
        add_tier_moves=tuple(_moves(inputs, entries)),
        remove_segments=removed,
        add_segments=tuple(entries),
        add_codebooks=added,
        replace_codebooks=() if coding.stored is None else (coding.stored,),
        remove_codebooks=unused - core.building.ids(),  # a flush may be coding under one
    )


def _unused_codebooks(
    manifest: Manifest,
    removed: frozenset[str],
    entries: Sequence[SegmentEntry],
    added: Sequence[CodebookEntry],
) -> frozenset[str]:
    """Codebooks that no segment names any more, but for the newest of each collection, which new segments will use."""
    used = {s.codebook for s in (*manifest.segments, *entries) if s.id not in removed}
    newest = {c.collection: c.id for c in (*manifest.codebooks, *added)}
    return frozenset(c.id for c in manifest.codebooks if c.id not in used and c.id not in newest.values())


def _with_deaths(
    core: ShardCore, next_manifest: Manifest, inputs: Sequence[Input], entries: Sequence[SegmentEntry]
) -> list[SegmentEntry]:
    """The new entries, with deletion vectors for rows that a flush found dead since the inputs were read."""
    gone = [(i.state, rows) for i in inputs if len(rows := _died_since(core.state.segments[i.state.id], i.dead))]
    if not gone:
        return list(entries)
    result = []
    for entry in entries:
        opened = core.env.opener.open(entry, next_manifest).segment
        dead = np.zeros(entry.rows, np.bool_)
        for state, rows in gone:
            found = opened.lookup(state.segment.ids(rows))
            dead[found[found != MISSING]] = True
        result.append(write_deletions(core.env.local, entry, dead, next_manifest.version) if dead.any() else entry)
    return result


def _died_since(now: SegmentState, before: Mask | None) -> Rows:
    if now.dead is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(now.dead if before is None else now.dead & ~before)
