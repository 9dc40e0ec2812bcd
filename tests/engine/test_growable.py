from __future__ import annotations

import numpy as np
import pytest

from tiervdb.engine.growable import Growable


@pytest.mark.parametrize("steps", [[1] * 200, [63, 1, 1], [1000], [0, 64, 0, 1]])
def test_it_holds_what_was_appended(steps: list[int]) -> None:
    column, expected = Growable(np.int64), []
    for step in steps:
        values = list(range(len(expected), len(expected) + step))
        column.extend(values, step)
        expected += values
        assert column.size == len(expected)
        assert column.view().tolist() == expected


def test_a_scalar_is_repeated_and_rows_have_a_width() -> None:
    column = Growable(np.float32, 3)
    column.extend(7.0, 2)
    column.extend(np.array([[1, 2, 3]]), 1)
    assert column.view().tolist() == [[7, 7, 7], [7, 7, 7], [1, 2, 3]]


def test_a_view_keeps_showing_what_it_showed() -> None:
    column = Growable(np.int64)
    column.extend(np.arange(60), 60)
    early = column.view(50)
    for _ in range(10):
        column.extend(np.full(100, -1), 100)
    assert early.tolist() == list(range(50))
    assert column.view(50).tolist() == list(range(50))


def test_a_view_is_not_a_copy() -> None:
    column = Growable(np.int64)
    column.extend([1, 2], 2)
    column.view()[1] = 5
    assert column.view().tolist() == [1, 5]
