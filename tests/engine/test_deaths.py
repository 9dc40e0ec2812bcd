from __future__ import annotations

import numpy as np
import pytest

from tests.engine.values import hot
from tiervdb.engine.deaths import DeathLog, mark
from tiervdb.engine.deletions import read_deletions, write_deletions
from tiervdb.errors import CorruptionError
from tiervdb.storage.os_dir import OsDir


def test_deaths_are_counted_by_seq() -> None:
    log = DeathLog()
    assert (len(log), log.count_until(99)) == (0, 0)
    log.add(np.array([4, 2]), 3)
    log.add(np.array([9]), 5)
    assert [log.count_until(seq) for seq in (0, 2, 3, 4, 5, 6)] == [0, 0, 2, 2, 3, 3]
    assert log.rows(log.count_until(4)).tolist() == [4, 2]
    assert log.rows().tolist() == [4, 2, 9]
    assert log.seqs().tolist() == [3, 3, 5]


def test_the_largest_seqs_are_compared_exactly() -> None:
    log = DeathLog()
    log.add(np.array([1, 2]), np.array([2**63, 2**63 + 1], np.uint64))
    assert [log.count_until(2**63 + n) for n in (-1, 0, 1)] == [0, 1, 2]


def test_mark_copies() -> None:
    dead = np.array([True, False, False])
    marked = mark(dead, 3, np.array([2]), np.array([], np.int64))
    assert marked is not None
    assert (marked.tolist(), dead.tolist()) == ([True, False, True], [True, False, False])
    assert mark(None, 3) is None
    assert mark(None, 3, np.array([], np.int64)) is None
    assert mark(None, 2, np.array([1])).tolist() == [False, True]


def test_deletion_vectors_are_read_back(os_dir: OsDir) -> None:
    dead = np.zeros(100, np.bool_)
    dead[[3, 99]] = True
    entry = write_deletions(os_dir, hot(1), dead, version=7)
    assert (entry.dead, entry.deletions.name[-10:]) == (2, "00007.dead")
    assert np.array_equal(read_deletions(os_dir, entry), dead)
    assert read_deletions(os_dir, hot(1)) is None


def test_a_deletion_vector_of_another_version_is_noticed(os_dir: OsDir) -> None:
    dead = np.zeros(100, np.bool_)
    dead[3] = True
    entry = write_deletions(os_dir, hot(1), dead, version=7)
    dead[4] = True
    write_deletions(os_dir, hot(1), dead, version=7)
    with pytest.raises(CorruptionError, match=r"0000000007\.dead"):
        read_deletions(os_dir, entry)
