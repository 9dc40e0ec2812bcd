"""The archived log: numbered, chained, one part in flight; replies that are lost, other writers, gaps, sync."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

import tiervdb
from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made, use_faulty
from tests.support.faulty_store import FaultyStore
from tiervdb.backup import archive_reader, opened, part_object, wal_archive
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import RestoreResult
from tiervdb.database.database import Database
from tiervdb.errors import (
    ArchiveConflictError,
    CommitOutcomeUnknown,
    CorruptionError,
    InvalidInputError,
    OutsideWindowError,
    StoreUnavailableError,
    WritesRefusedError,
)
from tiervdb.format.repository_documents import PartHeader
from tiervdb.target import Target


def parts(world: World, db: Database) -> list[PartHeader]:
    return archive_reader.headers(world.repository().open().vault, db.status().timeline, 0)


def with_faults(world: World) -> tuple[Repository, FaultyStore]:
    repository = Repository.create(world.folder / "repository", clock=world.clock, rng=world.rng)
    return repository, use_faulty(repository, world)


def test_parts_follow_each_other(world: World, db: Database) -> None:
    for first in (20, 30, 40):
        db.archive()
        put(db, first)
    db.archive()
    db.archive()  # nothing new, no part
    found = parts(world, db)
    assert [(p.n, p.first_seq, p.last_seq) for p in found] == [(1, 1, 3), (2, 4, 4), (3, 5, 5), (4, 6, 6)]
    assert all(after.before == before.after for before, after in pairwise(found))
    vault = world.repository().open().vault
    for part in found:
        assert len(archive_reader.body(vault, part)) == part.length


def test_large_backlogs_go_in_several_parts(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_archive, "PART_BYTES", 500)
    for first in range(100, 160, 10):
        put(db, first)
    db.archive()
    found = parts(world, db)
    assert len(found) > 3
    assert found[-1].last_seq == db.seq


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reply_that_is_lost(world: World, when: str) -> None:
    repository, faulty = with_faults(world)
    with world.open(repository=repository) as db:
        create(db)
        db.archive()
        put(db, 0)
        faulty.plan.fail(StoreUnavailableError("lost"), "put_if_absent", when=when)  # type: ignore[arg-type]
        with pytest.raises(StoreUnavailableError):
            db.archive()
        put(db, 10)
        assert db.archive().seq == 3
        assert [(p.first_seq, p.last_seq) for p in parts(world, db)] in ([(1, 1), (2, 2), (3, 3)], [(1, 1), (2, 3)])


def test_what_an_earlier_process_sent_is_accepted(world: World, db: Database) -> None:
    db.archive()
    put(db, 20)
    protection = db._session.protection
    assert protection is not None
    position = protection.archiver.position
    db.archive()
    protection.archiver._position = position  # as if the process had died before it heard
    put(db, 30)
    assert db.archive().seq == 5
    assert [(p.n, p.first_seq, p.last_seq) for p in parts(world, db)] == [(1, 1, 3), (2, 4, 4), (3, 5, 5)]


def test_other_records_under_our_number_are_a_hard_stop(world: World, db: Database) -> None:
    db.archive()
    put(db, 20)
    vault = world.repository().open().vault
    mine = parts(world, db)[-1]
    from msgspec.structs import replace

    from tiervdb.format import documents, wal_part
    from tiervdb.format.repository_paths import PartKey

    key = PartKey(mine.timeline, 0, mine.n + 1).key
    other = replace(mine, n=mine.n + 1, first_seq=4, last_seq=4, before=mine.after, after="ff" * 32)
    vault.store.put(key, wal_part.join(documents.encode(other), part_object.packed(vault, key, b"")))
    for _ in range(2):
        with pytest.raises(ArchiveConflictError, match="holds other commits"):
            db.archive()
    assert db["words"].count() == 30  # it can still be read


def test_damage_in_a_part_is_named(world: World, db: Database) -> None:
    made(db)
    put(db, 20)
    db.archive()
    path = next((world.folder / "repository" / "wal").rglob("*2"))
    kept = path.read_bytes()
    for at in range(0, len(kept), 7):
        path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
        with pytest.raises(CorruptionError, match=path.name):
            world.repository().restore(world.folder / "x", Target.seq(4))
        assert not (world.folder / "x").exists()


def test_a_damaged_end_of_the_archive_keeps_nobody_from_opening(world: World, db: Database) -> None:
    for first in (20, 30):
        put(db, first)
        db.archive()
    db.close()
    path = max(p for p in (world.folder / "repository" / "wal").rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[:20])
    with world.open() as again:
        put(again, 40)
        with pytest.raises(CorruptionError, match=path.name):
            again.archive()
        backup = made(again)
        (finding,) = world.repository().verify().findings
        assert path.name in finding.object
        assert "delete it" in finding.advice
        path.unlink()
        assert again.archive().seq == again.seq
        assert world.repository().verify(deep=True).ok
        world.repository().restore(world.folder / "x")
        with world.open_alone("x") as restored:
            assert ids_of(restored) == ids_of(again)
        assert backup.seq == again.seq


def test_the_local_log_stays_until_it_is_archived(world: World) -> None:
    world.options = world.options.__class__(background=False, wal_file_bytes=500)
    repository, faulty = with_faults(world)
    with world.open(repository=repository) as db:
        create(db)
        faulty.away = True
        for first in range(0, 50, 10):
            put(db, first)
        db.flush()
        db.maintain()
        logs = world.folder / "db" / "wal"
        assert len(list(logs.glob("*.wal"))) > 3
        faulty.away = False
        db.archive()
        db.maintain()
        assert len(list(logs.glob("*.wal"))) <= 1
        assert parts(world, db)[0].first_seq == 1


def test_dropping_what_is_behind_leaves_a_gap_that_a_backup_ends(world: World) -> None:
    world.options = world.options.__class__(background=False, wal_file_bytes=500, archive_behind_bytes=1000)
    repository, faulty = with_faults(world)
    with world.open(repository=repository, behind="drop") as db:
        create(db)
        made(db)
        db.archive()
        faulty.away = True
        for first in range(0, 100, 10):
            put(db, first)
        db.flush()
        db.maintain()
        faulty.away = False
        db.archive()
        assert [p.kind for p in parts(world, db)][1] == "gap"
        put(db, 200)
        db.archive()
        last = db.seq
        with pytest.raises(OutsideWindowError):
            world.repository().plan(Target.seq(last))
        world.tick()
        made(db)
        assert world.repository().plan(Target.seq(last)).seq == last
        assert len(world.repository().windows()) == 2
    assert world.repository().verify(deep=True).ok


def test_stalling_writers(world: World) -> None:
    world.options = world.options.__class__(background=False, archive_behind_bytes=1000, commit_timeout=0.2)
    repository, faulty = with_faults(world)
    with world.open(repository=repository, behind="stall") as db:
        create(db)
        db.archive()
        faulty.away = True
        first = 0
        with pytest.raises(WritesRefusedError, match="archive_behind"):  # noqa: PT012
            for first in range(0, 500, 10):
                put(db, first)
        rows = len(db["words"])
        assert 0 < rows < 500
        faulty.away = False
        db.archive()
        put(db, 600)
        assert len(db["words"]) == rows + 10


def test_a_quiet_database_does_not_look_like_a_lagging_one(world: World, db: Database) -> None:
    made(db)
    db.archive()
    for _ in range(3):
        world.tick(60)
        db.archive()
    window = world.repository().windows()[-1]
    assert (window.last_time.timestamp() - db._session.view().time_us / 1e6) == pytest.approx(180, abs=2)


def test_a_clock_that_was_set_back_breaks_no_promise(world: World, db: Database) -> None:
    made(db)
    world.tick(60)
    db.archive()
    promised = world.repository().windows()[-1].last_time
    world.tick(-3600)
    assert put(db, 20).time > promised
    db.close()
    world.tick(-3600)
    with world.open_alone("db") as again:
        assert put(again, 30).time > promised
        again.archive()
        assert world.repository().plan(Target.time(promised)).seq == 3


def test_sync_commits_are_archived_when_they_are_acknowledged(world: World) -> None:
    with world.open(mode="sync") as db:
        create(db)
        for first in range(0, 30, 10):
            seq = put(db, first).seq
            assert parts(world, db)[-1].last_seq == seq


def test_sync_with_a_repository_that_is_away(world: World) -> None:
    repository, faulty = with_faults(world)
    world.options = world.options.__class__(background=False, commit_timeout=0.3)
    with world.open(repository=repository, mode="sync") as db:
        create(db)
        put(db, 0)
        faulty.away = True
        with pytest.raises(CommitOutcomeUnknown, match="repository did not confirm") as caught:
            put(db, 10)
        assert (caught.value.seq, db.seq, len(db["words"])) == (3, 2, 10)
        with pytest.raises(WritesRefusedError, match="waiting to be confirmed"):
            put(db, 20)
        with pytest.raises(WritesRefusedError, match="not confirmed"):
            db.flush()
        faulty.away = False
        db.archive()
        assert (db.seq, ids_of(db)) == (3, list(range(20)))
        put(db, 20)
        assert db.seq == 4
        faulty.away = True
        with pytest.raises(CommitOutcomeUnknown):
            put(db, 30)
    faulty.away = False
    with world.open(mode="sync") as again:  # a logged record is never taken back
        assert ids_of(again) == list(range(40))
        put(again, 50)
        assert parts(world, again)[-1].last_seq == again.seq


def test_sync_from_many_threads(world: World) -> None:
    with world.open(mode="sync") as db:
        create(db)

        def write(number: int) -> None:
            for step in range(5):
                put(db, number * 1000 + step * 10)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.seq == 21
        assert parts(world, db)[-1].last_seq == 21
        assert len(ids_of(db)) == 200


def test_the_background_ships(world: World) -> None:
    """With its thread, on a real clock: a commit is archived soon, and closing ships the rest."""
    import random

    from tiervdb.clock import SystemClock

    world.options = world.options.__class__(archive_seconds=0.01)
    world.clock = SystemClock()  # type: ignore[assignment]
    world.rng = random.Random(9)
    with world.open() as db:
        create(db)
        shipped = threading.Event()
        protection = db._session.protection
        assert protection is not None
        for _ in range(1000):
            if protection.archiver.archived_seq == db.seq:
                shipped.set()
                break
            protection.kick()
            shipped.wait(0.01)
        assert shipped.is_set()
        status = db.status()
        assert (status.protection, status.archived_seq) == ("async", db.seq)
        put(db, 0)
        seq, timeline = db.seq, status.timeline
    last = archive_reader.last_header(world.repository().open().vault, timeline, 0)
    assert last is not None
    assert last.last_seq == seq


def test_a_repository_that_is_away_stops_nothing_else(world: World, caplog: pytest.LogCaptureFixture) -> None:
    repository, faulty = with_faults(world)
    with world.open(repository=repository) as db:
        create(db)
    faulty.away = True
    with world.open(repository=repository) as db:
        put(db, 0)
        db.flush()
        with pytest.raises(StoreUnavailableError):
            db.archive()
        assert "failing" in db.status().protection
    assert "closed before all of its log was archived" in caplog.text
    faulty.away = False
    with world.open(repository=repository) as db:
        assert db.archive().seq == 2


def test_existing_databases_begin_to_archive(world: World) -> None:
    with world.open_alone("db") as db:
        create(db)
        for first in range(0, 50, 10):
            put(db, first)
        db.flush()
        db.maintain()
        db.flush()
    with world.open() as db:
        put(db, 100)
        backup = made(db)
        db.archive()
        put(db, 110)
        db.archive()
        seq = db.seq
    window = world.repository().windows()[-1]
    assert (window.first_seq, window.last_seq) == (0, seq)  # its log was here from the first commit on
    assert window.backups == (backup.id,)


def test_a_log_without_a_backup_can_be_restored(world: World) -> None:
    with world.open(mode="sync") as db:
        create(db)
        put(db, 0)
        at = db.seq, ids_of(db)
        put(db, 10)
        whole = db.seq, ids_of(db)
    repository = world.repository()
    assert repository.backups() == []
    (window,) = repository.windows()
    assert (window.first_seq, window.last_seq, window.backups) == (0, 3, ())
    for lazy in (False, True):
        repository.restore(world.folder / f"then-{lazy}", Target.seq(at[0]), lazy=lazy)
        result = repository.restore(world.folder / f"now-{lazy}", lazy=lazy)
        assert isinstance(result, RestoreResult)
        assert result.backup == "origin"
        for name, expected in ((f"then-{lazy}", at), (f"now-{lazy}", whole)):
            with world.open_alone(name) as db:
                assert (db.seq, ids_of(db)) == expected
    repository.restore(world.folder / "empty", Target.seq(0))
    with world.open_alone("empty") as db:
        assert db.collections() == []
    repository.restore(world.folder / "attached", attach=True)
    with world.open_alone("attached") as db:
        put(db, 20)
        assert db.archive().seq == 4
    assert repository.plan().seq == 4
    assert repository.verify(deep=True).ok


def test_sync_commits_need_something_to_restore_them_onto(world: World) -> None:
    world.options = world.options.__class__(background=False, wal_file_bytes=500, small_floats=200)
    with world.open_alone("db") as db:
        create(db)
        for first in range(0, 50, 10):
            put(db, first)
        db.flush()
        db.maintain()
        rows = ids_of(db)
    with world.open(mode="sync") as db:
        with pytest.raises(WritesRefusedError, match="call backup"):
            put(db, 100)
        assert ids_of(db) == rows
        made(db)
        put(db, 100)
        seq, rows = db.seq, ids_of(db)
    world.repository().restore(world.folder / "x")
    with world.open_alone("x") as restored:
        assert (restored.seq, ids_of(restored)) == (seq, rows)


def test_sync_after_a_time_without_an_archive(world: World) -> None:
    world.options = world.options.__class__(background=False, wal_file_bytes=500, small_floats=200)
    with world.open() as db:
        create(db)
        made(db)
        db.archive()
    with world.open(mode="off") as db:
        for first in range(0, 50, 10):
            put(db, first)
        db.flush()
        db.maintain()
    with world.open(mode="sync") as db:
        with pytest.raises(WritesRefusedError, match="call backup"):
            put(db, 100)
        made(db)
        put(db, 100)
        assert world.repository().plan().seq == db.seq


def test_sync_with_a_repository_that_was_never_asked_writes_nothing(world: World) -> None:
    repository, faulty = with_faults(world)
    with world.open(repository=repository, mode="sync") as db:
        faulty.away = True
        with pytest.raises(WritesRefusedError, match="nothing was written"):
            create(db)
        faulty.away = False
        create(db)
        assert db.seq == 1


def test_sync_has_nothing_to_drop(world: World) -> None:
    with pytest.raises(InvalidInputError, match="nothing to drop"):
        tiervdb.open(world.folder / "db", repository=world.folder / "r", archive="sync", archive_behind="drop")


def test_an_opened_repository_is_opened_once(world: World) -> None:
    repository = Repository.create(world.folder / "repository", clock=world.clock, rng=world.rng)
    assert repository.open() is repository.open()
    assert isinstance(repository.open(), opened.OpenRepository)
