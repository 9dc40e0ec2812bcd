"""Backs the words up, loses their directory, and restores them to the moment before half of them were deleted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import tiervdb
from tiervdb.cli.demo.steps import COLLECTION, clock
from tiervdb.cli.example_data import Words

DELETE_NOTE = "demo: the rarer half"
QUESTION = """select max(last_seq) as commits, epoch(now() - max(last_time)) as newest_is_seconds_old,
       (select epoch(now() - max(finished)) from drills where ok) as proven_seconds_ago
from restorable_windows"""


@dataclass(frozen=True)
class BackedUp:
    """``bytes``: of all that the backup lists; ``again_bytes``: what a second one had to send."""

    bytes: int
    files: int
    seconds: float
    again_bytes: int


@dataclass(frozen=True)
class Restored:
    """``moment``: the time restored to, just before the delete. ``same``: rows that are bit for bit as they were."""

    moment: datetime
    windows: tuple[tiervdb.RestorableWindow, ...]
    rows: int
    same: int
    seconds: float


@dataclass(frozen=True)
class Drilled:
    """``query``: what was asked of the catalog; ``commits``, ``newest_seconds``, ``proven_seconds``: its answer."""

    drill: tiervdb.DrillResult
    query: str
    commits: int
    newest_seconds: float
    proven_seconds: float


def back_up(db: tiervdb.Database) -> BackedUp:
    """A full backup while the database is open, and one more."""
    started = clock.monotonic()
    first = db.backup()
    seconds = clock.monotonic() - started
    second = db.backup()
    assert isinstance(first, tiervdb.Backup)
    assert isinstance(second, tiervdb.Backup)
    return BackedUp(first.bytes, first.files, seconds, second.sent_bytes)


def lose_and_restore(path: Path, repository: Path, words: Words) -> Restored:
    """The directory is deleted, and made again from the repository alone as it was right before the delete."""
    shutil.rmtree(path)
    source = tiervdb.Repository(repository)
    [deleted] = {row["time"] for row in source.log().to_pylist() if row["note"] == DELETE_NOTE}
    windows = tuple(source.windows())
    started = clock.monotonic()
    source.restore(path, tiervdb.Target.time(deleted, exclusive=True), attach=True)
    with tiervdb.open(path, create=False) as db:
        seconds = clock.monotonic() - started
        rows = db[COLLECTION]
        return Restored(deleted, windows, len(rows), same_rows(rows, words), seconds)


def drilled(repository: Path) -> Drilled:
    """A restore to a random point, checked and timed; then what an operator asks, in SQL."""
    source = tiervdb.Repository(repository)
    done = source.drill()
    [(commits, seconds, proven)] = source.sql(QUESTION).fetchall()
    return Drilled(done, QUESTION, commits, seconds, proven)


def same_rows(rows: tiervdb.Collection, words: Words) -> int:
    """How many words are there with exactly the vector that they were loaded with."""
    table = rows.get(words.table["word"], vectors=True)
    if len(table) != len(words):
        return len(table)
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), words.dim)
    return int((vectors == words.vectors).all(axis=1).sum())
