"""Moving rows between local disk and the cold store.

A move reads segments, writes others, and swaps them in one edit. An upload is written down before it begins
(intents.py) and read back before anything relies on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from tiervdb.config import TierPolicy
from tiervdb.engine import flush
from tiervdb.engine.cold_merge_plan import COLD_ROWS
from tiervdb.engine.compaction import collections
from tiervdb.engine.core import ShardCore
from tiervdb.engine.replace import Input, input_of, replace
from tiervdb.engine.sketching import Coding, coding_for
from tiervdb.engine.tier_plan import Move, TierPlan, plan_demotion, plan_promotion
from tiervdb.engine.tier_policy import PolicyMove, plan
from tiervdb.engine.uploads import upload_codebook, upload_segment
from tiervdb.errors import FencedError
from tiervdb.format import paths
from tiervdb.format.manifest import SegmentEntry
from tiervdb.segment.cold_local import ColdFiles, write_cold
from tiervdb.segment.concat import LiveRows
from tiervdb.segment.hot import write_hot
from tiervdb.types import CollectionSchema, Mask

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
        check_tenure(core)
        schema = core.state.manifest.collection(schema.id) or schema  # without what came after the flush
        planned = plan_demotion(_entries(core, schema), fraction)
        result = TierResult(0, 0, 0)
        for group in planned.groups(COLD_ROWS):
            sent = demote_group(core, schema, group)
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
            got = promote_one(core, schema, move)
            result = TierResult(result.rows + got.rows, result.segments + 1, result.bytes + got.bytes)
            if progress is not None:
                progress(result.rows, planned.rows)
    return result


def plan_for(core: ShardCore, schema: CollectionSchema, fraction: float, to_cold: bool) -> TierPlan:
    """What demote or promote would move; rows in the memtable are not counted."""
    entries = _entries(core, schema)
    return plan_demotion(entries, fraction) if to_cold else plan_promotion(entries, fraction)


def policy_plan(core: ShardCore, policy: TierPolicy) -> tuple[PolicyMove, ...]:
    """What the policy would move now; rows in the memtable are not counted."""
    entries = [entry for _, some in collections(core) for entry in some]
    accesses = core.env.tools.accesses
    counts = {} if accesses is None else accesses.of([entry.id for entry in entries])
    return plan(entries, counts, policy, core.env.clock.now_us())


def move_once(core: ShardCore, policy: TierPolicy) -> bool:
    """Makes the first moves that the policy wants, those of one cold segment or one promotion; False if it wants none.

    Raises StoreUnavailableError, having changed nothing, if the store is away.
    """
    with core.work, core.building.job():
        core.require_open()
        planned = policy_plan(core, policy)
        if not planned:
            return False
        check_tenure(core)
        first = planned[0]
        schema = core.state.manifest.collection(first.collection)  # without what came after the flush
        if schema is None:
            return False
        if first.to == "hot":
            promote_one(core, schema, Move(first.segment, first.rows, first.live))
        else:
            alike = [m for m in planned if (m.collection, m.to) == (first.collection, "cold")]
            moves = TierPlan("cold", tuple(Move(m.segment, m.rows, m.live) for m in alike), first.reason)
            demote_group(core, schema, next(moves.groups(COLD_ROWS)))
    return True


def demote_since(
    core: ShardCore, schema: CollectionSchema, seq: int, earlier: tuple[int, int] | None = None
) -> TierResult:
    """Moves the hot segments of a collection that hold nothing but commits after ``seq``.

    ``earlier``: also those that begin after the first of these seqs, and not after the second.
    """
    first, last = earlier or (seq, seq)
    flush.flush(core)
    with core.work, core.building.job():
        check_tenure(core)
        schema = core.state.manifest.collection(schema.id) or schema
        hot = [e for e in _entries(core, schema) if e.tier == "hot" and e.live]
        entries = [e for e in hot if e.low_seq > seq or first < e.low_seq <= last]
        moves = tuple(Move(e.id, e.live, e.live) for e in sorted(entries, key=lambda e: (e.low_seq, e.id)))
        result = TierResult(0, 0, 0)
        for group in TierPlan("cold", moves, "loaded to the cold tier").groups(COLD_ROWS):
            sent = demote_group(core, schema, group)
            result = TierResult(result.rows + sent.rows, result.segments + sent.segments, result.bytes + sent.bytes)
    return result


def check_tenure(core: ShardCore) -> None:
    """A writer that was shut out of the store stops writing altogether."""
    try:
        core.require_open()
        core.env.cold.epoch()
    except FencedError as error:
        core.group.fail(error)
        raise


def _entries(core: ShardCore, schema: CollectionSchema) -> list[SegmentEntry]:
    return [s for s in core.state.manifest.segments if s.collection == schema.id]


def demote_group(core: ShardCore, schema: CollectionSchema, moves: Sequence[Move]) -> TierResult:
    """One cold segment of the rows of these moves; what is left of a segment that was split becomes a hot one.

    The caller holds ``work`` and checked its tenure. Segments that are cold already are merged so.
    """
    inputs = [input_of(core, move.segment) for move in moves]
    taken = [_first_live(i, move.rows) for i, move in zip(inputs, moves, strict=True)]
    source = LiveRows([i.state.segment for i in inputs], taken)
    if not source.rows:  # all of them died since the plan was made
        replace(core, inputs, [])
        return TierResult(0, 0, 0)
    coding = upload_codebook(core, coding_for(core, schema, source, always=True))
    cold = _write_cold(core, schema, source, coding, inputs)
    entries = [cold, *_write_rest(core, schema, inputs, taken, coding)]
    replace(core, inputs, entries, coding, epoch=core.env.cold.epoch())
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
        objects = upload_segment(core, written)
    return msgspec.structs.replace(written.entry, objects=objects)


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


def promote_one(core: ShardCore, schema: CollectionSchema, move: Move) -> TierResult:
    """A hot segment of a cold one's rows. The caller holds ``work``."""
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
    replace(core, [given], [entry], coding)
    return TierResult(source.rows, 1, sum(f.size for f in given.state.entry.objects.values()))


def _live(given: Input) -> Mask:
    return np.ones(given.state.segment.rows, np.bool_) if given.live is None else given.live


def _first_live(given: Input, rows: int) -> Mask:
    """The first ``rows`` live rows."""
    live = _live(given)
    taken = np.zeros(len(live), np.bool_)
    taken[np.flatnonzero(live)[:rows]] = True
    return taken
