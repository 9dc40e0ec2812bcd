"""Raw hnswlib: one index in memory, M=16 and ef_construction=200 as in tiervdb's graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from benchmarks.words import Words
from benchmarks.workplace import built

NAME = "hnswlib"
M = 16
EF_CONSTRUCTION = 200
THREADS = 2


def build(words: Words) -> Path:
    """The saved index, made once."""
    return built("hnswlib-words", lambda folder: index_of(words.vectors).save_index(str(folder / "index.bin")))


def index_of(vectors: np.ndarray, threads: int = THREADS) -> Any:
    """An index over the vectors, by cosine."""
    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
    index.add_items(vectors, num_threads=threads)
    return index


def load(folder: Path, dim: int) -> Any:
    """The saved index, in memory."""
    index = hnswlib.Index("cosine", dim)
    index.load_index(str(folder / "index.bin"))
    return index


def searcher(index: Any, k: int = 10, threads: int = 1) -> Callable[[Any], np.ndarray]:
    """A search, or a batch of searches, for row numbers; ``index.set_ef`` is the caller's."""

    def search(query: np.ndarray) -> np.ndarray:
        rows: np.ndarray = index.knn_query(query, k=k, num_threads=threads)[0]
        return rows

    return search
