"""Drills: random targets over histories of every kind go well, damage never does, and nothing is left of either."""

from __future__ import annotations

import random
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.backup.bench import Driver, Place, RepositoryBench
from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made, use_faulty
from tests.support.bad_stores import ReadOnlyKey
from tiervdb.backup import drill, drill_checks, drill_draw, golden, holdings, hydrate, opened, restore, restoring
from tiervdb.backup.drill import DrillWish, sentences
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.backup.restore import Restored
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.database.database import Database
from tiervdb.engine.check import Finding, check
from tiervdb.engine.log_files import records_of_file
from tiervdb.engine.open import SHARD, make_tools
from tiervdb.errors import InvalidInputError, OutsideWindowError, StateError, StoreUnavailableError
from tiervdb.format import documents
from tiervdb.format.repository_documents import BackupDocument
from tiervdb.format.repository_operations import DrillOperation, decode_operation
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store, open_store
from tiervdb.target import Target
from tiervdb.types import to_us


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that lazy restores of a few rows have something to fetch later."""
    monkeypatch.setattr(hydrate, "SMALL_BYTES", 0)


def drilled(world: World, target: Target | None = None, repository: Repository | None = None, **how: object):  # type: ignore[no-untyped-def]
    """What a drill says. It leaves nothing: no scratch, no lease, no pin, and it writes nothing else either."""
    scratch = world.folder / "scratch"
    scratch.mkdir(exist_ok=True)
    before = contents(world.folder)
    done = drill.run((repository or world.repository()).open(), DrillWish(target, scratch=scratch, **how))  # type: ignore[arg-type]
    assert contents(world.folder) == before
    assert decode_operation(documents.encode(done), "an operation") == done
    return done


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those of running databases."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "tmp" not in path.parts
    }


def is_ok(done: DrillOperation) -> bool:
    return done.error is None and not done.problems


def assert_ok(done: DrillOperation) -> None:
    assert is_ok(done), sentences(done)
    assert None not in (done.open_seconds, done.first_query_seconds, done.hydrated_seconds, done.seq, done.backup)
    assert sentences(done)[0].endswith("ok")


# -- what is measured


@pytest.fixture
def archived(world: World, db: Database) -> Database:
    """20 rows at the backup of commit 3, 30 at commit 4 in the archive."""
    world.tick()
    made(db)
    put(db, 20)
    db.archive()
    return db


@pytest.mark.parametrize("lazy", [False, True])
def test_what_it_says(world: World, archived: Database, lazy: bool) -> None:
    world.tick(7)
    repository = world.repository()
    use_faulty(repository, world).delay = lambda: world.tick(0.01)
    done = drilled(world, Target.seq(4), repository, lazy=lazy)
    assert_ok(done)
    log = {row["seq"]: row["time"] for row in world.repository().log().to_pylist()}
    assert done.time_us == to_us(log[4])
    assert (done.target, done.lazy, done.seq, done.collections, done.rows) == ("seq 4", lazy, 4, 1, 30)
    assert done.timeline == archived.status().timeline
    assert done.backup == world.repository().backups()[0].id
    assert done.checked_files == 3  # of the segment of the first ten rows
    assert done.fetched_bytes > 0
    assert done.rpo_seconds == pytest.approx(7, abs=0.5)
    assert 0 < done.open_seconds <= done.first_query_seconds
    assert (done.hydrated_seconds > done.first_query_seconds) == lazy
    assert done.finished_us > done.started_us
    assert done.golden_queries == 8
    assert done.recall == 1
    assert done.golden_share is None  # commit 4 wrote to the collection
    assert any("30 rows in 1 collection;" in line for line in sentences(done))


def test_golden_neighbours_are_found_again_where_nothing_was_written(world: World, archived: Database) -> None:
    assert drilled(world, Target.seq(3)).golden_share == 1
    assert drilled(world, Target.seq(2)).golden_share is None  # before the backup
    create(archived, "other")
    archived.archive()
    assert drilled(world, Target.seq(5)).golden_share is None
    world.tick()
    made(archived)
    create(archived, "more")
    archived.archive()
    done = drilled(world, Target.seq(6))
    assert (done.golden_share, done.collections, done.rows) == (1, 3, 30)


def test_an_empty_database(world: World) -> None:
    with world.open() as db:
        made(db)
        assert_ok(drilled(world))
        create(db)
        db.archive()
        for lazy in (False, True):
            for seq in (0, 1):
                done = drilled(world, Target.seq(seq), lazy=lazy)
                assert_ok(done)
                assert (done.rows, done.collections, done.recall, done.golden_share) == (0, seq, None, None)


def test_nothing_can_be_restored(world: World) -> None:
    repository = Repository.create(world.folder / "repository", clock=world.clock, rng=world.rng)
    with pytest.raises(StateError, match="make a backup first"):
        drilled(world, repository=repository)
    with world.open(mode="off") as db:
        create(db)
        with pytest.raises(StateError, match="make a backup first"):
            drilled(world)
        made(db)
        done = drilled(world)
        assert_ok(done)
        assert done.seq in {0, 1}


def test_targets_that_cannot_be(world: World, archived: Database) -> None:
    with pytest.raises(OutsideWindowError):
        drilled(world, Target.seq(99))
    with pytest.raises(InvalidInputError, match="no directory"):
        drill.run(world.repository().open(), DrillWish(scratch=world.folder / "nowhere"))
    assert_ok(drilled(world, Target.latest()))


def test_the_origin(world: World) -> None:
    with world.open() as db:
        create(db)
        put(db, 0)
        put(db, 10)
        db.archive()
    seen = {done.seq: done for _ in range(20) for done in [drilled(world)]}
    assert set(seen) == {0, 1, 2, 3}
    for done in seen.values():
        assert_ok(done)
        assert (done.backup, done.golden_queries, done.recall) == ("origin", 0, None)
        assert "from the log alone" in "".join(sentences(done))


def test_the_scratch_is_private_and_may_be_kept(
    world: World, archived: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(world.folder / "temporary"))
    (world.folder / "temporary").mkdir()
    done = drill.run(world.repository().open(), DrillWish(Target.seq(4), lazy=True, keep=True))
    assert_ok(done)
    (scratch,) = (world.folder / "temporary").iterdir()
    assert stat.S_IMODE(scratch.stat().st_mode) == 0o700
    assert str(scratch / "db") in caplog.text
    with world.open_alone(str(scratch.relative_to(world.folder) / "db")) as kept:
        assert ids_of(kept) == list(range(30))
    assert not list((world.folder / "repository" / "pins").glob("*"))


def test_with_a_key_that_may_only_read(world: World, archived: Database) -> None:
    repository = world.repository()
    refusing = ReadOnlyKey(open_store(repository.location, create=False))
    repository._opened = opened.open_in(refusing, None, world.clock, world.rng)
    for lazy in (False, True):
        assert_ok(drilled(world, repository=repository, lazy=lazy))


# -- cold tiers


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["subdirectory", "copy", "reference"])
def test_cold_tiers(world: World, kind: str, lazy: bool) -> None:
    world.cold = None if kind == "subdirectory" else Store(world.folder / "cold")
    with world.open() as db:
        create(db)
        put(db, 0, 300)
        db.demote("words")
        put(db, 300, 20)
        made(db, cold="reference" if kind == "reference" else "copy")
        db["words"].delete(ids=[5, 310])
        db.archive()
    cold = world.folder / ("db/cold" if kind == "subdirectory" else "cold")
    assert list(cold.rglob("*.parquet"))
    asked: list[str] = []

    def source(url: str) -> Store:
        asked.append(url)
        return Store(url)

    if kind == "reference":
        done = drilled(world, lazy=lazy, source_options=source)
        assert asked
        assert_ok(done)
    shutil.move(cold, world.folder / "gone")
    done = drilled(world, Target.latest(), lazy=lazy, source_options=source)
    if kind == "reference":
        assert done.error is not None
        assert "cold" in done.error
    else:
        assert_ok(done)
        assert done.rows == 318
        assert done.fetched_bytes == drilled(world, Target.latest(), lazy=not lazy).fetched_bytes
        assert not asked


# -- encrypted


@pytest.mark.parametrize("lazy", [False, True])
def test_an_encrypted_repository(world: World, lazy: bool) -> None:
    (world.folder / "key").write_bytes(b"a key of more than sixteen bytes")
    key = Key.file(world.folder / "key")
    place = world.folder / "repository"
    Repository.create(place, encrypted=True, key=key, clock=world.clock, rng=world.rng)
    repository = Repository(place, key=key, clock=world.clock, rng=world.rng)
    with world.open(repository=repository) as db:
        create(db)
        put(db, 0, 300)
        db.demote("words", 0.5)
        made(db)
        put(db, 500)
        db.archive()
    for _ in range(5):
        assert_ok(drilled(world, repository=repository, lazy=lazy))


# -- random histories


class DrillingBench(RepositoryBench):
    def check(self, local: LocalDir) -> list[Finding]:
        """Its cold store may be elsewhere."""
        store = open_store(self.place.cold or self.folder / "db" / "cold", create=False)
        report = check(local, SHARD, store, make_tools(self.options))
        assert report.ok, report.findings
        return report.findings


class Drilling(Driver):
    """Drills where others restore."""

    lazy_share = 0.4

    def restore(self) -> None:
        bench = self.bench
        scratch = bench.folder.with_name(f"{bench.folder.name}-scratch")
        scratch.mkdir(exist_ok=True)
        repository = bench.repository
        if not repository.windows():
            return
        held = contents(bench._repository_folder)
        wish = DrillWish(lazy=self.rng.random() < self.lazy_share, scratch=scratch)
        done = drill.run(repository.open(), wish)
        assert_ok(done)
        assert contents(bench._repository_folder) == held
        assert not list(scratch.iterdir())
        assert done.seq is not None
        if done.timeline == bench.db.status().timeline and done.seq in bench.states:
            collections = bench.states[done.seq].collections
            assert done.collections == len(collections)
            assert done.rows == sum(len(c.rows) for c in collections.values())
        bench.restored += 1


def drive(folder: Path, place: Place, seed: int, steps: int, drills: int) -> None:
    bench = DrillingBench(folder / "machine", place)
    try:
        Drilling(bench, random.Random(seed)).run(steps, drills)
        assert bench.restored >= drills
    finally:
        bench.end()


@pytest.mark.parametrize("seed", range(12))
def test_random_histories(seed: int, tmp_path: Path) -> None:
    drive(tmp_path, Place(), 2_000 + seed, steps=60, drills=10)


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_with_a_cold_store_of_their_own(seed: int, tmp_path: Path) -> None:
    drive(tmp_path, Place(cold=Store(tmp_path / "cold")), 3_000 + seed, steps=60, drills=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_many_random_histories(seed: int, tmp_path: Path) -> None:
    drive(tmp_path, Place(), 4_000 + seed, steps=60, drills=10)


@pytest.mark.parametrize("archived_first", [True, False])
def test_forks(world: World, db: Database, archived_first: bool) -> None:
    """Also one before the state that a backup holds: its manifest counts on the new timeline, the rest does not."""
    put(db, 20)
    put(db, 30)
    made(db)  # of commit 5, with a manifest of commit 2
    put(db, 40)
    if archived_first:
        db.archive()
    db.close()
    world.tick(10)
    world.repository().restore(world.folder / "second", Target.seq(4), attach=True)
    with world.open("second") as second:
        second["words"].delete(ids=[0, 1])
        create(second, "others")
        put(second, 700, 5)
        second.archive()
    repository = world.repository()
    seen = set()
    for _ in range(60):
        done = drilled(world, lazy=world.rng.random() < 0.3)
        assert_ok(done)
        seen.add((done.timeline, done.seq))
    for window in repository.windows():
        for seq in range(window.first_seq, window.last_seq + 1):
            done = drilled(world, Target.seq(seq, timeline=window.timeline))
            assert_ok(done)
            assert done.seq == seq
    assert len({timeline for timeline, _ in seen}) == 2


def test_gaps(world: World) -> None:
    """Each backup is a window of its own."""
    with world.open(mode="off") as db:
        create(db)
        for first in range(0, 40, 10):
            put(db, first)
            db.flush()
            world.tick()
            put(db, first + 100, 1)
            made(db)
            world.tick()
            put(db, first + 200, 1)
            world.tick()
    windows = world.repository().windows()
    assert len(windows) > 2
    seen = set()
    for _ in range(60):
        done = drilled(world)
        assert_ok(done)
        seen.add(done.seq)
    assert seen == {seq for w in windows for seq in range(w.first_seq, w.last_seq + 1)}


def test_a_gap_in_the_archive(world: World) -> None:
    world.options = replace(world.options, wal_file_bytes=500, archive_behind_bytes=1000)
    repository = Repository.create(world.folder / "repository", clock=world.clock, rng=world.rng)
    faulty = use_faulty(repository, world)
    with world.open(repository=repository, behind="drop") as db:
        create(db)
        made(db)
        db.archive()
        faulty.away = True
        for first in range(0, 100, 10):
            put(db, first)
            world.tick()
        db.flush()
        db.maintain()
        faulty.away = False
        db.archive()
        put(db, 200)
        world.tick()
        made(db)
        put(db, 300)
        db.archive()
    windows = world.repository().windows()
    assert len(windows) == 2
    seen = set()
    for _ in range(40):
        done = drilled(world)
        assert_ok(done)
        seen.add(done.seq)
    assert seen == {seq for w in windows for seq in range(w.first_seq, w.last_seq + 1)}


def test_both_kinds_of_targets_and_all_windows_are_drawn(world: World, archived: Database) -> None:
    held = holdings.read(world.repository().open().vault)
    drawn = [drill_draw.draw(held, random.Random(seed), times=True) for seed in range(100)]
    assert {target.kind for target in drawn if target is not None} == {"seq", "time"}
    drawn = [drill_draw.draw(held, random.Random(seed), times=False) for seed in range(100)]
    assert {target.kind for target in drawn if target is not None} == {"seq"}


# -- damage


@pytest.fixture
def rich(world: World) -> Iterator[Database]:
    """Both tiers, a backup with a log of its own, and three parts of the archive."""
    with world.open() as db:
        create(db)
        put(db, 0, 300)
        db.flush()
        db.maintain()
        db.demote("words", 0.5)
        put(db, 300, 20)
        made(db)
        for first in (400, 410, 420):
            world.tick()
            put(db, first)
            db.archive()
        yield db


def files(world: World, folder: str) -> list[Path]:
    return sorted(path for path in (world.folder / "repository" / folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_a_flipped_byte_and_a_missing_object_are_found(world: World, shared: bool, lazy: bool) -> None:
    world.cold = Store(world.folder / "cold") if shared else None
    with world.open() as db:
        create(db)
        put(db, 0, 300)
        db.flush()
        db.maintain()
        db.demote("words", 0.5)
        made(db)
    target = Target.latest()
    assert_ok(drilled(world, target, lazy=lazy))
    for path in files(world, "data"):
        kept = path.read_bytes()
        path.write_bytes(kept[: len(kept) // 2] + bytes([kept[len(kept) // 2] ^ 1]) + kept[len(kept) // 2 + 1 :])
        damaged = drilled(world, target, lazy=lazy)
        path.unlink()
        missing = drilled(world, target, lazy=lazy)
        path.write_bytes(kept)
        for done in (damaged, missing):
            assert not is_ok(done), path
            assert "FAILED" in sentences(done)[0]
    assert_ok(drilled(world, target, lazy=lazy))


@pytest.mark.parametrize("lazy", [False, True])
def test_damage_in_the_log_is_found(world: World, rich: Database, lazy: bool) -> None:
    parts = files(world, "wal")
    parts = [path for path in parts if path.name.isdigit()]
    last = Target.seq(rich.seq)
    for path in parts[-3:]:
        kept = path.read_bytes()
        for at in (3, len(kept) // 2, len(kept) - 2):
            path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
            assert not is_ok(drilled(world, last, lazy=lazy))
        path.write_bytes(kept)
    assert_ok(drilled(world, last, lazy=lazy))


def test_swapped_parts_are_found_by_every_drill(world: World, rich: Database) -> None:
    one, two = [path for path in files(world, "wal") if path.name.isdigit()][-2:]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    for _ in range(10):
        done = drilled(world)
        assert not is_ok(done)
        assert any("moved or swapped" in problem for problem in done.problems)


def test_a_repository_without_anything_intact(world: World, db: Database) -> None:
    with world.open("other", world.repository("alone"), mode="off") as other:
        create(other)
        made(other)
    (document,) = (world.folder / "alone" / "backups").iterdir()
    document.write_bytes(document.read_bytes()[:-20])
    done = drilled(world, repository=world.repository("alone"))
    assert done.target == "random"
    assert done.error is not None
    assert document.name in done.error


def test_a_store_that_goes_away(world: World, rich: Database) -> None:
    for kind in ("get", "get_file", "get_ranges", "list"):
        for at in (1, 2, 5, 9):
            repository = world.repository()
            repository.open()
            faulty = use_faulty(repository, world)
            faulty.plan.fail(StoreUnavailableError("it is away"), kind, at=at)
            done = drilled(world, repository=repository, lazy=at % 2 == 0)
            struck = faulty.plan.calls[kind] >= at
            assert is_ok(done) or "it is away" in f"{done.error} {done.problems}"
            assert struck or is_ok(done)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("when", ["restore", "check"])
def test_an_interrupt_leaves_nothing(
    world: World, rich: Database, monkeypatch: pytest.MonkeyPatch, when: str, lazy: bool
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        *((drill_checks, "check", interrupted) if when == "check" else (drill.engine, "open_reader", interrupted))
    )
    (world.folder / "scratch").mkdir()
    before = contents(world.folder)
    with pytest.raises(KeyboardInterrupt):
        drill.run(world.repository().open(), DrillWish(lazy=lazy, scratch=world.folder / "scratch"))
    assert contents(world.folder) == before
    assert not list((world.folder / "scratch").iterdir())


# -- each check by itself: a restore that went wrong without noticing


Change = Callable[[RestorePlan], RestorePlan]


def of_document(**changes: object) -> Change:
    def change(plan: RestorePlan) -> RestorePlan:
        return replaced_plan(plan, msgspec.structs.replace(plan.backup, **changes))

    return change


def replaced_plan(plan: RestorePlan, backup: BackupDocument) -> RestorePlan:
    return RestorePlan(plan.point, backup, plan.steps)


def with_plan(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """The plan that the drill knows is another one."""
    true = restoring.plan

    def planned(*how: object) -> tuple[Holdings, RestorePlan]:
        held, plan = true(*how)  # type: ignore[arg-type]
        return held, change(plan)

    monkeypatch.setattr(drill.restoring, "plan", planned)


def test_rows_that_the_document_does_not_name(
    world: World, archived: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(plan: RestorePlan) -> RestorePlan:
        (words,) = plan.backup.collections
        return of_document(collections=(msgspec.structs.replace(words, rows=21),))(plan)

    with_plan(monkeypatch, change)
    for seq in (2, 3, 4):
        (problem,) = drilled(world, Target.seq(seq)).problems
        assert "collection words at commit 3: 21 rows by the document of backup" in problem
        assert "20 rows by its manifest" in problem


def test_neighbours_that_are_not_found_again(world: World, archived: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(plan: RestorePlan) -> RestorePlan:
        golden = [
            msgspec.structs.replace(q, neighbours=(*q.neighbours[:5], *range(900, 905))) for q in plan.backup.golden
        ]
        return of_document(golden=tuple(golden))(plan)

    with_plan(monkeypatch, change)
    done = drilled(world, Target.seq(3))
    assert done.golden_share == 0.5
    assert "only 50.0% are found again" in done.problems[0]
    assert_ok(drilled(world, Target.seq(4)))


def test_a_running_hash_that_is_another(world: World, archived: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(plan: RestorePlan) -> RestorePlan:
        shard = msgspec.structs.replace(plan.backup.shards[0], chain="ab" * 32)
        return of_document(shards=(shard,))(plan)

    with_plan(monkeypatch, change)
    assert "does not lead to that of backup" in drilled(world, Target.seq(2)).problems[0]


def after_restore(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path, Restored], Restored]) -> None:
    true = restore.restore

    def restored(_opened: object, plan: object, where: drill.Destination, *rest: object) -> Restored:
        done = true(_opened, plan, where, *rest)  # type: ignore[arg-type]
        return act(where.parent.path(where.name), done)

    monkeypatch.setattr(drill.restore, "restore", restored)


def test_an_expiry_meanwhile_takes_nothing_away(
    world: World, archived: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drill holds what it reads until it ends, not only until all is restored."""
    archived.flush()
    world.tick()
    made(archived)
    first, _ = world.repository().backups()
    kept = {path.name for folder in ("data", "wal") for path in files(world, folder)}

    def expired(_: Path, done: Restored) -> Restored:
        world.repository().expire([first.id])
        return done

    after_restore(monkeypatch, expired)
    (world.folder / "scratch").mkdir()
    wish = DrillWish(Target.seq(3), lazy=True, scratch=world.folder / "scratch")
    done = drill.run(world.repository().open(), wish)
    assert_ok(done)
    assert done.backup == first.id
    assert kept == {path.name for folder in ("data", "wal") for path in files(world, folder)}
    assert not files(world, "leases")
    assert not files(world, "pins")


