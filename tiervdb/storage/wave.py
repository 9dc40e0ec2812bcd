"""One wave of reads: ranges of several objects, all asked for at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from tiervdb.storage.cache import CachedStore
from tiervdb.storage.coalesce import coalesce, cut
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.tally import StoreTally, measured


@dataclass(frozen=True)
class Read:
    """Ranges of one object."""

    key: str
    ranges: Sequence[ByteRange]


@dataclass(frozen=True)
class Wave:
    """What a wave brought: the pieces of each read, in its order, and what that cost. It is one wave, or none."""

    pieces: list[list[bytes]]
    cost: StoreTally


def read_wave(store: ObjectStore, reads: Sequence[Read], pool: Executor) -> Wave:
    """Reads all of them side by side. Raises what the first of them, in their order, raises."""
    away = [pool.submit(_read, store, read) for read in reads[1:]]
    try:
        found = [_read(store, read) for read in reads[:1]]
    finally:
        errors = [future.exception() for future in away]
    for error in errors:
        if error is not None:
            raise error
    found += [future.result() for future in away]
    cost = StoreTally()
    for _, part in found:
        cost.add(part)
    cost.waves = max((part.waves for _, part in found), default=0)
    return Wave([pieces for pieces, _ in found], cost)


def read_together(store: ObjectStore, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
    """The ranges of one object; neighbours share a request. A cache sees each range by itself."""
    if isinstance(store, CachedStore):
        return store.get_ranges(key, ranges)
    runs = coalesce(ranges)
    return cut(ranges, runs, store.get_ranges(key, [run.span for run in runs]))


def _read(store: ObjectStore, read: Read) -> tuple[list[bytes], StoreTally]:
    with measured() as cost:
        pieces = read_together(store, read.key, read.ranges)
    return pieces, cost
