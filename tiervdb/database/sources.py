"""Large sources of rows, read piece by piece in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tiervdb.database.arguments import to_path
from tiervdb.database.chunks import CHUNKS, is_chunks, joined_chunks
from tiervdb.database.inputs.arrays import arrow_errors
from tiervdb.database.inputs.rows import known_column, name_fields, rows_from_arrays, rows_from_table
from tiervdb.database.inputs.tables import to_reader
from tiervdb.errors import InvalidInputError
from tiervdb.types import CollectionSchema, RowBatch

READ_BUFFER = 1 << 20  # bytes: Parquet column chunks are streamed, not read whole
FILES = ".parquet, .arrow, .feather, .ipc or .npy"


@dataclass(frozen=True)
class Source:
    """``pieces(skip, rows)``: the last of the first ``skip`` rows as a piece of its own, if there is one, then all that
    follows it in pieces of at most ``rows``; each can be loaded by ``load(piece, what)``. ``total``: rows in all, if
    known. ``marks``: what tells it from another source at little cost."""

    name: str
    total: int | None
    marks: tuple[object, ...]
    pieces: Callable[[int, int], Iterator[Any]]
    load: Callable[[Any, str], RowBatch]


@dataclass(frozen=True)
class Fields:
    """What of a source is loaded: the names of its columns, or for arrays the ids themselves."""

    id: Any = None
    vector: str | None = None
    columns: Sequence[str] | None = None


def open_source(given: Any, fields: Fields, schema: CollectionSchema) -> Source:
    """The source of an ingest. Raises InvalidInputError or SchemaError for what cannot be one."""
    if isinstance(given, str | os.PathLike):
        return _open_file(to_path(given, f"the path of a {FILES} file"), fields, schema)
    if isinstance(given, np.ndarray):
        return _arrays("array", given, ("array", given.shape, str(given.dtype)), fields, schema)
    if is_chunks(given):
        with _reading("ingest"):
            given = joined_chunks(given, schema)
        named = [fields.id, fields.vector, fields.columns]
        if given.schema.metadata == CHUNKS and any(name is not None for name in named):
            raise InvalidInputError("ingest: id=, vector= and columns= name columns, and the iterator yields arrays")
    with _reading("ingest"):
        reader = to_reader(given, "ingest")
        total = given.num_rows if isinstance(given, pa.Table | pa.RecordBatch) else None
        names = _names(reader.schema, fields, schema)
        stream = (batch.select(names) for batch in reader)
        marks = ("stream", total, [(f.name, str(f.type)) for f in reader.schema])
        return _tables("the stream", total, marks, lambda skip, rows: after(stream, skip, rows), fields, schema)


def _open_file(path: Path, fields: Fields, schema: CollectionSchema) -> Source:
    what = f"ingest {path}"
    if not path.is_file():
        raise InvalidInputError(f"{what}: there is no such file; give a path of a {FILES} file")
    with _reading(what):
        match path.suffix.lower():
            case ".parquet" | ".pq":
                return _parquet(path, fields, schema)
            case ".arrow" | ".feather" | ".ipc":
                return _arrow_file(path, fields, schema)
            case ".npy":
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
                return _arrays(path.name, mapped, file_marks(path), fields, schema)
    raise InvalidInputError(f"{what}: such files cannot be read; give a {FILES} file, or read it and pass its rows")


def _parquet(path: Path, fields: Fields, schema: CollectionSchema) -> Source:
    file = pq.ParquetFile(path, buffer_size=READ_BUFFER, pre_buffer=False)
    names = _names(file.schema_arrow, fields, schema)

    def pieces(skip: int, rows: int) -> Iterator[pa.Table]:
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        first = 0
        while first < len(groups) and skip > groups[first]:  # the group of the last row before is read
            skip -= groups[first]
            first += 1
        wanted = list(range(first, len(groups)))
        return after(file.iter_batches(batch_size=rows, row_groups=wanted, columns=names), skip, rows)

    return _tables(path.name, file.metadata.num_rows, file_marks(path), pieces, fields, schema)


def _arrow_file(path: Path, fields: Fields, schema: CollectionSchema) -> Source:
    """An Arrow IPC file is memory-mapped: its batches cost no memory until they are converted."""
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    names = _names(file.schema, fields, schema)
    total = sum(file.get_batch(i).num_rows for i in range(file.num_record_batches))

    def pieces(skip: int, rows: int) -> Iterator[pa.Table]:
        batches = (file.get_batch(i).select(names) for i in range(file.num_record_batches))
        return after(batches, skip, rows)

    return _tables(path.name, total, file_marks(path), pieces, fields, schema)


def _tables(
    name: str,
    total: int | None,
    marks: tuple[object, ...],
    pieces: Callable[[int, int], Iterator[pa.Table]],
    fields: Fields,
    schema: CollectionSchema,
) -> Source:
    def load(piece: pa.Table, what: str) -> RowBatch:
        return rows_from_table(piece, schema, fields.id, fields.vector, what)

    return Source(name, total, marks, pieces, load)


def _arrays(
    name: str, vectors: npt.NDArray[Any], marks: tuple[object, ...], fields: Fields, schema: CollectionSchema
) -> Source:
    if vectors.ndim != 2:
        raise InvalidInputError(f"ingest {name}: an array of shape {vectors.shape}; give (rows, {schema.dim})")
    if fields.vector is not None or fields.columns is not None:
        raise InvalidInputError(f"ingest {name}: vector= and columns= name columns of a table, and this is an array")
    ids = fields.id
    if isinstance(ids, str) or (ids is not None and len(ids) != len(vectors)):
        raise InvalidInputError(f"ingest {name}: id= must be an array with an id for each of its {len(vectors)} rows")
    if ids is None and schema.id_type != "int64":
        raise InvalidInputError(f"ingest {name}: {schema.name!r} has string ids; give id= an array of one id a row")

    def pieces(skip: int, rows: int) -> Iterator[slice]:
        if skip:
            yield slice(skip - 1, skip)
        yield from (slice(start, min(start + rows, len(vectors))) for start in range(skip, len(vectors), rows))

    def load(piece: slice, what: str) -> RowBatch:
        own_ids = np.arange(piece.start, piece.stop) if ids is None else ids[piece]
        return rows_from_arrays(own_ids, vectors[piece], None, schema, what)

    return Source(name, len(vectors), marks, pieces, load)


def file_marks(path: Path) -> tuple[object, ...]:
    """A file under any name; one that was written again is another."""
    stat = path.stat()
    return "file", stat.st_size, stat.st_mtime_ns


def _names(fields: pa.Schema, wanted: Fields, schema: CollectionSchema) -> list[str]:
    """The columns to read, all of them known to the collection."""
    if wanted.id is not None and not isinstance(wanted.id, str):
        raise InvalidInputError("ingest: id= must name the column of ids")
    id_name, vector_name = name_fields(fields, wanted.id, wanted.vector, "ingest")
    others = [n for n in fields.names if n not in {id_name, vector_name}] if wanted.columns is None else wanted.columns
    for name in others:
        known_column(name, schema, "ingest")
        if name not in fields.names:
            raise InvalidInputError(f"ingest: the source has no column {name!r}; it has {', '.join(fields.names)}")
    return [id_name, vector_name, *others]


def after(batches: Iterable[pa.RecordBatch], skip: int, rows: int) -> Iterator[pa.Table]:
    """The pieces of a source of batches, see ``Source.pieces``."""
    if skip == 0:
        yield from resized(batches, 0, rows)
        return
    rest = iter(batches)
    for batch in rest:
        if skip <= len(batch):
            yield pa.Table.from_batches([batch.slice(skip - 1, 1)])
            yield from resized(chain([batch.slice(skip)], rest), 0, rows)
            return
        skip -= len(batch)


def resized(batches: Iterable[pa.RecordBatch], skip: int, rows: int) -> Iterator[pa.Table]:
    """The same rows without the first ``skip``, in tables of ``rows`` each but for the last."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        dropped = min(skip, len(batch))
        skip -= dropped
        rest = batch.slice(dropped)
        while len(rest):
            held.append(rest.slice(0, rows - count))
            count += len(held[-1])
            rest = rest.slice(len(held[-1]))
            if count == rows:
                yield pa.Table.from_batches(held)
                held, count = [], 0
    if held:
        yield pa.Table.from_batches(held)


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Arrow's and numpy's errors about a source as ours."""
    try:
        with arrow_errors(InvalidInputError, f"{what}: cannot be read"):
            yield
    except (OSError, EOFError) as error:
        raise InvalidInputError(f"{what}: cannot be read: {error}") from error


def read_pieces(source: Source, skip: int, rows: int) -> Iterator[Any]:
    """The source's pieces; what goes wrong while reading is InvalidInputError."""
    with _reading(f"ingest {source.name}"):
        yield from source.pieces(skip, rows)
