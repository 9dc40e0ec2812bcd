"""Settings: few, each with its default and its meaning beside it."""

from __future__ import annotations

import math
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
    """When background work moves segments between the tiers by itself. Limits hold for each collection by itself.

    It is not remembered: give it at each opening. Without one, rows move only by ``demote()`` and ``promote()``. A
    segment of which nine tenths would go moves whole.
    """

    hot_max_bytes: int | None = None  # local bytes of hot segments; above it, the least searched and oldest go
    hot_max_rows: int | None = None  # live rows in hot segments, likewise
    low_water: float = 0.8  # the part of these limits that demotions go down to and promotions may fill
    demote_after: float | None = None  # seconds after its newest rows were written that a segment goes; None: never
    promote_searches: float | None = None  # searches from which a segment is held to be searched often: it comes back
    #                                        if there is room, and does not go because of its age. None: none comes back
    half_life: float = 3600.0  # seconds after which a search counts half; as long rests what was demoted

    def __post_init__(self) -> None:
        _require_counts(self, {"low_water", "demote_after", "promote_searches", "half_life"})
        _require_number("TierPolicy.low_water", self.low_water, most=1)
        _require_number("TierPolicy.half_life", self.half_life)
        for name in ("demote_after", "promote_searches"):
            if (value := getattr(self, name)) is not None:
                _require_number(f"TierPolicy.{name}", value)


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
    archive_seconds: float = 1.0  # how often the log is shipped to the repository (archive="async")
    archive_behind_bytes: int = 1 * GIB  # of log that is not archived yet, from which archive_behind= acts
    tiering: TierPolicy | None = None  # what background work demotes by itself

    def __post_init__(self) -> None:
        _require_counts(self, {"background", "commit_timeout", "archive_seconds", "tiering"})
        _require_number("Options.archive_seconds", self.archive_seconds)
        if not self.commit_timeout > 0 or self.search_threads < 1:
            raise InvalidInputError("Options: commit_timeout must be more than 0, and search_threads at least 1")


def _require_counts(settings: TierPolicy | Options, others: set[str]) -> None:
    """Every count, which all fields but the ``others`` are, is a whole number from 0."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value is None or field.name in others:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            name = f"{type(settings).__name__}.{field.name}"
            raise InvalidInputError(f"{name}={value!r} is not usable; give a whole number from 0")


def _require_number(name: str, value: object, most: float = math.inf) -> None:
    """A number above 0 and below ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < most:
        limit = "" if most == math.inf else f" and below {most}"
        raise InvalidInputError(f"{name}={value!r} is not usable; give a number above 0{limit}")
