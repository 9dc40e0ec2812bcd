"""A collection from a Parquet file, nearest words, and a filter."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import tiervdb

WORDS = Path(__file__).parent / "data" / "glove-words-20k.parquet"

with tempfile.TemporaryDirectory() as folder, tiervdb.open(folder) as db:
    words = db.create_collection("words", data=pq.read_table(WORDS), id="word", vector="vector")
    print(f"{len(words):,} words, columns: {', '.join(column.name for column in words.schema.columns)}")

    [king] = words.get(["king"], vectors=True)["vector"].to_pylist()
    print("near king:     ", ", ".join(words.search(king, k=6).ids[1:]))

    rare = words.search(king, k=5, where="rank > ? and length < ?", params=[8000, 7], columns=["rank"])
    print("and not common:", ", ".join(f"{hit.id} (rank {hit['rank']})" for hit in rare))

    two = words.search(np.array([king, king], dtype=np.float32), k=3)
    print("two queries at once:", [list(ids) for ids in two.ids])
