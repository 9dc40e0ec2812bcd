"""The process that the demo kills: commits batch after batch and reports each one before and after, until it dies.

Run as ``python -m tiervdb.cli.demo.writer PATH``. Its standard output is a pipe to the demo, one line an event:
``begin N`` before batch N is handed to the database, ``done N SEQ`` once its commit is acknowledged.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

import tiervdb
from tiervdb.cli.example_data import Words, load_words

COLLECTION = "killed_writer"
BATCH_ROWS = 100


def batch(words: Words, number: int) -> dict[str, Any]:
    """The rows of one batch: a function of its number alone, so that whoever checks can make them again."""
    ids = np.arange(number * BATCH_ROWS, (number + 1) * BATCH_ROWS, dtype=np.int64)
    at = ids % len(words)
    return {"ids": ids, "vectors": words.vectors[at], "columns": {"word": words.table["word"].take(at)}}


def write_forever(path: str) -> None:
    """Only a signal ends this."""
    words = load_words()
    with tiervdb.open(path, create=False) as db:
        rows = db.create_collection(
            COLLECTION, dim=words.dim, metric="cosine", id_type="int64", columns={"word": "string"}
        )
        number = 0
        while True:
            given = batch(words, number)
            report(f"begin {number}")
            commit = rows.upsert(**given)
            report(f"done {number} {commit.seq}")
            number += 1


def report(line: str) -> None:
    """Straight into the pipe: what the demo has read cannot be lost in a buffer of the process that dies."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    write_forever(sys.argv[1])
