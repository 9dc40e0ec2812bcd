"""A database with a few words, whose rows lie in memory, on local disk or in the cold store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import tiervdb
from tiervdb.database.check import check

OPTIONS = tiervdb.Options(background=False)
DIM = 8
COUNT = 300
COLUMNS = {"rank": "int64", "pos": "string", "seen": "timestamp", "tags": "list<string>"}


@dataclass(frozen=True)
class Words:
    """The rows that the fixtures load: ids w0 to w299, rank 0 to 299."""

    ids: list[str]
    vectors: np.ndarray
    columns: dict[str, Any]

    def upsert_into(self, collection: tiervdb.Collection) -> tiervdb.Commit:
        return collection.upsert(ids=self.ids, vectors=self.vectors, columns=self.columns)

    def nearest(self, query: np.ndarray, k: int, keep: Any = None) -> list[str]:
        """By brute force, cosine."""
        unit = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        near = 1 - unit @ (query / np.linalg.norm(query))
        order = [i for i in np.argsort(near, kind="stable") if keep is None or keep(i)]
        return [self.ids[i] for i in order[:k]]


def make_words() -> Words:
    rng = np.random.default_rng(7)
    ranks = np.arange(COUNT)
    return Words(
        [f"w{i}" for i in ranks],
        rng.normal(size=(COUNT, DIM)).astype(np.float32),
        {
            "rank": ranks,
            "pos": ["noun" if i % 3 else None for i in ranks],
            "seen": pa.array(ranks * 1_000_000, pa.timestamp("us", "UTC")),
            "tags": [["even"] if i % 2 == 0 else [] for i in ranks],
        },
    )


@pytest.fixture
def data() -> Words:
    return make_words()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where the test's database lies; whatever the test did, it must be whole afterwards."""
    place = tmp_path / "db"
    yield place
    if (place / "tiervdb.json").exists():
        report = check(place)
        assert report.ok, report.findings


@pytest.fixture
def db(path: Path) -> Iterator[tiervdb.Database]:
    with tiervdb.open(path, options=OPTIONS) as opened:
        yield opened


@pytest.fixture
def empty(db: tiervdb.Database) -> tiervdb.Collection:
    return db.create_collection("words", dim=DIM, columns=COLUMNS)


@pytest.fixture
def words(db: tiervdb.Database, empty: tiervdb.Collection, data: Words) -> tiervdb.Collection:
    """The rows are in memory."""
    data.upsert_into(empty)
    return empty


@pytest.fixture(params=["memory", "hot", "cold", "all"])
def placed(request: pytest.FixtureRequest, db: tiervdb.Database, words: tiervdb.Collection) -> tiervdb.Collection:
    """The same rows in memory, on local disk, in the cold store, or some in each."""
    if request.param != "memory":
        db.flush()
    if request.param == "cold":
        db.demote("words")
    if request.param == "all":
        db.demote("words", 0.5)
        words.update(columns={"pos": None}, where="rank >= 200 and pos is null")
    return words
