"""What all searches of an open database did, added up."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from tiervdb.database.hits import DOLLARS_A_GET, SearchStats


@dataclass(frozen=True)
class SearchTotals:
    """Since the database was opened here. The fields are those of ``SearchStats``, summed over ``searches`` calls."""

    searches: int = 0
    seconds: float = 0.0
    gets: int = 0
    bytes: int = 0
    waves: int = 0
    cache_hits: int = 0

    @property
    def request_cost(self) -> float:
        """US dollars for the requests, at S3's list price."""
        return self.gets * DOLLARS_A_GET


class SearchCounter:
    """Adds up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._searches = 0
        self._seconds = 0.0
        self._gets = 0
        self._bytes = 0
        self._waves = 0
        self._cache_hits = 0

    def add(self, one: SearchStats) -> None:
        """Counts a search."""
        with self._lock:
            self._searches += 1
            self._seconds += one.seconds
            self._gets += one.gets
            self._bytes += one.bytes
            self._waves += one.waves
            self._cache_hits += one.cache_hits

    def totals(self) -> SearchTotals:
        """The sums so far."""
        with self._lock:
            return SearchTotals(self._searches, self._seconds, self._gets, self._bytes, self._waves, self._cache_hits)
