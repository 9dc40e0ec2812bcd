"""Which segments a policy moves between the tiers: a pure decision over entries, access counts and the time.

Nothing oscillates: demotions begin above a limit and go down to its low-water mark, promotions fill no more than that;
what was demoted rests for a half-life, and comes back only if it is searched more than what would go next.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tiervdb.config import TierPolicy
from tiervdb.engine.tier_access import Access
from tiervdb.format.manifest import SegmentEntry

_MICROS = 1_000_000
_WHOLE = 0.9  # of a segment that is to go: then all of it does


@dataclass(frozen=True)
class PolicyMove:
    """``rows`` live rows of a segment, and why they move."""

    collection: int
    segment: str
    to: Literal["cold", "hot"]
    rows: int
    live: int
    reason: str


def plan(
    entries: Sequence[SegmentEntry], accesses: Mapping[str, Access], policy: TierPolicy, now_us: int
) -> tuple[PolicyMove, ...]:
    """The moves that are due, in the order to make them; demotions come before promotions in each collection.

    ``entries``: of any number of collections. ``accesses``: by segment id. ``now_us``: wall clock, microseconds.
    """
    collections = sorted({entry.collection for entry in entries})
    return tuple(
        move
        for number in collections
        for move in _Planning([e for e in entries if e.collection == number], accesses, policy, now_us).moves()
    )


def hot_bytes(entry: SegmentEntry) -> int:
    """The local bytes of a segment, or what they would be, for a cold one: its live rows and its indexes."""
    local = sum(file.size for file in entry.files.values())
    if entry.tier == "hot":
        return local
    parquet = sum(file.size for file in entry.objects.values())
    return math.ceil((local + parquet) * entry.live / max(1, entry.rows))


class _Planning:
    """One collection's plan."""

    def __init__(
        self, entries: Sequence[SegmentEntry], accesses: Mapping[str, Access], policy: TierPolicy, now_us: int
    ) -> None:
        self._hot = [e for e in entries if e.tier == "hot" and e.live]
        self._cold = [e for e in entries if e.tier == "cold" and e.live]
        self._policy = policy
        self._now_us = now_us
        self._searches = {i: access.at(now_us, policy.half_life) for i, access in accesses.items()}
        self._rows = sum(e.live for e in self._hot)
        self._bytes = sum(hot_bytes(e) for e in self._hot)

    def moves(self) -> Iterator[PolicyMove]:
        aged = [e for e in self._hot if self._is_aged(e)]
        for entry in sorted(aged, key=lambda e: (e.low_seq, e.id)):
            self._leaves(entry, entry.live)
            yield self._move(entry, "cold", entry.live, self._aged_reason(entry))
        limited = list(self._over_limit([e for e in self._hot if e not in aged]))
        yield from limited
        if not limited:
            yield from self._wanted_back()

    # down

    def _is_aged(self, entry: SegmentEntry) -> bool:
        after = self._policy.demote_after
        return after is not None and self._age(entry) >= after and not self._is_wanted(entry)

    def _aged_reason(self, entry: SegmentEntry) -> str:
        return f"its newest rows are {self._age(entry):,.0f} s old, and demote_after is {self._policy.demote_after:,g}"

    def _over_limit(self, staying: Sequence[SegmentEntry]) -> Iterator[PolicyMove]:
        over = list(self._exceeded())
        reason = " and ".join(reason for reason, _, _ in over)
        for entry in sorted(staying, key=self._coldness):
            rows = min(entry.live, max((self._excess(entry, low, of_bytes) for _, low, of_bytes in over), default=0))
            if rows <= 0:
                return
            rows = entry.live if rows >= _WHOLE * entry.live else rows
            self._leaves(entry, rows)
            yield self._move(entry, "cold", rows, f"{reason}; {self._searched(entry)}")

    def _exceeded(self) -> Iterator[tuple[str, int, bool]]:
        """Each limit that is exceeded: in words, its low-water mark, and whether it is one of bytes."""
        policy = self._policy
        if policy.hot_max_rows is not None and self._rows > policy.hot_max_rows:
            yield f"{self._rows:,} hot rows are above {policy.hot_max_rows:,}", self._low(policy.hot_max_rows), False
        if policy.hot_max_bytes is not None and self._bytes > policy.hot_max_bytes:
            yield f"{self._bytes:,} hot bytes are above {policy.hot_max_bytes:,}", self._low(policy.hot_max_bytes), True

    def _excess(self, entry: SegmentEntry, low: int, of_bytes: bool) -> int:
        """Rows of this segment that must go to come down to the mark."""
        if not of_bytes:
            return self._rows - low
        return math.ceil((self._bytes - low) * entry.live / max(1, hot_bytes(entry)))

    def _leaves(self, entry: SegmentEntry, rows: int) -> None:
        self._rows -= rows
        self._bytes -= hot_bytes(entry) * rows // entry.live

    def _coldness(self, entry: SegmentEntry) -> tuple[int, int, str]:
        """Least searched first, by powers of two, so that chance decides nothing; among equals the oldest."""
        return self._heat(entry), entry.low_seq, entry.id

    def _heat(self, entry: SegmentEntry) -> int:
        return math.floor(math.log2(1 + self._count(entry)))

    # up

    def _wanted_back(self) -> Iterator[PolicyMove]:
        """Cold segments that are searched often, as far as there is room under the low-water marks."""
        policy = self._policy
        rested = [e for e in self._cold if self._is_wanted(e) and self._age(e) >= policy.half_life]
        limited = policy.hot_max_rows is not None or policy.hot_max_bytes is not None
        coldest = min((self._heat(e) for e in self._hot), default=-1) if limited else -1
        for entry in sorted(rested, key=lambda e: (-self._count(e), -e.high_seq, e.id)):
            if self._heat(entry) <= coldest:  # it would be the next to go
                return
            rows, size = self._rows + entry.live, self._bytes + hot_bytes(entry)
            if _fits(rows, policy.hot_max_rows, policy.low_water) and _fits(
                size, policy.hot_max_bytes, policy.low_water
            ):
                self._rows, self._bytes = rows, size
                yield self._move(entry, "hot", entry.live, f"{self._searched(entry)}, and there is room")

    # both

    def _move(self, entry: SegmentEntry, to: Literal["cold", "hot"], rows: int, reason: str) -> PolicyMove:
        return PolicyMove(entry.collection, entry.id, to, rows, entry.live, reason)

    def _is_wanted(self, entry: SegmentEntry) -> bool:
        often = self._policy.promote_searches
        return often is not None and self._count(entry) >= often

    def _count(self, entry: SegmentEntry) -> float:
        return self._searches.get(entry.id, 0.0)

    def _searched(self, entry: SegmentEntry) -> str:
        count = self._count(entry)
        return f"{count:,.1f} searches of late found rows of it" if count else "no search of late found a row of it"

    def _age(self, entry: SegmentEntry) -> float:
        return (self._now_us - entry.created_us) / _MICROS

    def _low(self, limit: int) -> int:
        return math.floor(limit * self._policy.low_water)


def _fits(amount: int, limit: int | None, low_water: float) -> bool:
    return limit is None or amount <= limit * low_water
