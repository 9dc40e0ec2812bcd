"""Hot segments that are searched as one: through the engine while rows change, and which unions are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tiervdb
from tiervdb.engine import unions
from tiervdb.engine.unions import SEEN_BEFORE, Unions
from tiervdb.segment.segment import Segment
from tiervdb.segment.union import SketchUnion

OPTIONS = tiervdb.Options(background=False, flush_floats=10**9, small_floats=20_000, graph_min_rows=10**6)
DIM, ROWS, K, QUERIES = 16, 1_500, 10, 10
AS_ONE = "hot segments as one"


@dataclass
class Points:
    """A collection, and its live rows as a dict."""

    db: tiervdb.Database
    rng: np.random.Generator
    live: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def collection(self) -> tiervdb.Collection:
        return self.db["points"]

    def upsert(self, ids: np.ndarray) -> None:
        vectors = self.rng.standard_normal((len(ids), DIM)).astype(np.float32)
        self.collection.upsert(ids=ids, vectors=vectors)
        self.live.update(zip(ids.tolist(), vectors, strict=True))

    def delete(self, ids: np.ndarray) -> None:
        self.collection.delete(ids=ids)
        for dead in ids.tolist():
            del self.live[dead]

    def some(self, count: int) -> np.ndarray:
        return self.rng.choice(list(self.live), count, replace=False)

    def search(self, **how: Any) -> tiervdb.Hits:
        """Every hit is a live row, once, with its distance of now, and recall is 0.96 at least."""
        queries = self.rng.standard_normal((QUERIES, DIM)).astype(np.float32)
        hits = self.collection.search(queries, k=K, explain=True, **how)
        rows = np.stack(list(self.live.values()))
        found = 0
        for query, ids, distances in zip(queries, hits.ids, hits.distances, strict=True):
            assert len(set(ids.tolist())) == K
            assert set(ids.tolist()) <= set(self.live), "a dead row was found"
            here = np.stack([self.live[i] for i in ids.tolist()])
            np.testing.assert_allclose(distances, ((here - query) ** 2).sum(axis=1), rtol=1e-4)
            kth = np.sort(((rows - query) ** 2).sum(axis=1))[K - 1]
            found += int((distances <= kth * (1 + 1e-5)).sum())
        assert found >= 0.96 * K * QUERIES
        return hits


@pytest.fixture
def points(tmp_path: Path) -> Iterator[Points]:
    """Three hot segments under one codebook."""
    with tiervdb.open(tmp_path / "db", options=OPTIONS) as db:
        db.create_collection("points", dim=DIM, metric="l2", id_type="int64")
        made = Points(db, np.random.default_rng(3))
        for n in range(3):
            made.upsert(np.arange(n * ROWS, (n + 1) * ROWS))
            db.flush()
            db.maintain()
        yield made


ALL = {"nprobe": 10_000, "rerank": 300}


def test_the_third_search_of_the_same_segments_makes_a_union(points: Points) -> None:
    explained = [points.search(**ALL).explanation for _ in range(SEEN_BEFORE + 1)]
    assert [AS_ONE in text for text in explained] == [False] * (SEEN_BEFORE - 1) + [True] * 2
    assert f"3 hot segments as one ({3 * ROWS} rows)" in explained[-1]


def test_rows_that_die_and_change_under_a_union(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deaths in segments are seen by a union that was made before them; new versions come from the memtable."""
    made: list[SketchUnion] = []

    def make_one(given: Sequence[Segment]) -> SketchUnion:
        made.append(SketchUnion(given))
        return made[-1]

    monkeypatch.setattr(unions, "SketchUnion", make_one)
    as_one = 0
    for step in range(24):
        if step % 3 == 0:
            points.delete(points.some(40))
        elif step % 3 == 1:
            points.upsert(points.some(40))
        if step == 14:
            points.db.flush()
        if step == 18:
            points.delete(np.array([i for i in points.live if i < ROWS][:500]))
            points.db.flush()
            points.db.maintain()  # writes the first segment anew
        as_one += AS_ONE in points.search(**ALL).explanation
    assert as_one >= 15
    assert len(made) == 2


