"""Ids, as users pass them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.inputs.arrays import arrow_errors, own, plain_values, typed_array
from tiervdb.database.inputs.casts import INT, STRING, kind_of
from tiervdb.errors import InvalidInputError
from tiervdb.format.columns import id_arrow_type
from tiervdb.types import IdType

IdValues: TypeAlias = npt.ArrayLike | Iterable[int] | Iterable[str]  # one id, a list, an array of any library


def to_ids(values: object, id_type: IdType, what: str = "ids", unique: bool = True) -> pa.Array:
    """Ids as an Arrow array in memory of its own: one id, a list, or an array of any library.

    Raises InvalidInputError for a wrong type, a missing id, a number beyond int64 and, if ``unique``, for repeated ids.
    """
    if isinstance(values, str | int | np.integer):
        values = [values]
    typed = None if isinstance(values, list) else typed_array(values, what)
    array = _from_python(plain_values(values, what), id_type, what) if typed is None else _cast(typed, id_type, what)
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidInputError(f"{what}: row {row} has no id; every row needs one")
    if unique:
        check_unique(array, what)
    return array


def check_unique(ids: pa.Array, what: str) -> None:
    """Raises InvalidInputError that names ids that occur more than once."""
    if len(ids) < 2 or len(pc.unique(ids)) == len(ids):
        return
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    names = ", ".join(repr(v) for v in repeated[:5].to_pylist())
    raise InvalidInputError(
        f"{what}: {len(repeated)} ids occur more than once in one batch, for example {names}; keep one row of each"
    )


def _from_python(values: list[Any], id_type: IdType, what: str) -> pa.Array:
    allowed: tuple[type, ...] = (int, np.integer) if id_type == "int64" else (str,)
    kinds = set(map(type, values))
    if kinds == {int} and id_type == "int64":
        return _from_integers(values, what)
    if not all(issubclass(t, allowed) and t is not bool for t in kinds):
        row = next(i for i, v in enumerate(values) if isinstance(v, bool) or not isinstance(v, allowed))
        raise InvalidInputError(
            f"{what}: row {row} is {values[row]!r} ({type(values[row]).__name__}); this collection has {id_type} ids"
        )
    with arrow_errors(InvalidInputError, f"{what}: an id does not fit {id_type}"):
        return pa.array(values, id_arrow_type(id_type))


def _from_integers(values: list[int], what: str) -> pa.Array:
    """numpy takes a list of plain int faster than pa.array does, which looks for what pandas means by a null."""
    with arrow_errors(InvalidInputError, f"{what}: an id does not fit int64"):
        return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.array(values, np.int64))])


def _cast(array: pa.Array, id_type: IdType, what: str) -> pa.Array:
    target = id_arrow_type(id_type)
    if array.type == target:
        return own(array)
    if kind_of(array.type) != (INT if id_type == "int64" else STRING) and len(array) > array.null_count:
        raise InvalidInputError(
            f"{what}: {array.type} values were given, but this collection has {id_type} ids; convert them"
        )
    with arrow_errors(InvalidInputError, f"{what}: an id does not fit {id_type}"):
        return own(array.cast(target))
