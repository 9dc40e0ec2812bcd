"""Definitions of collections and columns, given or inferred from data."""

from __future__ import annotations

from collections.abc import Collection as Container
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import pyarrow as pa

from tiervdb.database.inputs.arrays import joined
from tiervdb.database.inputs.casts import INT, STRING, is_list, kind_of
from tiervdb.database.inputs.names import check_name, hint
from tiervdb.database.inputs.rows import name_fields
from tiervdb.database.inputs.vectors import from_lists
from tiervdb.errors import InvalidInputError, SchemaError
from tiervdb.format.columns import MAX_DIM, canonical_type, type_name
from tiervdb.types import ID_TYPES, METRICS, RESERVED_COLUMN_NAMES, CollectionSchema, Column

ColumnType: TypeAlias = str | type | Any  # a name, a Python type or a pyarrow.DataType
PYTHON_TYPES = {bool: "bool", int: "int", float: "float", str: "string"}


def new_schema(
    name: object,
    dim: object,
    metric: str,
    id_type: str,
    columns: Mapping[str, ColumnType] | None,
    stored: Container[str],
) -> CollectionSchema:
    """A collection's definition, not yet numbered. Raises SchemaError or InvalidInputError where it cannot be one."""
    what = f"collection {check_name(name, 'the name of a collection')!r}"
    if isinstance(dim, bool) or not hasattr(dim, "__index__") or not 1 <= int(cast(Any, dim)) <= MAX_DIM:
        raise SchemaError(f"{what}: dim={dim!r} is not usable; give the number of dimensions, 1 to {MAX_DIM}")
    if metric not in METRICS:
        raise SchemaError(f"{what}: metric={metric!r} is not known; give one of {', '.join(METRICS)}")
    if id_type not in ID_TYPES:
        raise SchemaError(f"{what}: id_type={id_type!r} is not known; give one of {', '.join(ID_TYPES)}")
    given = dict(columns or {})
    unknown = next((s for s in _names(stored) if s not in given), None)
    if unknown is not None:
        raise SchemaError(f"{what}: stored= names {unknown!r}, which is not among the columns; {hint(unknown, given)}")
    defined: list[Column] = []
    for number, (column, kind) in enumerate(given.items(), 1):
        check_column_name(column, [c.name for c in defined])
        defined.append(Column(id=number, name=column, type=column_type(kind, column), stored=column in stored))
    return CollectionSchema(
        id=0,
        name=cast(str, name),
        dim=int(cast(Any, dim)),
        metric=metric,
        id_type=id_type,
        columns=tuple(defined),
        next_column_id=len(defined) + 1,
    )


def new_column(name: str, kind: ColumnType, stored: bool, schema: CollectionSchema) -> Column:
    """A column to add, not yet numbered."""
    check_column_name(name, [c.name for c in schema.columns])
    return Column(id=0, name=name, type=column_type(kind, name), stored=bool(stored))


def check_column_name(name: object, taken: Container[str]) -> None:
    """Raises SchemaError for a name that is reserved or taken; case does not count, because it does not in SQL."""
    text = check_name(name, "the name of a column")
    if text.casefold() in RESERVED_COLUMN_NAMES:
        raise SchemaError(f"column {name!r}: {', '.join(sorted(RESERVED_COLUMN_NAMES))} are reserved names; rename it")
    same = next((t for t in taken if t.casefold() == text.casefold()), None)
    if same is not None:
        raise SchemaError(f"column {name!r}: there is {same!r} already, and case does not count; choose another name")


def column_type(kind: ColumnType, name: str) -> str:
    """The canonical name of a column type that was given by name, as a Python type or as an Arrow type."""
    try:
        if isinstance(kind, pa.DataType):
            return type_name(kind)
        if isinstance(kind, type) and kind in PYTHON_TYPES:
            return canonical_type(PYTHON_TYPES[kind])
        if isinstance(kind, str):
            return canonical_type(kind)
    except SchemaError as error:
        raise SchemaError(f"column {name!r}: {error}") from error
    raise SchemaError(f"column {name!r}: {kind!r} is not a column type; give its name, for example 'int64' or 'string'")


def infer_schema(
    name: object,
    table: pa.Table,
    *,
    id: str | None,
    vector: str | None,
    dim: int | None,
    metric: str,
    id_type: str | None,
    columns: Mapping[str, ColumnType] | None,
    stored: Container[str],
) -> CollectionSchema:
    """The definition that fits the data; what is given explicitly goes before what is inferred."""
    what = f"collection {check_name(name, 'the name of a collection')!r}"
    id_name, vector_name = name_fields(table.schema, id, vector, what)
    inferred: dict[str, ColumnType] = {}
    for field in table.schema:
        if field.name not in {id_name, vector_name}:
            inferred[field.name] = (columns or {}).get(field.name) or _inferred_type(field, what)
    found_dim = dim if dim is not None else _dim(table, vector_name, what)
    found_ids = id_type if id_type is not None else _id_type(table.schema.field(id_name), what)
    return new_schema(name, found_dim, metric, found_ids, {**inferred, **(columns or {})}, stored)


def _inferred_type(field: pa.Field, what: str) -> str:
    if pa.types.is_null(field.type):
        raise SchemaError(
            f"{what}: column {field.name!r} has no value to tell its type; say columns={{{field.name!r}: ...}}"
        )
    try:
        return type_name(field.type)
    except SchemaError as error:
        raise SchemaError(f"{what}: column {field.name!r}: {error}; convert it, or leave it out") from error


def _id_type(field: pa.Field, what: str) -> str:
    kind = kind_of(field.type)
    if kind not in {INT, STRING}:
        raise SchemaError(f"{what}: column {field.name!r} holds {field.type}; ids are integers or strings; say id=...")
    return "int64" if kind == INT else "string"


def _dim(table: pa.Table, vector: str, what: str) -> int:
    given = table.schema.field(vector).type
    if pa.types.is_fixed_size_list(given):
        return int(given.list_size)
    if not is_list(given):
        raise SchemaError(f"{what}: column {vector!r} holds {given}, not lists of numbers; say vector=...")
    if not len(table):
        raise SchemaError(f"{what}: there is no row to infer the dimension from; say dim=...")
    return int(from_lists(joined(table.column(vector).slice(0, 1)), None, what).shape[1])


def _names(stored: Container[str]) -> Container[str]:
    if isinstance(stored, str):
        raise InvalidInputError(f"stored={stored!r} must be a list of column names, not a string")
    return stored


def same_definition(known: CollectionSchema, wanted: CollectionSchema) -> bool:
    """Whether a collection that exists is what a caller wants to create; numbers of columns do not count."""

    def meaning(schema: CollectionSchema) -> tuple[object, ...]:
        columns = frozenset((c.name, c.type, c.stored) for c in schema.columns)
        return schema.dim, schema.metric, schema.id_type, columns

    return meaning(known) == meaning(wanted)
