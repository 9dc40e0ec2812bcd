"""Whole rows, as users pass them: anything tabular as a stream of Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa

from tiervdb.database.inputs.arrays import arrow_errors
from tiervdb.errors import InvalidInputError

KINDS = "a pandas or polars data frame, an Arrow table, a DuckDB relation, a list of row dicts or a dict of columns"
INDEX_PREFIX = "__index_level_"  # how pandas names an index that has no name


def to_reader(data: object, what: str) -> pa.RecordBatchReader:
    """The rows as a stream. Takes everything with ``__arrow_c_stream__``, lists of dicts and dicts of columns.

    Raises InvalidInputError for anything else.
    """
    with arrow_errors(InvalidInputError, f"{what}: the rows cannot be read as an Arrow table"):
        if isinstance(data, pa.RecordBatchReader):
            return data
        if isinstance(data, pa.RecordBatch):
            return pa.RecordBatchReader.from_batches(data.schema, [data])
        if hasattr(data, "__arrow_c_stream__"):
            return _without_index(pa.RecordBatchReader.from_stream(data))
        if isinstance(data, Mapping) or is_row_list(data):
            columns = data if isinstance(data, Mapping) else transposed(data, what)
            return pa.table({name: _column(values) for name, values in columns.items()}).to_reader()
    raise InvalidInputError(f"{what}: rows of type {type(data).__name__} were given; give {KINDS}")


def to_table(data: object, what: str) -> pa.Table:
    """All rows in memory."""
    if isinstance(data, pa.Table):
        return data
    reader = to_reader(data, what)
    with arrow_errors(InvalidInputError, f"{what}: the rows cannot be read"):
        return reader.read_all()


def is_row_list(data: object) -> TypeGuard[Sequence[Any]]:
    """A list or tuple, whose members should be row dicts."""
    return isinstance(data, Sequence) and not isinstance(data, str | bytes)


def transposed(rows: Sequence[Any], what: str) -> dict[str, list[Any]]:
    """Row dicts as columns; a key that a row lacks is None."""
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInputError(
                f"{what}: row {number} is {type(row).__name__}; give each row as a dict of names to values"
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _column(values: Any) -> Any:
    """A matrix is a column of vectors."""
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])
    return values


def _without_index(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """pandas sends an unnamed index along; it is no column of the user's."""
    kept = [name for name in reader.schema.names if not name.startswith(INDEX_PREFIX)]
    if len(kept) == len(reader.schema.names):
        return reader
    schema = pa.schema([reader.schema.field(name) for name in kept])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            yield batch.select(kept)

    return pa.RecordBatchReader.from_batches(schema, batches())
