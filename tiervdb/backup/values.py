"""What the public methods of a repository return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from tiervdb.backup.holdings import shard_of
from tiervdb.backup.origin import ORIGIN
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.windows import Window
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class Backup:
    """A listed backup. ``seq``, ``time``: the state it holds; ``first_seq``, ``first_time``: where its window begins.

    ``bytes``: of all that it lists; ``sent_bytes``, ``sent_objects``: what it had to send. ``cold``: whether cold
    objects were copied, or stay in their store ("reference").
    """

    id: str
    kind: Literal["full", "incremental"]
    label: str | None
    timeline: str
    seq: int
    time: datetime
    first_seq: int
    first_time: datetime
    created: datetime
    finished: datetime
    bytes: int
    files: int
    sent_bytes: int
    sent_objects: int
    cold: Literal["copy", "reference"]
    snapshots: tuple[str, ...]


@dataclass(frozen=True)
class RestorableWindow:
    """A gap-free interval of one timeline: every commit and every moment in it can be restored.

    ``backups``: ids of those that its states start from, oldest first.
    """

    timeline: str
    first_seq: int
    last_seq: int
    first_time: datetime
    last_time: datetime
    backups: tuple[str, ...]


@dataclass(frozen=True)
class BackupSketch:
    """What a backup would do: ``dry_run``. ``send``: names, and bytes of each."""

    kind: Literal["full", "incremental"]
    send: tuple[tuple[str, int], ...]
    send_bytes: int
    reused_files: int
    bytes: int


@dataclass(frozen=True)
class PlannedRestore:
    """What a restore would fetch. ``estimated_seconds``: at 100 MB/s and 50 ms a request; a drill measures it.

    ``parts``: of the archived log, to be read and replayed up to ``seq``. ``backup``: what it starts from; "origin" is
    the empty database, where the log begins with its first commit.
    """

    target: str
    timeline: str
    seq: int
    backup: str
    backup_time: datetime
    files: int
    file_bytes: int
    parts: int
    log_bytes: int
    estimated_seconds: float

    def __str__(self) -> str:
        return (
            f"restore {self.target}: commit {self.seq} of timeline {self.timeline}\n"
            f"  from {self._base}: {self.files} files, {self.file_bytes:,} bytes\n"
            f"  then {self.parts} parts of the archived log, {self.log_bytes:,} bytes\n"
            f"  about {self.estimated_seconds:.0f} s"
        )

    @property
    def _base(self) -> str:
        if self.backup == ORIGIN:
            return "the empty database that it began as"
        return f"backup {self.backup} ({self.backup_time.isoformat()})"


@dataclass(frozen=True)
class RestoreResult:
    """What was restored: commit ``seq``, made at ``time``, of ``from_timeline``; ``timeline``: of the new database.

    ``fetched_bytes``: from the repository so far; ``kept_bytes``: of files that were intact (delta).
    """

    path: Path
    database_id: str
    timeline: str
    from_timeline: str
    seq: int
    time: datetime
    backup: str
    attached: bool
    lazy: bool
    fetched_bytes: int
    kept_bytes: int
    seconds: float


def backup_value(document: BackupDocument) -> Backup:
    shard = shard_of(document)
    return Backup(
        id=document.id,
        kind=document.kind,
        label=document.label,
        timeline=document.timeline.id,
        seq=shard.seq,
        time=to_datetime(shard.time_us),
        first_seq=shard.flushed_seq,
        first_time=to_datetime(shard.first_time_us),
        created=to_datetime(document.created_us),
        finished=to_datetime(document.finished_us),
        bytes=document.size,
        files=len(list(document.files)),
        sent_bytes=document.sent_bytes,
        sent_objects=document.sent_objects,
        cold=document.cold,
        snapshots=tuple(snapshot.name for snapshot in document.snapshots),
    )


def window_value(window: Window) -> RestorableWindow:
    return RestorableWindow(
        window.timeline,
        window.first_seq,
        window.last_seq,
        to_datetime(window.first_time_us),
        to_datetime(window.last_time_us),
        window.backups,
    )


def plan_value(plan: RestorePlan, target: str) -> PlannedRestore:
    return PlannedRestore(
        target=target,
        timeline=plan.timeline,
        seq=plan.seq,
        backup=plan.backup.id,
        backup_time=plan.backup_time,
        files=len(plan.files),
        file_bytes=plan.file_bytes,
        parts=plan.parts,
        log_bytes=plan.log_bytes,
        estimated_seconds=plan.estimated_seconds,
    )
