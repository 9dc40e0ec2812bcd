"""Vectors and queries, as users pass them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tiervdb.database.inputs.arrays import typed_array
from tiervdb.database.inputs.casts import is_list
from tiervdb.errors import InvalidInputError
from tiervdb.types import Metric, Vectors

CHECK_FLOATS = 1 << 20  # checked at a time, so that checking needs little memory
LEAST_LENGTH, MOST_LENGTH = 1e-15, 9e18  # of a vector; beyond them squares underflow or overflow float32
LEAST_SQUARE, MOST_SQUARE = LEAST_LENGTH**2, MOST_LENGTH**2
SHAPE_ADVICE = "give float32 of shape (rows, dim)"


def to_vectors(values: object, dim: int, metric: Metric, what: str = "vectors") -> Vectors:
    """Finite float32 ``(rows, dim)`` in memory of their own; one vector becomes one row. float32 stays bit for bit.

    Takes numpy arrays, lists of lists, Arrow lists, and pandas or polars columns of lists.
    Raises InvalidInputError for a wrong shape or type, missing, NaN or infinite values, and under cosine zero vectors.
    """
    if type(values) is np.ndarray and values.dtype == np.float32 and values.shape == (1, dim):
        row: Vectors = values.copy()
        if is_usable(row, metric):
            return row  # the plain form is the faster one
    vectors = as_matrix(values, dim, what)
    if vectors.shape[1] != dim:
        raise InvalidInputError(f"{what}: vectors of {vectors.shape[1]} dimensions, but the collection has dim={dim}")
    with np.errstate(over="ignore"):  # becomes infinite and is refused below
        owned = np.array(vectors, np.float32, order="C", copy=True)
    check_values(owned, metric, what)
    return owned


def to_queries(x: object, dim: int, metric: Metric) -> tuple[Vectors, bool]:
    """Queries as float32 ``(q, dim)``, and whether a single one, ``(dim,)``, was given. May share memory."""
    if isinstance(x, np.ndarray) and x.dtype == np.float32 and x.ndim in {1, 2}:
        if x.shape == (dim,) and x.flags.c_contiguous and is_usable(x, metric):
            return x.reshape(1, dim), True  # nearly every search comes this way
        given: npt.NDArray[Any] = x
    else:
        given = _one_or_many(x, dim)
    single = given.ndim == 1
    if given.shape[-1] != dim:
        shape = "a query" if single else "queries"
        raise InvalidInputError(f"search: {shape} of {given.shape[-1]} dimensions, but the collection has dim={dim}")
    with np.errstate(over="ignore"):
        queries = np.ascontiguousarray(given, np.float32).reshape(-1, dim)
    check_values(queries, metric, "search: queries")
    return queries, single


def check_values(vectors: Vectors, metric: Metric, what: str) -> None:
    """Raises InvalidInputError that names the first row whose distances could not be told.

    That is a row with NaN or infinite values, one so long that squared distances overflow float32, and under cosine one
    without length.
    """
    step = max(1, CHECK_FLOATS // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), step):
        part = vectors[start : start + step]
        usable = _usable(part, metric)
        if not usable.all():
            row = int(np.flatnonzero(~usable)[0])
            raise InvalidInputError(f"{what}: row {start + row} {_flaw(part[row])}")


def is_usable(vector: Vectors, metric: Metric) -> bool:
    """Whether a single vector passes ``check_values``. vdot does not warn of what overflows."""
    return bool(_least(metric) <= np.vdot(vector, vector) <= MOST_SQUARE)


def _usable(vectors: Vectors, metric: Metric) -> npt.NDArray[np.bool_]:
    """One flag a row. NaN and infinity show in the sum of squares, and fail every comparison with a limit."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
        usable: npt.NDArray[np.bool_] = (squares >= _least(metric)) & (squares <= MOST_SQUARE)
    return usable


def _least(metric: Metric) -> float:
    """The least sum of squares of a vector."""
    return LEAST_SQUARE if metric == "cosine" else 0.0


