"""The collection that a file is imported into: made if it is missing, and checked if it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tiervdb
from tiervdb.cli import exported
from tiervdb.cli.exported import Exported
from tiervdb.database.ingest import rows_of_a_commit
from tiervdb.database.inputs.schemas import infer_schema, new_schema
from tiervdb.database.sources import Fields, open_source
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.types import CollectionSchema


@dataclass(frozen=True)
class Wanted:
    """What was asked for, None where nothing was."""

    id: str | None
    vector: str | None
    columns: list[str] | None
    metric: str | None
    stored: list[str] | None


@contextmanager
def fitting(
    db: tiervdb.Database, name: str, file: Path, wanted: Wanted, schema: CollectionSchema | None
) -> Iterator[tiervdb.Collection]:
    """The collection. One that was made for this, and got no row, goes again with the error. ``schema``: what
    ``planned`` said, if it was asked already."""
    is_new = name not in db
    if is_new:
        make(db, schema or planned(name, file, wanted))
    else:
        check(db[name].schema, file, wanted)
    try:
        yield db[name]
    except BaseException:
        if is_new and not len(db[name]):
            db.drop_collection(name)
        raise


def planned(name: str, file: Path, wanted: Wanted) -> CollectionSchema:
    """The collection that a file makes: as its metadata defines it, unless asked otherwise, and as its rows look.

    The rows of the first commit are tried, so that what cannot be loaded is said before anything is made.
    """
    schema = _defined(name, file, wanted)
    source = open_source(file, Fields(wanted.id, wanted.vector, wanted.columns), schema)
    for first in source.pieces(0, rows_of_a_commit(schema.dim)):
        source.load(first, f"import {file}")
        break
    return schema


def _defined(name: str, file: Path, wanted: Wanted) -> CollectionSchema:
    if file.suffix.lower() == ".npy":
        return new_schema(name, matrix(file).shape[1], wanted.metric or "cosine", "int64", None, ())
    first = first_row(file)
    known = exported.read(first.schema, f"import {file}")
    if wanted.columns is not None:
        kept = {wanted.id or "id", wanted.vector or "vector", *wanted.columns}
        first = first.select([c for c in first.column_names if c in kept])
    if not len(first) and known is None:
        raise InvalidInputError(f"import {file}: cannot be read: it has no rows")
    columns = {c.name: c for c in known.columns if c.name in first.column_names} if known is not None else {}
    return infer_schema(
        name,
        first,
        id=wanted.id,
        vector=wanted.vector,
        dim=known.dim if known is not None and wanted.vector is None else None,
        metric=wanted.metric or (known.metric if known is not None else "cosine"),
        id_type=known.id_type if known is not None and wanted.id is None else None,
        columns={c.name: c.type for c in columns.values()},
        stored=wanted.stored if wanted.stored is not None else [c.name for c in columns.values() if c.stored],
    )


def make(db: tiervdb.Database, schema: CollectionSchema) -> None:
    """An empty collection."""
    db.create_collection(
        schema.name,
        dim=schema.dim,
        metric=schema.metric,
        id_type=schema.id_type,
        columns={c.name: c.type for c in schema.columns},
        stored=[c.name for c in schema.columns if c.stored],
    )


def check(schema: CollectionSchema, file: Path, wanted: Wanted) -> None:
    """SchemaError where the collection is not what was asked for, or what the file was exported from."""
    what = f"import into {schema.name!r}"
    if wanted.metric is not None and wanted.metric != schema.metric:
        raise SchemaError(
            f"{what}: it exists with metric {schema.metric}, and --metric {wanted.metric} was asked for; leave "
            "--metric out, or give the name of a new collection"
        )
    stored = {c.name for c in schema.columns if c.stored}
    if wanted.stored is not None and set(wanted.stored) != stored:
        raise SchemaError(
            f"{what}: it exists, and its stored columns are {', '.join(sorted(stored)) or 'none'}; leave --stored out, "
            "or give the name of a new collection"
        )
    known = None if wanted.metric is not None else definition(file)
    if known is not None and known.metric != schema.metric:
        raise SchemaError(
            f"{what}: it exists with metric {schema.metric}, and {file} was exported from one with metric "
            f"{known.metric}; say --metric {schema.metric} to load it all the same, or give the name of a new one"
        )


def definition(file: Path) -> Exported | None:
    """What the file was exported from, if it was."""
    is_parquet = file.suffix.lower() in {".parquet", ".pq"} and file.is_file()
    return exported.read(first_row(file).schema, f"import {file}") if is_parquet else None


def matrix(file: Path) -> np.ndarray[Any, Any]:
    """A memory map of a .npy file of vectors."""
    try:
        array: np.ndarray[Any, Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"import {file}: cannot be read: {error}") from None
    if array.ndim != 2:
        raise InvalidInputError(f"import {file}: an array of shape {array.shape}; give (rows, dim)")
    return array


def first_row(file: Path) -> pa.Table:
    """The file's schema with one row, or none if there is none: enough to tell types and dimension."""
    try:
        if file.suffix.lower() in {".parquet", ".pq"}:
            parquet = pq.ParquetFile(file)
            return pa.Table.from_batches(islice(parquet.iter_batches(batch_size=1), 1), parquet.schema_arrow)
        arrow = pa.ipc.open_file(pa.memory_map(str(file)))
        batches = [arrow.get_batch(0)] if arrow.num_record_batches else []
        return pa.Table.from_batches(batches, arrow.schema).slice(0, 1)
    except (OSError, pa.ArrowException) as error:
        raise InvalidInputError(f"import {file}: cannot be read: {error}") from None
