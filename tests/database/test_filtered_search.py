"""Filters of every selectivity on every tier, through ``where=``: with sketches, at the default parameters.

Rows that match may lie anywhere, in one ball of space, or be neighbours in the order in which they were written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tests.segment.vector_data import clustered

ROWS, FRESH, DIM, K, QUERIES = 12_000, 600, 32, 10, 20
SHARES = {"0.1%": 0.001, "1%": 0.01, "10%": 0.1, "50%": 0.5}
OPTIONS = tiervdb.Options(background=False, flush_floats=10**9, small_floats=50_000, graph_min_rows=10**6)
COLUMNS = {"random": "int64", "ball": "int64", "range": "int64"}


@dataclass(frozen=True)
class Filtered:
    """Rows with ids 0 to ROWS - 1. Each column holds a rank: ``column < n`` matches n rows."""

    collection: tiervdb.Collection
    vectors: np.ndarray
    ranks: dict[str, np.ndarray]
    queries: np.ndarray


def make_rows() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    vectors = clustered(ROWS, DIM, clusters=60)
    far = ((vectors - vectors[7]) ** 2).sum(axis=1)
    ranks = {
        "random": np.random.default_rng(5).permutation(ROWS),
        "ball": np.argsort(np.argsort(far, kind="stable"), kind="stable"),
        "range": (np.arange(ROWS) + FRESH // 2) % ROWS,  # begins with rows of the memtable
    }
    return vectors, ranks


@pytest.fixture(scope="module", params=["hot", "cold", "all"])
def filtered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filtered]:
    """All hot in two segments, all cold, or some cold, some hot and some in memory; each segment has a sketch."""
    vectors, ranks = make_rows()
    place: Path = tmp_path_factory.mktemp("filtered") / "db"
    with tiervdb.open(place, options=OPTIONS) as db:
        rows = db.create_collection("rows", dim=DIM, metric="l2", id_type="int64", columns=COLUMNS)

        def upsert(first: int, last: int) -> None:
            part = slice(first, last)
            columns = {name: values[part] for name, values in ranks.items()}
            rows.upsert(ids=np.arange(first, last), vectors=vectors[part], columns=columns)

        upsert(0, ROWS // 2)
        db.flush()
        db.maintain()
        upsert(ROWS // 2, ROWS - FRESH)
        if request.param != "all":
            upsert(ROWS - FRESH, ROWS)
        db.flush()
        db.maintain()
        if request.param != "hot":
            db.demote("rows", 1.0 if request.param == "cold" else (ROWS // 2) / (ROWS - FRESH))
        if request.param == "all":
            upsert(ROWS - FRESH, ROWS)
        entries = db._session.shard("look inside").manifest().segments
        assert all(entry.codebook for entry in entries)
        tiers = {"hot": ("hot",), "cold": ("cold",), "all": ("memory", "hot", "cold")}[request.param]
        rng = np.random.default_rng(9)
        near = vectors[rng.integers(0, ROWS, QUERIES)]
        queries = (near + rng.standard_normal(near.shape) * 0.3).astype(np.float32)
        assert rows.search(queries, k=K).stats.tiers == tiers
        yield Filtered(rows, vectors, ranks, queries)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("column", COLUMNS)
def test_k_rows_that_match_are_found_and_they_are_the_nearest(filtered: Filtered, column: str, share: str) -> None:
    count = round(SHARES[share] * ROWS)
    hits = filtered.collection.search(filtered.queries, k=K, where=f"{column} < ?", params=[count])
    matching = np.flatnonzero(filtered.ranks[column] < count)
    found = 0
    for query, ids, distances in zip(filtered.queries, hits.ids, hits.distances, strict=True):
        assert len(set(ids.tolist())) == K
        assert set(ids.tolist()) <= set(matching.tolist())
        every = ((filtered.vectors[matching] - query) ** 2).sum(axis=1)
        np.testing.assert_allclose(distances, ((filtered.vectors[ids] - query) ** 2).sum(axis=1), rtol=1e-4)
        found += int((distances <= np.sort(every)[K - 1] * (1 + 1e-5)).sum())
    assert found >= 0.95 * K * QUERIES


def test_sketches_answer_where_many_rows_match(filtered: Filtered) -> None:
    """Otherwise the recall above would be that of an exact scan."""
    hits = filtered.collection.search(filtered.queries, k=K, where="random < ?", params=[ROWS // 2], explain=True)
    assert "sketch" in hits.explanation
