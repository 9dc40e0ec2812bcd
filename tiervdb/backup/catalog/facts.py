"""Everything that the catalog's tables are made from: what is known, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiervdb.backup import listing
from tiervdb.backup.catalog.known import Known
from tiervdb.backup.holdings import SHARD, Archived, Holdings
from tiervdb.backup.lineage import Lineage
from tiervdb.errors import CorruptionError
from tiervdb.format.repository_documents import (
    BackupDocument,
    CompleteThrough,
    Expiration,
    Lease,
    PartHeader,
    RepositoryEpoch,
    RepositoryPin,
    TimelineDocument,
)
from tiervdb.format.repository_operations import HoldDocument


@dataclass(frozen=True)
class Passing:
    """The documents that change or go, as they are now."""

    holds: Sequence[HoldDocument] = ()
    leases: Sequence[Lease] = ()
    pins: Sequence[RepositoryPin] = ()
    complete: Sequence[CompleteThrough] = ()
    damaged_holds: Sequence[CorruptionError] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that tables are made from. ``held``: what is listed, with the archived log."""

    known: Known
    passing: Passing
    held: Holdings
    now_us: int


def facts(known: Known, passing: Passing, now_us: int) -> Facts:
    """Works out what is listed."""
    timelines = {d.timeline.id: d for d in known.of(TimelineDocument)}
    epochs = sorted((d for d in known.of(RepositoryEpoch)), key=lambda d: d.epoch)
    archived = _archived(known, passing)
    expired = {d.id for d in known.of(Expiration)}

    def fence_of(timeline: str, shard: int) -> int | None:
        return archived[timeline].fence if shard == SHARD and timeline in archived else None

    backups = [b for b in backups_of(known) if b.id not in expired]
    listed = tuple(listing.listed(backups, fence_of))
    return Facts(known, passing, Holdings(Lineage(timelines, tuple(epochs)), listed, archived), now_us)


def _archived(known: Known, passing: Passing) -> Mapping[str, Archived]:
    parts: dict[str, list[PartHeader]] = {}
    for part in known.of(PartHeader):
        if part.shard == SHARD:
            parts.setdefault(part.timeline, []).append(part)
    complete = {c.timeline: c for c in passing.complete if c.shard == SHARD}
    found = {}
    for timeline, headers in parts.items():
        headers.sort(key=lambda part: part.n)
        fence = next((part for part in headers if part.kind == "fence"), None)
        counted = tuple(part for part in headers if fence is None or part.n < fence.n)
        found[timeline] = Archived(counted, None if fence is None else fence.last_seq, complete.get(timeline))
    return found


def backups_of(known: Known) -> list[BackupDocument]:
    return sorted(known.of(BackupDocument), key=lambda b: (b.created_us, b.finished_us, b.shards[0].seq, b.id))
