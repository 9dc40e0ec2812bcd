"""The steps of the demo: each does one thing through the public API and returns what came of it, printing nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiervdb
from tiervdb.cli.example_data import Words
from tiervdb.cli.output import Advance
from tiervdb.clock import SystemClock
from tiervdb.types import Vectors

COLLECTION = "words"
BATCH_ROWS = 1000
COLD_FRACTION = 0.8
SHOWN = 5
RARE, SHORT = 5000, 6

clock = SystemClock()


@dataclass(frozen=True)
class Loaded:
    rows: int
    commits: int
    seconds: float


def load(db: tiervdb.Database, words: Words, advance: Advance) -> Loaded:
    """All words, a thousand a commit; each commit is on disk before the next begins."""
    collection = db.create_collection(
        COLLECTION,
        dim=words.dim,
        metric="cosine",
        id_type="string",
        columns={"rank": "int32", "length": "int16"},
    )
    started = clock.monotonic()
    for first in range(0, len(words), BATCH_ROWS):
        collection.upsert(words.table.slice(first, BATCH_ROWS), id="word", vector="vector")
        advance(first + BATCH_ROWS, len(words))
    return Loaded(len(words), -(-len(words) // BATCH_ROWS), clock.monotonic() - started)


@dataclass(frozen=True)
class Demoted:
    """``bytes``: of the objects in the cold store."""

    rows: int
    bytes: int
    hot_rows: int
    cold_rows: int
    cold_url: str | None
    seconds: float


def demote(db: tiervdb.Database, advance: Advance) -> Demoted:
    """Most of the words to the cold store."""
    started = clock.monotonic()
    moved = db.demote(COLLECTION, COLD_FRACTION, progress=advance)
    seconds = clock.monotonic() - started
    [stats] = db.stats().collections
    hot = stats.hot_rows + stats.memory_rows
    return Demoted(moved.rows, moved.bytes, hot, stats.cold_rows, db.status().cold_url, seconds)


@dataclass(frozen=True)
class Searched:
    """``question``: as people put it. ``label``: the same in short. ``found``: the nearest words."""

    label: str
    question: str
    found: list[str]
    stats: tiervdb.SearchStats


def searches(db: tiervdb.Database, words: Words) -> list[Searched]:
    """Nearest words, an analogy, a filter; two of them again, to show what the caches of ranges and of filters do."""
    king, music = words.vector("king"), words.vector("music")
    capital = words.vector("paris") - words.vector("france") + words.vector("japan")
    rare = {"where": "rank >= ? and length <= ?", "params": [RARE, SHORT]}
    return [
        ask(db, "nearest", 'near "king"', king, {"king"}),
        ask(db, "the same again", "", king, {"king"}),
        ask(db, "analogy", "paris - france + japan", capital, {"paris", "france", "japan"}),
        ask(db, "filtered", f'near "music", rank >= {RARE} and length <= {SHORT}', music, set(), **rare),
        ask(db, "the same again", "", music, set(), **rare),
    ]


def ask(db: tiervdb.Database, label: str, question: str, x: Vectors, leave_out: set[str], **options: Any) -> Searched:
    """One search, without the words that the question is made of."""
    hits = db[COLLECTION].search(x, k=SHOWN + len(leave_out), **options)
    return Searched(label, question, [str(hit.id) for hit in hits if hit.id not in leave_out][:SHOWN], hits.stats)


@dataclass(frozen=True)
class LookedBack:
    """Rows and the nearest words live and at the snapshot, after the delete; ``same`` compares with before it."""

    snapshot_seconds: float
    deleted: int
    delete_seconds: float
    live_rows: int
    snapshot_rows: int
    same_answers: bool
    clone_rows: int
    clone_seconds: float


def look_back(db: tiervdb.Database, words: Words, copy: Path) -> LookedBack:
    """A snapshot, half of the words deleted, the snapshot read, and a database cloned from it."""
    queries = words.vectors[:50]
    before = db[COLLECTION].search(queries, exact=True)
    started = clock.monotonic()
    snapshot = db.snapshot("before-the-delete")
    taken = clock.monotonic()
    deleted = db[COLLECTION].delete(where="rank >= ?", params=[len(words) // 2], note="demo: the rarer half")
    done = clock.monotonic()
    with db.at(snapshot) as past:
        then = past[COLLECTION].search(queries, exact=True)
        snapshot_rows = len(past[COLLECTION])
    started_clone = clock.monotonic()
    db.clone(copy, at=snapshot)
    with tiervdb.open(copy, create=False) as cloned:
        clone_rows = len(cloned[COLLECTION])
    return LookedBack(
        snapshot_seconds=taken - started,
        deleted=deleted.deleted,
        delete_seconds=done - taken,
        live_rows=len(db[COLLECTION]),
        snapshot_rows=snapshot_rows,
        same_answers=then.table.equals(before.table),
        clone_rows=clone_rows,
        clone_seconds=clock.monotonic() - started_clone,
    )
