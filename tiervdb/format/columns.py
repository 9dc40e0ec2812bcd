"""Column types: names that schemas, WAL and manifests carry, and the Arrow types that they stand for."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from tiervdb.errors import SchemaError
from tiervdb.types import ID_TYPES, METRICS, RESERVED_COLUMN_NAMES, CollectionSchema, IdType

MAX_DIM = 65_535
COLUMN_TYPES = {
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "timestamp[us]": pa.timestamp("us"),
    "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"),
    "list<string>": pa.list_(pa.string()),
}
TYPE_ALIASES = {
    "int": "int64",
    "float": "float64",
    "double": "float64",
    "str": "string",
    "boolean": "bool",
    "timestamp": "timestamp[us, UTC]",
}
ID_ARROW_TYPES = {"int64": pa.int64(), "string": pa.string()}
_NAMES = {arrow: name for name, arrow in COLUMN_TYPES.items()}


def canonical_type(name: str) -> str:
    """The name of a column type as schemas keep it. Raises SchemaError for an unknown one."""
    canonical = TYPE_ALIASES.get(name, name)
    if canonical not in COLUMN_TYPES:
        raise SchemaError(f"unknown column type {name!r}; known are {', '.join([*COLUMN_TYPES, *TYPE_ALIASES])}")
    return canonical


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a column type's canonical name."""
    return COLUMN_TYPES[canonical_type(name)]


def id_arrow_type(id_type: IdType) -> pa.DataType:
    """The Arrow type of a collection's ids."""
    return ID_ARROW_TYPES[id_type]


@lru_cache(maxsize=256)
def vector_type(dim: int) -> pa.DataType:
    """The Arrow type of vectors in payloads: ``fixed_size_list<float32 not null>[dim]``."""
    return pa.list_(pa.field("item", pa.float32(), nullable=False), dim)


def type_name(arrow: pa.DataType) -> str:
    """The column type that holds values of an Arrow type without loss of range.

    Large and view strings become ``string``, dictionaries their value type, timestamps microseconds (UTC if they have
    a zone). Raises SchemaError for what no column can hold.
    """
    if arrow in _NAMES:
        return _NAMES[arrow]
    if pa.types.is_dictionary(arrow):
        return type_name(arrow.value_type)
    if pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return "string"
    if pa.types.is_timestamp(arrow):
        return "timestamp[us, UTC]" if arrow.tz else "timestamp[us]"
    if pa.types.is_float16(arrow):
        return "float32"
    is_list = pa.types.is_list(arrow) or pa.types.is_large_list(arrow)
    if is_list and type_name(arrow.value_type) == "string":
        return "list<string>"
    raise SchemaError(f"no column type holds Arrow type {arrow}; known are {', '.join(COLUMN_TYPES)}")


def check_schema(schema: CollectionSchema) -> None:
    """Raises SchemaError if a collection's definition contradicts itself."""
    where = f"collection {schema.name!r}"
    if not schema.name:
        raise SchemaError("a collection needs a name")
    if not 1 <= schema.dim <= MAX_DIM:
        raise SchemaError(f"{where}: the dimension is {schema.dim}, and must be 1 to {MAX_DIM}")
    if schema.metric not in METRICS or schema.id_type not in ID_TYPES:
        raise SchemaError(f"{where}: unknown metric {schema.metric!r} or id type {schema.id_type!r}")
    names = [column.name for column in schema.columns]
    if len(set(names)) != len(names) or len({column.id for column in schema.columns}) != len(names):
        raise SchemaError(f"{where}: two columns share a name or an id")
    for column in schema.columns:
        if not column.name or column.name in RESERVED_COLUMN_NAMES:
            raise SchemaError(f"{where}: {column.name!r} cannot be the name of a column")
        if column.type not in COLUMN_TYPES:
            raise SchemaError(f"{where}: column {column.name!r} has the unknown type {column.type!r}")
        if not 1 <= column.id < schema.next_column_id:
            raise SchemaError(
                f"{where}: column {column.name!r} has id {column.id}, and ids end at {schema.next_column_id}"
            )
