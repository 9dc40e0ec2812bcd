from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.format.damage import assert_notices
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import deletion_vector
from tiervdb.format.envelope import ENVELOPE_LENGTH, seal
from tiervdb.types import Mask


@given(arrays.arrays(np.bool_, st.integers(0, 300)))
def test_masks_read_back(dead: Mask) -> None:
    back = deletion_vector.decode(deletion_vector.encode(dead), "the file", len(dead))
    assert back.dtype == np.bool_
    assert (back == dead).all()


@given(st.sets(st.integers(0, 9999), max_size=400))
def test_the_smaller_form_is_taken(rows: set[int]) -> None:
    dead = np.zeros(10_000, np.bool_)
    dead[list(rows)] = True
    data = deletion_vector.encode(dead)
    assert len(data) == ENVELOPE_LENGTH + 24 + min(4 * len(rows), 1250)
    assert (deletion_vector.decode(data, "the file", 10_000) == dead).all()


@pytest.mark.parametrize("dead", [np.array([True, False] * 20), np.arange(500) % 250 == 3])
def test_every_damage_is_noticed(dead: Mask) -> None:
    data = deletion_vector.encode(dead)
    assert_notices(data, lambda d: deletion_vector.decode(d, "the file", len(dead)), lambda b: bool((b == dead).all()))


def test_another_segments_vector_is_refused() -> None:
    with pytest.raises(CorruptionError, match="for 8 rows and its segment has 9"):
        deletion_vector.decode(deletion_vector.encode(np.zeros(8, np.bool_)), "the file", 9)


def payload(rows: int, count: int, kind: int, body: bytes) -> bytes:
    head = rows.to_bytes(8, "little") + count.to_bytes(8, "little") + bytes([kind]) + bytes(7)
    return seal(b"TVDEAD", 1, head + body)


@pytest.mark.parametrize(
    "data",
    [
        seal(b"TVDEAD", 1, b"short"),
        payload(9, 0, 2, b""),
        payload(9, 0, 0, b"\0"),
        payload(9, 1, 0, b"\0\0"),
        payload(9, 0, 1, b"\0"),
        payload(9, 1, 1, (9).to_bytes(4, "little")),
        payload(9, 2, 1, (3).to_bytes(4, "little") * 2),
        payload(9, 2, 1, (3).to_bytes(4, "little")),
    ],
)
def test_nonsense_with_a_right_checksum_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        deletion_vector.decode(data, "the file", 9)


def test_a_newer_vector_is_told_from_a_damaged_one() -> None:
    newer = seal(b"TVDEAD", 2, b"as only a later version understands it")
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        deletion_vector.decode(newer, "the file", 9)
    with pytest.raises(CorruptionError, match="checksum"):
        deletion_vector.decode(newer[:-1] + b"!", "the file", 9)
