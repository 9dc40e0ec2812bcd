"""What all searches of an open database did, added up."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field, replace

from tiervdb.database.hits import DOLLARS_A_GET, SearchStats

# Seconds: from a small collection in memory to a bucket that answers slowly.
LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Latencies:
    """How long searches took. ``counts``: of those within each of ``LATENCY_BOUNDS`` and above the one before, then of
    those above all; ``seconds``: their sum."""

    counts: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS) + 1)
    seconds: float = 0.0


@dataclass(frozen=True)
class SearchTotals:
    """Since the database was opened here. The fields are those of ``SearchStats``, summed over ``searches`` calls.

    ``hot``, ``cold``: how long those took that stayed on this disk, and those that looked into the cold tier.
    """

    searches: int = 0
    seconds: float = 0.0
    gets: int = 0
    bytes: int = 0
    waves: int = 0
    cache_hits: int = 0
    hot: Latencies = field(default_factory=Latencies)
    cold: Latencies = field(default_factory=Latencies)

    @property
    def request_cost(self) -> float:
        """US dollars for the requests, at S3's list price."""
        return self.gets * DOLLARS_A_GET


class SearchCounter:
    """Adds up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals = SearchTotals()
        self._counts = {tier: list(Latencies().counts) for tier in ("hot", "cold")}
        self._seconds = {"hot": 0.0, "cold": 0.0}

    def add(self, one: SearchStats) -> None:
        """Counts a search."""
        tier = "cold" if "cold" in one.tiers else "hot"
        with self._lock:
            now = self._totals
            self._totals = SearchTotals(
                searches=now.searches + 1,
                seconds=now.seconds + one.seconds,
                gets=now.gets + one.gets,
                bytes=now.bytes + one.bytes,
                waves=now.waves + one.waves,
                cache_hits=now.cache_hits + one.cache_hits,
            )
            self._counts[tier][bisect_left(LATENCY_BOUNDS, one.seconds)] += 1
            self._seconds[tier] += one.seconds

    def totals(self) -> SearchTotals:
        """The sums so far."""
        with self._lock:
            return replace(self._totals, hot=self._latencies("hot"), cold=self._latencies("cold"))

    def _latencies(self, tier: str) -> Latencies:
        return Latencies(tuple(self._counts[tier]), self._seconds[tier])
