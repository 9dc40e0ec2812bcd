"""A Python iterator of tables, or of ids and vectors, as one stream of Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, TypeGuard

import pyarrow as pa

from tiervdb.database.inputs.rows import rows_from_arrays
from tiervdb.database.inputs.tables import to_reader
from tiervdb.errors import InvalidInputError
from tiervdb.format.columns import arrow_type, id_arrow_type
from tiervdb.types import CollectionSchema, RowBatch

CHUNKS = {b"tiervdb.chunks": b"1"}  # metadata of a stream that was made of ids and vectors
WHAT = "Arrow tables or record batches, data frames, or tuples (ids, vectors) or (ids, vectors, columns)"


def is_chunks(given: object) -> TypeGuard[Iterator[Any]]:
    """Whether it is a Python iterator, not an Arrow reader."""
    return isinstance(given, Iterator) and not hasattr(given, "__arrow_c_stream__")


def joined_chunks(chunks: Iterator[Any], schema: CollectionSchema) -> pa.RecordBatchReader:
    """One stream of all chunks, read as it goes. Raises InvalidInputError for what is no chunk of rows."""
    first = next(chunks, None)
    if first is None:
        raise InvalidInputError(f"ingest: the iterator is empty; give one that yields {WHAT}")
    if isinstance(first, tuple):
        fields = _fields(schema)
        return pa.RecordBatchReader.from_batches(fields, _of_arrays(chain([first], chunks), fields, schema))
    start = _reader(first, 0)
    fields = start.schema.remove_metadata()
    return pa.RecordBatchReader.from_batches(fields, _of_tables(start, chunks, fields))


def _of_tables(start: pa.RecordBatchReader, chunks: Iterator[Any], fields: pa.Schema) -> Iterator[pa.RecordBatch]:
    yield from start
    for number, chunk in enumerate(chunks, 1):
        for batch in _reader(chunk, number):
            if batch.schema.names != fields.names:
                raise InvalidInputError(
                    f"ingest: chunk {number} has the columns {', '.join(batch.schema.names)}, and the first one "
                    f"{', '.join(fields.names)}; give all chunks the same columns"
                )
            yield batch.cast(fields)


def _of_arrays(chunks: Iterator[Any], fields: pa.Schema, schema: CollectionSchema) -> Iterator[pa.RecordBatch]:
    for number, chunk in enumerate(chunks):
        if not isinstance(chunk, tuple) or len(chunk) not in {2, 3}:
            raise _no_chunk(chunk, number)
        ids, vectors, columns = (*chunk, None)[:3]
        rows = rows_from_arrays(ids, vectors, columns, schema, f"ingest: chunk {number}")
        yield _record_batch(rows, fields, schema)


def _record_batch(rows: RowBatch, fields: pa.Schema, schema: CollectionSchema) -> pa.RecordBatch:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.vectors.reshape(-1)), schema.dim)
    values = [rows.columns.get(c.id, pa.nulls(len(rows), arrow_type(c.type))) for c in schema.columns]
    return pa.RecordBatch.from_arrays([rows.ids, vectors, *values], schema=fields)


def _fields(schema: CollectionSchema) -> pa.Schema:
    own = [pa.field("id", id_arrow_type(schema.id_type)), pa.field("vector", pa.list_(pa.float32(), schema.dim))]
    return pa.schema([*own, *(pa.field(c.name, arrow_type(c.type)) for c in schema.columns)], metadata=CHUNKS)


def _reader(chunk: Any, number: int) -> pa.RecordBatchReader:
    if isinstance(chunk, tuple | str | bytes):
        raise _no_chunk(chunk, number)
    return to_reader(chunk, f"ingest: chunk {number}")


def _no_chunk(chunk: Any, number: int) -> InvalidInputError:
    return InvalidInputError(f"ingest: chunk {number} is {type(chunk).__name__}; give {WHAT}, all of one kind")
