"""tiervdb: through its public API; only the number of segments and the point in time of graphs are arranged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import tiervdb
from benchmarks.words import Words
from benchmarks.workplace import built
from tiervdb.config import Options

NAME = "tiervdb"
BY_HAND = Options(
    flush_floats=1_000_000_000, background=False
)  # nothing is flushed or merged but when it is called for

# Of the segments but the last. Eight are what merging leaves at most of so many rows: three of a size class, one small.
SIZES: dict[int, tuple[int, ...]] = {1: (), 8: (165_000, 42_000, 42_000, 42_000, 15_000, 15_000, 15_000)}


def build(words: Words, segments: int) -> Path:
    """A database with the words in one or eight hot segments, with all the sketches and graphs that it builds."""
    sizes = SIZES[segments]
    return built(f"tiervdb-words-{segments}", lambda folder: _make(folder / "db", words, sizes))


def _make(path: Path, words: Words, sizes: Sequence[int]) -> None:
    with tiervdb.open(path, options=BY_HAND) as db:
        collection = create(db, words)
        for part in np.split(np.arange(len(words.ids)), np.cumsum(sizes)):
            collection.ingest(table(words, part), id="word", vector="vector")
            db.flush()
            db.maintain()
        stats = db.stats().collections[0]
    if stats.hot_segments != len(sizes) + 1 or not stats.sketches or not stats.graphs:
        raise AssertionError(f"these are not {len(sizes) + 1} segments with their indexes: {stats}")


def create(db: Any, words: Words) -> Any:
    """An empty collection for the words."""
    columns = dict.fromkeys(words.columns(), "int64")
    return db.create_collection("words", dim=words.vectors.shape[1], columns=columns)


def table(words: Words, rows: np.ndarray | None = None) -> pa.Table:
    """The words, or some of them, as Arrow."""
    at = np.arange(len(words.ids)) if rows is None else rows
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(words.vectors[at].ravel()), words.vectors.shape[1])
    columns = {name: values[at] for name, values in words.columns().items()}
    return pa.table({"word": pa.array(words.ids).take(pa.array(at)), "vector": vectors, **columns})


def open_words(folder: Path) -> Any:
    """The opened database; nothing goes on in its background."""
    return tiervdb.open(folder / "db", options=BY_HAND)


def searcher(
    collection: Any, where: str | None = None, params: Sequence[Any] | None = None, k: int = 10, **how: Any
) -> Callable[[Any], Any]:
    """A search for the ids nearest to a query, or to each of a batch."""

    def search(query: np.ndarray) -> Any:
        return collection.search(query, k, where=where, params=params, **how).ids

    return search
