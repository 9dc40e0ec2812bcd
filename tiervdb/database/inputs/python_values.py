"""Plain Python objects as Arrow arrays of a declared type, checked one by one where Arrow would guess."""

from __future__ import annotations

import datetime as dt
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from tiervdb.database.inputs.arrays import arrow_errors
from tiervdb.database.inputs.casts import ADVICE, AWARE, BOOL, FLOAT, INT, NAIVE, STRING, STRINGS, cast, kind_of
from tiervdb.errors import SchemaError

ALLOWED: dict[str, tuple[type, ...]] = {
    BOOL: (bool, np.bool_),
    INT: (int, np.integer),
    FLOAT: (float, int, np.floating, np.integer),
    STRING: (str,),
    NAIVE: (dt.date,),  # datetime is a date
    AWARE: (dt.datetime,),
    STRINGS: (list, tuple, np.ndarray),
}
MISSING = frozenset({"NoneType", "NAType", "NaTType"})  # the last two are pandas'
SCALARS = (str, bytes, bool, int, float, dt.date, np.generic, pa.Scalar)


def is_scalar(value: object, target: pa.DataType) -> bool:
    """Whether it is one value for all rows. For a list column that is a list of strings."""
    if value is None or isinstance(value, SCALARS):
        return True
    if kind_of(target) != STRINGS or not isinstance(value, list | tuple):
        return False
    return all(isinstance(v, str) for v in value)


def from_python(values: list[Any], target: pa.DataType, what: str) -> pa.Array:
    """An array of the declared type. Raises SchemaError that names the first row that does not fit."""
    kind = kind_of(target)
    found = set(map(type, values))
    if any(t.__name__ in MISSING and t is not type(None) for t in found):
        values = [None if type(v).__name__ in MISSING else v for v in values]
        found = set(map(type, values))
    if not all(_allowed(t, kind) for t in found):
        row = next(i for i, v in enumerate(values) if not _allowed(type(v), kind))
        raise SchemaError(f"{what}: row {row} is {_shown(values[row])}, but the column holds {target}; {_advice(kind)}")
    if kind in {NAIVE, AWARE}:
        _check_zones(values, kind, target, what)
        values = [_at_midnight(v) for v in values]
    if kind == STRINGS:
        _check_members(values, what)
    with arrow_errors(SchemaError, f"{what}: a value does not fit the column's type {target}"):
        return cast(pa.array(values, pa.float64()), target, what) if kind == FLOAT else pa.array(values, target)


def _allowed(given: type, kind: str) -> bool:
    if given is type(None):
        return True
    return issubclass(given, ALLOWED[kind]) and (kind == BOOL or not issubclass(given, bool))


def _check_zones(values: list[Any], kind: str, target: pa.DataType, what: str) -> None:
    """Arrow would take a naive time for UTC, and drop nanoseconds of pandas' timestamps."""
    for row, value in enumerate(values):
        if value is None:
            continue
        aware = isinstance(value, dt.datetime) and value.utcoffset() is not None
        if aware != (kind == AWARE):
            given = AWARE if aware else NAIVE
            raise SchemaError(f"{what}: row {row} is {_shown(value)}; the column holds {target}: {ADVICE[kind, given]}")
        if getattr(value, "nanosecond", 0):
            raise SchemaError(f"{what}: row {row} is {_shown(value)}, finer than {target}; round to microseconds first")


def _at_midnight(value: Any) -> Any:
    """Arrow cuts the times off if the first of several values is a date."""
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime.combine(value, dt.time.min)
    return value


def _check_members(values: list[Any], what: str) -> None:
    members = set(map(type, chain.from_iterable(v for v in values if v is not None)))
    wrong = next((t for t in members if not issubclass(t, str | None)), None)
    if wrong is not None:
        raise SchemaError(f"{what}: a list has a member of type {wrong.__name__}; the column holds lists of strings")


def _advice(kind: str) -> str:
    names = ", ".join(dict.fromkeys(t.__name__ for t in ALLOWED[kind] if t.__module__ != "numpy"))
    return f"give {names}, or None for a missing value"


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
