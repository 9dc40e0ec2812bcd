"""Expiry deletes what nobody needs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backup.conftest import World, ids_of, put
from tests.backup.test_backup import made, use_faulty
from tiervdb import Policy
from tiervdb.backup import expiry, holdings, leases
from tiervdb.database.database import Database
from tiervdb.errors import BackupNotFoundError, OutsideWindowError, StateError, StoreUnavailableError
from tiervdb.format import repository_paths as paths
from tiervdb.target import Target


def objects(world: World) -> set[Path]:
    return {path for path in (world.folder / "repository" / "data").rglob("*") if path.is_file()}


def parts(world: World) -> list[str]:
    return sorted(path.name for path in (world.folder / "repository" / "wal").rglob("*") if path.is_file())


def test_objects_that_others_list_stay(world: World, db: Database) -> None:
    first = made(db, label="first")
    world.tick()
    put(db, 50)
    db.flush()
    second = made(db)
    expected, before = ids_of(db), objects(world)
    plan = world.repository().expire(["first"], dry_run=True)
    assert objects(world) == before
    done = world.repository().expire(["first"], reason="too old", dry_run=False)
    assert (done.backups, done.objects, done.bytes) == (plan.backups, plan.objects, plan.bytes)
    assert 0 < done.objects < first.files
    assert len(before - objects(world)) == done.objects
    assert [b.id for b in world.repository().backups()] == [second.id]
    assert world.repository().verify(deep=True).ok
    world.repository().restore(world.folder / "back")
    with world.open_alone("back") as back:
        assert ids_of(back) == expected
    assert world.repository().expire([], dry_run=False).objects == 0


def test_the_log_before_the_oldest_backup_goes(world: World, db: Database) -> None:
    made(db, label="first")
    for first in (50, 60, 70):
        put(db, first)
        db.archive()
    db.flush()
    world.tick()
    made(db)
    put(db, 80)
    db.archive()
    assert len(parts(world)) == 5
    assert world.repository().expire(["first"], dry_run=False).parts == 0  # by name, nothing of the log goes
    policy = Policy(pitr="1s", min_backups=1, require_restorable=None)
    world.tick(2)
    assert world.repository().expire(policy, dry_run=False).parts == 4
    assert parts(world) == ["0000000000000005"]
    window = world.repository().windows()[-1]
    assert (window.first_seq, window.last_seq) == (6, 7)
    assert world.repository().plan(Target.seq(7)).seq == 7
    with pytest.raises(OutsideWindowError):
        world.repository().plan(Target.seq(5))
    put(db, 90)
    db.archive()
    assert world.repository().plan(Target.seq(8)).seq == 8


def test_the_last_one_stays(world: World, db: Database) -> None:
    only = made(db)
    with pytest.raises(StateError, match="last backup"):
        world.repository().expire([only.id], dry_run=False)
    with pytest.raises(BackupNotFoundError):
        world.repository().expire(["nothing"], dry_run=False)


def test_leases_and_pins_are_honoured(world: World, db: Database) -> None:
    first = made(db)
    world.tick()
    put(db, 50)
    db["words"].delete(ids=list(range(10)))
    db.flush()
    made(db)
    vault = world.repository().open().vault
    lease = leases.take(vault, "restore", backups=[first.id])
    assert world.repository().expire([first.id], dry_run=False).objects == 0
    lease.release()
    pin = leases.pin(vault, "0" * 32, "/lazy", [first.id], [])
    assert expiry.sweep(vault, {}).objects == ()
    leases.unpin(vault, pin.id)
    assert len(expiry.sweep(vault, {}).objects) > 0
    assert world.repository().verify(deep=True).ok


def test_what_a_dead_backup_left_goes_when_its_lease_is_over(world: World, db: Database) -> None:
    made(db)
    world.tick()
    put(db, 50)
    db.flush()
    db.archive()
    db.close()
    repository = world.repository()
    faulty = use_faulty(repository, world)
    with world.open(repository=repository) as again:
        again.archive()
        faulty.plan.fail(StoreUnavailableError("away"), "put_if_absent", count=None)
        with pytest.raises(StoreUnavailableError):
            made(again)
        faulty.plan.heal()
        (world.folder / "db" / "backup.json").unlink()
        left = len(objects(world))
        vault = world.repository().open().vault
        assert expiry.sweep(vault, {}).objects == ()
        world.tick(leases.LEASE_SECONDS + 1)
        done = expiry.sweep(vault, {})
        assert len(done.give_up) == 1
        assert len(objects(world)) == left - len(done.objects) < left
        assert list(vault.store.list(paths.LEASES)) == []
        assert len(holdings.read(vault).backups) == 1
        assert made(again).seq == again.seq
    assert world.repository().verify(deep=True).ok
