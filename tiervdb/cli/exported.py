"""The schema that an exported Parquet file carries: docs/formats/export.md."""

from __future__ import annotations

from typing import Literal

import msgspec
import pyarrow as pa

from tiervdb.errors import InvalidInputError
from tiervdb.types import CollectionSchema, IdType, Metric

KEY = b"tiervdb.collection"


class ExportedColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column: its name in the file and in the collection, its type as ``add_column`` takes it."""

    name: str
    type: str
    stored: bool = False


class Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes an equal collection. The columns ``id`` and ``vector`` of the file hold ids and vectors."""

    version: Literal[1]
    dim: int
    metric: Metric
    id_type: IdType
    columns: tuple[ExportedColumn, ...]


def with_schema(fields: pa.Schema, schema: CollectionSchema) -> pa.Schema:
    """The fields of an export, with the definition of the columns that are among them."""
    columns = tuple(ExportedColumn(c.name, c.type, c.stored) for c in schema.columns if c.name in fields.names)
    exported = Exported(1, schema.dim, schema.metric, schema.id_type, columns)
    return fields.with_metadata({**(fields.metadata or {}), KEY: msgspec.json.encode(exported)})


def read(fields: pa.Schema, what: str) -> Exported | None:
    """The definition in a file's schema; None if there is none. InvalidInputError if it does not fit the vectors.

    Other tools may have left columns out since, or added some.
    """
    data = (fields.metadata or {}).get(KEY)
    if data is None:
        return None
    try:
        found = msgspec.json.decode(data, type=Exported)
    except msgspec.MsgspecError as error:
        raise InvalidInputError(
            f"{what}: its metadata {KEY.decode()!r} cannot be read ({error}); it was damaged or comes from a newer "
            "tiervdb: export it again, or rewrite the file without metadata and say --metric"
        ) from None
    vector = fields.field("vector").type if "vector" in fields.names else None
    dim = vector.list_size if vector is not None and pa.types.is_fixed_size_list(vector) else found.dim
    if dim != found.dim:
        raise InvalidInputError(
            f"{what}: its metadata says {found.dim} dimensions and its vectors have {dim}; export it again"
        )
    return found