def test_memtable_union_and_cold_rows_are_merged(points: Points) -> None:
    points.db.demote("points", 1 / 3)
    points.upsert(np.arange(10_000, 10_000 + 300))
    points.delete(points.some(60))
    for _ in range(SEEN_BEFORE):
        hits = points.search(**ALL)
    assert "2 hot segments as one" in hits.explanation
    assert hits.stats.tiers == ("memory", "hot", "cold")
    origins = {int(i) // ROWS if i < 10_000 else "memory" for ids in hits.ids for i in ids}
    assert origins == {0, 1, 2, "memory"}


def test_what_is_asked_for_otherwise_is_not_searched_as_one(points: Points) -> None:
    for _ in range(SEEN_BEFORE):
        points.search(**ALL)
    assert AS_ONE in points.search(**ALL).explanation
    queries = np.zeros((1, DIM), np.float32)
    for how in ({"exact": True}, {"ef": 50}, {"rerank": 0}, {"where": "id >= 0"}):
        assert AS_ONE not in points.collection.search(queries, explain=True, **how).explanation, how


# -- which are kept


class FakeUnion:
    def __init__(self, segments: list[Any]) -> None:
        self.key = ids_of(segments)


def ids_of(segments: list[Any]) -> str:
    return "".join(s.entry.id for s in segments)


def segments(ids: str) -> list[Any]:
    return [SimpleNamespace(entry=SimpleNamespace(id=i), release_lists=lambda: None) for i in ids]


def union_of(kept: Unions, ids: str) -> Any:
    return kept._union(tuple(ids), segments(ids), SEEN_BEFORE)


def make(kept: Unions, ids: str) -> None:
    for _ in range(SEEN_BEFORE - 1):
        assert union_of(kept, ids) is None
    made: Any = union_of(kept, ids)
    assert made.key == ids


def keys(kept: Unions) -> list[str]:
    return ["".join(key) for key in kept._unions]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Unions:
    monkeypatch.setattr(unions, "SketchUnion", FakeUnion)
    return Unions(4)


def test_segments_that_change_all_the_time_get_no_union(kept: Unions) -> None:
    for n in range(1, 30):
        for _ in range(SEEN_BEFORE - 1):
            assert union_of(kept, "a" * n) is None


def test_collections_that_are_searched_by_turns_get_theirs(kept: Unions) -> None:
    for _ in range(SEEN_BEFORE - 1):
        assert union_of(kept, "ab") is None
        assert union_of(kept, "cd") is None
    made = union_of(kept, "ab")
    assert made is not None
    assert union_of(kept, "cd") not in {None, made}
    assert union_of(kept, "ab") is made, "it is made once"


def test_the_least_recently_used_goes(kept: Unions) -> None:
    names = ["ab", "cd", "ef", "gh", "ij"]
    for ids in names[:-1]:
        make(kept, ids)
    assert union_of(kept, "ab") is not None
    make(kept, "ij")
    assert keys(kept) == ["ef", "gh", "ab", "ij"]


def test_a_union_from_before_a_merge_goes_at_once(kept: Unions) -> None:
    make(kept, "abc")
    make(kept, "abcd")
    assert keys(kept) == ["abcd"]
    make(kept, "xy")
    assert keys(kept) == ["abcd", "xy"], "other collections' stay"
    make(kept, "ade")
    assert keys(kept) == ["xy", "ade"]


def test_segments_give_their_own_lists_back(kept: Unions) -> None:
    released: list[str] = []
    given = [SimpleNamespace(entry=SimpleNamespace(id=i), release_lists=lambda i=i: released.append(i)) for i in "ab"]
    for _ in range(SEEN_BEFORE + 2):
        kept._union(("a", "b"), given, SEEN_BEFORE)
    assert released == ["a", "b"]
