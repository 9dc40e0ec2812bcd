"""Snapshots, the past, pins and clones."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pytest

import tiervdb
from tests.database.conftest import COLUMNS, DIM, OPTIONS, Words
from tests.support.crash_dir import CrashDir, every_crash
from tiervdb.clock import ManualClock
from tiervdb.database.open import open_in
from tiervdb.engine.open import Setting
from tiervdb.errors import (
    AlreadyExistsError,
    InvalidInputError,
    OutsideWindowError,
    PinNotFoundError,
    ReadOnlyError,
    SnapshotNotFoundError,
)
from tiervdb.storage.os_dir import OsDir


def rows(collection: tiervdb.Collection) -> list[dict[str, Any]]:
    return collection.scan(vectors=True).read_all().sort_by("id").to_pylist()


def churn(db: tiervdb.Database) -> None:
    """Everything that could harm an older state."""
    words = db["words"]
    words.delete(where="rank < 250")
    words.update(columns={"pos": "late"}, where="true")
    words.add_column("more", "int64")
    words.drop_column("rank")
    db.flush()
    db.demote("words", 0.5)
    db.maintain()
    db.drop_collection("words")
    db.flush()
    db.maintain()


def test_a_snapshot_keeps_a_state(db: tiervdb.Database, placed: tiervdb.Collection, data: Words) -> None:
    kept, seq = rows(placed), db.seq
    snapshot = db.snapshot("before")
    assert (snapshot.name, snapshot.seq, snapshot.expires, snapshot.consistency) == ("before", seq, None, "fsync")
    churn(db)
    assert "words" not in db
    for point in (snapshot, "before", tiervdb.Target.snapshot("before"), tiervdb.Target.seq(seq)):
        with db.at(point) as before:
            assert (before.seq, before.read_only) == (seq, True)
            assert rows(before["words"]) == kept
            hits = before["words"].search(data.vectors[3], k=2, where="rank < 10", columns=["rank"])
            assert hits.ids[0] == "w3"


def test_snapshots_are_listed_with_what_they_cost(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    db.flush()
    db.snapshot("one")
    churn(db)
    db.snapshot("two")
    first, second = db.snapshots()
    assert (first.name, second.name) == ("one", "two")
    assert first.only_bytes is not None
    assert first.only_bytes > 0
    assert second.only_bytes == 0
    assert first.created >= first.time
    db.drop_snapshot(first)
    db.drop_snapshot("two")
    assert db.snapshots() == []
    with pytest.raises(SnapshotNotFoundError, match="'one'"):
        db.drop_snapshot("one")


def test_a_name_is_taken_once(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    db.snapshot("a")
    with pytest.raises(AlreadyExistsError, match="'a'"):
        db.snapshot("a")
    for wrong in ("", " a", "a\n", 5):
        with pytest.raises(InvalidInputError, match="name of a snapshot"):
            db.snapshot(wrong)  # type: ignore[arg-type]
    assert len(db.snapshots()) == 1


def test_snapshots_expire(path: Path) -> None:
    clock = ManualClock()
    setting = Setting(options=OPTIONS)
    with open_in(OsDir(path), setting, clock, random.Random(1), read_only=False) as db:
        db.create_collection("words", dim=1)
        db.snapshot("short", expires=dt.timedelta(hours=1))
        db.snapshot("long", expires="2100-01-01T00:00:00Z")
        assert [s.name for s in db.snapshots() if s.expires is not None] == ["short", "long"]
        clock.advance(3599)
        db.maintain()
        assert len(db.snapshots()) == 2
        clock.advance(2)
        db.maintain()
        assert [s.name for s in db.snapshots()] == ["long"]
        for wrong in (dt.timedelta(0), dt.datetime(2000, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1), "soon"):
            with pytest.raises(InvalidInputError, match="snapshot: expires"):
                db.snapshot("wrong", expires=wrong)


def test_an_expired_snapshot_makes_room_for_another_of_its_name(path: Path) -> None:
    clock = ManualClock()
    with open_in(OsDir(path), Setting(options=OPTIONS), clock, random.Random(1), read_only=False) as db:
        words = db.create_collection("words", dim=1)
        old = db.snapshot("daily", expires=dt.timedelta(hours=1))
        words.upsert(ids=["a"], vectors=[[1]])
        clock.advance(3599)
        with pytest.raises(AlreadyExistsError):
            db.snapshot("daily")
        clock.advance(1)
        before = db.seq
        new = db.snapshot("daily", expires=dt.timedelta(hours=1))
        assert db.seq == before + 1  # one commit: at no moment was there none
        assert [(s.name, s.pin) for s in db.snapshots()] == [("daily", new.pin)]
        assert [p.id for p in db.pins()] == [new.pin] != [old.pin]
        db.maintain()
        with db.at("daily") as kept:
            assert len(kept["words"]) == 1
    with open_in(OsDir(path), Setting(options=OPTIONS), clock, random.Random(2), read_only=False) as db:
        assert [s.pin for s in db.snapshots()] == [new.pin]
        clock.advance(3600)
        db.maintain()
        assert db.snapshots() == []
        assert db.pins() == []


def test_a_crash_while_a_snapshot_takes_the_place_of_an_expired_one(tmp_path: Path) -> None:
    """At every step there is one of that name, the old or the new, and no pin of another."""
    clock = ManualClock()
    setting = Setting(options=OPTIONS)
    first: list[str] = []
    seen: set[bool] = set()

    def work(local: CrashDir) -> None:
        first.clear()
        clock.us = ManualClock().us
        with open_in(local, setting, clock, random.Random(1), read_only=False) as db:
            first.append(db.snapshot("daily", expires=dt.timedelta(hours=1)).pin)
            clock.advance(3600)
            db.snapshot("daily")

    for local in every_crash(work, tmp_path):
        local.drop_unsynced()
        if first:
            with open_in(OsDir(local.root), setting, clock, random.Random(2), read_only=False) as db:
                [kept] = db.snapshots()
                assert [pin.id for pin in db.pins()] == [kept.pin]
                assert kept.consistency == "fsync"
                seen.add(kept.pin == first[0])
    assert seen == {True, False}


def test_states_by_seq_and_time(path: Path) -> None:
    clock = ManualClock()
    with open_in(OsDir(path), Setting(options=OPTIONS), clock, random.Random(1), read_only=False) as db:
        words = db.create_collection("words", dim=1)
        db.snapshot("start")
        commits = []
        for n in range(5):
            clock.advance(10)
            commits.append(words.upsert(ids=[str(n)], vectors=[[1]]))
        for n, commit in enumerate(commits):
            for point in ({"seq": commit.seq}, {"time": commit.time}, {"time": commit.time.isoformat()}):
                with db.at(**point) as before:
                    assert len(before["words"]) == n + 1
            with db.at(tiervdb.Target.time(commit.time, exclusive=True)) as before:
                assert len(before["words"]) == n
            with db.at(time=commit.time + dt.timedelta(seconds=5)) as before:
                assert before.seq == commit.seq
        with db.at() as latest, db.at(tiervdb.Target.latest()) as also:
            assert (latest.seq, also.seq) == (db.seq, db.seq)
            words.delete(where="true")
            assert len(latest["words"]) == 5


def test_points_that_are_not_held(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    db.flush()
    words.delete(where="rank < 10")
    db.flush()
    db.maintain()
    with pytest.raises(OutsideWindowError, match="nearest"):
        db.at(seq=1)
    with pytest.raises(OutsideWindowError):
        db.at(seq=db.seq + 1)
    with pytest.raises(OutsideWindowError):
        db.at(time="2001-01-01T00:00:00Z")
    with pytest.raises(SnapshotNotFoundError, match="'nothing'"):
        db.at("nothing")


@pytest.mark.parametrize(
    "wrong",
    [
        {"point": "a", "seq": 1},
        {"seq": 1, "time": "2026-01-01T00:00:00Z"},
        {"seq": -1},
        {"seq": 1.5},
        {"time": "2026-01-01T00:00:00"},
        {"time": dt.datetime(2026, 1, 1)},
        {"point": 5},
    ],
)
def test_points_that_are_none(db: tiervdb.Database, wrong: Any) -> None:
    with pytest.raises(InvalidInputError):
        db.at(**wrong)


def test_the_past_is_read_only(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    with db.at() as before:
        with pytest.raises(ReadOnlyError, match=r"a view of the past, as of commit 2"):
            before["words"].delete(where="true")
        with pytest.raises(ReadOnlyError):
            before.snapshot("a")
        with before.at(seq=before.seq) as again:
            assert len(again["words"]) == 300
        assert before.status().mode == "read-only"
        assert before.stats().rows == 300
        assert before.log().num_rows == 2


def test_pins_show_who_keeps_what(db: tiervdb.Database, words: tiervdb.Collection) -> None:
    snapshot = db.snapshot("a", expires=dt.timedelta(days=1))
    with db.at("a"):
        kinds = {pin.kind: pin for pin in db.pins()}
        assert set(kinds) == {"snapshot", "reader"}
        assert (kinds["snapshot"].name, kinds["snapshot"].seq, kinds["snapshot"].id) == (
            "a",
            snapshot.seq,
            snapshot.pin,
        )
        assert "pid" in str(kinds["reader"].holder)
    assert [pin.kind for pin in db.pins()] == ["snapshot"]
    with pytest.raises(InvalidInputError, match="drop_snapshot"):
        db.release_pin(snapshot.pin)
    with pytest.raises(PinNotFoundError):
        db.release_pin("f" * 32)
    db.drop_snapshot("a")
    assert db.pins() == []


@pytest.mark.parametrize("shared", [False, True])
def test_a_clone_is_a_database_of_its_own(path: Path, tmp_path: Path, data: Words, shared: bool) -> None:
    cold = {"cold": tmp_path / "store"} if shared else {}
    with tiervdb.open(path, options=OPTIONS, **cold) as db:
        words = db.create_collection("words", dim=DIM, columns=COLUMNS)
        data.upsert_into(words)
        db.demote("words", 0.5)
        db.snapshot("half")
        words.delete(where="rank < 100")
        assert db.clone(tmp_path / "latest") == tmp_path / "latest"
        db.clone(str(tmp_path / "half"), at="half")
        with pytest.raises(AlreadyExistsError, match="half"):
            db.clone(tmp_path / "half")
        expected = rows(words)
        churn(db)
        identity = db.status().database_id
    with tiervdb.open(tmp_path / "latest", options=OPTIONS) as clone:
        assert rows(clone["words"]) == expected
        assert clone.status().database_id != identity
        clone["words"].delete(where="rank < 200")
        clone.maintain()
        assert len(clone["words"]) == 100
    with tiervdb.open(tmp_path / "half", options=OPTIONS) as clone:
        assert len(clone["words"]) == 300
        assert clone["words"].search(data.vectors[1], k=1).ids.tolist() == ["w1"]
    for name in ("latest", "half"):
        assert tiervdb.check(tmp_path / name).ok
        tiervdb.drop(tmp_path / name)


def test_a_clone_of_the_past(db: tiervdb.Database, words: tiervdb.Collection, tmp_path: Path) -> None:
    seq = db.seq
    words.delete(where="true")
    with db.at(seq=seq) as before:
        before.clone(tmp_path / "before")
    with tiervdb.open(tmp_path / "before", options=OPTIONS) as clone:
        assert len(clone["words"]) == 300
