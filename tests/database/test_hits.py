"""The answer to a search, without a database."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tiervdb.database.hits import Hit, Hits, SearchStats
from tiervdb.errors import FeatureUnavailableError


def one(**more: Any) -> Hits:
    return Hits(np.array(["a", "b"], np.object_), np.array([0.1, 0.2], np.float32), (2,), True, **more)


def several() -> Hits:
    columns = pa.table({"rank": [1, 2, 3]})
    return Hits(np.array([7, 8, 9]), np.array([0.1, 0.2, 0.3], np.float32), (2, 0, 1), False, columns)


def test_one_query_gives_arrays() -> None:
    hits = one()
    assert isinstance(hits.ids, np.ndarray)
    assert hits.ids.tolist() == ["a", "b"]
    assert isinstance(hits.distances, np.ndarray)
    assert hits.distances.dtype == np.float32
    assert len(hits) == 2


def test_several_queries_give_an_array_each() -> None:
    hits = several()
    assert [ids.tolist() for ids in hits.ids] == [[7, 8], [], [9]]
    assert [d.tolist() for d in hits.distances] == [[np.float32(0.1), np.float32(0.2)], [], [np.float32(0.3)]]
    assert hits.ids[0].dtype == np.int64
    assert hits[2].ids.tolist() == [9]
    assert hits[-1].table["rank"].to_pylist() == [3]
    assert hits[1].ids.tolist() == []
    with pytest.raises(IndexError):
        hits[3]


def test_the_table_has_query_id_distance_and_columns() -> None:
    assert one().table.column_names == ["query", "id", "distance"]
    table = several().table
    assert table.column_names == ["query", "id", "distance", "rank"]
    assert table["query"].to_pylist() == [0, 0, 2]
    assert table.schema.field("distance").type == pa.float32()


def test_data_frames_and_dicts() -> None:
    hits = several()
    assert isinstance(hits.to_pandas(), pd.DataFrame)
    assert isinstance(hits.to_polars(), pl.DataFrame)
    assert hits.to_pandas()["id"].tolist() == hits.to_polars()["id"].to_list() == [7, 8, 9]
    assert hits.to_pylist()[2] == {"query": 2, "id": 9, "distance": pytest.approx(0.3), "rank": 3}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(FeatureUnavailableError, match=f"pip install {library}"):
        getattr(one(), f"to_{library}")()


def test_iterating_goes_over_rows() -> None:
    rows = list(several())
    assert [(r.query, r.id, r["rank"]) for r in rows] == [(0, 7, 1), (0, 8, 2), (2, 9, 3)]
    assert rows[0].distance == rows[0]["distance"] == pytest.approx(0.1)
    assert (rows[2]["id"], rows[2]["query"]) == (9, 2)
    with pytest.raises(KeyError):
        rows[0]["colour"]


def test_no_hits() -> None:
    hits = Hits(np.array([], np.object_), np.empty(0, np.float32), (0,), True)
    assert (len(hits), hits.ids.tolist(), list(hits), hits.table.num_rows) == (0, [], [], 0)
    none = Hits(np.array([], np.object_), np.empty(0, np.float32), (), False)
    assert (none.ids, none.distances, none.to_pylist()) == ([], [], [])


def test_what_the_search_did_comes_along() -> None:
    stats = SearchStats(gets=3, tiers=("hot", "cold"))
    hits = one(stats=stats, explanation="segment 1: exact")
    assert (hits.stats, hits.explanation) == (stats, "segment 1: exact")
    assert list(hits)[:1] == hits[:1] == [hits[0]]
    assert one().stats == SearchStats()


def test_it_shows_what_it_is() -> None:
    assert repr(one()) == "<Hits of 1 query: 2 rows ['a': 0.1, 'b': 0.2]>"
    assert repr(several()) == "<Hits of 3 queries: 3 rows [7: 0.1, 8: 0.2, 9: 0.3]>"


def test_a_column_that_was_not_asked_for() -> None:
    hit = Hit(0, "a", 0.5, {"rank": 1})
    assert (hit["id"], hit["rank"]) == ("a", 1)
    with pytest.raises(KeyError, match=r"'pos' is not in this hit; its columns: rank\. search\(columns"):
        hit["pos"]
