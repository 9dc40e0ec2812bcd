"""Search: shapes, filters, options and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiervdb
from tests.database.conftest import COUNT, DIM, Words
from tiervdb.errors import FilterError, InvalidInputError, SchemaError


def test_one_query_gives_arrays(placed: tiervdb.Collection, data: Words) -> None:
    hits = placed.search(data.vectors[5], k=10)
    assert isinstance(hits.ids, np.ndarray)
    assert hits.ids.tolist() == data.nearest(data.vectors[5], 10)
    assert isinstance(hits.distances, np.ndarray)
    assert hits.distances.shape == (10,)
    assert hits.distances.dtype == np.float32
    assert abs(hits.distances[0]) < 1e-6
    assert (np.diff(hits.distances) >= 0).all()
    assert hits.table.column_names == ["query", "id", "distance"]


def test_several_queries_give_an_array_each(placed: tiervdb.Collection, data: Words) -> None:
    queries = data.vectors[[5, 9, 200]]
    hits = placed.search(queries, k=4)
    assert [ids.tolist() for ids in hits.ids] == [data.nearest(q, 4) for q in queries]
    assert hits.table["query"].to_pylist() == [0] * 4 + [1] * 4 + [2] * 4
    assert hits[1].ids.tolist() == data.nearest(queries[1], 4)
    assert len(placed.search(queries[:1]).ids) == 1  # a list of one array
    assert placed.search(np.empty((0, DIM), np.float32)).ids == []


def test_the_default_is_ten(placed: tiervdb.Collection, data: Words) -> None:
    assert len(placed.search(data.vectors[0].tolist())) == 10


def test_columns_come_along(placed: tiervdb.Collection, data: Words) -> None:
    query = data.vectors[7]
    hits = placed.search(query, k=3, columns=["rank", "tags"])
    assert hits.table.column_names == ["query", "id", "distance", "rank", "tags"]
    for hit in hits:
        assert hit.id == f"w{hit['rank']}"
        assert hit["tags"] == data.columns["tags"][hit["rank"]]
    assert placed.search(query, columns="*").table.column_names[3:] == ["rank", "pos", "seen", "tags"]
    with_vectors = placed.search(query, k=1, columns=["vector"])
    assert with_vectors.to_pylist()[0]["vector"] == query.tolist()
    several = placed.search(data.vectors[:3], k=2, columns=["rank"])
    assert [f"w{rank}" for rank in several.table["rank"].to_pylist()] == several.table["id"].to_pylist()


def test_filters_leave_k_rows_if_k_match(placed: tiervdb.Collection, data: Words) -> None:
    query = data.vectors[5]
    hits = placed.search(query, k=10, where="rank >= ? and rank < ?", params=[100, 120])
    assert hits.ids.tolist() == data.nearest(query, 10, lambda i: 100 <= i < 120)
    assert len(placed.search(query, k=10, where="rank < 3")) == 3
    assert len(placed.search(query, k=10, where="rank < 0")) == 0
    hits = placed.search(data.vectors[:2], k=5, where="id <> 'w0'")
    assert "w0" not in hits.ids[0].tolist()
    assert [len(ids) for ids in hits.ids] == [5, 5]


def test_k_may_be_larger_than_the_collection(placed: tiervdb.Collection, data: Words) -> None:
    hits = placed.search(data.vectors[:2], k=10_000)
    assert [len(ids) for ids in hits.ids] == [COUNT, COUNT]
    assert sorted(hits.ids[0].tolist()) == sorted(data.ids)


def test_every_way_of_searching_finds_the_same(placed: tiervdb.Collection, data: Words) -> None:
    ways: list[dict[str, Any]] = [{}, {"exact": True}, {"nprobe": 50, "rerank": 300}, {"ef": 300}, {"rerank": 300}]
    for way in ways:
        hits = placed.search(data.vectors[42], k=5, **way)
        assert hits.ids.tolist() == data.nearest(data.vectors[42], 5), way


def test_deleted_and_replaced_rows_are_not_found(placed: tiervdb.Collection, data: Words) -> None:
    query = data.vectors[5]
    nearest = data.nearest(query, 3)
    placed.delete(ids=nearest[:1])
    placed.upsert(ids=[nearest[1]], vectors=-query)
    assert nearest[2] == placed.search(query, k=1).ids[0]
    assert placed.search(-query, k=1).ids[0] == nearest[1]


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_distances_are_what_the_metric_says(db: tiervdb.Database, data: Words, metric: str) -> None:
    rows = db.create_collection("rows", dim=DIM, metric=metric, id_type="int64")
    rows.upsert(ids=np.arange(COUNT), vectors=data.vectors)
    q, x = data.vectors[3] * 2, data.vectors.astype(np.float64)
    expected = {
        "cosine": 1 - (x @ q) / np.linalg.norm(x, axis=1) / np.linalg.norm(q),
        "l2": ((x - q) ** 2).sum(axis=1),
        "ip": -(x @ q),
    }[metric]
    for move in (db.flush, lambda: db.demote("rows")):
        hits = rows.search(q, k=20)
        np.testing.assert_allclose(hits.distances, np.sort(expected)[:20], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(hits.distances, expected[hits.ids], rtol=1e-4, atol=1e-5)
        move()


def test_what_a_search_did(db: tiervdb.Database, words: tiervdb.Collection, data: Words) -> None:
    query = data.vectors[0]
    assert words.search(query).stats.tiers == ("memory",)
    db.flush()
    hot = words.search(query, explain=True)
    assert hot.stats.tiers == ("hot",)
    assert hot.stats.rows_scanned > 0
    assert hot.stats.seconds >= 0
    assert hot.explanation
    assert words.search(query).explanation == ""
    db.demote("words", 0.5)
    cold = words.search(query).stats
    assert cold.tiers == ("hot", "cold")
    assert cold.gets + cold.cache_hits > 0
    assert cold.bytes >= 0
    assert cold.skipped == ()


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"k": 0}, InvalidInputError, "k=0 is out of range; give 1"),
        ({"k": -1}, InvalidInputError, "out of range"),
        ({"k": 2.0}, InvalidInputError, "not a whole number"),
        ({"k": True}, InvalidInputError, "not a whole number"),
        ({"k": None}, InvalidInputError, "not a whole number"),
        ({"k": "5"}, InvalidInputError, "not a whole number"),
        ({"ef": 0}, InvalidInputError, "ef=0"),
        ({"nprobe": 0}, InvalidInputError, "nprobe=0"),
        ({"rerank": -1}, InvalidInputError, "rerank=-1"),
        ({"ef": 10, "nprobe": 10}, InvalidInputError, "ef is for the graph"),
        ({"ef": 10, "rerank": 10}, InvalidInputError, "ef is for the graph"),
        ({"exact": True, "ef": 10}, InvalidInputError, "exact=True"),
        ({"exact": True, "rerank": 0}, InvalidInputError, "exact=True"),
        ({"on_unavailable": "ignore"}, InvalidInputError, "on_unavailable"),
        ({"columns": ["rnak"]}, SchemaError, "did you mean 'rank'"),
        ({"columns": "rank"}, InvalidInputError, "list of column names"),
        ({"where": "rnak = 1"}, FilterError, "rnak"),
        ({"where": "rank < ?"}, FilterError, "parameter"),
        ({"params": [1]}, FilterError, "without where="),
    ],
)
def test_what_cannot_be_asked(words: tiervdb.Collection, data: Words, wrong: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        words.search(data.vectors[0], **wrong)


@pytest.mark.parametrize(
    "x", [np.zeros(DIM), np.ones(DIM + 1), np.full(DIM, np.nan), np.ones((1, 1, DIM)), "w1", None, [], 5, [["a"] * DIM]]
)
def test_what_is_no_query(words: tiervdb.Collection, x: Any) -> None:
    with pytest.raises(InvalidInputError, match="search"):
        words.search(x)


def test_zero_queries_are_fine_without_cosine(db: tiervdb.Database) -> None:
    rows = db.create_collection("rows", dim=2, metric="l2")
    rows.upsert(ids=["a", "zero"], vectors=[[1, 1], [0, 0]])
    assert rows.search([0, 0], k=1).ids.tolist() == ["zero"]


def test_numpy_numbers_and_other_float_types_do(words: tiervdb.Collection, data: Words) -> None:
    expected = data.nearest(data.vectors[1], 3)
    assert words.search(data.vectors[1].astype(np.float64), k=np.int64(3)).ids.tolist() == expected
    strided = np.repeat(data.vectors[1], 2)[::2]
    assert words.search(strided, 3).ids.tolist() == expected
    assert words.search(list(data.vectors[1]), 3).ids.tolist() == expected


@pytest.mark.parametrize("id_type", ["string", "int64"])
def test_a_search_imports_no_pandas(path: Path, id_type: str) -> None:
    """Arrow's plainest conversions would, where it is installed: 0.4 s and 27 MB at the first search."""
    with tiervdb.open(path) as db:
        rows = db.create_collection("rows", dim=4, id_type=id_type)
        ids = [f"r{n}" if id_type == "string" else n for n in range(50)]
        rows.upsert(ids=ids, vectors=np.random.default_rng(1).standard_normal((50, 4), np.float32))
        db.demote("rows")
    program = """
import sys, numpy, tiervdb
with tiervdb.open(sys.argv[1]) as db:
    assert len(db["rows"].search(numpy.ones(4, numpy.float32), 10).ids) == 10
raise SystemExit("pandas was imported" if "pandas" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
