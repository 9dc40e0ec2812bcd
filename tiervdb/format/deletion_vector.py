"""Deletion vectors: which rows of a segment are dead as of a manifest. See docs/formats/deletion_vector.md."""

from __future__ import annotations

import struct

import numpy as np

from tiervdb.format.envelope import damaged, seal, unseal
from tiervdb.types import Mask

DELETION_VERSION = 1
_MAGIC = b"TVDEAD"
_HEAD = struct.Struct("<QQB7x")
_BITS, _ROWS = 0, 1


def encode(dead: Mask) -> bytes:
    """A mask (True = dead) as packed bits or as row numbers, whichever is smaller."""
    rows, count = len(dead), int(np.count_nonzero(dead))
    if count * 4 < (rows + 7) // 8 and rows <= 2**32:
        kind, body = _ROWS, np.flatnonzero(dead).astype("<u4").tobytes()
    else:
        kind, body = _BITS, np.packbits(dead, bitorder="little").tobytes()
    return seal(_MAGIC, DELETION_VERSION, _HEAD.pack(rows, count, kind) + body)


def decode(data: bytes | memoryview, name: str, rows: int) -> Mask:
    """The mask of a segment of ``rows`` rows.

    Raises CorruptionError naming ``name``, also if it was written for another number of rows; NewerFormatError.
    """
    payload = unseal(data, _MAGIC, DELETION_VERSION, name)
    if len(payload) < _HEAD.size:
        raise damaged(name, "it is too short")
    found, count, kind = _HEAD.unpack_from(payload)
    body = payload[_HEAD.size :]
    if found != rows:
        raise damaged(name, f"it is for {found} rows and its segment has {rows}")
    if kind == _BITS:
        dead = _from_bits(body, rows, name)
    elif kind == _ROWS:
        dead = _from_rows(body, rows, name)
    else:
        raise damaged(name, f"it has the unknown kind {kind}")
    if np.count_nonzero(dead) != count:
        raise damaged(name, f"it does not mark the {count} rows that it claims")
    return dead


def _from_bits(body: memoryview, rows: int, name: str) -> Mask:
    if len(body) != (rows + 7) // 8:
        raise damaged(name, f"{len(body)} bytes of bits do not cover {rows} rows")
    packed = np.frombuffer(body, dtype=np.uint8)
    return np.unpackbits(packed, count=rows, bitorder="little").view(np.bool_)


def _from_rows(body: memoryview, rows: int, name: str) -> Mask:
    if len(body) % 4:
        raise damaged(name, f"{len(body)} bytes are no row numbers")
    marked = np.frombuffer(body, dtype="<u4").astype(np.int64)
    if len(marked) and (int(marked[-1]) >= rows or bool((np.diff(marked) <= 0).any())):
        raise damaged(name, "its row numbers do not ascend within the segment")
    dead = np.zeros(rows, dtype=np.bool_)
    dead[marked] = True
    return dead
