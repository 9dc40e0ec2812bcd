"""The values of one column, as users pass them: arrays, lists, or one value for all rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tiervdb.database.inputs.arrays import plain_values, typed_array
from tiervdb.database.inputs.casts import cast
from tiervdb.database.inputs.python_values import from_python, is_scalar
from tiervdb.errors import InvalidInputError


def to_column(values: object, target: pa.DataType, rows: int, what: str) -> pa.Array:
    """``rows`` values of the declared type, in memory of their own; a single value stands for every row.

    ``None`` and Arrow's nulls are missing values. InvalidInputError for a wrong count, SchemaError for a wrong type.
    """
    if is_scalar(values, target):
        return _repeated(values, target, rows, what)
    array = to_array(values, target, what)
    if len(array) != rows:
        raise InvalidInputError(
            f"{what}: {len(array)} values for {rows} rows; give one for each row, or a single value"
        )
    return array


def to_array(values: object, target: pa.DataType, what: str) -> pa.Array:
    """The values in the declared type, as many as there are."""
    typed = typed_array(values, what)
    return from_python(plain_values(values, what), target, what) if typed is None else cast(typed, target, what)


def _repeated(value: object, target: pa.DataType, rows: int, what: str) -> pa.Array:
    if isinstance(value, pa.Scalar):
        single = cast(pa.array([value.as_py()], value.type), target, what)
    elif isinstance(value, np.generic):
        single = to_array(np.asarray([value]), target, what)
    else:
        single = from_python([value], target, what)
    return single.take(pa.array(np.zeros(rows, np.int64)))
