"""Timelines and fencing: who may archive where, and what becomes of the old writer."""

from __future__ import annotations

import shutil

import pytest

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made, use_faulty
from tiervdb.backup import holdings
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.errors import (
    ArchiveConflictError,
    DatabaseLockedError,
    FencedError,
    RepositoryInUseError,
    SettingsMismatchError,
    SingleWriterWarning,
    StateError,
    StoreUnavailableError,
    TiervdbError,
)
from tiervdb.target import Target


def test_the_old_writer_is_shut_out_and_the_new_one_goes_on(world: World, db: Database) -> None:
    made(db)
    db.archive()
    expected = ids_of(db)
    world.repository().restore(world.folder / "new", attach=True)
    put(db, 700)
    with pytest.raises(FencedError, match="ended at commit 3"):
        db.archive()
    with pytest.raises(FencedError):
        made(db)
    with world.open_alone("new") as new:
        assert new.status().repository_url == world.repository().url
        assert ids_of(new) == expected
        put(new, 800)
        assert new.archive().seq == 4
        made(new)
    assert [b.seq for b in world.repository().backups()] == [3, 4]
    assert world.repository().plan().timeline != db.status().timeline


def test_a_sync_writer_that_was_fenced_cannot_commit(world: World) -> None:
    with world.open(mode="sync") as db:
        create(db)
        put(db, 0)
        made(db)
        world.repository().restore(world.folder / "new", attach=True)
        with pytest.raises(TiervdbError, match="ended at commit"):
            put(db, 50)
        with pytest.raises(StateError):
            put(db, 60)


def test_nothing_acknowledged_is_lost_with_sync(world: World) -> None:
    db = world.open(mode="sync")
    create(db)
    made(db)
    for first in range(0, 50, 10):
        put(db, first)
    expected = ids_of(db)
    assert db._session._forgotten is not None
    db._session._forgotten.detach()  # as if the machine was gone: nothing is closed or shipped
    world.repository().restore(world.folder / "new", attach=True)
    with world.open_alone("new") as new:
        assert ids_of(new) == expected


def test_attaching_at_an_earlier_point(world: World, db: Database) -> None:
    made(db)
    put(db, 500)
    db.archive()
    db.close()
    world.tick()
    world.repository().restore(world.folder / "new", Target.seq(3), attach=True)
    with world.open_alone("new") as new:
        put(new, 600)
        new.archive()
        made(new)
        assert new.seq == 4
    repository = world.repository()
    first, second = repository.windows()
    assert (first.first_seq, first.last_seq) == (0, 4)
    assert (second.first_seq, second.last_seq) == (4, 4)
    repository.restore(world.folder / "old end", Target.seq(4, timeline=first.timeline))
    with world.open_alone("old end") as old:
        assert 500 in ids_of(old)


def test_attaching_later(world: World, db: Database) -> None:
    made(db)
    db.archive()
    world.repository().restore(world.folder / "new")
    with world.open_alone("new") as new:
        put(new, 600)
        with pytest.raises(DatabaseLockedError):
            world.repository().attach(world.folder / "new")
    world.repository().attach(world.folder / "new")
    world.repository().attach(world.folder / "new")  # repeating changes nothing
    with pytest.raises(FencedError):
        put(db, 1) and db.archive()
    with world.open_alone("new") as new:
        assert new.archive().seq == 4
    assert world.repository().plan().seq == 4


def test_a_fenced_directory_goes_on_as_a_timeline_of_its_own(world: World, db: Database) -> None:
    made(db)
    db.archive()
    world.repository().restore(world.folder / "new", attach=True)
    put(db, 700)
    mine = ids_of(db)
    db.close()
    world.tick()
    world.repository().attach(world.folder / "db")
    with world.open_alone("db") as again:
        assert ids_of(again) == mine
        again.archive()
        made(again)
    assert world.repository().plan().seq == 4
    with world.open_alone("new") as new, pytest.raises(FencedError):
        new.archive()


def test_a_stranger_cannot_attach(world: World, db: Database) -> None:
    made(db)
    with world.open_alone("stranger") as stranger:
        create(stranger)
    with pytest.raises(RepositoryInUseError, match="does not descend"):
        world.repository().attach(world.folder / "stranger")
    with pytest.raises(RepositoryInUseError, match="holds database"):
        world.open("stranger")


def test_a_new_database_does_not_start_where_one_is_kept(world: World, db: Database) -> None:
    db.archive()
    with pytest.raises(RepositoryInUseError, match=r"restore\(path\).*attach=True"):
        world.open("fresh")
    assert not (world.folder / "fresh" / "tiervdb.json").exists()


def test_the_url_is_remembered(world: World, db: Database) -> None:
    db.close()
    with pytest.raises(SettingsMismatchError, match="archives to"):
        world.open(repository=world.repository("other"))
    with world.open_alone("db") as again:
        put(again, 50)
        assert again.archive().seq == 4


def test_a_clone_is_detached(world: World, db: Database) -> None:
    db.archive()
    db.clone(world.folder / "clone")
    with world.open_alone("clone") as clone:
        assert clone.status().protection == "unprotected"
    with pytest.raises(RepositoryInUseError):
        world.open("clone")


