"""Which rows move between the tiers: pure decisions over a manifest's entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiervdb.errors import InvalidInputError
from tiervdb.format.manifest import SegmentEntry


@dataclass(frozen=True)
class Move:
    """``rows`` live rows of a segment that has ``live`` of them."""

    segment: str
    rows: int
    live: int


@dataclass(frozen=True)
class TierPlan:
    """The moves, in order. ``reason`` says what they are for."""

    to: str
    moves: tuple[Move, ...]
    reason: str

    @property
    def rows(self) -> int:
        return sum(move.rows for move in self.moves)

    def groups(self, most_rows: int) -> Iterator[list[Move]]:
        """The moves in runs of at most ``most_rows`` rows, or of one move; each becomes one cold segment."""
        group: list[Move] = []
        for move in self.moves:
            if group and sum(m.rows for m in group) + move.rows > most_rows:
                yield group
                group = []
            group.append(move)
        if group:
            yield group


def plan_demotion(entries: Sequence[SegmentEntry], fraction: float) -> TierPlan:
    """Hot rows to make ``fraction`` of the live rows cold: whole segments, the oldest first; the last one is split."""
    total, cold = _count(entries, fraction)
    wanted = round(fraction * total) - cold
    moves = []
    for entry in sorted((e for e in entries if e.tier == "hot" and e.live), key=lambda e: (e.low_seq, e.id)):
        if wanted <= 0:
            break
        moves.append(Move(entry.id, min(wanted, entry.live), entry.live))
        wanted -= entry.live
    return TierPlan("cold", tuple(moves), f"{fraction:.0%} of {total} rows are to be cold, {cold} are")


def plan_promotion(entries: Sequence[SegmentEntry], fraction: float) -> TierPlan:
    """Cold segments, the newest first, to make at least ``fraction`` of the live rows hot."""
    total, cold = _count(entries, fraction)
    wanted = round(fraction * total) - (total - cold)
    moves = []
    for entry in sorted((e for e in entries if e.tier == "cold"), key=lambda e: (-e.high_seq, e.id)):
        if wanted <= 0:
            break
        moves.append(Move(entry.id, entry.live, entry.live))
        wanted -= entry.live
    return TierPlan("hot", tuple(moves), f"{fraction:.0%} of {total} rows are to be hot, {total - cold} are")


def _count(entries: Sequence[SegmentEntry], fraction: float) -> tuple[int, int]:
    """All live rows, and the cold ones."""
    if not 0 <= fraction <= 1:
        raise InvalidInputError(f"fraction={fraction!r} is not usable; give a number from 0 to 1")
    return sum(e.live for e in entries), sum(e.live for e in entries if e.tier == "cold")
