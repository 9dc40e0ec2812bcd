"""Conversions that lose nothing: from whatever Arrow type was given to the declared one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.inputs.arrays import arrow_errors, own
from tiervdb.errors import SchemaError

BOOL, INT, FLOAT, STRING, STRINGS = "bool", "integer", "float", "string", "list of strings"
NAIVE, AWARE, DATE, NULL = "timestamp without zone", "timestamp with zone", "date", "null"

# A float becomes an integer where it is whole: pandas turns integers with missing values into floats.
ACCEPTED = {
    BOOL: {BOOL},
    INT: {INT, FLOAT},
    FLOAT: {FLOAT, INT},
    STRING: {STRING},
    STRINGS: {STRINGS},
    NAIVE: {NAIVE, DATE},
    AWARE: {AWARE},
}

ADVICE = {
    (AWARE, NAIVE): "attach a zone first, for example .replace(tzinfo=UTC) or .dt.tz_localize('UTC')",
    (NAIVE, AWARE): "the column has no zone: convert to one zone and drop it first",
    (AWARE, STRING): "parse the text first, for example with datetime.fromisoformat",
    (NAIVE, STRING): "parse the text first, for example with datetime.fromisoformat",
}


def kind_of(given: pa.DataType) -> str:
    """What sort of values an Arrow type holds; the type's own name where it is none of ours."""
    tests = (
        (BOOL, pa.types.is_boolean),
        (INT, pa.types.is_integer),
        (FLOAT, pa.types.is_floating),
        (STRING, _is_text),
        (DATE, pa.types.is_date),
        (NULL, pa.types.is_null),
    )
    if pa.types.is_dictionary(given):
        return kind_of(given.value_type)
    if pa.types.is_timestamp(given):
        return NAIVE if given.tz is None else AWARE
    if is_list(given):
        return STRINGS if kind_of(given.value_type) in {STRING, NULL} else str(given)
    return next((kind for kind, test in tests if test(given)), str(given))


def is_list(given: pa.DataType) -> bool:
    """A list type of any layout."""
    types = pa.types
    return bool(
        types.is_list(given)
        or types.is_large_list(given)
        or types.is_fixed_size_list(given)
        or types.is_list_view(given)
        or types.is_large_list_view(given)
    )


def cast(array: pa.Array, target: pa.DataType, what: str) -> pa.Array:
    """The values in the declared type and in memory of their own.

    Raises SchemaError where the kinds differ or a value would change: out of range, not whole, finer than a
    microsecond. A float64 given for a float32 column is rounded to the nearest.
    """
    given, wanted = kind_of(array.type), kind_of(target)
    if given == NULL:
        return pa.nulls(len(array), target)
    if given not in ACCEPTED[wanted]:
        advice = ADVICE.get((wanted, given), f"convert the values, or declare the column as {given}")
        raise SchemaError(f"{what}: the column holds {target}, but {given} values ({array.type}) were given; {advice}")
    if array.type == target:
        return own(array)
    with arrow_errors(SchemaError, f"{what}: a value does not fit the column's type {target}"):
        converted = _convert(array, target)
    if wanted == FLOAT:
        _refuse_overflow(array, converted, what)
    return own(converted)


def _convert(array: pa.Array, target: pa.DataType) -> pa.Array:
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        return pa.array(array.to_pylist(), target)  # Arrow's own cast of views gives arrays that are not valid
    if pa.types.is_timestamp(target) and pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("s"))
    if pa.types.is_float16(array.type) and pa.types.is_integer(target):
        array = array.cast(pa.float32())
    return array.cast(target)


def _refuse_overflow(before: pa.Array, after: pa.Array, what: str) -> None:
    """Rounding to a narrower float must not make a finite value infinite."""
    if not pa.types.is_floating(before.type) or before.type.bit_width <= after.type.bit_width:
        return
    lost = pc.and_(pc.is_inf(after), pc.is_finite(before)).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(np.equal(lost, True))
    if len(rows):
        value = before[int(rows[0])].as_py()
        raise SchemaError(f"{what}: row {rows[0]} is {value!r}, too large for {after.type}; make the column float64")


def _is_text(given: pa.DataType) -> bool:
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given))
