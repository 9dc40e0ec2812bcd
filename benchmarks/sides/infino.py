"""infino 0.11: vectors in Parquet on object storage, searched from there through a disk cache; it has no settings of a
search, such as probes, to choose recall with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import infino
import numpy as np
import pyarrow as pa

from benchmarks.words import Words

NAME = "infino"
TABLE = "words"


def connect(bucket: str, url: str, key: str, secret: str, cache: Path) -> Any:
    """A connection to the bucket; ``cache``: its folder for what it fetched."""
    options = {
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "aws_endpoint": url,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
        "aws_virtual_hosted_style_request": "false",
    }
    return infino.connect(f"s3://{bucket}/infino", storage_options=options, cache_dir=str(cache))


def build(words: Words, connection: Any) -> None:
    """Loads the words in one commit, and has the table optimized as its guide says."""
    dim = words.vectors.shape[1]
    schema = pa.schema(
        [pa.field("row", pa.int64(), nullable=False), pa.field("vector", pa.list_(pa.float32(), dim), nullable=False)]
    )
    table = connection.create_table(TABLE, schema, infino.IndexSpec().vector("vector", dim, "cosine"))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(words.vectors.ravel()), dim)
    table.append(pa.table({"row": np.arange(len(words.ids)), "vector": vectors}, schema=schema))
    table.optimize()


def searcher(words: Words, connection: Any) -> Callable[[np.ndarray], list[str]]:
    """A search for the ids of the ten nearest."""
    table = connection.open_table(TABLE)

    def search(query: np.ndarray) -> list[str]:
        found = table.vector_search("vector", query.tolist(), 10, projection=["row"])
        return [words.ids[row] for row in found["row"].to_pylist()]

    return search