def test_damage_after_the_restore(world: World, rich: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def damage(path: Path, done: Restored) -> Restored:
        vectors = next((path / "segments").glob("*.vectors"))
        data = vectors.read_bytes()
        vectors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        return done

    after_restore(monkeypatch, damage)
    done = drilled(world, Target.latest())
    assert any("its checksum is not the one" in problem for problem in done.problems), done


def test_another_log_after_the_restore(world: World, archived: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last commit is lost, as where a log file was cut off at the end of a record."""

    def cut(path: Path, done: Restored) -> Restored:
        logs = sorted((path / "wal").iterdir())
        logs[-1].unlink() if len(logs) > 1 else cut_off(logs[-1])
        return done

    after_restore(monkeypatch, cut)
    problems = " ".join(drilled(world, Target.seq(4)).problems)
    assert "commit 4 was to be restored, 4 was, and 3 shows" in problems
    assert "the restored log" in problems


def cut_off(path: Path) -> None:
    data = path.read_bytes()
    *_, (_, last) = records_of_file(data, path.name)
    path.write_bytes(data[: -len(last)])


def test_a_time_that_has_a_later_commit(world: World, archived: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {row["seq"]: row["time"] for row in world.repository().log().to_pylist()}

    def change(plan: RestorePlan) -> RestorePlan:
        return replace(plan, point=replace(plan.point, time_us=to_us(times[4])))

    with_plan(monkeypatch, change)
    (problem,) = drilled(world, Target.seq(3)).problems
    assert "commit 4" in problem
    assert "is missing" in problem


def test_another_time_after_the_restore(world: World, archived: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    after_restore(monkeypatch, lambda _, done: replace(done, time_us=done.time_us + 1))
    (problem,) = drilled(world, Target.seq(3)).problems
    assert "was restored as of" in problem


def test_a_search_that_finds_the_wrong_rows(world: World, archived: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    true = golden.ask

    def worse(*how: object) -> dict[object, object]:
        return {id: golden.Answer(answer.found, 0.8) for id, answer in true(*how).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(golden, "ask", worse)
    done = drilled(world, Target.seq(3))
    assert done.recall == pytest.approx(0.8)
    assert "the recall of 8 golden queries is 0.800" in done.problems[0]