def test_two_copies_cannot_both_archive(world: World, db: Database) -> None:
    """The same directory twice, say of a virtual machine that was copied: inode and machine are alike."""
    db.archive()
    db.close()
    twin = world.folder / "elsewhere" / "db"
    twin.parent.mkdir()
    with world.open_alone("db") as one:
        shutil.copytree(world.folder / "db", twin)
        put(one, 100)
        one.archive()
    (world.folder / "db").rename(world.folder / "kept")
    shutil.move(twin, world.folder / "db")
    pretend_same_place(world)
    with world.open_alone("db") as two:
        assert two.seq == 4  # what the other archived came back: it is the same history still
        put(two, 900)
        two.archive()
    (world.folder / "db").rename(world.folder / "two")
    (world.folder / "kept").rename(world.folder / "db")
    pretend_same_place(world)
    repository = world.repository()
    faulty = use_faulty(repository, world)
    faulty.away = True
    with world.open(repository=repository) as one:  # it cannot ask, and goes another way
        put(one, 800)
        faulty.away = False
        for _ in range(2):
            with pytest.raises((ArchiveConflictError, FencedError)):
                one.archive()


def pretend_same_place(world: World) -> None:
    from msgspec.structs import replace

    from tiervdb.engine import identity as identities
    from tiervdb.storage.os_dir import OsDir

    local = OsDir(world.folder / "db", sync=False)
    identities.write(local, replace(identities.read(local), place=identities.here(local)))


def test_an_older_copy_is_brought_up_to_date(world: World, db: Database) -> None:
    db.archive()
    db.close()
    shutil.copytree(world.folder / "db", world.folder / "older")
    with world.open_alone("db") as newer:
        put(newer, 100)
        expected = ids_of(newer)
        newer.archive()
    shutil.rmtree(world.folder / "db")
    (world.folder / "older").rename(world.folder / "db")
    pretend_same_place(world)
    with world.open_alone("db") as back:
        assert (back.seq, ids_of(back)) == (4, expected)
        put(back, 200)
        back.archive()


def test_a_copy_that_went_another_way_does_not_open(world: World, db: Database) -> None:
    db.archive()
    db.close()
    shutil.copytree(world.folder / "db", world.folder / "older")
    with world.open_alone("db") as newer:
        put(newer, 100)
        put(newer, 200)
        newer.archive()
    shutil.rmtree(world.folder / "db")
    (world.folder / "older").rename(world.folder / "db")
    pretend_same_place(world)
    repository = world.repository()
    away = use_faulty(repository, world)
    away.away = True
    with world.open(repository=repository) as other:  # a repository that is away keeps nobody from opening
        put(other, 900)
        with pytest.raises(StoreUnavailableError):
            other.archive()
    with pytest.raises(ArchiveConflictError, match="another history"):
        world.open_alone("db")


def test_taking_over_a_copied_directory_fences_the_original(world: World, db: Database) -> None:
    made(db)
    db.archive()
    db.flush()
    shutil.copytree(world.folder / "db", world.folder / "moved")
    from tiervdb.config import Options
    from tiervdb.database.open import Protecting, open_in
    from tiervdb.engine.open import Setting
    from tiervdb.storage.os_dir import OsDir

    setting = Setting(options=Options(background=False), copied="take_over")
    local = OsDir(world.folder / "moved", sync=False)
    with open_in(local, setting, world.clock, world.rng, read_only=False, protecting=Protecting()) as moved:
        put(moved, 300)
        moved.archive()
        made(moved)
    put(db, 400)
    with pytest.raises(FencedError):
        db.archive()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_attach_is_finished_by_repeating_it(world: World, db: Database, when: str) -> None:
    made(db)
    put(db, 50)
    db.archive()
    expected = ids_of(db)
    db.close()
    for at in range(1, 12):
        repository = world.repository()
        faulty = use_faulty(repository, world)
        faulty.plan.fail(StoreUnavailableError("away"), "put_if_absent", at=at, when=when)  # type: ignore[arg-type]
        path = world.folder / f"new{at}"
        try:
            repository.restore(path, attach=True)
            break
        except StoreUnavailableError:
            assert not path.exists()
    world.repository().restore(world.folder / "last", attach=True)
    with world.open_alone("last") as last:
        assert ids_of(last) == expected
        put(last, 600)
        assert last.archive().seq == last.seq
    assert holdings.read(world.repository().open().vault).lineage.current is not None


def test_an_archive_that_is_off(world: World) -> None:
    with world.open(mode="off") as db:
        create(db)
        put(db, 0)
        made(db)
        put(db, 20)
        put(db, 40)
        second = made(db)
        expected = ids_of(db)
        with pytest.raises(StateError, match='archive="off"'):
            db.archive()
        put(db, 60)
    windows = world.repository().windows()
    assert [(w.first_seq, w.last_seq) for w in windows] == [(0, second.seq)]
    world.repository().restore(world.folder / "new", attach=True)
    with world.open("new") as new:
        assert ids_of(new) == expected
        new.archive()


def test_a_repository_of_another_name_is_made(world: World) -> None:
    with world.open(repository=Repository(world.folder / "a" / "b", clock=world.clock, rng=world.rng)) as db:
        create(db)
        db.archive()
    assert (world.folder / "a" / "b" / "repository.json").exists()


def test_a_store_without_conditional_writes_is_used_and_said(world: World) -> None:
    place = f"memory://{world.folder.name}/repository"
    repository = Repository(place, clock=world.clock, rng=world.rng)
    with world.open(repository=repository) as db:
        create(db)
        put(db, 0)
        with pytest.warns(SingleWriterWarning, match="no conditional writes"):
            db.archive()
        made(db)
        expected = ids_of(db)
    again = Repository(place, clock=world.clock, rng=world.rng)
    again.restore(world.folder / "new")
    with world.open_alone("new") as new:
        assert ids_of(new) == expected
