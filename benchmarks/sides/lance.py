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
