"""What a restore fetches, decided before anything is: the backup, its files, and the log up to the target. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiervdb.backup import resolve
from tiervdb.backup.holdings import Holdings, on_history, shard_of, stretches
from tiervdb.backup.lineage import Branch
from tiervdb.backup.log_reader import Step, chain_of
from tiervdb.backup.resolve import Point
from tiervdb.errors import OutsideWindowError
from tiervdb.format.repository_documents import BackupDocument, BackupFile
from tiervdb.types import to_datetime

ASSUMED_BYTES_PER_SECOND = 100e6  # of a bucket, for the estimate; a drill measures it
ASSUMED_REQUEST_SECONDS = 0.05


@dataclass(frozen=True)
class RestorePlan:
    """``steps``: the log after the backup's manifest. ``files``: all that the backup lists, its log aside."""

    point: Point
    backup: BackupDocument
    steps: tuple[Step, ...]

    @property
    def timeline(self) -> str:
        return self.point.branch.timeline

    @property
    def seq(self) -> int:
        return self.point.seq

    @property
    def files(self) -> tuple[BackupFile, ...]:
        return tuple(file for file in shard_of(self.backup).files if file.role != "wal")

    @property
    def file_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def log_bytes(self) -> int:
        """About: what the parts hold, also where only some of it is needed."""
        lengths = {}
        for step in self.steps:
            stretch = step.stretch
            part, log = stretch.part, stretch.log
            lengths[id(stretch)] = part.length if part is not None else log.size if log is not None else 0
        return sum(lengths.values())

    @property
    def parts(self) -> int:
        return sum(step.stretch.part is not None for step in self.steps)

    @property
    def estimated_seconds(self) -> float:
        requests = len(self.files) + len(self.steps)
        return (self.file_bytes + self.log_bytes) / ASSUMED_BYTES_PER_SECOND + requests * ASSUMED_REQUEST_SECONDS / 8

    @property
    def backup_time(self) -> datetime:
        return to_datetime(shard_of(self.backup).time_us)


def plan(holdings: Holdings, point: Point) -> RestorePlan:
    """From the newest backup whose manifest is not after the point. OutsideWindowError names what can be restored."""
    held = stretches(holdings, point.history)
    candidates = sorted(_candidates(holdings, point.history, point.seq), key=_newest_first)
    for backup in candidates:
        steps = chain_of(held, shard_of(backup).flushed_seq, point.seq)
        if steps is not None:
            return RestorePlan(point, backup, tuple(steps))
    raise OutsideWindowError(
        f"commit {point.seq} cannot be restored from here: "
        f"{'part of the log before it is missing' if candidates else 'no backup is old enough'}; "
        f"{resolve.nearest(holdings, point.seq, point.time_us)}"
    )


def with_log_of(holdings: Holdings, planned: RestorePlan) -> RestorePlan:
    """The same, with the log as it lies now. OutsideWindowError if some of it is gone."""
    held = stretches(holdings, planned.point.history)
    steps = chain_of(held, shard_of(planned.backup).flushed_seq, planned.point.seq)
    if steps is None:
        raise OutsideWindowError("part of the log that it needs was expired just now; plan the restore again")
    return replace(planned, steps=tuple(steps))


def _candidates(holdings: Holdings, history: Sequence[Branch], seq: int) -> list[BackupDocument]:
    return [backup for backup in on_history(holdings, history) if shard_of(backup).flushed_seq <= seq]


def _newest_first(backup: BackupDocument) -> tuple[int, int]:
    return -shard_of(backup).flushed_seq, -backup.created_us
