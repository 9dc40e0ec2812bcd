"""What a search asks of a segment, what it gets, and what it cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import msgspec

from tiervdb.segment.calibration import TARGET_RECALL
from tiervdb.types import Distances, Rows


class SearchRequest(msgspec.Struct, frozen=True):
    """How to search. All None: the cheapest that was measured to reach ``recall``.

    ``ef``: by the graph, with a candidate list of that size. ``nprobe``, ``rerank``: by the sketch, with so many lists,
    and so many candidates whose true distance is computed; 0 leaves the approximate ones. ``exact``: look at every
    row. ``filtered``: the live mask comes from a filter. ``threads``: for a batch of queries; None: all processors.
    """

    ef: int | None = None
    nprobe: int | None = None
    rerank: int | None = None
    exact: bool = False
    filtered: bool = False
    recall: float = TARGET_RECALL
    threads: int | None = None


class Candidates(msgspec.Struct, frozen=True):
    """The nearest rows of each query: row and distance ``(queries, n)``, nearest first, ties by row.

    Missing places hold row -1 and distance inf.
    """

    rows: Rows
    distances: Distances


_UNTIMED = nullcontext()


class _Stage:
    """A block that is timed. A class, since searches come through here several times in a quarter of a millisecond."""

    __slots__ = ("_inner", "_now", "_stage", "_started", "_tally")

    def __init__(self, tally: SearchTally, stage: str, now: Callable[[], float]) -> None:
        self._tally, self._stage, self._now = tally, stage, now

    def __enter__(self) -> None:
        self._inner = sum(self._tally.stages.values())
        self._started = self._now()

    def __exit__(self, *_: object) -> None:
        within = sum(self._tally.stages.values()) - self._inner
        self._tally.took(self._stage, self._now() - self._started - within)


class SearchTally:
    """What one search did, over all its segments. Safe for the threads of that search."""

    __slots__ = ("_lock", "_now", "bytes", "cache_hits", "gets", "rows_scanned", "stages", "strategies", "waves")

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now  # seconds of a clock that never steps back; None: stages are not timed
        self.stages: dict[str, float] = {}  # seconds by stage
        self.gets = 0
        self.bytes = 0
        self.waves = 0
        self.cache_hits = 0
        self.rows_scanned = 0  # rows whose code or vector was looked at, over all queries
        self.strategies: list[str] = []  # a line for each segment: what it did and why
        self._lock = threading.Lock()

    def scanned(self, rows: int, strategy: str | None = None) -> None:
        """Counts rows that were looked at, and says how."""
        with self._lock:
            self.rows_scanned += rows
            if strategy is not None:
                self.strategies.append(strategy)

    def timed(self, stage: str) -> AbstractContextManager[object]:
        """Adds the time of the block to a stage, without that of stages within it."""
        return _UNTIMED if self._now is None else _Stage(self, stage, self._now)

    def took(self, stage: str, seconds: float) -> None:
        """Adds time to a stage."""
        with self._lock:
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def fetched(self, gets: int, size: int, waves: int, cache_hits: int = 0) -> None:
        """Counts reads of the cold store. ``waves``: rounds that had to wait for one another."""
        with self._lock:
            self.gets += gets
            self.bytes += size
            self.waves += waves
            self.cache_hits += cache_hits
