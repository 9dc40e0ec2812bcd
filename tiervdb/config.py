"""Settings: few, each with its default and its meaning beside it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from tiervdb.errors import InvalidInputError

Durability = Literal["fsync", "os"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

DEFAULT_CACHE_BYTES = 1 * GIB
DEFAULT_SKETCH_BYTES = 16 * GIB
DEFAULT_RESIDENT_BYTES = 2 * GIB


@dataclass(frozen=True)
class TierPolicy:
    """When background work moves rows to the cold store: the oldest segments go while a limit is exceeded.

    Limits hold for each collection by itself; without one nothing moves unless ``db.demote()`` is called.
    """

    hot_max_bytes: int | None = None  # local bytes of hot segments
    hot_max_rows: int | None = None  # live rows in hot segments

    def __post_init__(self) -> None:
        _require_counts(self)


@dataclass(frozen=True)
class Options:
    """What tests and benchmarks turn; the defaults are measured and good for nearly everybody."""

    flush_floats: int = 1_000_000  # rows x dim in the memtable that start a flush
    small_floats: int = 1_000_000  # a segment with fewer has neither sketch nor graph: searched exactly
    graph_min_rows: int = 50_000  # hot segments with fewer get no graph
    wal_file_bytes: int = 64 * MIB  # a log file is sealed when it is larger
    commit_timeout: float = 30.0  # seconds until an unconfirmed commit raises CommitOutcomeUnknown
    background: bool = True  # a thread runs due maintenance; without it call db.maintain()
    cache_bytes: int = DEFAULT_CACHE_BYTES  # disk cache of ranges read from the cold store
    sketch_bytes: int = DEFAULT_SKETCH_BYTES  # disk for local copies of cold sketches; others are read from the store
    resident_bytes: int = DEFAULT_RESIDENT_BYTES  # memory for cold sketches; the least recently searched are unloaded
    filter_bytes: int = 256 * MIB  # memory for filter columns and the bitmaps of filters that were evaluated
    search_threads: int = 8  # for segments that one search reads side by side
    tiering: TierPolicy | None = None  # what background work demotes by itself

    def __post_init__(self) -> None:
        _require_counts(self)
        if not self.commit_timeout > 0 or self.search_threads < 1:
            raise InvalidInputError("Options: commit_timeout must be more than 0, and search_threads at least 1")


def _require_counts(settings: TierPolicy | Options) -> None:
    """Every count is a whole number from 0."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value is None or field.name in {"background", "commit_timeout", "tiering"}:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            name = f"{type(settings).__name__}.{field.name}"
            raise InvalidInputError(f"{name}={value!r} is not usable; give a whole number from 0")
