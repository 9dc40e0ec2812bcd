"""Chroma: one persistent collection, HNSW with its defaults but ef, columns as metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings

from benchmarks.words import Words
from benchmarks.workplace import built

NAME = "chroma"
_BATCH = 5_000


def build(words: Words) -> Path:
    """The collection with its index, made once (it takes minutes)."""
    return built("chroma-words", lambda folder: _make(folder, words))


def _client(folder: Path) -> Any:
    return chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))


def _make(folder: Path, words: Words) -> None:
    hnsw = {"space": "cosine", "sync_threshold": 50_000, "batch_size": 5_000}
    collection = _client(folder).create_collection("words", configuration={"hnsw": hnsw})
    columns = words.columns()
    for start in range(0, len(words.ids), _BATCH):
        part = slice(start, start + _BATCH)
        values = zip(*(columns[name][part].tolist() for name in columns), strict=True)
        collection.add(
            ids=words.ids[part],
            embeddings=words.vectors[part],
            metadatas=[dict(zip(columns, line, strict=True)) for line in values],
        )


def collection(folder: Path, ef: int) -> Any:
    """The collection, opened anew with this size of the candidate list, read only when an index is loaded."""
    _client(folder).get_collection("words").modify(configuration={"hnsw": {"ef_search": ef}})
    SharedSystemClient.clear_system_cache()
    return _client(folder).get_collection("words")


def searcher(opened: Any, where: dict[str, Any] | None = None, k: int = 10) -> Callable[[Any], list[str]]:
    """A search for the words nearest to a query."""

    def search(query: np.ndarray) -> list[str]:
        found: list[str] = opened.query(query_embeddings=query[None], n_results=k, where=where, include=[])["ids"][0]
        return found

    return search
