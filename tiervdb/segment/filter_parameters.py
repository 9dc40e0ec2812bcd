"""Parameters of filters: plain values of known types, whatever numpy or pandas gave."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from tiervdb.errors import FilterError
from tiervdb.types import CollectionSchema

Value = bool | int | float | str | date | datetime | None
Parameter = Value | list[Value]
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1


def plain_parameters(values: Sequence[Any], schema: CollectionSchema) -> tuple[Parameter, ...]:
    """The values as plain Python ones; lists and arrays as lists. Raises FilterError naming one that cannot be used.

    Times become UTC. One without a zone is refused unless the collection has a column of such times.
    """
    naive = any(c.type == "timestamp[us]" for c in schema.columns)
    return tuple(_parameter(value, f"parameter {n}", naive) for n, value in enumerate(values, 1))


def kinds(parameters: Sequence[Parameter]) -> tuple[object, ...]:
    """The parameters' types, by which DuckDB decides what an expression means."""
    return tuple((type(p), *{type(v) for v in p}) if isinstance(p, list) else type(p) for p in parameters)


def _parameter(value: Any, name: str, naive: bool) -> Parameter:
    if isinstance(value, np.ndarray):
        if value.ndim > 1:
            raise FilterError(f"{name} is an array of {value.ndim} dimensions; a filter takes values and plain lists")
        value = value.tolist() if value.dtype.kind != "M" else value.astype("datetime64[us]").tolist()
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(v, f"a value of {name}", naive) for v in value]
    return _value(value, name, naive)


def _value(value: Any, name: str, naive: bool) -> Value:
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _integer(int(value), name)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return _text(str(value), name)
    if isinstance(value, datetime):
        return _time(value, name, naive)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    raise FilterError(
        f"{name} is a {type(value).__name__}; "
        "a filter takes bool, int, float, str, date, datetime, None and lists of them"
    )


def _integer(value: int, name: str) -> int:
    if not _LOWEST <= value <= _HIGHEST:
        raise FilterError(f"{name} is an integer beyond 64 bits")
    return value


def _text(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise FilterError(f"{name} is not text that UTF-8 can hold: {error}") from None
    return value


def _time(value: datetime, name: str, naive: bool) -> datetime:
    plain = datetime(  # of pandas' subclass a datetime
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.tzinfo
    )
    if plain.utcoffset() is None:
        if not naive:
            raise FilterError(f"{name} is a time without a zone; use an aware one, e.g. datetime(..., tzinfo=UTC)")
        return plain
    return plain.astimezone(UTC)
