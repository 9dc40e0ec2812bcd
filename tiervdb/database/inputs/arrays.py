"""Whatever holds a column of values, as one Arrow array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from tiervdb.errors import InvalidInputError, TiervdbError

ARROW_ERRORS = (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError)


@contextmanager
def arrow_errors(kind: type[InvalidInputError], doing: str) -> Iterator[None]:
    """Turns what Arrow and numpy raise about values into an error of ours that says what was being done."""
    try:
        yield
    except TiervdbError:
        raise
    except ARROW_ERRORS as error:
        raise kind(f"{doing}: {error}") from error


def typed_array(values: object, what: str) -> pa.Array | None:
    """The values as an Arrow array of their own type; None if they are plain Python objects.

    Takes Arrow arrays, numpy arrays of one dimension, and everything that speaks Arrow's C interface or has
    ``__array__`` (pandas, polars). May share memory with what was given: see ``own``.
    """
    with arrow_errors(InvalidInputError, f"{what}: the values cannot be read as one Arrow array"):
        if isinstance(values, pa.Array):
            return values
        if isinstance(values, pa.ChunkedArray):
            return joined(values)
        if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
            return joined(pa.chunked_array(values))
        if isinstance(values, np.ndarray) or hasattr(values, "__array__"):
            return _from_numpy(values, what)
    return None


def plain_values(values: object, what: str) -> list[Any]:
    """The values as a list of Python objects."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInputError(f"{what}: give a list or an array, not {type(values).__name__}")
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def joined(chunks: pa.ChunkedArray) -> pa.Array:
    """All chunks as one array."""
    return pa.concat_arrays(chunks.chunks) if chunks.num_chunks else pa.array([], chunks.type)


def own(array: pa.Array) -> pa.Array:
    """A copy: a later change by the caller does not reach it, and it keeps no more memory than its rows need."""
    if pa.types.is_null(array.type):
        return array
    return pa.concat_arrays([array.slice(0, 0), array])


def _from_numpy(values: Any, what: str) -> pa.Array | None:
    array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    if array.ndim == 0:
        return None
    if array.ndim != 1:
        raise InvalidInputError(f"{what}: an array of shape {array.shape} was given where one dimension is needed")
    if array.dtype.kind == "O":
        return None
    if array.dtype.kind == "M" and np.datetime_data(array.dtype)[0] in {"h", "m"}:
        array = array.astype("datetime64[s]")  # Arrow does not know these units
    if array.dtype.kind in "iuf" and array.dtype.isnative and not isinstance(array, np.ma.MaskedArray):
        # pa.array would import pandas, to see whether it was given something of it: 0.3 s at the first write.
        buffer = pa.py_buffer(np.ascontiguousarray(array))
        return pa.Array.from_buffers(pa.from_numpy_dtype(array.dtype), len(array), [None, buffer])
    return pa.array(array)
