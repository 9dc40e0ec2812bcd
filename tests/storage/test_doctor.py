"""The doctor on stores that are sound, and on each kind that is not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import bad_stores as bad
from tests.support.faulty_store import FaultyStore
from tests.support.s3_servers import S3Endpoint
from tiervdb.clock import Clock, ManualClock, SystemClock
from tiervdb.errors import CorruptionError
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.doctor import examine
from tiervdb.storage.doctor_report import StoreReport
from tiervdb.storage.first_look import FirstLook, first_look
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(OsDir(tmp_path / "store"))


def examined(store: ObjectStore, clock: Clock | None = None, timer: Callable[[], float] = lambda: 0.0) -> StoreReport:
    return examine(store, clock or SystemClock(), random.Random(1), timer)


def bad_answers(report: StoreReport) -> set[str]:
    return {found.question for found in report.findings if found.result != "yes"}


def test_a_sound_directory(directory: DirectoryStore) -> None:
    report = examined(directory)
    assert (bad_answers(report), report.usable, report.conditional) == (set(), True, True)
    assert list(directory.list("")) == []
    assert [p.name for p in directory.local.root.iterdir()] == ["tmp"]


def test_a_sound_bucket(s3_place: Store) -> None:
    store = open_store(s3_place)
    report = examined(store)
    assert (bad_answers(report), report.usable, report.conditional) == (set(), True, True)
    assert list(store.list("")) == []
    store.close()


def test_memory_has_no_conditions() -> None:
    report = examined(open_store("memory://doctor/memory"))
    assert (report.usable, report.conditional) == (True, False)
    assert bad_answers(report) == {"creates if absent", "one winner of a race", "replaces if unchanged"}


@pytest.mark.parametrize(
    ("kind", "answers", "usable"),
    [
        (bad.IgnoresConditions, {"creates if absent", "one winner of a race", "replaces if unchanged"}, True),
        (bad.LosesReplies, {"writable"}, False),
        (bad.StaleLists, {"lists after writing"}, True),
        (bad.ServerErrors, {"writable"}, False),
        (bad.Truncates, {"true to what was written"}, False),
        (bad.IgnoresRanges, {"range reads"}, False),
        (bad.WrongRanges, {"range reads"}, False),
        (bad.WrongBytes, {"true to what was written"}, False),
        (bad.KeepsDeleted, {"deletes"}, True),
        (bad.RefusesDeletes, {"deletes", "cleaned up"}, True),
        (bad.ReadsOldVersions, {"replaces objects", "replaces if unchanged"}, False),
        (bad.FindsEverything, {"reachable"}, False),
    ],
)
def test_each_misbehaviour_is_named(
    directory: DirectoryStore, kind: Callable[[ObjectStore], ObjectStore], answers: set[str], usable: bool
) -> None:
    report = examined(kind(directory))
    assert (bad_answers(report), report.usable) == (answers, usable)
    if kind not in {bad.KeepsDeleted, bad.RefusesDeletes}:
        assert list(directory.list("")) == []


def test_lost_replies_are_told_from_lost_writes(directory: DirectoryStore) -> None:
    [writable] = [f for f in examined(bad.LosesReplies(directory)).findings if f.question == "writable"]
    assert "reply lost" in writable.measured


def test_a_read_only_key_is_said(directory: DirectoryStore) -> None:
    directory.put("there", b"data")
    report = examined(bad.ReadOnlyKey(directory))
    assert (report.read_only, report.usable) == (True, False)


def test_a_slow_store_only_warns(directory: DirectoryStore) -> None:
    at = [0.0]

    def wait() -> None:
        at[0] += 0.7

    report = examined(bad.Slow(directory, wait), timer=lambda: at[0])
    assert (bad_answers(report), report.usable) == ({"answers quickly"}, True)
    assert "median 700.0 ms" in report.findings[-2].measured


def test_a_wrong_clock_is_told(directory: DirectoryStore) -> None:
    report = examined(directory, ManualClock())
    assert bad_answers(report) == {"clock agrees"}
    assert report.skew_us is not None
    assert report.skew_us > 60_000_000 or report.skew_us < -60_000_000


def test_a_store_that_is_away(tmp_path: Path) -> None:
    report = examined(open_store(tmp_path / "nowhere", create=False))
    assert bad_answers(report) == {"reachable"}
    assert "directory is missing" in report.findings[0].measured
    assert not (tmp_path / "nowhere").exists()


def test_it_cleans_up_after_an_interrupt(directory: DirectoryStore) -> None:
    store = FaultyStore(directory)
    store.plan.fail(KeyboardInterrupt(), "copy", when="after")
    with pytest.raises(KeyboardInterrupt):
        examined(store)
    assert store.plan.calls["put_file"] == 1
    assert list(directory.list("")) == []


def test_the_short_probe(directory: DirectoryStore) -> None:
    assert first_look(directory, "k", b"abc", b"xyz") == FirstLook(conditional=True, lists=True)
    assert not first_look(bad.IgnoresConditions(directory), "k", b"abc", b"xyz").conditional
    assert first_look(bad.StaleLists(directory), "k", b"abc", b"xyz") == FirstLook(conditional=True, lists=False)
    for kind in (bad.Truncates, bad.IgnoresRanges, bad.WrongRanges, bad.WrongBytes):
        with pytest.raises(CorruptionError, match="k"):
            first_look(kind(directory), "k", b"abc", b"xyz")
    assert not first_look(open_store("memory://doctor/short"), "k", b"abc", b"xyz").conditional
    assert list(directory.list("")) == []


@pytest.mark.s3
def test_keys_that_are_not_known_and_buckets_that_are_not_there(seaweedfs: S3Endpoint) -> None:
    for url, options in (
        (seaweedfs.url, seaweedfs.storage_options | {"secret": "wrong"}),
        ("s3://no-such-bucket-here", seaweedfs.storage_options),
    ):
        store = open_store(Store(url, options))
        report = examined(store)
        assert (report.usable, report.read_only) == (False, False)
        assert "wrong" not in str(report)
        store.close()
