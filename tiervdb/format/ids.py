"""The 64-bit hash of ids. It is part of the format of id indexes and of sharding, and never changes."""

from __future__ import annotations

from itertools import pairwise

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
