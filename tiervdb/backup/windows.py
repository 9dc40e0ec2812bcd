"""Restorable windows: the gap-free intervals of each timeline to which the repository can restore. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tiervdb.backup.holdings import Holdings, Stretch, on_history, shard_of, stretches
from tiervdb.backup.lineage import Branch
from tiervdb.backup.origin import ORIGIN


@dataclass(frozen=True)
class Window:
    """Every state from ``first_seq`` to ``last_seq`` of a timeline can be restored.

    Times are UTC microseconds; nothing was committed between that of ``last_seq`` and ``last_time_us``.
    ``backups``: those that its states start from; none where they start from the empty database.
    """

    timeline: str
    first_seq: int
    last_seq: int
    first_time_us: int
    last_time_us: int
    backups: tuple[str, ...]


@dataclass(frozen=True)
class Reach:
    """From a backup's manifest, the log goes on without a gap up to ``until``."""

    backup: str
    first: int
    until: int
    first_time_us: int
    last_time_us: int


def windows(holdings: Holdings, timeline: str | None = None) -> list[Window]:
    """Those of one timeline, or of all, oldest first."""
    timelines = [timeline] if timeline is not None else list(holdings.lineage.timelines)
    found = [window for line in timelines for window in _of_timeline(holdings, line)]
    return sorted(found, key=lambda w: (w.first_time_us, w.first_seq, w.timeline))


def reaches(holdings: Holdings, history: Sequence[Branch]) -> list[Reach]:
    """How far each backup along a history reaches, oldest first."""
    runs = _Runs(stretches(holdings, history))
    found = []
    for backup in on_history(holdings, history):
        shard = shard_of(backup)
        until, time_us = runs.follow(shard.flushed_seq, shard.first_time_us)
        found.append(Reach(backup.id, shard.flushed_seq, until, shard.first_time_us, time_us))
    return found


def can_restore(holdings: Holdings, timeline: str, seq: int) -> bool:
    """Whether the state after a commit of a timeline can be restored."""
    history = holdings.lineage.history(timeline)
    return any(reach.first <= seq <= reach.until for reach in reaches(holdings, history))


class _Runs:
    """Stretches joined to gap-free runs, oldest first."""

    def __init__(self, held: Sequence[Stretch]) -> None:
        self._after: list[int] = []
        self._ends: list[tuple[int, int]] = []  # until, and the time there
        for stretch in sorted(held, key=lambda s: s.after):
            end = stretch.until, stretch.last_time_us
            if self._ends and stretch.after <= self._ends[-1][0]:
                self._ends[-1] = max(self._ends[-1], end, key=lambda e: e[0])
            else:
                self._after.append(stretch.after)
                self._ends.append(end)

    def follow(self, seq: int, time_us: int) -> tuple[int, int]:
        """How far the records go on from a seq without a gap, and the time there."""
        at = bisect_right(self._after, seq) - 1
        if at < 0 or self._ends[at][0] <= seq:
            return seq, time_us
        return self._ends[at]


def _of_timeline(holdings: Holdings, timeline: str) -> list[Window]:
    history = holdings.lineage.history(timeline)
    own = history[0]
    merged: list[Window] = []
    for reach in sorted(reaches(holdings, history), key=lambda r: (r.first, -r.until)):
        window = _clipped(holdings, reach, own)
        if window is None:
            continue
        if merged and window.first_seq <= merged[-1].last_seq:
            merged[-1] = _joined(merged[-1], window)
        else:
            merged.append(window)
    return merged


def _clipped(holdings: Holdings, reach: Reach, own: Branch) -> Window | None:
    """The part of a reach that is the timeline's own: what lies before its fork is its parent's."""
    if not own.holds(reach.until):
        return None
    first, first_time_us = reach.first, reach.first_time_us
    if not own.holds(first):
        first, first_time_us = own.low + 1, own.line.fork_time_us or own.line.created_us
    through = _complete_through(holdings, own.timeline, reach)
    backups = () if reach.backup == ORIGIN else (reach.backup,)
    return Window(own.timeline, first, reach.until, first_time_us, through, backups)


def _complete_through(holdings: Holdings, timeline: str, reach: Reach) -> int:
    archived = holdings.archived.get(timeline)
    complete = archived.complete if archived is not None else None
    if complete is not None and complete.seq == reach.until:
        return max(reach.last_time_us, complete.time_us)
    return reach.last_time_us


def _joined(first: Window, second: Window) -> Window:
    last = max(first, second, key=lambda w: w.last_seq)
    return Window(
        first.timeline,
        first.first_seq,
        last.last_seq,
        first.first_time_us,
        max(first.last_time_us, second.last_time_us),
        (*first.backups, *second.backups),
    )
