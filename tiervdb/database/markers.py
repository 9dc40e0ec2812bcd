"""How a named load remembers how far it came: in the note of each commit, durable with its rows."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.sources import Source
from tiervdb.errors import InvalidInputError
from tiervdb.types import RowBatch


@dataclass(frozen=True)
class Marker:
    """``rows`` of a source were loaded. ``source``: digest of the source's marks. ``last``: digest of the last row.

    Both are None in the notes of older versions.
    """

    name: str
    collection: int
    rows: int
    source: str | None = None
    last: str | None = None

    @property
    def note(self) -> str:
        return (
            f"ingest {self.name}: {self.rows} rows of collection {self.collection}, "
            f"source {self.source}, last {self.last}"
        )


def last_marker(log: pa.Table, collection: int, name: str) -> Marker | None:
    """The last one of a load in the log; None if there is none.

    A marker that the log no longer has costs time, not correctness: rows are written again under the same ids.
    """
    found = _noted(log, collection, name)
    return found[-1][1] if found else None


def seqs_of(log: pa.Table, collection: int, name: str) -> tuple[int, int] | None:
    """The seq before a load's first commit, and that of its last, as far as the log has them; None if it has none."""
    seqs = [seq for seq, _ in _noted(log, collection, name)]
    return (min(seqs) - 1, max(seqs)) if seqs else None


def _noted(log: pa.Table, collection: int, name: str) -> list[tuple[int, Marker]]:
    pattern = re.compile(
        rf"ingest {re.escape(name)}: ([0-9]+) rows of collection {collection}"
        r"(?:, source ([0-9a-f]{16}), last ([0-9a-f]{16}))?"
    )
    named = log.filter(pc.starts_with(log.column("note"), f"ingest {name}: ")).select(["seq", "note"]).to_pylist()
    return [
        (row["seq"], Marker(name, collection, int(found[1]), found[2], found[3]))
        for row in named
        if (found := pattern.fullmatch(row["note"]))
    ]


def check_same(source: Source, before: Marker) -> None:
    """Raises InvalidInputError for another source than the load of this name began with."""
    if source.total is not None and before.rows > source.total:
        raise another(source, before, f"has {source.total}")
    if before.source not in {None, digest(*source.marks)}:
        kind = source.marks[0]
        what = {"file": "its size or the time of its last change", "array": "its shape or type"}
        raise another(source, before, f"differs in {what.get(str(kind), 'its kind, columns or number of rows')}")


def another(source: Source, before: Marker, has: str) -> InvalidInputError:
    """The error for another source."""
    return InvalidInputError(
        f"ingest {source.name}: {before.rows} rows were loaded as {before.name!r}, but this source {has}; give the "
        "same source, or another name with resume= to load all of it: rows that are there are replaced by their ids"
    )


def last_row(batch: RowBatch) -> str:
    """Digest of the id and the vector of the last row."""
    return digest(batch.ids[-1].as_py(), batch.vectors[-1].tobytes())


def digest(*values: object) -> str:
    """16 hex digits."""
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()
