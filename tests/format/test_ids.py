from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiervdb.errors import InvalidInputError
from tiervdb.format.ids import arrow_rows, hash_ids, numpy_ids


def splitmix64(value: int) -> int:
    mask = 2**64 - 1
    z = (value + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_hashed_by_splitmix64(values: list[int]) -> None:
    assert hash_ids(pa.array(values, pa.int64())).tolist() == [splitmix64(v) for v in values]


@given(st.lists(st.text()), st.integers(0, 3))
def test_a_slice_hashes_like_its_values(values: list[str], start: int) -> None:
    whole = pa.array(values, pa.string())
    assert hash_ids(whole[start:]).tolist() == hash_ids(pa.array(values[start:], pa.string())).tolist()
    assert hash_ids(whole).tolist() == [int(hash_ids(pa.array([v]))[0]) for v in values]


def test_hashes_never_change() -> None:
    assert hash_ids(pa.array([0, 1, -1, 2**63 - 1, -(2**63)])).tolist() == [
        16294208416658607535,
        10451216379200822465,
        16490336266968443936,
        3055647633038352039,
        5196802822362493915,
    ]
    assert hash_ids(pa.array(["", "a", "king", "naïve \U0001f451", "x" * 300])).tolist() == [
        3244421341483603138,
        16629034431890738719,
        13541271992584203726,
        11609540741267037010,
        11948529612910769492,
    ]


@pytest.mark.parametrize(
    "ids", [pa.array([1, None]), pa.array(["a", None]), pa.array([1.5]), pa.array([1], pa.int32())]
)
def test_other_ids_are_refused(ids: pa.Array) -> None:
    with pytest.raises(InvalidInputError, match="cannot hash ids"):
        hash_ids(ids)


def test_input_is_left_as_it_was() -> None:
    ids = pa.array([3, 4, 5])
    hash_ids(ids)
    assert ids.to_pylist() == [3, 4, 5]


@pytest.mark.parametrize("ids", [[], [3, 1, 2**62], ["b", "", "ä"]])
def test_ids_as_numpy_are_those_of_arrow(ids: list[object]) -> None:
    kind = pa.string() if ids and isinstance(ids[0], str) else pa.int64()
    whole = pa.array([*ids, *ids], kind)
    for array in (whole, whole.slice(1, len(ids)), whole.slice(0, 0)):
        expected = array.to_numpy(zero_copy_only=False)
        found = numpy_ids(array)
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("rows", [np.arange(0), np.arange(5), np.arange(20)[::4], np.arange(3, dtype=np.uint32)])
def test_rows_as_arrow(rows: np.ndarray) -> None:
    found = arrow_rows(rows)
    found.validate(full=True)
    assert found.equals(pa.array(rows, pa.int64()))
