"""Filtered search at 1% and 10% of the words, at random and in one region, against LanceDB's prefilter and Chroma's
``where``, all on one core. ``python -m benchmarks.filtered``
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import prepare, truth
from benchmarks.sides import chroma, lance, tier
from benchmarks.tables import Table, met, publish
from benchmarks.timing import one_core, seconds, side_by_side
from benchmarks.words import words

K = 10
MEASURED = 200  # queries whose recall is measured
TIMED = 60
FEW, ONCE = 10, 3  # the same for Chroma, which takes seconds a query
ENOUGH = 0.95
LIMIT_MS = 2.5
TIMES_FASTER = 3.0


@dataclass(frozen=True)
class Case:
    """A filter ``column >= low and column < high``."""

    name: str
    column: str
    low: int
    high: int

    def rows(self) -> np.ndarray:
        values = words().columns()[self.column]
        return np.flatnonzero((values >= self.low) & (values < self.high))

    def shifted(self, step: int) -> Case:
        """A filter of the same size that nobody has asked before."""
        return Case(self.name, self.column, self.low + step, self.high + step)

    @property
    def sql(self) -> str:
        return f"{self.column} >= {self.low} AND {self.column} < {self.high}"

    @property
    def chroma(self) -> dict[str, Any]:
        return {"$and": [{self.column: {"$gte": self.low}}, {self.column: {"$lt": self.high}}]}


def cases() -> list[Case]:
    count = len(words().ids)
    return [
        Case("1%, at random", "bucket", 500, 510),
        Case("10%, at random", "bucket", 500, 600),
        Case("1%, a ball", "place", 0, count // 100),
        Case("10%, a ball", "place", 0, count // 10),
        Case("1%, a range of time", "rank", count // 2, count // 2 + count // 100),
        Case("10%, a range of time", "rank", count // 2, count // 2 + count // 10),
    ]


def measure() -> list[Table]:
    one_core()
    ours = tier.open_words(tier.build(words(), 1))["words"]
    lance_table = lance.table(lance.build(words()))
    chroma_folder = chroma.build(words())
    kept = Table(
        "Filtered search, bitmap kept, one core",
        (
            "filter",
            "recall@10",
            "ms",
            "target",
            "",
            "LanceDB: recall",
            "times slower",
            "Chroma: recall",
            "times slower",
            "target",
            "",
        ),
    )
    first = Table(
        "Filtered search, a filter seen for the first time, one core",
        ("filter", "tiervdb: ms", "LanceDB: times slower", "Chroma: times slower"),
    )  # fmt: skip
    for case in cases():
        _one(case, ours, lance_table, chroma_folder, kept, first)
    return [kept, first]


def _one(case: Case, ours: Any, lance_table: Any, chroma_folder: Path, kept: Table, first: Table) -> None:
    judge = Judge(case)
    where = f"{case.column} >= ? AND {case.column} < ?"
    search = tier.searcher(ours, where, [case.low, case.high])
    lance_search, lance_recall = judge.tuned(_lance_choices(lance_table, case))
    chroma_search, chroma_recall = judge.tuned(_chroma_choices(chroma_folder, case), FEW)
    queries = list(words().queries[MEASURED : MEASURED + TIMED])
    times = side_by_side({"tiervdb": search, "lancedb": lance_search}, queries, rounds=3)
    times |= side_by_side({"chroma": chroma_search}, queries[:ONCE], rounds=1)
    base = times["tiervdb"].cpu
    slower = [times[name].cpu / base for name in ("lancedb", "chroma")]
    reached = judge.recall(search)
    kept.add(
        case.name, reached, base * 1e3, f"<= {LIMIT_MS}", met(base * 1e3 <= LIMIT_MS and reached >= ENOUGH),
        lance_recall, slower[0], chroma_recall, slower[1], f">= {TIMES_FASTER:.0f}", met(min(slower) >= TIMES_FASTER),
    )  # fmt: skip
    query = words().queries[0]
    new = [case.shifted(n + 1) for n in range(7)]
    fresh = float(
        np.median([seconds(lambda c=c: ours.search(query, K, where=where, params=[c.low, c.high])) for c in new])
    )
    first.add(case.name, fresh * 1e3, *(times[name].cpu / fresh for name in ("lancedb", "chroma")))


def _first_seen(case: Case, ours: Any, where: str) -> float:
    """Median seconds of searches under filters that were never evaluated before."""

    def search(new: Case) -> object:
        return ours.search(words().queries[0], K, where=where, params=[new.low, new.high])

    return float(np.median([seconds(lambda n=n: search(case.shifted(n + 1))) for n in range(7)]))


def _lance_choices(table: Any, case: Case) -> Iterable[Callable[[Any], Any]]:
    for ef, refine in ((100, 2), (200, 4), (400, 4), (600, 10)):
        yield lance.searcher(table, ef, refine, where=case.sql)


def _chroma_choices(folder: Path, case: Case) -> Iterable[Callable[[Any], Any]]:
    for ef in (100, 256):
        yield chroma.searcher(chroma.collection(folder, ef), case.chroma)


class Judge:
    """Recall under a filter."""

    def __init__(self, case: Case) -> None:
        self._words = words()
        self._rows = {word: row for row, word in enumerate(self._words.ids)}
        self._queries = self._words.queries[:MEASURED]
        self._allowed = case.rows()
        self._limits = truth.limits("cosine", self._words.vectors, self._queries, K, self._allowed)

    def recall(self, search: Callable[[Any], Any], count: int = MEASURED) -> float:
        queries = self._queries[:count]
        found = [np.array([self._rows[word] for word in list(search(query))]) for query in queries]
        if not all(np.isin(rows, self._allowed).all() and len(rows) <= K for rows in found):
            raise AssertionError("a hit does not match the filter")
        return truth.recall("cosine", self._words.vectors, queries, found, self._limits[:count], K)

    def tuned(
        self, choices: Iterable[Callable[[Any], Any]], count: int = MEASURED
    ) -> tuple[Callable[[Any], Any], float]:
        """The first choice that reaches the recall, or the last."""
        for search in choices:
            reached = self.recall(search, count)
            if reached >= ENOUGH:
                break
        return search, reached


def main(arguments: Sequence[str]) -> None:
    if "measure" in arguments:
        publish("filtered", measure())
        return
    prepare.ensure("tiervdb", "lancedb", "chroma")
    subprocess.run([sys.executable, "-m", "benchmarks.filtered", "measure"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
