"""Rows and ids as Arrow IPC streams: the payloads of WAL records. See docs/formats/wal.md.

A payload is one stream of one record batch, with the fields ``id``, ``vector`` and ``c<column id>``, or ``id`` alone.
It is put together from its messages (schema, batch, end mark), so that the schema message, which takes longest for
small batches, is made and checked once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tiervdb.errors import SchemaError
from tiervdb.format.columns import ID_ARROW_TYPES, MAX_DIM, arrow_type, type_name, vector_type
from tiervdb.format.envelope import damaged
from tiervdb.format.wal_header import ALIGNMENT
from tiervdb.types import CollectionSchema, IdType, RowBatch, Vectors

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_SCHEMA_LIMIT = 1 << 24
_COLUMN_FIELD = re.compile(r"c([1-9][0-9]{0,9})")
_ARROW_ERRORS = (pa.ArrowException, OSError, EOFError, ValueError, TypeError, KeyError)

Parts = list[bytes | memoryview]


@lru_cache(maxsize=256)
def _row_schema(id_type: IdType, dim: int, columns: tuple[tuple[int, str], ...]) -> tuple[pa.Schema, bytes]:
    return _with_message(
        pa.field("id", ID_ARROW_TYPES[id_type], nullable=False),
        pa.field("vector", vector_type(dim), nullable=False),
        *(pa.field(f"c{column}", arrow_type(name)) for column, name in columns),
    )


@lru_cache(maxsize=2)
def _id_schema(id_type: IdType) -> tuple[pa.Schema, bytes]:
    return _with_message(pa.field("id", ID_ARROW_TYPES[id_type], nullable=False))


def _with_message(*fields: pa.Field) -> tuple[pa.Schema, bytes]:
    schema = pa.schema(fields)
    return schema, schema.serialize().to_pybytes()


def encode_rows(batch: RowBatch, schema: CollectionSchema) -> Parts:
    """Rows as the parts of one Arrow IPC stream. Columns that the batch lacks are left out.

    Raises SchemaError if an array's type is not its column's.
    """
    present = tuple((c.id, c.type) for c in schema.columns if c.id in batch.columns)
    arrow, message = _row_schema(schema.id_type, schema.dim, present)
    if batch.vectors.shape != (len(batch), schema.dim):
        raise SchemaError(
            f"collection {schema.name!r} has dimension {schema.dim}: "
            f"{len(batch)} rows cannot have vectors of shape {batch.vectors.shape}"
        )
    flat = np.ascontiguousarray(batch.vectors, dtype=np.float32).reshape(-1)
    if not present and schema.id_type == "int64" and batch.ids.type == pa.int64() and not batch.ids.null_count:
        return [message, _numbered_rows(batch.ids.to_numpy(), flat, schema.dim), _END_OF_STREAM]
    arrays = [batch.ids, _vector_array(flat, schema.dim), *(batch.columns[column] for column, _ in present)]
    return _stream(arrays, arrow, message, f"rows of collection {schema.name!r}")


def _numbered_rows(ids: npt.NDArray[np.int64], flat: Vectors, dim: int) -> bytes:
    """A batch of integer ids and vectors, as Arrow would write it, from a head that Arrow wrote: for a single row
    several times faster."""
    padding = bytes(-flat.nbytes % ALIGNMENT)
    return b"".join((_head_of_numbered_rows(len(ids), dim), ids.data, flat.data, padding))


@lru_cache(maxsize=256)
def _head_of_numbered_rows(rows: int, dim: int) -> bytes:
    """The batch message of so many rows without its body, which holds ids and vectors, each padded."""
    arrow, _ = _row_schema("int64", dim, ())
    ids = pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(bytes(8 * rows))])
    batch = pa.RecordBatch.from_arrays([ids, _vector_array(np.zeros(rows * dim, np.float32), dim)], schema=arrow)
    vector_bytes = 4 * rows * dim
    written: bytes = batch.serialize().to_pybytes()
    return written[: len(written) - (8 * rows + vector_bytes + -vector_bytes % ALIGNMENT)]


def _vector_array(flat: Vectors, dim: int) -> pa.Array:
    # Straight from the buffer: pa.array looks whether it was given something of pandas, and imports that for it.
    values = pa.Array.from_buffers(pa.float32(), len(flat), [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(values, type=vector_type(dim))


def encode_ids(ids: pa.Array, id_type: IdType) -> Parts:
    """Ids as the parts of one Arrow IPC stream. Raises SchemaError if they have another type."""
    arrow, message = _id_schema(id_type)
    return _stream([ids], arrow, message, "ids")


def _stream(arrays: list[pa.Array], arrow: pa.Schema, message: bytes, what: str) -> Parts:
    for array, field in zip(arrays, arrow, strict=True):
        if array.type != field.type or (array.null_count and not field.nullable):
            raise SchemaError(
                f"cannot encode {what}: field {field.name!r} is {field.type} and was given {array.type} "
                f"with {array.null_count} nulls"
            )
    try:
        batch = pa.RecordBatch.from_arrays(arrays, schema=arrow)
    except pa.ArrowException as error:
        raise SchemaError(f"cannot encode {what}: {error}") from error
    return [message, memoryview(batch.serialize()), _END_OF_STREAM]


@dataclass(frozen=True)
class _Layout:
    """What a schema message says. ``dim`` is None for a stream of ids alone."""

    schema: pa.Schema
    dim: int | None
    columns: tuple[int, ...]


def decode_rows(data: bytes | memoryview, name: str) -> RowBatch:
    """Rows from an Arrow IPC stream; arrays share the memory of ``data``. Nothing in it is trusted.

    Raises CorruptionError naming ``name``.
    """
    layout, batch = _read_stream(data, name)
    if layout.dim is None:
        raise damaged(name, "its rows have no vectors")
    columns = {column: batch.column(i) for i, column in enumerate(layout.columns, 2)}
    return RowBatch(_ids(batch, name), _vectors(batch.column(1), layout.dim, name), columns)


def decode_ids(data: bytes | memoryview, name: str) -> pa.Array:
    """Ids from an Arrow IPC stream. Raises CorruptionError naming ``name``."""
    layout, batch = _read_stream(data, name)
    if layout.dim is not None:
        raise damaged(name, f"its ids have the fields {batch.schema.names}")
    return _ids(batch, name)


def _ids(batch: pa.RecordBatch, name: str) -> pa.Array:
    ids = batch.column(0)
    if ids.null_count:
        raise damaged(name, f"{ids.null_count} of its ids are missing")
    return ids


def _vectors(lists: pa.Array, dim: int, name: str) -> Vectors:
    values = lists.flatten()
    if lists.null_count or values.null_count or len(values) != len(lists) * dim:
        raise damaged(name, "it has vectors with missing values")
    vectors: Vectors = values.to_numpy(zero_copy_only=True).reshape(len(lists), dim)
    return vectors


def _read_stream(data: bytes | memoryview, name: str) -> tuple[_Layout, pa.RecordBatch]:
    view = memoryview(data)
    # A message starts with a continuation mark and the length of its metadata; a schema message has no body.
    length = int.from_bytes(view[4:8], "little") + 8
    if len(view) < 8 or length > min(len(view), _SCHEMA_LIMIT):
        raise damaged(name, "its rows do not start with an Arrow schema")
    layout = _layout(bytes(view[:length]), name)
    source = pa.BufferReader(pa.py_buffer(view[length:]))
    try:
        batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), layout.schema)
        batch.validate(full=True)
        rest = source.read()
    except _ARROW_ERRORS as error:
        raise damaged(name, f"its rows are not a valid Arrow record batch ({error})") from error
    if rest != _END_OF_STREAM:
        raise damaged(name, "its rows do not end after one record batch")
    return layout, batch


def _layout(message: bytes, name: str) -> _Layout:
    try:
        return _parse_layout(message)
    except _ARROW_ERRORS as error:
        raise damaged(name, f"its rows do not start with a valid Arrow schema ({error})") from error


@lru_cache(maxsize=256)
def _parse_layout(message: bytes) -> _Layout:
    schema = pa.ipc.read_schema(pa.py_buffer(message))
    if not schema.names or schema.names[0] != "id" or schema.field(0).type not in ID_ARROW_TYPES.values():
        raise ValueError(f"unexpected fields: {schema}")
    if len(schema) == 1:
        return _Layout(schema, None, ())
    vector = schema.field(1)
    if vector.name != "vector" or not pa.types.is_fixed_size_list(vector.type):
        raise ValueError(f"unexpected fields: {schema}")
    dim = vector.type.list_size
    if not 1 <= dim <= MAX_DIM or vector.type != vector_type(dim):
        raise ValueError(f"unexpected type of vectors: {vector.type}")
    columns = tuple(_column_id(schema.field(i)) for i in range(2, len(schema)))
    if len(set(columns)) != len(columns):
        raise ValueError(f"a column is there twice: {schema.names}")
    return _Layout(schema, dim, columns)


def _column_id(field: pa.Field) -> int:
    match = _COLUMN_FIELD.fullmatch(field.name)
    if match is None or arrow_type(type_name(field.type)) != field.type:
        raise ValueError(f"unexpected field: {field}")
    return int(match[1])
