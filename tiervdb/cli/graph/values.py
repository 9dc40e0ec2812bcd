"""What is in the picture. Times are aware, sizes are bytes, durations seconds, seqs numbers of commits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EdgeKind = Literal["fork", "backup", "reuses", "restore", "snapshot", "copy"]


@dataclass(frozen=True)
class Timeline:
    """One history of commits. ``fork_seq``, ``fork_time``: where it left its parent; ``fence_seq``: where it ended."""

    id: str
    database_id: str
    parent: str | None
    fork_seq: int | None
    fork_time: datetime | None
    created: datetime
    fence_seq: int | None
    current: bool


@dataclass(frozen=True)
class Span:
    """An interval of a timeline without a hole, both ends included."""

    timeline: str
    first_seq: int
    last_seq: int
    first_time: datetime
    last_time: datetime


@dataclass(frozen=True)
class Gap:
    """Commits of a timeline that cannot be restored, and why."""

    timeline: str
    first_seq: int
    last_seq: int
    first_time: datetime
    last_time: datetime
    why: str


@dataclass(frozen=True)
class BackupNode:
    """A backup. ``seq``, ``time``: the state it holds; ``first_seq``: from where on it restores any commit up to that.

    ``seconds``: how long it took. ``hot_bytes``, ``cold_bytes``, ``log_bytes``: of all that it lists; ``sent_bytes``:
    of what it had to send. ``hold``: why it must be kept, None if it is not held.
    """

    id: str
    kind: Literal["full", "incremental"]
    label: str | None
    timeline: str
    seq: int
    time: datetime
    first_seq: int
    created: datetime
    seconds: float
    hot_bytes: int
    cold_bytes: int
    log_bytes: int
    sent_bytes: int
    files: int
    listed: bool
    why_unlisted: str | None
    hold: str | None
    user: str
    host: str

    @property
    def bytes(self) -> int:
        """Of all that it lists."""
        return self.hot_bytes + self.cold_bytes + self.log_bytes


@dataclass(frozen=True)
class Edge:
    """From what was there first, the parent, to what came of it, the child.

    ``fork``: timeline to timeline. ``backup``: timeline to backup. ``reuses``: the older backup, whose objects are
    listed again, to the newer one that lists them. ``restore``: backup to timeline. ``snapshot``: timeline to a name.
    ``copy``: repository to URL. The kinds of the two ends are words for people.
    """

    kind: EdgeKind
    parent_kind: str
    parent: str
    child_kind: str
    child: str
    seq: int | None
    time: datetime | None


@dataclass(frozen=True)
class RestoreNode:
    """A restore to commit ``seq`` of ``from_timeline``; ``timeline``: of the database that it made."""

    id: str
    backup: str
    from_timeline: str
    timeline: str
    seq: int
    time: datetime
    finished: datetime
    seconds: float
    attached: bool
    lazy: bool
    error: str | None


@dataclass(frozen=True)
class DrillNode:
    """A restore that was tried out. ``rpo_seconds``: between its start and the last moment that could be restored.

    ``first_query_seconds``, ``hydrated_seconds``: until the first answer, and until everything was local again.
    """

    id: str
    finished: datetime
    timeline: str
    seq: int
    time: datetime
    backup: str
    ok: bool
    first_query_seconds: float | None
    hydrated_seconds: float | None
    rpo_seconds: float | None
    recall: float | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CopyNode:
    """A copy of the repository to another: how many backups and bytes it sent."""

    id: str
    target_url: str
    finished: datetime
    backups: int
    bytes: int
    seconds: float
    error: str | None


@dataclass(frozen=True)
class Graph:
    """A repository at the moment ``generated``."""

    url: str
    generated: datetime
    timelines: tuple[Timeline, ...]
    windows: tuple[Span, ...]
    gaps: tuple[Gap, ...]
    log: tuple[Span, ...]
    backups: tuple[BackupNode, ...]
    edges: tuple[Edge, ...]
    restores: tuple[RestoreNode, ...]
    drills: tuple[DrillNode, ...]
    copies: tuple[CopyNode, ...]
