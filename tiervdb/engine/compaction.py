"""Background merges of hot segments, and their graphs. What is merged when: merge_plan.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tiervdb.engine.core import ShardCore
from tiervdb.engine.merge_plan import plan_graph, plan_merge
from tiervdb.engine.replace import Input, input_of, replace
from tiervdb.engine.sketching import coding_for
from tiervdb.format import paths
from tiervdb.format.manifest import ManifestEdit, SegmentEntry
from tiervdb.segment.concat import LiveRows
from tiervdb.segment.hot import add_graph, write_hot
from tiervdb.types import CollectionSchema


def merge_once(core: ShardCore) -> bool:
    """Does the next merge that is worth it, of any collection; False if none is."""
    with core.work, core.building.job():
        core.require_open()
        for schema, entries in collections(core):
            planned = plan_merge(_settled(core, entries), schema.dim, core.env.options.small_floats)
            if planned is not None:
                merge(core, schema, [input_of(core, segment_id) for segment_id in planned.segments])
                return True
    return False


def merge(core: ShardCore, schema: CollectionSchema, inputs: Sequence[Input]) -> None:
    """Makes one hot segment of the live rows of these. Searches and writes go on; the inputs stay until the swap."""
    source = LiveRows([i.state.segment for i in inputs], [i.live for i in inputs])
    if not source.rows:
        replace(core, inputs, [])
        return
    coding = coding_for(core, schema, source)
    segment_id = core.building.add(paths.random_id(core.env.rng))
    entry = write_hot(
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
    replace(core, inputs, [entry], coding)


def build_graph_once(core: ShardCore, cancelled: Callable[[], bool] = bool) -> bool:
    """Gives the largest hot segment without a graph one, if it is large enough; False if there is none.

    Takes long, and other work goes on meanwhile: a segment that is merged away before its graph is ready keeps none.
    """
    with core.graph_lock, core.building.job():
        core.require_open()
        for schema, entries in collections(core):
            wanted = plan_graph(_settled(core, entries), core.env.options.graph_min_rows)
            if wanted is not None:
                return _build_graph(core, schema, wanted, cancelled)
    return False


def _build_graph(core: ShardCore, schema: CollectionSchema, entry: SegmentEntry, cancelled: Callable[[], bool]) -> bool:
    core.building.add(entry.id)
    segment = input_of(core, entry.id).state.segment
    with_graph = add_graph(core.env.local, segment, schema, clock=core.env.clock, cancelled=cancelled)
    if with_graph is None:
        return False
    with core.manifest_lock:
        now = core.state.manifest.segment(entry.id)
        if now is not None:  # its collection may have been dropped meanwhile
            with_files = msgspec.structs.replace(now, files={**now.files, **with_graph.files})
            core.install(ManifestEdit(replace_segments=(with_files,)))
    return True


def collections(core: ShardCore) -> list[tuple[CollectionSchema, list[SegmentEntry]]]:
    """The collections of the current manifest that still exist, as it knows them, with their segments.

    Not as they are by now: columns that came or went since belong to later commits, and states before them are shown.
    """
    manifest = core.state.manifest
    catalog = core.view().catalog
    return [
        (c, [s for s in manifest.segments if s.collection == c.id])
        for c in manifest.collections
        if c.id in catalog.collections
    ]


def _settled(core: ShardCore, entries: Sequence[SegmentEntry]) -> list[SegmentEntry]:
    """Without those that a load to the cold tier is about to demote: work on them would be for nothing."""
    return [e for e in entries if e.collection not in core.loading or e.low_seq <= core.loading[e.collection]]