def _flaw(vector: npt.NDArray[Any]) -> str:
    if not np.isfinite(vector).all():
        return "has NaN, infinite or too large values (float32); remove or repair it"
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if length == 0:
        return "is all zeros and so has no cosine distance; leave it out, or use l2 or ip"
    return f"has length {length:.3g}, and distances need {LEAST_LENGTH:.0e} (cosine) to {MOST_LENGTH:.0e}; scale it"


def as_matrix(values: object, dim: int | None, what: str) -> npt.NDArray[Any]:
    """Numbers of shape ``(rows, n)``, of whatever type and with whatever values were given."""
    array = _array(values, dim, what)
    if array.ndim == 1:
        array = array.reshape(0, dim or 0) if not len(array) else array.reshape(1, -1)
    if array.ndim != 2:
        raise InvalidInputError(f"{what}: an array of shape {array.shape} was given; {SHAPE_ADVICE}")
    return array


def from_lists(array: pa.Array, dim: int | None, what: str) -> npt.NDArray[Any]:
    """An Arrow array of lists as ``(rows, dim)``, without a copy where Arrow's layout allows it."""
    if not is_list(array.type):
        raise InvalidInputError(f"{what}: {array.type} values were given where each row needs a list of numbers")
    if array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise InvalidInputError(f"{what}: row {row} has no vector; every row needs one")
    lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
    width = dim if dim is not None else int(lengths[0]) if len(lengths) else 0
    wrong = np.flatnonzero(lengths != width)
    if len(wrong):
        raise InvalidInputError(f"{what}: row {wrong[0]} has {lengths[wrong[0]]} values where {width} are needed")
    flat = array.flatten()
    if flat.null_count:
        row = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0]) // width
        raise InvalidInputError(f"{what}: row {row} has a missing value; vectors must be complete")
    return _numbers(flat.to_numpy(zero_copy_only=False), what).reshape(len(array), width)


def _one_or_many(x: object, dim: int) -> npt.NDArray[Any]:
    given = _array(x, dim, "search: queries")
    if given.ndim not in {1, 2}:
        raise InvalidInputError(f"search: queries of shape {given.shape}; give (dim,) for one or (q, dim) for several")
    if given.ndim == 1 and not len(given):
        raise InvalidInputError(f"search: an empty query; give {dim} numbers")
    return given


def _array(values: object, dim: int | None, what: str) -> npt.NDArray[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return _numbers(values, what)
    if hasattr(values, "__array__") and getattr(values, "ndim", 1) > 1:  # a matrix of another library
        return _numbers(np.asarray(values), what)
    if isinstance(values, pa.Array | pa.ChunkedArray) or hasattr(values, "__arrow_c_stream__"):
        return _from_arrow(typed_array(values, what), dim, what)
    if hasattr(values, "__array__") and not isinstance(values, np.ndarray):
        return _numbers(np.asarray(values), what)
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what}: {type(values).__name__} was given; {SHAPE_ADVICE}")
    return _from_sequence(values if isinstance(values, Sequence | np.ndarray) else list(values), what)


def _from_arrow(array: Any, dim: int | None, what: str) -> npt.NDArray[Any]:
    if is_list(array.type):
        return from_lists(array, dim, what)
    return _numbers(array.to_numpy(zero_copy_only=False), what)


def _from_sequence(values: Sequence[Any] | npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """Lists of lists, or of arrays: these are joined without going through Python numbers."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = np.stack([np.asarray(v) for v in values])
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"{what}: {_ragged(values) or error}; {SHAPE_ADVICE}") from error
    return _numbers(array, what)


def _ragged(values: Iterable[Any]) -> str:
    """Where the rows begin to have another length; nothing if that is not the problem."""
    lengths = [len(v) if hasattr(v, "__len__") else -1 for v in values]
    row = next((i for i, n in enumerate(lengths) if n != lengths[0]), None)
    return "" if row is None else f"row {row} has {lengths[row]} values, row 0 has {lengths[0]}"


def _numbers(array: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    if array.dtype.kind not in "fiu" and array.size:
        raise InvalidInputError(f"{what}: {array.dtype} values were given where numbers are needed; {SHAPE_ADVICE}")
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise InvalidInputError(f"{what}: some values are masked; vectors must be complete")
    return array if array.size or array.dtype.kind in "fiu" else array.astype(np.float32)
