"""What the soak's writers write, what they said of it, and what a restored database must hold therefore.

The rows of a commit are a function of its timeline and its number alone, so that whoever checks can make them again.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import tiervdb

COLLECTION = "rows"
DIM = 8
BATCH_ROWS = 8
BLOCKS = 24  # a commit writes one block of ids, the next one the next block, and so on round
FIRST_SEQ = 1  # the commit that makes the collection


@dataclass(frozen=True)
class Written:
    """A commit: ``ids`` get these vectors, and ``gone`` are deleted."""

    ids: np.ndarray
    vectors: np.ndarray
    gone: np.ndarray


@cache
def written(timeline: str, seq: int) -> Written:
    """What the commit of a number writes on a timeline. At least one row is written, so that it is a commit."""
    seed = hashlib.sha256(f"{timeline}/{seq}".encode()).digest()
    rng = np.random.default_rng(list(seed))
    ids = rng.permutation(BATCH_ROWS) + BATCH_ROWS * (seq % BLOCKS)
    keep = int(rng.integers(1, BATCH_ROWS + 1))
    return Written(ids[:keep], rng.normal(size=(keep, DIM)).astype(np.float32), ids[keep:])


def commit(db: tiervdb.Database, timeline: str, seq: int) -> int:
    """Writes a commit, as one batch; the number that it got."""
    given = written(timeline, seq)
    with db.batch() as batch:
        if len(given.gone):
            batch[COLLECTION].delete(ids=given.gone)
        numbers = np.full(len(given.ids), seq)
        batch[COLLECTION].upsert(ids=given.ids, vectors=given.vectors, columns={"seq": numbers})
    assert batch.commit is not None
    return batch.commit.seq


@dataclass
class Lines:
    """The timelines of a database. ``parents``: of each restored one, which it came from and after which commit."""

    parents: dict[str, tuple[str, int]] = field(default_factory=dict)

    def fork(self, timeline: str, parent: str, seq: int) -> None:
        self.parents[timeline] = parent, seq

    def writer_of(self, timeline: str, seq: int) -> str:
        """The timeline on which the commit was made that a timeline has under this number."""
        while timeline in self.parents and seq <= self.parents[timeline][1]:
            timeline = self.parents[timeline][0]
        return timeline

    def rows(self, timeline: str, seq: int) -> dict[int, tuple[int, bytes]]:
        """By id: the commit that wrote a row last, and its vector, in the state after a commit."""
        found: dict[int, tuple[int, bytes]] = {}
        for last in range(max(FIRST_SEQ + 1, seq - BLOCKS + 1), seq + 1):  # one of each block
            given = written(self.writer_of(timeline, last), last)
            found |= {int(id): (last, row.tobytes()) for id, row in zip(given.ids, given.vectors, strict=True)}
        return found


def difference(db: tiervdb.Database, lines: Lines, timeline: str, seq: int) -> str | None:
    """How the rows of a database differ, in any bit, from what was written up to a commit; None: they do not."""
    if db.seq != seq:
        return f"it holds commit {db.seq} instead of {seq}"
    if seq < FIRST_SEQ:
        return f"it has collections: {db.collections()}" if db.collections() else None
    expected = lines.rows(timeline, seq)
    table = db[COLLECTION].scan(vectors=True).read_all()
    vectors = np.asarray(table["vector"].to_pylist(), np.float32).reshape(-1, DIM)
    rows = zip(table["id"].to_pylist(), table["seq"].to_pylist(), vectors, strict=True)
    found = {id: (number, vector.tobytes()) for id, number, vector in rows}
    if len(table) != len(found):
        return f"{len(table) - len(found)} ids are there twice"
    wrong = sorted(id for id in found.keys() | expected.keys() if found.get(id) != expected.get(id))
    if not wrong:
        return None
    has, wants = (None if id is None else id[0] for id in (found.get(wrong[0]), expected.get(wrong[0])))
    return f"{len(wrong)} rows differ, the first is {wrong[0]}: written by commit {has} instead of {wants}"


@dataclass
class Told:
    """What the writers of a timeline said. ``acked``: the newest acknowledged commit; ``safe``: all up to it have to be
    in the repository, whatever happens to the machine.

    ``sync``: an acknowledged commit is safe. Otherwise one is that was acknowledged before the moment since which,
    by the lag that a writer showed, something was missing.
    """

    timeline: str
    sync: bool
    acked: int = 0
    safe: int = 0
    refusals: list[str] = field(default_factory=list)
    waiting: deque[tuple[int, int]] = field(default_factory=deque)

    def hear(self, line: Mapping[str, Any]) -> None:
        """One line of a writer. AssertionError for one that cannot be."""
        if line["timeline"] != self.timeline:
            raise AssertionError(f"it writes on timeline {line['timeline']} instead of {self.timeline}")
        match line["event"]:
            case "opened":
                if line["seq"] < self.acked:
                    raise AssertionError(f"it opened at commit {line['seq']}, but {self.acked} was acknowledged")
            case "refused":
                self.refusals.append(line["error"])
            case "done":
                self._done(line)

    def _done(self, line: Mapping[str, Any]) -> None:
        seq = line["seq"]
        if seq != line["wanted"]:
            raise AssertionError(f"commit {seq} should be {line['wanted']}")
        self.acked = seq
        if self.sync:
            self.safe = seq
            return
        self.waiting.append((line["acked_us"], seq))
        missing_since_us = line["shown_us"] - line["lag_us"]
        while self.waiting and self.waiting[0][0] < missing_since_us:
            self.safe = self.waiting.popleft()[1]
        self.safe = max(self.safe, line["archived"])
