"""Restores: targets, refusals before any download, and what lies there afterwards."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backup.conftest import DIM, World, create, ids_of, put, vectors
from tests.backup.test_backup import made, use_faulty
from tests.support.bad_stores import ReadOnlyKey
from tiervdb.backup import opened
from tiervdb.backup.holdings import read
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import PlannedRestore, RestoreResult
from tiervdb.database.check import check
from tiervdb.database.database import Database
from tiervdb.errors import (
    AlreadyExistsError,
    AmbiguousTargetError,
    BackupNotFoundError,
    CollectionNotFoundError,
    CorruptionError,
    DatabaseLockedError,
    InvalidInputError,
    NotADatabaseError,
    NotARepositoryError,
    OutsideWindowError,
    SnapshotNotFoundError,
    StateError,
    StoreUnavailableError,
)
from tiervdb.storage.open import Store, open_store
from tiervdb.target import Target


@pytest.fixture
def history(world: World, db: Database) -> dict[int, list[int]]:
    """Ids by seq: backups at 3 and 6, a snapshot at 5, everything archived."""
    states = {3: ids_of(db)}
    world.tick()
    made(db, label="first")
    world.tick()
    put(db, 20)
    states[4] = ids_of(db)
    world.tick()
    db["words"].delete(ids=[0, 1, 2])
    states[5] = ids_of(db)
    db.snapshot("before")
    states[6] = ids_of(db)
    world.tick()
    db.flush()
    made(db, label="second")
    world.tick()
    db["words"].delete(where="rank >= 0")
    states[7] = ids_of(db)
    world.tick()
    db.archive()
    return states


def restored(world: World, target: Target | None = None, **how: object) -> tuple[int, list[int]]:
    """The seq and the ids that a restore comes to; it is checked, and deleted again."""
    path = world.folder / "restored"
    result = world.repository().restore(path, target, **how)  # type: ignore[arg-type]
    assert isinstance(result, RestoreResult)
    with world.open_alone("restored", world.repository()) as db:
        found = ids_of(db) if "words" in db else []
        db.hydrate()
    assert check(path).ok
    shutil.rmtree(path)
    return result.seq, found


@pytest.mark.parametrize("lazy", [False, True])
def test_to_every_commit(world: World, history: dict[int, list[int]], lazy: bool) -> None:
    for seq, ids in history.items():
        assert restored(world, Target.seq(seq), lazy=lazy) == (seq, ids)
    assert restored(world) == (7, history[7])
    assert restored(world, Target.seq(6, exclusive=True)) == (5, history[5])


def test_to_times(world: World, db: Database, history: dict[int, list[int]]) -> None:
    times = {row["seq"]: row["time"] for row in world.repository().log().to_pylist()}
    assert set(times) == {2, 3, 4, 5, 6, 7} | set(times)
    micro = timedelta(microseconds=1)
    for seq in (4, 5, 6, 7):
        assert restored(world, Target.time(times[seq]))[0] == seq
        assert restored(world, Target.time(times[seq], exclusive=True))[0] == seq - 1
        assert restored(world, Target.time(times[seq] - micro))[0] == seq - 1
    complete = world.repository().windows()[-1].last_time
    assert restored(world, Target.time(complete)) == (7, history[7])
    with pytest.raises(OutsideWindowError, match="the archive does not reach that far; restorable near it"):
        world.repository().plan(Target.time(complete + micro))
    with pytest.raises(OutsideWindowError, match="nothing that is held here is as old"):
        world.repository().plan(Target.time("2001-01-01T00:00:00Z"))


def test_to_snapshots_and_backups(world: World, history: dict[int, list[int]]) -> None:
    assert restored(world, Target.snapshot("before")) == (5, history[5])
    assert restored(world, Target.backup("first")) == (3, history[3])
    assert restored(world, Target.backup("second")) == (6, history[6])
    with pytest.raises(SnapshotNotFoundError, match="from snapshots"):
        world.repository().plan(Target.snapshot("after"))
    with pytest.raises(BackupNotFoundError, match="'third'"):
        world.repository().plan(Target.backup("third"))


def test_a_snapshot_survives_the_machine(world: World, db: Database, history: dict[int, list[int]]) -> None:
    db.close()
    shutil.rmtree(world.folder / "db")
    world.repository().restore(world.folder / "db", Target.seq(6), attach=True)
    with world.open("db") as back:
        assert back.snapshots() == []
        put(back, 900)
        back.archive()
        with back.at("before") as before:
            assert ids_of(before) == history[5]
    assert restored(world, Target.snapshot("before")) == (5, history[5])


def test_a_plan(world: World, history: dict[int, list[int]]) -> None:
    repository = world.repository()
    plan = repository.restore(world.folder / "x", Target.seq(5), dry_run=True)
    assert isinstance(plan, PlannedRestore)
    assert plan == repository.plan(Target.seq(5))
    assert (plan.seq, plan.parts, plan.backup) == (5, 2, repository.backup("first").id) or plan.parts >= 1
    assert "commit 5" in str(plan)
    assert not (world.folder / "x").exists()


def test_impossible_targets_are_refused_before_any_download(world: World, history: dict[int, list[int]]) -> None:
    repository = world.repository()
    faulty = use_faulty(repository, world)
    faulty.plan.fail(AssertionError("nothing may be fetched"), "get_file", count=None)
    for target in (Target.seq(8), Target.seq(10**12)):
        with pytest.raises(OutsideWindowError, match="restorable near it: commits 0 to 7"):
            repository.restore(world.folder / "x", target)
    with pytest.raises(InvalidInputError, match="is not in this repository"):
        repository.plan(Target.seq(5, timeline="0" * 32))
    assert not (world.folder / "x").exists()


def test_a_hole_in_the_log_is_refused(world: World, history: dict[int, list[int]]) -> None:
    repository = world.repository()
    timeline = repository.windows()[0].timeline
    parts = sorted((world.folder / "repository" / "wal" / timeline).rglob("0*"))
    held = read(repository.open().vault).archived[timeline].parts
    hole = next(part for part in held if part.first_seq <= 7 <= part.last_seq)
    next(p for p in parts if p.name.endswith(f"{hole.n:016}")).unlink()
    with pytest.raises(OutsideWindowError):
        repository.plan(Target.seq(7))
    assert restored(world, Target.seq(6))[0] == 6


def test_detached(world: World, db: Database, history: dict[int, list[int]]) -> None:
    world.repository().restore(world.folder / "copy", Target.seq(4))
    with world.open_alone("copy") as copy:
        assert copy.status().protection == "unprotected"
        put(copy, 500)
        assert copy.seq == 5
        timeline = copy.status().timeline
    assert timeline != db.status().timeline
    put(db, 40)
    db.archive()  # the original goes on
    assert restored(world)[0] == 8


def test_the_path_must_be_free(world: World, history: dict[int, list[int]]) -> None:
    (world.folder / "taken").mkdir()
    with pytest.raises(AlreadyExistsError, match="taken exists already"):
        world.repository().restore(world.folder / "taken")
    with pytest.raises(NotADatabaseError):
        world.repository().restore(world.folder / "taken", delta=True)
    with pytest.raises(DatabaseLockedError, match="open for writing"):
        world.repository().restore(world.folder / "db", delta=True)


def test_delta_keeps_what_is_intact(world: World, db: Database, history: dict[int, list[int]]) -> None:
    put(db, 1000, 400)
    db.flush()
    db.maintain()
    db.demote("words", 0.4)
    put(db, 5000, 300)
    db.flush()
    expected = ids_of(db)
    target = Target.backup(made(db).id)
    db["words"].delete(where="rank < 3000")
    db.flush()
    db.close()
    for damaged in (world.folder / "db" / "segments").glob("*.columns"):
        damaged.write_bytes(bytes(damaged.stat().st_size))
    result = world.repository().restore(world.folder / "db", target, delta=True)
    assert isinstance(result, RestoreResult)
    assert result.kept_bytes > 0
    assert result.fetched_bytes > 0
    with world.open_alone("db") as again:
        assert ids_of(again) == expected
    assert check(world.folder / "db").ok
    assert not list(world.folder.glob(".db*"))


def test_delta_does_not_lose_what_is_nowhere_else(world: World, db: Database, history: dict[int, list[int]]) -> None:
    db.archive()
    db.close()
    repository = world.repository()
    use_faulty(repository, world).away = True
    with world.open(repository=repository) as alone:
        put(alone, 800)
    with pytest.raises(StateError, match="holds commits 8 to 8, which are not in"):
        world.repository().restore(world.folder / "db", Target.seq(5), delta=True)
    with world.open("db") as again:
        assert 800 in ids_of(again)


def test_delta_goes_on_where_it_was_cut_short(world: World, db: Database, history: dict[int, list[int]]) -> None:
    """At the moment when the old directory is away and the new one is not there yet; and when all was done."""
    db.archive()
    db.close()
    repository = world.repository()
    (world.folder / "db").rename(world.folder / ".db.replaced")
    with pytest.raises(AlreadyExistsError):  # the old one is back, and nothing is lost
        repository.restore(world.folder / "db")
    assert (world.folder / "db" / "tiervdb.json").exists()
    for _ in range(2):
        result = repository.restore(world.folder / "db", Target.seq(5), delta=True)
        assert isinstance(result, RestoreResult)
        (world.folder / ".db.replaced").mkdir()
        (world.folder / ".db.replaced" / "left").touch()
    repository.restore(world.folder / "db", Target.seq(5), delta=True)
    with world.open_alone("db") as again:
        assert ids_of(again) == history[5]
    assert not list(world.folder.glob(".db*"))


def test_with_a_key_that_may_only_read(
    world: World, history: dict[int, list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    repository = world.repository()
    refusing = ReadOnlyKey(open_store(repository.location, create=False))
    repository._opened = opened.open_in(refusing, None, world.clock, world.rng)
    for name, lazy in (("one", False), ("two", True)):
        repository.restore(world.folder / name, Target.seq(5), lazy=lazy)
        with world.open_alone(name, repository) as db:
            assert ids_of(db) == history[5]
            db.hydrate()
    assert repository.verify(deep=True).ok
    assert "has no lease there" in caplog.text


@pytest.mark.parametrize("lazy", [False, True])
def test_some_collections(world: World, lazy: bool) -> None:
    with world.open() as db:
        for name in ("words", "texts", "more"):
            create(db, name)
            put(db, 0, 300, name)
        db.flush()
        db.maintain()
        put(db, 50, 10, "texts")
        made(db)
        db.archive()
    repository = world.repository()
    result = repository.restore(world.folder / "some", collections=["words"], lazy=lazy)
    assert isinstance(result, RestoreResult)
    with world.open_alone("some", repository) as some:
        assert some.collections() == ["words"]
        assert ids_of(some) == list(range(300))
        some.hydrate()
    assert check(world.folder / "some").ok
    with pytest.raises(CollectionNotFoundError, match=r"'other'.*more, texts, words"):
        repository.restore(world.folder / "x", collections=["other"])
    with pytest.raises(InvalidInputError, match="attach"):
        repository.restore(world.folder / "x", collections=["words"], attach=True)
    assert not list(world.folder.glob("*x*"))


def test_to_another_cold_store(world: World, db: Database) -> None:
    put(db, 1000, 400)
    db.demote("words")
    expected = ids_of(db)
    made(db)
    world.repository().restore(world.folder / "copy", cold=world.folder / "elsewhere")
    objects = list((world.folder / "elsewhere").rglob("*.parquet"))
    assert objects
    shutil.rmtree(world.folder / "db" / "cold")
    with world.open_alone("copy") as copy:
        assert copy.status().cold_url == f"file://{world.folder / 'elsewhere'}"
        assert ids_of(copy) == expected
        copy.drop_collection("words")
        copy.flush()
        copy.maintain()
    assert not list((world.folder / "elsewhere").rglob("*.parquet"))  # they were its own


def test_the_sources_cold_store_is_used_and_its_holes_are_filled(world: World) -> None:
    world.cold = Store(world.folder / "cold")
    with world.open() as db:
        create(db)
        put(db, 0, 300)
        db.demote("words")
        expected = ids_of(db)
        made(db)
        before = set((world.folder / "cold").rglob("*.parquet"))
        world.repository().restore(world.folder / "one")
        assert set((world.folder / "cold").rglob("*.parquet")) == before  # by reference
        assert [pin.kind for pin in db.pins()] == ["clone"]
        for path in before:
            path.unlink()
        world.repository().restore(world.folder / "two")
    with world.open_alone("two") as two:
        assert ids_of(two) == expected


def test_a_damaged_object_is_found_and_nothing_is_left(world: World, history: dict[int, list[int]]) -> None:
    for path in sorted((world.folder / "repository" / "data").rglob("*")):
        if path.is_file():
            kept = path.read_bytes()
            path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
            failed = [target for target in ("first", "second") if not is_restored(world, Target.backup(target))]
            assert failed, f"{path.name} is damaged, and nobody noticed"
            path.write_bytes(kept)


def is_restored(world: World, target: Target) -> bool:
    try:
        restored(world, target)
    except CorruptionError:
        assert not (world.folder / "restored").exists()
        return False
    return True


def test_an_interrupted_restore_leaves_nothing_that_opens(world: World, history: dict[int, list[int]]) -> None:
    repository = world.repository()
    faulty = use_faulty(repository, world)
    for kind in ("get", "get_file", "get_ranges", "list", "put"):
        for at in (1, 2, 3):
            faulty.plan.fail(StoreUnavailableError("away"), kind, at=at)
            try:
                repository.restore(world.folder / "x", Target.seq(5))
            except StoreUnavailableError:
                assert not (world.folder / "x").exists()
            else:
                shutil.rmtree(world.folder / "x")
            faulty.plan.heal()
    repository.restore(world.folder / "x", Target.seq(5))
    with world.open_alone("x") as db:
        assert ids_of(db) == history[5]


def test_no_repository(world: World, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(NotARepositoryError, match=r"Repository\.create"):
        world.repository("nothing").windows()
    with pytest.raises(StoreUnavailableError):
        world.repository("nowhere").backups()


def test_exact_answers_survive_a_lazy_restore(world: World, db: Database) -> None:
    world.options = world.options.__class__(background=False, small_floats=2_000, graph_min_rows=10**6)
    ids = np.arange(5000, 9000)
    db["words"].upsert(ids=ids, vectors=vectors(5, 4000), columns={"rank": ids})
    db.flush()
    db.maintain()
    made(db)
    query = np.random.default_rng(1).normal(size=DIM).astype(np.float32)
    expected = db["words"].search(query, k=20, exact=True)
    near = db["words"].search(query, k=20)
    world.repository().restore(world.folder / "lazy", lazy=True)
    with world.open_alone("lazy", world.repository()) as lazy:
        missing = lazy.status().missing_bytes
        assert missing > 0
        assert list(lazy["words"].search(query, k=20).ids) == list(near.ids)
        assert list(lazy["words"].search(query, k=20, exact=True).ids) == list(expected.ids)
    with world.open_alone("lazy", world.repository()) as lazy:
        lazy.hydrate()
        assert lazy.status().missing_bytes == 0
        assert list(lazy["words"].search(query, k=20, exact=True).ids) == list(expected.ids)
    assert not list((world.folder / "repository" / "pins").glob("*"))
    shutil.rmtree(world.folder / "repository")
    with world.open_alone("lazy") as alone:
        assert len(alone["words"]) == len(db["words"])


def test_a_lazy_one_whose_repository_is_away(world: World, db: Database) -> None:
    world.options = world.options.__class__(background=False, small_floats=2_000, graph_min_rows=10**6)
    ids = np.arange(5000, 9000)
    db["words"].upsert(ids=ids, vectors=vectors(5, 4000), columns={"rank": ids})
    db.flush()
    made(db)
    world.repository().restore(world.folder / "lazy", lazy=True)
    (world.folder / "repository").rename(world.folder / "moved")
    with world.open_alone("lazy") as lazy, pytest.raises(StoreUnavailableError):
        lazy["words"].scan(vectors=True).read_all()
    (world.folder / "moved").rename(world.folder / "repository")
    with world.open_alone("lazy") as lazy:
        assert len(lazy["words"].scan(vectors=True).read_all()) == len(db["words"])


def test_times_between_a_fork_and_its_making_are_ambiguous(world: World, db: Database) -> None:
    made(db)
    at_fork = db["words"].count()
    world.tick(10)
    put(db, 500)
    db.archive()
    between = world.repository().log().to_pylist()[-1]["time"]
    world.tick(10)
    db.close()
    old = db_timeline(world)
    world.repository().restore(world.folder / "second", Target.seq(3), attach=True)
    with world.open("second") as second:
        assert second["words"].count() == at_fork
        put(second, 900)
        second.archive()
        new = second.status().timeline
    for moment in (between - timedelta(seconds=5), between, between + timedelta(seconds=5)):
        with pytest.raises(AmbiguousTargetError, match=f'timeline="{old}".*timeline="{new}"'):
            world.repository().plan(Target.time(moment))
    assert world.repository().plan(Target.time(between, timeline=old)).seq == 4
    assert world.repository().plan(Target.time(between, timeline=new)).seq == 3
    assert world.repository().plan(Target.seq(4)).timeline == new
    assert world.repository().plan(Target.seq(4, timeline=old)).timeline == old
    assert {w.timeline for w in world.repository().windows()} == {old, new}


def db_timeline(world: World) -> str:
    current = read(world.repository().open().vault).lineage.current
    assert current is not None
    return current.timeline.id


@pytest.mark.parametrize("seed", range(3))
def test_windows_tell_what_can_be_restored(world: World, seed: int) -> None:
    """Every seq in a window is restored, every other one is refused."""
    chance = random.Random(seed)
    with world.open() as db:
        create(db)
        for step in range(12):
            put(db, step * 5, 5)
            world.tick()
            if chance.random() < 0.3:
                db.flush()
            if chance.random() < 0.4:
                made(db)
            if chance.random() < 0.5:
                db.archive()
    repository = world.repository()
    inside = {s for w in repository.windows() for s in range(w.first_seq, w.last_seq + 1)}
    for seq in range(15):
        if seq in inside:
            assert repository.plan(Target.seq(seq)).seq == seq
        else:
            with pytest.raises(OutsideWindowError):
                repository.plan(Target.seq(seq))


def test_a_lazy_restore_is_a_database_like_any_other(world: World, db: Database) -> None:
    """Cloned, read beside its writer, backed up, promoted and checked while much of it is elsewhere."""
    ids = np.arange(5000, 7000)
    db["words"].upsert(ids=ids, vectors=vectors(5, 2000), columns={"rank": ids})
    db.flush()
    db.maintain()
    db.demote("words", 0.5)
    made(db)
    expected = ids_of(db)
    db.close()
    world.repository().restore(world.folder / "lazy", lazy=True, attach=True)
    with world.open_alone("lazy") as lazy:
        with world.open_alone("lazy", read_only=True) as reader:
            assert len(reader["words"]) == len(expected)
        lazy.clone(world.folder / "clone")
        assert made(lazy).sent_objects <= 2
        lazy.promote("words")
        lazy["words"].delete(ids=[5000])
        lazy.flush()
        lazy.maintain()
    for name in ("lazy", "clone"):
        assert check(world.folder / name).ok
        with world.open_alone(name) as again:
            assert set(ids_of(again)) == set(expected) - ({5000} if name == "lazy" else set())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda r: r.restore(None), "is no path"),
        (lambda r: r.restore(""), "an empty path"),
        (lambda r: r.restore("x", "latest"), "is no target"),
        (lambda r: r.restore("x", collections="words"), "a list of names"),
        (lambda r: r.restore("x", cold=5), "is no path"),
        (lambda r: r.restore("x", limits=5), "Limits"),
        (lambda r: r.verify(sample="5%"), "sample"),
        (lambda r: r.expire("abcd"), "a list of names"),
        (lambda r: r.attach(7), "is no path"),
        (lambda r: r.windows("zz"), "is not in this repository"),
        (lambda r: Repository(None), "is no path"),
        (lambda r: Repository("x", key="secret"), "Key.file"),
    ],
)
def test_bad_input(world: World, history: dict[int, list[int]], call: Any, text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        call(world.repository())
    with pytest.raises(BackupNotFoundError):
        world.repository().backup(None)  # type: ignore[arg-type]


def test_a_repository_within_the_database_is_refused(world: World) -> None:
    for place in ("db/repository", "."):
        with pytest.raises(InvalidInputError, match="lie one in the other"):
            world.open("db", Repository(world.folder / place))
    assert not (world.folder / "db" / "tiervdb.json").exists()


def test_a_home_directory_is_understood(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(world.folder / "home"))
    with world.open(repository=Repository("~/repository", clock=world.clock, rng=world.rng)) as db:
        create(db)
        made(db)
    assert (world.folder / "home" / "repository" / "repository.json").exists()
    Repository("~/repository").restore("~/restored")
    assert (world.folder / "home" / "restored" / "tiervdb.json").exists()
