"""The 20,000 English words with GloVe vectors that ship with tiervdb."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tiervdb.errors import FeatureUnavailableError
from tiervdb.types import Vectors

FILE_NAME = "glove-words-20k.parquet"
PACKAGED = Path(__file__).parent / "data"  # in an installed wheel
IN_A_CHECKOUT = Path(__file__).parents[2] / "examples" / "data"


@dataclass(frozen=True)
class Words:
    """The words, most frequent first. ``table``: word, rank, length, vector. ``vectors``: float32 ``(words, 100)``."""

    table: pa.Table
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.table)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def vector(self, word: str) -> Vectors:
        """The vector of a word that is among them."""
        found: Vectors = self.vectors[self.table["word"].index(word).as_py()]
        return found


def words_file() -> Path:
    """The Parquet file; FeatureUnavailableError where neither an installation nor a checkout holds it."""
    for folder in (PACKAGED, IN_A_CHECKOUT):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise FeatureUnavailableError(
        f"the example words are missing: looked for {FILE_NAME} in {PACKAGED} and {IN_A_CHECKOUT}; reinstall tiervdb"
    )


def load_words() -> Words:
    """Reads them all: 8 MB."""
    table = pq.read_table(words_file()).combine_chunks()
    column = table["vector"].chunk(0)
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return Words(table, np.ascontiguousarray(vectors, dtype=np.float32))
