from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiervdb.format import repository_paths as paths

ids = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")
shards = st.integers(0, 9999)
numbers = st.integers(0, 10**16 - 1)
keys = st.one_of(
    st.builds(paths.KeySlot, ids),
    st.builds(paths.DataKey, ids, ids),
    st.builds(paths.BackupKey, ids),
    st.builds(paths.ExpirationKey, ids),
    st.builds(paths.LeaseKey, ids),
    st.builds(paths.RepositoryPinKey, ids),
    st.builds(paths.TimelineKey, ids),
    st.builds(paths.RepositoryEpochKey, st.integers(0, 10**10 - 1)),
    st.builds(paths.PartKey, ids, shards, numbers),
    st.builds(paths.MergedKey, ids, shards, numbers, numbers),
    st.builds(paths.CompleteKey, ids, shards),
    st.builds(paths.OperationKey, ids),
    st.builds(paths.HoldKey, ids),
    st.builds(paths.CatalogStateKey, st.binary(min_size=32, max_size=32).map(bytes.hex)),
    st.builds(paths.CatalogFileKey, ids, st.sampled_from(["backups", "backup_objects"]), st.none() | shards),
)


@given(keys)
def test_parsing_reverses_formatting(key: paths.RepositoryKey) -> None:
    assert paths.parse(key.key) == key


@given(ids, shards, numbers, numbers)
def test_keys_sort_by_number(timeline: str, shard: int, one: int, other: int) -> None:
    first, second = paths.PartKey(timeline, shard, one), paths.PartKey(timeline, shard, other)
    assert (first.key < second.key) == (one < other)


@pytest.mark.parametrize("key", ["", "data/x", "../data", "backups/" + "0" * 31, "wal/" + "0" * 32 + "/1/2", "tmp/x"])
def test_strange_keys_are_not_ours(key: str) -> None:
    assert paths.parse(key) is None


def test_nonsense_has_no_key() -> None:
    for wrong in (paths.BackupKey("../x"), paths.PartKey("0" * 32, -1, 1), paths.RepositoryEpochKey(10**10)):
        with pytest.raises(ValueError, match=r"id|fit"):
            _ = wrong.key
