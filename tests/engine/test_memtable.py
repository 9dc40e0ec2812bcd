"""The memtable against a plain model: every version of every id with the seqs of its life."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.engine.values import NUMBERS, WORDS, batch
from tiervdb.engine.memtable import ALIVE, MISSING, MemRows, Memtable, MemView
from tiervdb.types import CollectionSchema


@dataclass
class Version:
    id: Any
    x: float
    born: int
    died: int = int(ALIVE)


@dataclass
class Both:
    """A memtable and its model; every change is done to both."""

    rows: MemRows
    versions: list[Version] = field(default_factory=list)

    def delete(self, ids: list[Any], seq: int) -> None:
        found = self.rows.live_rows(ids)
        alive = {v.id: n for n, v in enumerate(self.versions) if v.died == int(ALIVE)}
        assert found.tolist() == [alive.get(i, MISSING) for i in ids]
        self.rows.kill(found[found >= 0], seq)
        for row in found[found >= 0]:
            self.versions[row].died = seq

    def upsert(self, ids: list[Any], seq: int, first: float) -> None:
        self.delete(ids, seq)
        self.rows.append(batch(ids, first), ids, seq)
        self.versions += [Version(i, first + n, seq) for n, i in enumerate(ids)]

    def live(self, seq: int) -> dict[Any, float]:
        return {v.id: v.x for v in self.versions if v.born <= seq < v.died}


def shown(view: MemView) -> dict[Any, float]:
    rows = np.flatnonzero(view.live())
    return dict(zip(view.ids(rows).to_pylist(), view.vectors(rows)[:, 0].tolist(), strict=True))


@pytest.mark.parametrize(("schema", "names"), [(NUMBERS, list(range(9))), (WORDS, list("abcdefghi"))])
@pytest.mark.parametrize("seed", range(4))
def test_every_view_shows_its_seq_for_ever(seed: int, schema: CollectionSchema, names: list[Any]) -> None:
    rng = random.Random(seed)
    both = Both(MemRows(schema))
    views: dict[int, MemView] = {0: both.rows.at(0)}
    for seq in range(1, 60):
        for _ in range(rng.randint(1, 3)):  # operations of one commit
            ids = rng.sample(names, rng.randint(1, 4))
            both.delete(ids, seq) if rng.random() < 0.3 else both.upsert(ids, seq, 10.0 * seq)
        views[seq] = both.rows.at(seq)
        late = rng.randint(0, seq)
        views[late] = both.rows.at(late)  # a view behind the newest commit
        for at, view in views.items():
            expected = both.live(at)
            assert shown(view) == expected
            found = view.lookup(names)
            assert [i for i, row in zip(names, found, strict=True) if row >= 0] == [i for i in names if i in expected]
            assert view.vectors(found[found >= 0])[:, 0].tolist() == [expected[i] for i in names if i in expected]


@pytest.mark.parametrize("seed", range(4))
def test_what_was_written_since_and_what_died_late(seed: int) -> None:
    rng = random.Random(seed)
    both = Both(MemRows(NUMBERS))
    for seq in range(1, 30):
        ids = rng.sample(range(9), 3)
        both.delete(ids, seq) if rng.random() < 0.4 else both.upsert(ids, seq, seq)
    view = both.rows.at(25)
    for since in range(26):
        seen = [v for v in both.versions if v.born <= 25]
        changed = [n for n, v in enumerate(seen) if v.born > since or since < v.died <= 25]
        assert view.written_since(since).tolist() == changed
    for at in range(30):
        rows, seqs = both.rows.late_deaths(at)
        expected = [(v.died, n) for n, v in enumerate(both.versions) if v.born <= at < v.died < int(ALIVE)]
        assert list(zip(seqs.tolist(), rows.tolist(), strict=True)) == sorted(expected)


def test_the_batch_is_what_is_alive() -> None:
    rows = MemRows(WORDS)
    rows.append(batch(["a", "b"], rank=[1, 2]), ["a", "b"], 1)
    rows.append(batch(["c"], first=7, pos=["noun"]), ["c"], 2)
    rows.kill(rows.live_rows(["a"]), 3)
    before, after = rows.at(2).batch(), rows.at(3).batch()
    assert before.ids.to_pylist() == ["a", "b", "c"]
    assert after.ids.to_pylist() == ["b", "c"]
    assert after.vectors.tolist() == [[1, 1], [7, 1]]
    assert {c: a.to_pylist() for c, a in after.columns.items()} == {1: [2, None], 2: [None, "noun"]}
    assert len(rows.at(0).batch()) == 0


def test_columns_that_no_row_has_are_left_out() -> None:
    rows = MemRows(WORDS)
    rows.append(batch(["a"]), ["a"], 1)
    assert rows.at(1).columns([1, 2]) == {}
    rows.append(batch(["b"], rank=[5]), ["b"], 2)
    assert {c: a.to_pylist() for c, a in rows.at(2).columns([2, 1]).items()} == {1: [None, 5]}
    assert rows.at(1).columns([1])[1].to_pylist() == [None]
    assert rows.at(2).columns([1], np.array([1, 0, 1]))[1].to_pylist() == [5, None, 5]


def test_many_small_batches_keep_their_columns() -> None:
    rows = MemRows(WORDS)
    early = None
    for n in range(100):
        rows.append(batch([f"w{n}"], rank=[n]) if n % 3 else batch([f"w{n}"], pos=[str(n)]), [f"w{n}"], n + 1)
        early = rows.at(n + 1) if n == 20 else early
    view = rows.at(100)
    assert view.columns([1])[1].to_pylist() == [n if n % 3 else None for n in range(100)]
    assert view.columns([2])[2].to_pylist() == [None if n % 3 else str(n) for n in range(100)]
    assert early is not None
    assert early.columns([1])[1].to_pylist() == [n if n % 3 else None for n in range(21)]
    assert len(rows._chunks) < 30


def test_a_row_that_comes_and_goes_in_one_commit_is_never_seen() -> None:
    both = Both(MemRows(NUMBERS))
    both.upsert([1, 2], 1, 0)
    both.upsert([1], 2, 50)
    both.delete([1], 2)
    both.upsert([1], 2, 70)
    both.delete([2], 2)
    assert shown(both.rows.at(1)) == {1: 0, 2: 1}
    assert shown(both.rows.at(2)) == {1: 70}


def test_empty_means_neither_rows_nor_deaths() -> None:
    table = Memtable()
    assert table.is_empty()
    table.deaths["s"].add(np.array([], np.int64), 1)
    assert table.is_empty()
    table.deaths["s"].add(np.array([1]), 1)
    assert not table.is_empty()
    other = Memtable()
    other.rows_of(NUMBERS).append(batch([1]), [1], 1)
    other.note_size(1, 2)
    assert not other.is_empty()
    assert other.rows_of(NUMBERS) is other.rows_of(NUMBERS)
    assert isinstance(other.rows_of(NUMBERS).at(1).ids(), pa.Int64Array)
