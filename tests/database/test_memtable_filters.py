"""Filters on rows that no flush has moved: kept until the next commit, and never beyond it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiervdb

OPTIONS = tiervdb.Options(background=False)

WRITES_NUMPY = """
import sys, numpy as np, tiervdb
with tiervdb.open(sys.argv[1]) as db:
    rows = db.create_collection("rows", dim=2, metric="l2", id_type="int64", columns={"rank": "int64"})
    rows.upsert(ids=np.arange(3), vectors=np.ones((3, 2), np.float32), columns={"rank": np.arange(3)})
    assert len(rows) == 3
assert "pandas" not in sys.modules
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "db"


def write(rows: tiervdb.Collection, ids: list[int], ranks: list[int]) -> None:
    rows.upsert(ids=ids, vectors=np.ones((len(ids), 2), np.float32), columns={"rank": ranks})


def test_a_kept_filter_sees_every_commit_after_it(place: Path) -> None:
    with tiervdb.open(place, options=OPTIONS) as db:
        rows = db.create_collection("rows", dim=2, metric="l2", id_type="int64", columns={"rank": "int64"})

        def matching() -> list[int]:
            found = sorted(rows.search([1, 1], k=10, where="rank > ?", params=[5]).ids.tolist())
            assert sorted(rows.search([1, 1], k=10, where="rank > ?", params=[5]).ids.tolist()) == found
            return found

        write(rows, [1, 2, 3], [4, 6, 7])
        assert matching() == [2, 3]
        write(rows, [1, 4], [8, 9])
        assert matching() == [1, 2, 3, 4]
        rows.delete(ids=[2])
        write(rows, [3], [0])
        assert matching() == [1, 4]
        db.flush()
        write(rows, [5], [6])
        assert matching() == [1, 4, 5]


def test_a_column_that_is_added_later_is_null_in_rows_in_memory(place: Path) -> None:
    with tiervdb.open(place, options=OPTIONS) as db:
        rows = db.create_collection("rows", dim=2, metric="l2", id_type="int64", columns={"rank": "int64"})
        write(rows, [1, 2], [1, 2])
        assert rows.count(where="rank > 0") == 2
        rows.add_column("lang", "string")
        assert rows.count(where="lang IS NULL") == 2
        rows.drop_column("rank")
        rows.add_column("rank", "int64")
        assert rows.count(where="rank > 0") == 0


def test_writing_numpy_arrays_does_not_import_pandas(place: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITES_NUMPY, str(place)], check=True)


@pytest.mark.parametrize("seed", range(4))
def test_filters_that_are_asked_again_and_again_while_rows_are_written(place: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    filters: dict[str, Callable[[int, int | None], bool]] = {
        "rank > 50": lambda _, rank: rank is not None and rank > 50,
        "rank is null": lambda _, rank: rank is None,
        "id % 3 = 0": lambda number, _: number % 3 == 0,
        "rank < 20 and id > 30": lambda number, rank: rank is not None and rank < 20 and number > 30,
    }
    written: dict[int, int | None] = {}
    with tiervdb.open(place, options=OPTIONS) as db:
        rows = db.create_collection("rows", dim=2, metric="l2", id_type="int64", columns={"rank": "int64"})
        for step in range(60):
            ids = rng.choice(60, int(rng.integers(1, 5)), replace=False).tolist()
            ranks: list[int | None] = [None] * len(ids) if step % 5 == 0 else rng.integers(0, 100, len(ids)).tolist()
            columns = None if step % 5 == 0 else {"rank": ranks}
            rows.upsert(ids=ids, vectors=np.ones((len(ids), 2), np.float32), columns=columns)
            written.update(zip(ids, ranks, strict=True))
            if step == 40:
                db.flush()
            where = list(filters)[int(rng.integers(len(filters)))]
            expected = sorted(number for number, rank in written.items() if filters[where](number, rank))
            assert sorted(rows.search([1, 1], k=100, where=where).ids.tolist()) == expected, (step, where)
            assert rows.count(where=where) == len(expected)
