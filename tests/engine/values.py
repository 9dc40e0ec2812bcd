"""Values that the tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from tests.format import values as formats
from tiervdb.format.documents import Owner, Pin
from tiervdb.format.manifest import Manifest, SegmentEntry, SnapshotName
from tiervdb.format.manifest_check import problems
from tiervdb.types import CollectionSchema, Column, RowBatch

an_id = formats.an_id
CLOCK_US = 1_700_000_000_000_000
OWNER = Owner(pid=1, host="here")

WORDS = CollectionSchema(
    id=1,
    name="words",
    dim=2,
    metric="l2",
    id_type="string",
    columns=(Column(id=1, name="rank", type="int64"), Column(id=2, name="pos", type="string")),
    next_column_id=3,
)
NUMBERS = CollectionSchema(id=2, name="numbers", dim=2, metric="l2", id_type="int64")


def batch(ids: Sequence[str | int], first: float = 0.0, **columns: Sequence[object]) -> RowBatch:
    """Row number n has the vector (first + n, 1). Columns: ``rank=``, ``pos=`` of WORDS."""
    known = {c.name: (c.id, pa.int64() if c.type == "int64" else pa.string()) for c in WORDS.columns}
    return RowBatch(
        pa.array(ids, pa.string() if isinstance(ids[0], str) else pa.int64()),
        np.stack([np.arange(len(ids)) + first, np.ones(len(ids))], axis=1).astype(np.float32),
        {known[name][0]: pa.array(values, known[name][1]) for name, values in columns.items()},
    )


def hot(n: int, rows: int = 100, *, dead: int = 0, low: int | None = None, collection: int = 1) -> SegmentEntry:
    """A hot segment that covers one seq, ``low`` (its number unless given)."""
    seq = n if low is None else low
    entry = formats.hot_segment(n, rows)
    deletions = formats.ref(f"segments/{an_id(n)}.0000000000000002.dead") if dead else None
    return msgspec.structs.replace(
        entry, dead=dead, deletions=deletions, low_seq=seq, high_seq=seq, collection=collection, columns=(), stats=()
    )


def cold(n: int, rows: int = 100, *, database: int = 1) -> SegmentEntry:
    """A cold segment; its object's id is the segment's number plus 1000."""
    entry = formats.cold_segment(n)
    key = f"{an_id(database)}/0000000001/{an_id(n + 1000)}.parquet"
    return msgspec.structs.replace(
        entry,
        rows=rows,
        dead=0,
        deletions=None,
        codebook=None,
        objects={"parquet": formats.ref(key)},
        row_groups=(msgspec.structs.replace(entry.row_groups[0], rows=rows),),
        columns=(),
        stats=(),
    )


def manifest(version: int = 1, seq: int = 0, segments: Iterable[SegmentEntry] = (), **changes: object) -> Manifest:
    """A valid manifest over WORDS and NUMBERS."""
    made = msgspec.structs.replace(
        Manifest(
            database_id=an_id(1),
            timeline=an_id(2),
            shard=0,
            version=version,
            epoch=0,
            flushed_seq=seq,
            flushed_time_us=CLOCK_US + seq,
            chain=bytes(32),
            next_collection_id=3,
            collections=(WORDS, NUMBERS),
            segments=tuple(segments),
        ),
        **changes,
    )
    assert list(problems(made)) == []
    return made


def pin(n: int, version: int = 1, seq: int = 0, **changes: object) -> Pin:
    """A snapshot's pin, unless changed."""
    made = Pin(
        id=an_id(n),
        kind="snapshot",
        timeline=an_id(2),
        shard=0,
        manifest_version=version,
        seq=seq,
        time_us=CLOCK_US + seq,
        created_us=CLOCK_US,
    )
    return msgspec.structs.replace(made, **changes)


def snapshot_name(name: str, seq: int = 1, n: int = 50) -> SnapshotName:
    return SnapshotName(name=name, seq=seq, time_us=CLOCK_US + seq, pin=an_id(n), created_us=CLOCK_US)
