from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiervdb.format import paths
from tiervdb.format.paths import (
    CodebookName,
    ColdPinKey,
    DeletionKey,
    DeletionName,
    EpochKey,
    IntentName,
    LogName,
    ManifestName,
    ObjectKey,
    PinName,
    PublishedName,
    SegmentFileName,
    WalName,
)

ids = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")
shards = st.integers(0, 9999)
seqs = st.integers(0, 2**64 - 1)
versions = st.integers(0, 10**16 - 1)
epochs = st.integers(0, 10**10 - 1)
local_names = st.one_of(
    st.builds(WalName, shards, seqs),
    st.builds(PublishedName, shards),
    st.builds(ManifestName, shards, versions, st.booleans()),
    st.builds(SegmentFileName, ids, st.sampled_from(paths.SEGMENT_ROLES)),
    st.builds(DeletionName, ids, versions),
    st.builds(CodebookName, ids),
    st.builds(PinName, ids),
    st.builds(IntentName, ids),
    st.builds(LogName, shards, seqs, seqs),
)
cold_keys = st.one_of(
    st.builds(ObjectKey, ids, epochs, ids, st.sampled_from(paths.COLD_ROLES)),
    st.builds(EpochKey, ids, epochs),
    st.builds(ColdPinKey, ids, ids),
    st.builds(DeletionKey, ids, epochs),
)


@given(local_names)
def test_local_names_parse_back(value: paths.LocalName) -> None:
    assert paths.parse_local(value.name) == value


@given(cold_keys)
def test_cold_keys_parse_back(value: paths.ColdKey) -> None:
    assert paths.parse_key(value.key) == value


@given(local_names.map(lambda n: n.name) | cold_keys.map(lambda k: k.key), st.data())
def test_what_parses_is_what_is_formatted(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.text(max_size=2)) + text[at + 1 :]
    local, key = paths.parse_local(changed), paths.parse_key(changed)
    assert local is None or local.name == changed
    assert key is None or key.key == changed


@given(shards, seqs, seqs)
def test_wal_names_sort_by_seq(shard: int, a: int, b: int) -> None:
    assert (WalName(shard, a).name < WalName(shard, b).name) == (a < b)


@pytest.mark.parametrize(
    "name",
    [
        "../wal/0000-00000000000000000001.wal",
        "wal/../0000.published",
        "wal/0000-00000000000000000001.wal\n",
        "wal/0000-\u0661\u0661111111111111111111.wal",
        "wal/0000-99999999999999999999.wal",
        "segments/" + "A" * 32 + ".vectors",
        "segments/" + "a" * 32 + ".exe",
        "/pins/" + "a" * 32 + ".pin",
        "tiervdb.json",
        "",
    ],
)
def test_other_names_mean_nothing(name: str) -> None:
    assert paths.parse_local(name) is None
    assert paths.parse_key(name) is None


@pytest.mark.parametrize(
    "value",
    [
        WalName(10_000, 1),
        WalName(0, 2**64),
        ManifestName(-1, 1),
        SegmentFileName("../x", "ids"),
        SegmentFileName("a" * 32, "../x"),
        PinName("x"),
    ],
)
def test_what_fits_no_name_is_refused(value: paths.LocalName) -> None:
    with pytest.raises(ValueError, match=r"does not fit|is not"):
        _ = value.name


def test_keys_refuse_what_they_cannot_hold() -> None:
    for key in (ObjectKey("a" * 32, 1, "b" * 32, "exe"), ObjectKey("a", 1, "b" * 32, "parquet"), ColdPinKey("a", "b")):
        with pytest.raises(ValueError, match="is not"):
            _ = key.key


def test_names_of_the_first_version() -> None:
    i, j = "0" * 31 + "1", "f" * 32
    assert [n.name for n in (WalName(0, 1), PublishedName(3), ManifestName(0, 7), ManifestName(0, 7, True))] == [
        "wal/0000-00000000000000000001.wal",
        "wal/0003.published",
        "manifests/0000-0000000000000007.manifest",
        "manifests/0000-0000000000000007.manifest.unlisted",
    ]
    assert DeletionName(i, 7).name == f"segments/{i}.0000000000000007.dead"
    assert LogName(0, 1, 9).name == "log/0000-00000000000000000001-00000000000000000009.log"
    assert ObjectKey(i, 2, j, "parquet").key == f"{i}/0000000002/{j}.parquet"
    assert EpochKey(i, 2).key == f"{i}/epochs/0000000002"
    assert ColdPinKey(i, j).key == f"{i}/pins/{j}"
    assert DeletionKey(i, 2).key == f"{i}/deletions/0000000002"


def test_random_ids_are_ids_and_come_from_the_generator() -> None:
    assert paths.random_id(random.Random(1)) == paths.random_id(random.Random(1))
    assert all(paths.is_id(paths.random_id(random.Random(n))) for n in range(50))
