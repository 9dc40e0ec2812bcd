"""Writes the Parquet object of a cold segment: readable by anyone, addressable by row. See docs/formats/parquet.md."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tiervdb.errors import CorruptionError, InvalidInputError
from tiervdb.format.columns import arrow_type, id_arrow_type
from tiervdb.format.manifest_entries import RowGroup
from tiervdb.segment.cold_seal import chunk_range, seal
from tiervdb.segment.source import RowSource
from tiervdb.types import CollectionSchema, Column, Vectors

GROUP_ROWS = 16_384
MAX_GROUP_BYTES = 512 << 20  # of vectors; a Parquet page's size is a signed 32-bit number
ID_FIELD = 0
VECTOR_FIELD = 2**31 - 1
PARQUET_VERSION = "1"
_ONE_PAGE = 2**31 - 1
_FIELD_ID = b"PARQUET:field_id"

RowSums = npt.NDArray[np.uint32]


def group_rows(dim: int) -> int:
    """Rows of a full row group: 16,384, or fewer where their vectors would be larger than 512 MiB."""
    return max(1, min(GROUP_ROWS, MAX_GROUP_BYTES // (4 * dim)))


def row_sums(vectors: Vectors) -> RowSums:
    """The CRC32C of each vector's little-endian bytes, ``(rows,)`` uint32."""
    flat = np.ascontiguousarray(vectors, "<f4").reshape(-1).view(np.uint8).data
    width = 4 * vectors.shape[1]
    sums = (crc32c.crc32c(flat[start : start + width]) for start in range(0, len(flat), width))
    return np.fromiter(sums, np.uint32, len(vectors))


def parquet_schema(schema: CollectionSchema) -> pa.Schema:
    """The Arrow schema of the file: ``id``, ``vector``, then the columns under their names, with ``field_id``."""
    vector = pa.list_(pa.field("element", pa.float32(), nullable=False), schema.dim)
    fields = [
        _field("id", id_arrow_type(schema.id_type), ID_FIELD, nullable=False),
        _field("vector", vector, VECTOR_FIELD, nullable=False),
        *(_field(c.name, arrow_type(c.type), c.id, nullable=True) for c in schema.columns),
    ]
    about = {"tiervdb.format": PARQUET_VERSION, "tiervdb.dim": str(schema.dim), "tiervdb.metric": schema.metric}
    return pa.schema(fields, metadata=about)


def write_parquet(path: Path, source: RowSource, schema: CollectionSchema) -> list[RowGroup]:
    """Writes all rows, a row group at a time, and reads the first and last vector of every group back by address.

    Returns the groups, for the manifest. The file isn't synced: it is uploaded and read back by checksum. Raises
    CorruptionError if the file isn't addressable by row as the format says; it must not be used then.
    """
    if not source.rows:
        raise InvalidInputError("a cold segment without rows is not written")
    arrow = parquet_schema(schema)
    step = group_rows(schema.dim)
    ids = source.ids()
    edges: list[Vectors] = []  # the first and the last vector of every group
    with path.open("wb") as file, _writer(file, arrow, schema, step) as writer:
        for start in range(0, source.rows, step):
            rows = np.arange(start, min(start + step, source.rows))
            vectors = np.ascontiguousarray(source.vectors(rows), "<f4")
            if vectors.shape != (len(rows), schema.dim):
                raise InvalidInputError(f"{len(rows)} vectors of dimension {schema.dim} were due, not {vectors.shape}")
            edges.append(vectors[[0, -1]])
            columns = source.columns([c.id for c in schema.columns], rows)
            writer.write_table(_table(arrow, ids.slice(start, len(rows)), vectors, columns, schema.columns), step)
    seal(path)
    groups = read_row_groups(path)
    _check_addresses(path, groups, edges, source.rows)
    return groups


def _field(name: str, kind: pa.DataType, number: int, *, nullable: bool) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={_FIELD_ID: str(number).encode()})


def _writer(file: Any, arrow: pa.Schema, schema: CollectionSchema, step: int) -> pq.ParquetWriter:
    """Vectors plain, uncompressed and in one page; the rest small. All pages with checksums."""
    others = [_leaf("id", False), *(_leaf(c.name, c.type == "list<string>") for c in schema.columns)]
    return pq.ParquetWriter(
        file,
        arrow,
        version="2.6",
        compression={"vector.list.element": "none", **dict.fromkeys(others, "zstd")},
        use_dictionary=others,
        column_encoding={"vector.list.element": "PLAIN"},
        write_statistics=others,
        data_page_size=_ONE_PAGE,
        max_rows_per_page=_ONE_PAGE,
        write_batch_size=step,
        write_page_checksum=True,
    )


def _leaf(name: str, is_list: bool) -> str:
    return f"{name}.list.element" if is_list else name


def _table(
    arrow: pa.Schema, ids: pa.Array, vectors: Vectors, found: dict[int, pa.Array], columns: Sequence[Column]
) -> pa.Table:
    flat = pa.array(vectors.reshape(-1))
    arrays = [ids, pa.FixedSizeListArray.from_arrays(flat, type=arrow.field("vector").type)]
    for column in columns:
        kind = arrow_type(column.type)
        values = found.get(column.id)
        arrays.append(pa.nulls(len(ids), kind) if values is None else values.cast(kind))
    return pa.table(arrays, schema=arrow)


def read_row_groups(path: Path) -> list[RowGroup]:
    """Where the vectors of every row group end, from the footer."""
    metadata = pq.read_metadata(path)
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        groups.append(RowGroup(rows=group.num_rows, vectors_end=chunk_range(group.column(1)).end))
    return groups


def _check_addresses(path: Path, groups: Sequence[RowGroup], edges: Sequence[Vectors], rows: int) -> None:
    """A Parquet writer that splits pages, compresses or pads would make addresses silently wrong."""
    right = len(groups) == len(edges) and sum(g.rows for g in groups) == rows
    with path.open("rb") as file:
        for group, pair in zip(groups, edges, strict=False):
            width = pair.shape[1] * 4
            for row, vector in ((0, pair[0]), (group.rows - 1, pair[1])):
                file.seek(group.vectors_end - (group.rows - row) * width)
                right = right and file.read(width) == vector.tobytes()
    if not right:
        raise CorruptionError(
            f"writing {path}: its vectors are not where row addresses say, so it was not taken into use and no data "
            "was changed; this pyarrow lays Parquet files out otherwise: install a version that tiervdb was tested with"
        )


def row_starts(groups: Sequence[RowGroup]) -> npt.NDArray[np.int64]:
    """The first row of every group, and the number of rows at the end."""
    return np.array([0, *itertools.accumulate(g.rows for g in groups)], np.int64)
