"""The 64-bit hash of ids. It is part of the format of id indexes and of sharding, and never changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from tiervdb.errors import InvalidInputError

Hashes = npt.NDArray[np.uint64]


def hash_ids(ids: pa.Array) -> Hashes:
    """One hash an id, ``(rows,)`` uint64.

    int64: the finalizer of splitmix64 (Steele, Lea, Flood 2014, with its increment added first) of the two's
    complement; string: XXH3 64-bit, seed 0, of the UTF-8 bytes. Raises InvalidInputError for nulls and other types.
    """
    if ids.null_count:
        raise InvalidInputError(f"cannot hash ids: {ids.null_count} of them are null")
    if pa.types.is_int64(ids.type):
        return _hash_integers(ids.to_numpy(zero_copy_only=True))
    if pa.types.is_string(ids.type):
        return _hash_strings(ids)
    raise InvalidInputError(f"cannot hash ids of type {ids.type}; ids are int64 or string")


def arrow_rows(rows: npt.NDArray[np.int64]) -> pa.Array:
    """Row numbers as Arrow, not copied. ``pa.array`` imports pandas where it is installed: 27 MB and 0.4 s."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(np.ascontiguousarray(rows, np.int64))])


def numpy_ids(ids: pa.Array) -> npt.NDArray[Any]:
    """Ids as numpy: int64 not copied, or an array of ``str``. Arrow's own ``to_numpy`` imports pandas likewise."""
    if pa.types.is_int64(ids.type) and len(ids):
        return np.frombuffer(ids.buffers()[1], np.int64, len(ids), ids.offset * 8)
    found = np.empty(len(ids), np.int64 if pa.types.is_int64(ids.type) else np.object_)
    found[:] = ids.to_pylist()
    return found


def _hash_integers(values: npt.NDArray[np.int64]) -> Hashes:
    x = values.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def _hash_strings(ids: pa.Array) -> Hashes:
    _, offsets, data = ids.buffers()
    if data is None or not len(ids):
        return np.full(len(ids), xxh3_64_intdigest(b""), dtype=np.uint64)
    ends = np.frombuffer(offsets, dtype=np.int32)[ids.offset : ids.offset + len(ids) + 1].tolist()
    text = memoryview(data)
    return np.fromiter((xxh3_64_intdigest(text[a:b]) for a, b in pairwise(ends)), dtype=np.uint64, count=len(ids))
