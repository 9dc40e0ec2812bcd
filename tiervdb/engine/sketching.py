"""Which codebook the rows that are being written are coded under: the collection's newest, or a new one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tiervdb.engine.core import ShardCore
from tiervdb.format import paths
from tiervdb.format.manifest import CodebookEntry, FileRef
from tiervdb.segment import codebook as codebooks
from tiervdb.segment.calibration import SketchCalibration
from tiervdb.segment.codebook import Codebook, needs_retrain
from tiervdb.segment.segment import RowSource
from tiervdb.segment.sketch_build import train_codebook
from tiervdb.types import CollectionSchema


@dataclass(frozen=True)
class Coding:
    """The codebook to code under (None: the rows are too few), its entry if it is new, or its entry if that changed
    because the codebook was stored in the cold store meanwhile."""

    codebook: Codebook | None
    new: CodebookEntry | None = None
    stored: CodebookEntry | None = None


def coding_for(core: ShardCore, schema: CollectionSchema, source: RowSource, always: bool = False) -> Coding:
    """``always``: also for few rows, which cold segments need."""
    if source.rows * schema.dim < core.env.options.small_floats and not always:
        return Coding(None)
    with core.manifest_lock:
        newest = newest_codebook(core, schema)
        if newest is not None and not needs_retrain(newest, source.rows, _calibration(core, newest)):
            core.building.add(newest.id)  # a move that trains another one meanwhile must leave it listed
            return Coding(newest)
    return _train(core, schema, source)


def newest_codebook(core: ShardCore, schema: CollectionSchema) -> Codebook | None:
    """The codebook that was added last."""
    entries = [c for c in core.state.manifest.codebooks if c.collection == schema.id]
    return core.env.opener.codebook(entries[-1]) if entries else None


def _calibration(core: ShardCore, codebook: Codebook) -> SketchCalibration | None:
    """That of the newest segment coded under it."""
    under = [s for s in core.state.segments.values() if s.entry.codebook == codebook.id]
    return under[-1].segment.calibration() if under else None


def _train(core: ShardCore, schema: CollectionSchema, source: RowSource) -> Coding:
    codebook_id = core.building.add(paths.random_id(core.env.rng))
    trained = train_codebook(codebook_id, schema.id, schema.metric, source, core.env.clock)
    data = codebooks.encode(trained)
    name = paths.CodebookName(codebook_id).name
    core.env.local.write_atomic(name, data)
    reference = FileRef(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    entry = CodebookEntry(
        id=codebook_id, collection=schema.id, file=reference, trained_rows=trained.trained_rows, codec=trained.codec
    )
    return Coding(trained, entry)
