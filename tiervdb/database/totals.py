"""What all searches of an open database did, added up."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field

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
        self._gets = 0
        self._bytes = 0
        self._waves = 0
        self._cache_hits = 0
        self._counts = {tier: list(Latencies().counts) for tier in ("hot", "cold")}
        self._seconds = {"hot": 0.0, "cold": 0.0}

    def add(self, one: SearchStats) -> None:
        """Counts a search."""
        tier = "cold" if "cold" in one.tiers else "hot"
        with self._lock:
            self._gets += one.gets
            self._bytes += one.bytes
            self._waves += one.waves
            self._cache_hits += one.cache_hits
            self._counts[tier][bisect_left(LATENCY_BOUNDS, one.seconds)] += 1
            self._seconds[tier] += one.seconds

    def totals(self) -> SearchTotals:
        """The sums so far."""
        with self._lock:
            hot, cold = self._latencies("hot"), self._latencies("cold")
            return SearchTotals(
                searches=sum(hot.counts) + sum(cold.counts),
                seconds=hot.seconds + cold.seconds,
                gets=self._gets,
                bytes=self._bytes,
                waves=self._waves,
                cache_hits=self._cache_hits,
                hot=hot,
                cold=cold,
            )

    def _latencies(self, tier: str) -> Latencies:
        return Latencies(tuple(self._counts[tier]), self._seconds[tier])
