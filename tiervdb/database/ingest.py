"""Loading a large source in many commits, so that it can go on after a crash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.session import Session
from tiervdb.database.sources import Fields, Source, open_source, read_pieces
from tiervdb.database.values import IngestResult
from tiervdb.engine.shard import Shard
from tiervdb.errors import InvalidInputError
from tiervdb.format.operations import UpsertRows
from tiervdb.types import CollectionSchema

Progress = Callable[[int, int | None], None]  # rows done; rows in all, None if that is not known

COMMIT_FLOATS = 1_000_000  # rows x dim of one commit
COMMIT_ROWS = 65_536
LOAD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def ingest(
    session: Session,
    schema: CollectionSchema,
    given: Any,
    id: Any,
    vector: str | None,
    columns: Sequence[str] | None,
    tier: str,
    resume: str | None,
    progress: Progress | None,
) -> IngestResult:
    """See Collection.ingest."""
    shard = session.shard("ingest")
    _check(tier, resume)
    source = open_source(given, Fields(id, vector, columns), schema)
    started = session.clock.monotonic()
    log = None if resume is None else session.log()
    skipped = 0 if log is None or resume is None else rows_done(log, schema.id, resume)
    if source.total is not None and skipped > source.total:
        raise InvalidInputError(
            f"ingest {source.name}: {skipped} rows were loaded as {resume!r}, but this source has {source.total}; "
            "give the same source, or another name with resume="
        )
    done, commits, seq = skipped, 0, session.view().seq
    rows = max(1, min(COMMIT_ROWS, COMMIT_FLOATS // schema.dim))
    with _demoting(shard, schema, tier, seq, _earlier_run(log, schema.id, resume)) as committed:
        for piece in read_pieces(source, skipped, rows):
            batch = _load(source, piece, done, resume)
            done += len(batch)
            note = f"ingest of {source.name}" if resume is None else marker(resume, schema.id, done)
            seq = shard.commit([UpsertRows(schema.id, batch)], note).seq
            commits += 1
            if progress is not None:
                progress(done, source.total)
            committed(len(batch))
    return IngestResult(done - skipped, skipped, commits, seq, session.clock.monotonic() - started)


def marker(resume: str, collection: int, done: int) -> str:
    """The note of a named load's commit: durable with its rows, it tells how many rows were loaded up to it."""
    return f"ingest {resume}: {done} rows of collection {collection}"


def rows_done(log: pa.Table, collection: int, resume: str) -> int:
    """How many rows a load of this name has committed, by its last marker in the log; 0 if there is none.

    A marker that the log no longer has costs time, not correctness: rows are written again under the same ids.
    """
    pattern = re.compile(rf"ingest {re.escape(resume)}: ([0-9]+) rows of collection {collection}")
    notes = log.column("note")
    for note in reversed(notes.filter(pc.starts_with(notes, f"ingest {resume}: ")).to_pylist()):
        if found := pattern.fullmatch(note):
            return int(found[1])
    return 0


def _earlier_run(log: pa.Table | None, collection: int, resume: str | None) -> tuple[int, int] | None:
    """The seq before a load's first commit, and that of its last, by its markers in the log; None if it has none."""
    if log is None or resume is None:
        return None
    pattern = re.compile(rf"ingest {re.escape(resume)}: [0-9]+ rows of collection {collection}")
    named = log.filter(pc.starts_with(log.column("note"), f"ingest {resume}: ")).select(["seq", "note"]).to_pylist()
    seqs = [row["seq"] for row in named if pattern.fullmatch(row["note"])]
    return (min(seqs) - 1, max(seqs)) if seqs else None


@contextmanager
def _demoting(
    shard: Shard, schema: CollectionSchema, tier: str, seq: int, earlier: tuple[int, int] | None
) -> Iterator[Callable[[int], None]]:
    """What to tell of the rows of each commit, and where they go for the cold tier."""
    if tier == "hot":
        yield lambda _rows: None
    else:
        with shard.load_cold(schema, seq, earlier) as load:
            yield load.committed


def _load(source: Source, piece: Any, done: int, resume: str | None) -> Any:
    try:
        return source.load(piece, f"ingest {source.name}, after row {done}")
    except InvalidInputError as error:
        again = f" with resume={resume!r}, which goes on from there" if resume is not None else ""
        raise type(error)(
            f"{error}. The {done} rows before were written; correct the source and call again{again}"
        ) from error


def _check(tier: str, resume: str | None) -> None:
    if tier not in {"hot", "cold"}:
        raise InvalidInputError(f'ingest: tier={tier!r} is not known; give "hot" or "cold"')
    if resume is not None and (not isinstance(resume, str) or not LOAD_NAME.fullmatch(resume)):
        raise InvalidInputError(f"ingest: resume={resume!r} is no name; give 1 to 100 letters, digits, dots, - or _")
