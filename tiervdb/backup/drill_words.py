"""What a drill did and found: as a value, and in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tiervdb.format import paths
from tiervdb.format.repository_operations import DrillOperation
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class DrillResult:
    """A restore that was tried, checked and timed. ``problems``: what did not hold; ``error``: why it failed at all.

    Seconds from its beginning: ``open_seconds`` until the database was open, ``first_query_seconds`` (RTO) until a
    search was answered, ``hydrated_seconds`` (RTO) until all was local. ``rpo_seconds``: how old the newest restorable
    moment was when it began. ``recall``: of ``golden_queries`` searches against exact ones; ``golden_share``: of the
    neighbours that the backup names, found again; of 1.
    """

    id: str
    target: str
    timeline: str | None
    seq: int | None
    time: datetime | None
    backup: str | None
    lazy: bool
    problems: tuple[str, ...]
    error: str | None
    collections: int
    rows: int
    checked_files: int
    fetched_bytes: int
    open_seconds: float | None
    first_query_seconds: float | None
    hydrated_seconds: float | None
    rpo_seconds: float | None
    golden_queries: int
    recall: float | None
    golden_share: float | None
    text: str

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return self.error is None and not self.problems

    def __str__(self) -> str:
        return self.text


def drill_value(done: DrillOperation) -> DrillResult:
    same = {name: getattr(done, name) for name in DrillResult.__dataclass_fields__ if name not in {"time", "text"}}
    time = None if done.time_us is None else to_datetime(done.time_us)
    return DrillResult(**same, time=time, text="\n".join(sentences(done)))


def sentences(done: DrillOperation) -> list[str]:
    """A line each, the result first."""
    failed = done.error is not None or bool(done.problems)
    lines = [f"drill to {done.target}{', lazily' if done.lazy else ''}: {'FAILED' if failed else 'ok'}"]
    if done.error is not None:
        lines.append(f"the restore failed: {done.error}")
    lines += done.problems
    if done.seq is not None and done.time_us is not None:
        lines.append(
            f"commit {done.seq} of {to_datetime(done.time_us).isoformat()}, timeline {done.timeline}, from "
            f"{_origin(done)}: {done.fetched_bytes:,} bytes fetched"
        )
    if done.checked_files or done.rows:
        collections = f"{done.collections} collection{'' if done.collections == 1 else 's'}"
        lines.append(f"{done.rows:,} rows in {collections}; {done.checked_files:,} files and objects checked")
    if done.recall is not None:
        again = "" if done.golden_share is None else f"; {done.golden_share:.1%} of the neighbours were found again"
        lines.append(f"recall {done.recall:.3f} of {done.golden_queries} golden queries{again}")
    times = {
        "open": done.open_seconds,
        "first answer": done.first_query_seconds,
        "all local": done.hydrated_seconds,
    }
    measured = ", ".join(f"{what} after {seconds:.2f} s" for what, seconds in times.items() if seconds is not None)
    lines += [measured] if measured else []
    if done.rpo_seconds is not None:
        lines.append(f"the newest restorable moment was {done.rpo_seconds:.1f} s ago when it began")
    return lines


def _origin(done: DrillOperation) -> str:
    return f"backup {done.backup}" if paths.is_id(done.backup or "") else "the log alone"
