"""Loading a large source in many commits, so that it can go on after a crash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tiervdb.database.markers import Marker, another, check_same, digest, last_marker, last_row, seqs_of
from tiervdb.database.session import Session
from tiervdb.database.sources import Fields, Source, open_source, read_pieces
from tiervdb.database.values import IngestResult
from tiervdb.engine.shard import Shard
from tiervdb.errors import InvalidInputError
from tiervdb.format.operations import UpsertRows
from tiervdb.types import CollectionSchema, RowBatch

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
    _check(tier, resume, columns)
    source = open_source(given, Fields(id, vector, columns), schema)
    started = session.clock.monotonic()
    log = None if resume is None else session.log()
    before = None if log is None or resume is None else last_marker(log, schema.id, resume)
    skipped = 0 if before is None else before.rows
    if before is not None:
        check_same(source, before)
    done, commits, seq = skipped, 0, session.view().seq
    rows = rows_of_a_commit(schema.dim)
    earlier = None if log is None or resume is None else seqs_of(log, schema.id, resume)
    with _demoting(shard, schema, tier, seq, earlier) as committed:
        for batch in _batches(source, before, resume, rows):
            done += len(batch)
            note = f"ingest of {source.name}"
            if resume is not None:
                note = Marker(resume, schema.id, done, digest(*source.marks), last_row(batch)).note
            seq = shard.commit([UpsertRows(schema.id, batch)], note).seq
            commits += 1
            if progress is not None:
                progress(done, source.total)
            committed(len(batch))
    return IngestResult(done - skipped, skipped, commits, seq, session.clock.monotonic() - started)


def rows_of_a_commit(dim: int) -> int:
    """At most."""
    return max(1, min(COMMIT_ROWS, COMMIT_FLOATS // dim))


def _batches(source: Source, before: Marker | None, resume: str | None, rows: int) -> Iterator[RowBatch]:
    """What is not loaded yet, after a look at the last row that is."""
    skipped = 0 if before is None else before.rows
    pieces = read_pieces(source, skipped, rows)
    if before is not None and skipped:
        last = next(pieces, None)
        found = None if last is None else last_row(_load(source, last, skipped - 1, resume))
        if found is None or before.last not in {None, found}:
            has = f"has fewer than {skipped} rows" if found is None else f"has another row {skipped}"
            raise another(source, before, has)
    done = skipped
    for piece in pieces:
        batch = _load(source, piece, done, resume)
        done += len(batch)
        yield batch


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
        if done == 0:
            raise type(error)(f"{error}. Nothing was written") from error
        again = "call again"
        if resume is not None and source.marks[0] == "file":
            again = "load it under another name with resume=, for a file that was changed is another one"
        elif resume is not None:
            again = f"call again with resume={resume!r}, which goes on from there"
        raise type(error)(f"{error}. The {done} rows before were written; correct the source and {again}") from error


def _check(tier: str, resume: str | None, columns: object) -> None:
    if isinstance(columns, str):
        raise InvalidInputError(f"ingest: columns={columns!r} must be a list of column names; leave it out for all")
    if tier not in {"hot", "cold"}:
        raise InvalidInputError(f'ingest: tier={tier!r} is not known; give "hot" or "cold"')
    if resume is not None and (not isinstance(resume, str) or not LOAD_NAME.fullmatch(resume)):
        raise InvalidInputError(f"ingest: resume={resume!r} is no name; give 1 to 100 letters, digits, dots, - or _")
