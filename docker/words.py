"""The application of the stack: words.py CONFIG makes the database with 20,000 real words, unless it is there.

words.py CONFIG write FIRST goes on writing from batch FIRST until it is killed, and says what was acknowledged:
``done N SEQ`` once batch N is commit SEQ.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import tiervdb
from tiervdb.cli.demo import steps
from tiervdb.cli.example_data import Words, load_words
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration
from tiervdb.types import Vectors

DATABASE = "words"
BATCH_ROWS = 200
DELETES = 5  # every fifth batch deletes instead


def main(arguments: list[str]) -> None:
    match arguments:
        case [config]:
            database = Configuration.load(Path(config))[DATABASE]
            assert database.path is not None
            if database.path.exists():
                print(f"{database.path} is there")
            else:
                make(database, load_words())
                print(f"{database.path}: made, with 20,000 words, most of them in {database.options['cold']}")
        case [config, "write", first]:
            write_forever(Configuration.load(Path(config))[DATABASE], int(first))
        case _:
            raise SystemExit(__doc__)


def make(database: DatabaseConfiguration, words: Words) -> tuple[steps.Loaded, steps.Demoted]:
    """A new database, loaded, and most of it moved to the bucket."""
    assert database.path is not None
    place = database.repository().location
    cold = tiervdb.Store(database.options["cold"], place.storage_options)
    with tiervdb.open(database.path, cold=cold, repository=place, archive=database.options["archive"]) as db:
        return steps.load(db, words, lambda *_: None), steps.demote(db, lambda *_: None)


@dataclass(frozen=True)
class Batch:
    """Rows of words, at ``at``. ``vectors``: what they become; None: they are deleted."""

    at: np.ndarray
    vectors: Vectors | None


def batch(words: Words, number: int) -> Batch:
    """A function of its number alone, so that whoever checks can make it again."""
    at = (number * 257 + np.arange(BATCH_ROWS)) % len(words)
    return Batch(at, None if number % DELETES == DELETES - 1 else np.roll(words.vectors[at], number + 1, axis=1))


def commit(db: tiervdb.Database, words: Words, number: int) -> int:
    """Writes a batch; its commit."""
    rows, given = db[steps.COLLECTION], batch(words, number)
    table = words.table.take(given.at)
    if given.vectors is None:
        return rows.delete(ids=table["word"]).seq
    columns = {name: table[name] for name in ("rank", "length")}
    return rows.upsert(ids=table["word"], vectors=given.vectors, columns=columns).seq


def write_forever(database: DatabaseConfiguration, first: int) -> None:
    """Only a signal ends this. Straight into the pipe: what was read there cannot be lost in a buffer."""
    words = load_words()
    with database.open(create=False) as db:
        number = first
        while True:
            seq = commit(db, words, number)
            os.write(sys.stdout.fileno(), f"done {number} {seq}\n".encode())
            number += 1


if __name__ == "__main__":
    main(sys.argv[1:])
