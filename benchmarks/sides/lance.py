"""LanceDB: one table with IVF_HNSW_SQ over the vectors and B-trees over the filter columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from benchmarks.words import Words
from benchmarks.workplace import built

NAME = "lancedb"
PQ_PARTS = 25  # of a vector of 100 dimensions; the default for such a dimension reaches recall 0.2


def build(words: Words) -> Path:
    """The table with its indexes, made once."""
    return built("lancedb-words", lambda folder: _make(folder, words))


def _make(folder: Path, words: Words) -> None:
    dim = words.vectors.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(words.vectors.ravel()), dim)
    table = lancedb.connect(folder).create_table(
        "words", pa.table({"word": words.ids, "vector": vectors, **words.columns()})
    )
    table.create_index("cosine", vector_column_name="vector", index_type="IVF_HNSW_SQ")
    for column in words.columns():
        table.create_scalar_index(column)


def table(folder: Path) -> Any:
    """The opened table."""
    return lancedb.connect(folder).open_table("words")


def searcher(
    opened: Any, ef: int, refine: int, nprobes: int = 20, where: str | None = None, k: int = 10
) -> Callable[[Any], list[str]]:
    """A search for the words nearest to a query. ``refine``: so many times k candidates are compared exactly."""

    def search(query: np.ndarray) -> list[str]:
        asked = opened.search(query).distance_type("cosine").select(["word", "_distance"]).limit(k)
        asked = asked.nprobes(nprobes).ef(ef).refine_factor(refine)
        if where is not None:
            asked = asked.where(where, prefilter=True)
        found: list[str] = asked.to_arrow()["word"].to_pylist()
        return found

    return search


# -- the table whose index is made for a bucket: IVF_PQ


def build_pq(words: Words) -> Path:
    """A local table with IVF_PQ, made once."""
    return built("lancedb-words-pq", lambda folder: _make_pq(lancedb.connect(folder), words))


def build_s3(words: Words, bucket: str, url: str, key: str, secret: str) -> None:
    """The same table in a bucket."""
    _make_pq(_connect_s3(bucket, url, key, secret), words)


def connect_s3(bucket: str, url: str, key: str, secret: str) -> Any:
    """The opened table in a bucket."""
    return _connect_s3(bucket, url, key, secret).open_table("words")


def pq_searcher(opened: Any, nprobes: int, refine: int, k: int = 10) -> Callable[[Any], list[str]]:
    """A search for the words nearest to a query."""

    def search(query: np.ndarray) -> list[str]:
        asked = opened.search(query).distance_type("cosine").select(["word", "_distance"]).limit(k)
        found: list[str] = asked.nprobes(nprobes).refine_factor(refine).to_arrow()["word"].to_pylist()
        return found

    return search


def _make_pq(database: Any, words: Words) -> None:
    dim = words.vectors.shape[1]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(words.vectors.ravel()), dim)
    table = database.create_table("words", pa.table({"word": words.ids, "vector": vectors}))
    table.create_index(
        "cosine", vector_column_name="vector", index_type="IVF_PQ", num_partitions=584, num_sub_vectors=PQ_PARTS
    )


def _connect_s3(bucket: str, url: str, key: str, secret: str) -> Any:
    options = {
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "aws_endpoint": url,
        "aws_region": "us-east-1",
        "allow_http": "true",
    }
    return lancedb.connect(f"s3://{bucket}/lance", storage_options=options)
