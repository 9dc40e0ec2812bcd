"""Moving rows between local disk and the cold store.

A move reads segments, writes others, and swaps them in one edit. An upload is written down before it begins
(intents.py) and read back before anything relies on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from tiervdb.engine import flush, intents
from tiervdb.engine.core import ShardCore
from tiervdb.engine.replace import Input, input_of, replace
from tiervdb.engine.sketching import Coding, coding_for
from tiervdb.engine.tier_plan import Move, TierPlan, plan_demotion, plan_promotion
from tiervdb.errors import CorruptionError, FencedError
from tiervdb.format import paths
from tiervdb.format.manifest import FileRef, SegmentEntry
from tiervdb.segment.cold_local import ColdFiles, write_cold
from tiervdb.segment.concat import LiveRows
from tiervdb.segment.hot import write_hot
from tiervdb.storage.object_store import ByteRange
from tiervdb.types import CollectionSchema, Mask

COLD_ROWS = 1_000_000  # of a cold segment, at most
_READ_BACK_BYTES = 8 << 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TierResult:
    """What moved. ``bytes``: of the objects that were written or read."""

    rows: int
    segments: int
    bytes: int


def demote(core: ShardCore, schema: CollectionSchema, fraction: float, progress: Progress | None = None) -> TierResult:
    """Moves hot rows, the oldest segments first, until this fraction of the collection is cold."""
    flush.flush(core)
    with core.work, core.building.job():
        _check_tenure(core)
        schema = core.state.manifest.collection(schema.id) or schema  # without what came after the flush
        planned = plan_demotion(_entries(core, schema), fraction)
        result = TierResult(0, 0, 0)
        for group in planned.groups(COLD_ROWS):
            sent = _demote_group(core, schema, group)
            result = TierResult(result.rows + sent.rows, result.segments + sent.segments, result.bytes + sent.bytes)
            if progress is not None:
                progress(result.rows, planned.rows)
    return result


def promote(core: ShardCore, schema: CollectionSchema, fraction: float, progress: Progress | None = None) -> TierResult:
    """Moves cold segments, the newest first, until at least this fraction of the collection is hot."""
    flush.flush(core)
    with core.work, core.building.job():
        core.require_open()
        schema = core.state.manifest.collection(schema.id) or schema
        planned = plan_promotion(_entries(core, schema), fraction)
        result = TierResult(0, 0, 0)
        for move in planned.moves:
            got = _promote_one(core, schema, move)
            result = TierResult(result.rows + got.rows, result.segments + 1, result.bytes + got.bytes)
            if progress is not None:
                progress(result.rows, planned.rows)
    return result


def plan_for(core: ShardCore, schema: CollectionSchema, fraction: float, to_cold: bool) -> TierPlan:
    """What demote or promote would move; rows in the memtable are not counted."""
    entries = _entries(core, schema)
    return plan_demotion(entries, fraction) if to_cold else plan_promotion(entries, fraction)


def _check_tenure(core: ShardCore) -> None:
    """A writer that was shut out of the store stops writing altogether."""
    try:
        core.require_open()
        core.env.cold.epoch()
    except FencedError as error:
        core.group.fail(error)
        raise


def _entries(core: ShardCore, schema: CollectionSchema) -> list[SegmentEntry]:
    return [s for s in core.state.manifest.segments if s.collection == schema.id]


def _demote_group(core: ShardCore, schema: CollectionSchema, moves: Sequence[Move]) -> TierResult:
    """One cold segment of the rows of these moves; what is left of a segment that was split becomes a hot one."""
    inputs = [input_of(core, move.segment) for move in moves]
    taken = [_first_live(i, move.rows) for i, move in zip(inputs, moves, strict=True)]
    source = LiveRows([i.state.segment for i in inputs], taken)
    if not source.rows:  # all of them died since the plan was made
        replace(core, inputs, [])
        return TierResult(0, 0, 0)
    coding = coding_for(core, schema, source, always=True)
    cold = _write_cold(core, schema, source, coding, inputs)
    entries = [cold, *_write_rest(core, schema, inputs, taken, coding)]
    replace(core, inputs, entries, [] if coding.new is None else [coding.new], epoch=core.env.cold.epoch())
    return TierResult(source.rows, 1, sum(f.size for f in cold.objects.values()))


def _write_cold(
    core: ShardCore, schema: CollectionSchema, source: LiveRows, coding: Coding, inputs: Sequence[Input]
) -> SegmentEntry:
    segment_id = core.building.add(paths.random_id(core.env.rng))
    written: ColdFiles = write_cold(
        core.env.local,
        segment_id,
        schema,
        source,
        shard=core.env.shard,
        codebook=coding.codebook,
        low_seq=min(i.state.entry.low_seq for i in inputs),
        high_seq=max(i.state.entry.high_seq for i in inputs),
        clock=core.env.clock,
    )
    with written:
        reference = _upload(core, written)
    return msgspec.structs.replace(written.entry, objects={"parquet": reference})


def _upload(core: ShardCore, written: ColdFiles) -> FileRef:
    cold = core.env.cold
    key = cold.new_key("parquet")
    intent = intents.record(core.env.local, core.env.shard, [key], cold.epoch(), core.env.clock, core.env.rng, "upload")
    core.building.add(intent.id)
    cold.store.put_file(key, written.path)
    reference = FileRef(name=key, size=written.size, sha256=written.sha256)
    _read_back(core, reference)
    return reference


def _read_back(core: ShardCore, reference: FileRef) -> None:
    """Nothing relies on an object whose bytes were not seen in the store."""
    store = core.env.cold.store
    size = store.stat(reference.name).size
    sha256 = hashlib.sha256()
    for start in range(0, reference.size if size == reference.size else 0, _READ_BACK_BYTES):
        wanted = ByteRange(start, min(_READ_BACK_BYTES, reference.size - start))
        sha256.update(store.get_ranges(reference.name, [wanted])[0])
    if sha256.hexdigest() != reference.sha256:
        raise CorruptionError(
            f"{store.url} does not hold what was uploaded as {reference.name} ({size} of {reference.size} bytes): "
            "nothing was "
            "moved. Try again; if it happens again, do not trust this store"
        )


def _write_rest(
    core: ShardCore, schema: CollectionSchema, inputs: Sequence[Input], taken: Sequence[Mask], coding: Coding
) -> list[SegmentEntry]:
    """The live rows that stay hot, of the one segment that was split."""
    rest = LiveRows([i.state.segment for i in inputs], [_live(i) & ~t for i, t in zip(inputs, taken, strict=True)])
    if not rest.rows:
        return []
    segment_id = core.building.add(paths.random_id(core.env.rng))
    large = rest.rows * schema.dim >= core.env.options.small_floats
    return [
        write_hot(
            core.env.local,
            segment_id,
            schema,
            rest,
            shard=core.env.shard,
            codebook=coding.codebook if large else None,
            low_seq=inputs[-1].state.entry.low_seq,
            high_seq=inputs[-1].state.entry.high_seq,
            clock=core.env.clock,
        )
    ]


def _promote_one(core: ShardCore, schema: CollectionSchema, move: Move) -> TierResult:
    given = input_of(core, move.segment)
    source = LiveRows([given.state.segment], [given.live])
    if not source.rows:
        replace(core, [given], [])
        return TierResult(0, 1, 0)
    coding = coding_for(core, schema, source)
    segment_id = core.building.add(paths.random_id(core.env.rng))
    entry = write_hot(
        core.env.local,
        segment_id,
        schema,
        source,
        shard=core.env.shard,
        codebook=coding.codebook,
        low_seq=given.state.entry.low_seq,
        high_seq=given.state.entry.high_seq,
        clock=core.env.clock,
    )
    replace(core, [given], [entry], [] if coding.new is None else [coding.new])
    return TierResult(source.rows, 1, sum(f.size for f in given.state.entry.objects.values()))


def _live(given: Input) -> Mask:
    return np.ones(given.state.segment.rows, np.bool_) if given.live is None else given.live


def _first_live(given: Input, rows: int) -> Mask:
    """The first ``rows`` live rows."""
    live = _live(given)
    taken = np.zeros(len(live), np.bool_)
    taken[np.flatnonzero(live)[:rows]] = True
    return taken
