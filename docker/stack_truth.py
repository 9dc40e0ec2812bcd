"""What was written to the stack, kept beside it, and what a database is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import words as application

import tiervdb
from tiervdb.cli.demo.steps import COLLECTION
from tiervdb.cli.example_data import Words
from tiervdb.types import Vectors

QUERIES = 100
K = 10
TIE = 1e-6  # distances this near may come in either order


@dataclass(frozen=True)
class Truth:
    """All words, ``there`` or deleted, each with the vector that was last written."""

    words: Words
    vectors: Vectors
    there: np.ndarray

    @classmethod
    def after(cls, words: Words, batches: int) -> Truth:
        """The words as they were loaded, and so many batches."""
        vectors, there = words.vectors.copy(), np.ones(len(words), dtype=bool)
        for number in range(batches):
            given = application.batch(words, number)
            there[given.at] = given.vectors is not None
            if given.vectors is not None:
                vectors[given.at] = given.vectors
        return cls(words, vectors, there)

    @property
    def rows(self) -> int:
        return int(self.there.sum())

    def same_rows(self, db: tiervdb.Database) -> int:
        """How many rows are there as they were written, bit for bit in every column; -1 if there are others."""
        collection, expected = db[COLLECTION], self.words.table.filter(self.there)
        found = collection.get(self.words.table["word"], vectors=True)
        if len(collection) != len(found) or found["id"].to_pylist() != expected["word"].to_pylist():
            return -1
        vectors = found["vector"].combine_chunks().flatten().to_numpy().reshape(len(found), self.words.dim)
        same = (vectors.view(np.uint32) == self.vectors[self.there].view(np.uint32)).all(axis=1)
        for name in ("rank", "length"):
            same &= found[name].to_numpy() == expected[name].to_numpy()
        return int(same.sum())

    def same_answers(self, db: tiervdb.Database, queries: int = QUERIES) -> int:
        """How many exact searches answer as a comparison with every row does."""
        at = np.flatnonzero(self.there)[:: self.rows // queries][:queries]
        unit = self.vectors.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        distances = 1 - unit[at] @ unit.T
        distances[:, ~self.there] = np.inf
        position = {word: number for number, word in enumerate(self.words.table["word"].to_pylist())}
        same = 0
        hits = db[COLLECTION].search(self.vectors[at], K, exact=True)
        for row, ids in zip(distances, hits.ids, strict=True):
            found = row[[position[id] for id in ids]]
            same += len(set(ids)) == K and bool(np.abs(found - np.sort(row)[:K]).max() <= TIE)
        return same
