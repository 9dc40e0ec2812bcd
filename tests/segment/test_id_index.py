from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.format.damage import assert_notices
from tests.segment.cold_values import block_file, reader
from tiervdb.errors import CorruptionError, InvalidInputError, NewerFormatError
from tiervdb.segment import id_index
from tiervdb.segment.id_index import IdIndex, build


def index(ids: pa.Array) -> IdIndex:
    return IdIndex(reader(block_file(*build(ids))))


@given(st.lists(st.text(max_size=6), unique=True, max_size=60), st.lists(st.text(max_size=6), max_size=20))
def test_strings(ids: list[str], others: list[str]) -> None:
    found = index(pa.array(ids, pa.string()))
    assert found.rows == len(ids)
    assert found.ids().to_pylist() == ids
    if ids:
        assert found.values(np.arange(len(ids))[::-1]).tolist() == ids[::-1]
    assert found.lookup(pa.array(ids, pa.string())).tolist() == list(range(len(ids)))
    expected = [ids.index(o) if o in ids else -1 for o in others]
    assert found.lookup(pa.array(others, pa.string())).tolist() == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, max_size=60), st.lists(st.integers(-3, 3), max_size=9))
def test_integers(ids: list[int], others: list[int]) -> None:
    found = index(pa.array(ids, pa.int64()))
    assert found.ids().to_pylist() == ids
    if ids:
        assert found.values(np.arange(len(ids))[::-1]).tolist() == ids[::-1]
    assert found.lookup(pa.array(ids, pa.int64())).tolist() == list(range(len(ids)))
    assert found.lookup(pa.array(others, pa.int64())).tolist() == [ids.index(o) if o in ids else -1 for o in others]


def test_ids_of_some_rows_and_of_slices() -> None:
    everything = pa.array([f"w{n}" for n in range(100)])
    found = index(everything.slice(10, 50))
    assert found.ids(np.array([49, 0, 0])).to_pylist() == ["w59", "w10", "w10"]
    for count in (1, 3, 64, 65, 500):
        rows = np.arange(count) % 50
        assert found.values(rows).tolist() == found.ids(rows).to_pylist()
    assert found.lookup(everything.slice(55, 10)).tolist() == [45, 46, 47, 48, 49, -1, -1, -1, -1, -1]
    numbers = index(pa.array(range(100)).slice(90))
    assert numbers.ids().to_pylist() == list(range(90, 100))


def test_ids_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_index, "hash_ids", lambda ids: np.full(len(ids), 7, np.uint64))
    found = index(pa.array(["a", "b", "c"]))
    assert found.lookup(pa.array(["c", "x", "a", "b"])).tolist() == [2, -1, 0, 1]
    with pytest.raises(InvalidInputError, match="'b' occurs twice"):
        list(build(pa.array(["a", "b", "c", "b"])))


def test_duplicates_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="5 occurs twice"):
        list(build(pa.array([5, 1, 5])))
    with pytest.raises(InvalidInputError, match="null"):
        list(build(pa.array([5, None])))


def test_ids_of_the_other_type_are_not_found() -> None:
    assert index(pa.array([1, 2])).lookup(pa.array(["1"])).tolist() == [-1]


@pytest.mark.parametrize("ids", [pa.array(["a", "bc", ""]), pa.array([1, -1])])
def test_damage_is_noticed(ids: pa.Array) -> None:
    def read(data: bytes) -> tuple[list[object], list[int]]:
        found = IdIndex(reader(data))
        return found.ids().to_pylist(), found.lookup(ids).tolist()

    expected = (ids.to_pylist(), list(range(len(ids))))
    assert_notices(block_file(*build(ids)), read, lambda value: value == expected)


def test_damage_behind_right_checksums_is_noticed() -> None:
    """What a block file's checksums cannot catch: an index that was written wrong."""
    data = b"".join(bytes(piece) for piece in build(pa.array(["a", "bc", ""])))

    def read(form: bytes) -> tuple[list[str], list[int]]:
        found = IdIndex(reader(block_file(form)))
        return found.ids().to_pylist(), found.lookup(pa.array(["a"])).tolist()

    for at in range(32):  # the header
        form = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        if 10 <= at < 16:
            continue  # padding
        with pytest.raises(NewerFormatError if at in {6, 7} else CorruptionError, match="the file"):
            read(form)
    wrong_rows = data[:56] + b"\xff\xff\xff\xff" + data[60:]
    with pytest.raises(CorruptionError, match="names row"):
        read(wrong_rows)
    wrong_offset = data[:72] + b"\xff\xff\xff\xff" + data[76:]
    with pytest.raises(CorruptionError, match="no text"):
        read(wrong_offset)


def test_a_newer_index_is_told_from_a_damaged_one() -> None:
    data = b"".join(bytes(piece) for piece in build(pa.array(["a", "bc"])))
    assert data[6:8] == b"\1\0", "its version"
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        IdIndex(reader(block_file(data[:6] + b"\2\0" + data[8:])))
    with pytest.raises(CorruptionError, match="version 0"):
        IdIndex(reader(block_file(data[:6] + b"\0\0" + data[8:])))
