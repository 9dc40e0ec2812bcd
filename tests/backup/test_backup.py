"""Backups: what they send, what they refuse, and how they go on after an interruption."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.backup.conftest import World, create, ids_of, put, vectors
from tests.support.faulty_store import FaultyStore
from tiervdb.backup import holdings, leases, opened
from tiervdb.backup.pace import Limits, Pace, giving_way
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import Backup, BackupSketch
from tiervdb.clock import ManualClock
from tiervdb.database.database import Database
from tiervdb.errors import (
    CorruptionError,
    DatabaseLockedError,
    InvalidInputError,
    NoRepositoryError,
    StateError,
    StoreUnavailableError,
)
from tiervdb.format.repository_documents import Tombstone
from tiervdb.format.repository_paths import LEASES, BackupKey
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target


def made(db: Database, **how: object) -> Backup:
    backup = db.backup(**how)  # type: ignore[arg-type]
    assert isinstance(backup, Backup)
    return backup


def test_a_full_one_and_increments(world: World, db: Database) -> None:
    first = made(db)
    assert (first.kind, first.seq, first.cold) == ("full", db.seq, "copy")
    assert first.sent_bytes == first.bytes
    world.tick()
    again = made(db)
    assert again.kind == "incremental"
    assert again.sent_objects == 2  # its manifest and its log
    put(db, 20)
    db.flush()
    db.maintain()
    world.tick()
    third = made(db, label="after the third")
    assert 2 < third.sent_objects < third.files
    world.tick()
    full = made(db, kind="full")
    assert full.sent_bytes == full.bytes
    listed = world.repository().backups()
    assert [b.id for b in listed] == [first.id, again.id, third.id, full.id]
    assert world.repository().backup("after the third") == third
    assert world.repository().backup(first.id[:8]) == first


def test_a_dry_run_sends_nothing(world: World, db: Database) -> None:
    sketch = db.backup(dry_run=True)
    assert isinstance(sketch, BackupSketch)
    assert sketch.kind == "full"
    assert sketch.send_bytes == sum(size for _, size in sketch.send) == sketch.bytes > 0
    assert world.repository().backups() == []
    made(db)
    sketch = db.backup(dry_run=True)
    assert isinstance(sketch, BackupSketch)
    assert (sketch.send, sketch.reused_files) == ((), 3)


def test_progress_and_limits(db: Database) -> None:
    seen: list[tuple[int, int]] = []
    made(db, progress=lambda done, total: seen.append((done, total)), limits=Limits(parallel=1))
    assert seen[-1][0] == seen[-1][1] > 0
    with pytest.raises(InvalidInputError, match="bytes_per_second"):
        Limits(bytes_per_second=0)


def test_the_pace() -> None:
    clock, slept = ManualClock(), []
    pace = Pace(Limits(bytes_per_second=1000, requests_per_second=10), clock, slept.append)
    for size in (500, 500, 1):
        pace.request(size)
    assert slept == [0.5, 1.0]
    clock.advance(10)
    pace.request(1)
    assert slept == [0.5, 1.0]


def test_commits_wait_less_for_a_backup_and_no_setting_is_left(db: Database) -> None:
    before = sys.getswitchinterval()
    seen: list[float] = []
    made(db, progress=lambda done, total: seen.append(sys.getswitchinterval()))
    assert max(seen) == pytest.approx(0.0005)
    assert sys.getswitchinterval() == before
    with giving_way, giving_way:
        assert sys.getswitchinterval() == pytest.approx(0.0005)
    assert sys.getswitchinterval() == before


def test_both_tiers_with_their_indexes(world: World, db: Database) -> None:
    put(db, 100, 300)
    db.flush()
    db.maintain()
    db.demote("words", 0.5)
    backup = made(db)
    (document,) = holdings.read(world.repository().open().vault).backups
    roles = {file.role for file in document.files}
    assert roles == {"local", "cold"}
    names = {file.name.rpartition(".")[2] for file in document.files}
    assert {"sketch", "parquet", "ids", "vectors", "columns", "codebook", "manifest"} <= names
    assert backup.bytes == sum(file.size for file in document.files)


class opened_repository:
    """A look into the documents."""

    def __init__(self, world: World) -> None:
        self.vault = world.repository().open().vault

    def backups_of(self) -> list[object]:
        from tiervdb.backup import holdings

        return list(holdings.read(self.vault).backups)  # type: ignore[return-value]


def test_a_missing_or_damaged_file_fails_it(world: World, db: Database) -> None:
    segment = next((world.folder / "db" / "segments").glob("*.vectors"))
    kept = segment.read_bytes()
    segment.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(CorruptionError, match=f"{segment.name} is damaged.*nothing was backed up"):
        made(db)
    segment.unlink()
    with pytest.raises(CorruptionError, match=f"{segment.name} is missing"):
        made(db)
    assert world.repository().backups() == []
    segment.write_bytes(kept)
    made(db)


def test_a_missing_cold_object_is_named(world: World, db: Database) -> None:
    db.demote("words")
    cold = next((world.folder / "db" / "cold").rglob("*.parquet"))
    cold.unlink()
    with pytest.raises(CorruptionError, match=rf"cold object .*{cold.name} is missing"):
        made(db)
    assert world.repository().backups() == []


def test_by_reference(world: World) -> None:
    world.cold = Store(world.folder / "cold")
    with world.open() as db:
        create(db)
        put(db, 0, 50)
        db.demote("words")
        by_reference = made(db, cold="reference")
        copied = made(db)
        assert by_reference.bytes == copied.bytes
        assert by_reference.sent_bytes < copied.sent_bytes
        pins = [pin for pin in db.pins() if pin.kind == "backup"]
        assert len(pins) == 1
        seq, expected = db.seq, ids_of(db)
        db["words"].delete(where="rank >= 0")
        db.flush()
        db.maintain()  # would delete the objects, but for the pin
    world.repository().restore(world.folder / "again", Target.backup(by_reference.id))
    with world.open_alone("again") as restored:
        assert (restored.seq, ids_of(restored)) == (seq, expected)
    world.repository().expire([by_reference.id], dry_run=False)
    with world.open() as db:
        assert [pin for pin in db.pins() if pin.kind == "backup"] == []


def test_a_reference_into_the_own_directory_is_refused(db: Database) -> None:
    db.demote("words")
    with pytest.raises(InvalidInputError, match="outside of the database's directory"):
        made(db, cold="reference")


@pytest.mark.parametrize("wrong", [{"kind": "partial"}, {"cold": "hot"}, {"label": ""}])
def test_bad_wishes(db: Database, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        db.backup(**wrong)  # type: ignore[arg-type]


def test_without_a_repository(world: World) -> None:
    with world.open_alone("alone") as db, pytest.raises(NoRepositoryError, match="repository="):
        db.backup()


def test_one_at_a_time(world: World, db: Database) -> None:
    lock = OsDir(world.folder / "db").lock("archive.lock")
    assert lock is not None
    with pytest.raises(DatabaseLockedError, match="another backup"):
        made(db)
    lock.release()
    made(db)


def test_from_beside_the_writer(world: World, db: Database) -> None:
    db.archive()
    with world.open_alone("db", read_only=True) as reader:
        backup = reader.backup()
        assert isinstance(backup, Backup)
        assert backup.seq == db.seq
    assert [b.id for b in world.repository().backups()] == [backup.id]


def test_an_interrupted_one_goes_on_without_sending_again(world: World, db: Database) -> None:
    put(db, 100, 300)
    db.flush()
    db.maintain()
    repository = world.repository()
    faulty = use_faulty(repository, world)
    db.archive()
    db.close()
    with world.open(repository=repository) as again:
        faulty.plan.fail(StoreUnavailableError("away"), "put_file", at=2, count=None)
        faulty.plan.fail(StoreUnavailableError("away"), "put", at=6, count=None)
        with pytest.raises(StoreUnavailableError):
            made(again, limits=Limits(parallel=1))
        assert world.repository().backups() == []
        faulty.plan.heal()
        sent = {path.name for path in (world.folder / "repository" / "data").rglob("*") if path.is_file()}
        assert sent
        backup = made(again)
    kept = {path.name for path in (world.folder / "repository" / "data").rglob("*") if path.is_file()}
    assert sent <= kept
    assert len(kept) == backup.files  # nothing twice
    assert leases.running(world.repository().open().vault) == []


def test_a_tombstone_stops_one_whose_lease_ran_out(world: World, db: Database) -> None:
    repository = world.repository()
    vault = repository.open().vault

    def expire(done: int, total: int) -> None:
        for found in list(vault.store.list(LEASES)):
            backup_id = found.key.rpartition("/")[2]
            key = BackupKey(backup_id).key
            if not (world.folder / "repository" / key).exists():
                vault.create(key, Tombstone(id=backup_id, created_us=1, reason="its lease ran out"))

    with pytest.raises(StateError, match="given up by an expiry"):
        made(db, progress=expire)
    assert repository.backups() == []
    assert made(db).seq == db.seq


def test_an_empty_database(world: World) -> None:
    with world.open() as db:
        backup = made(db)
        assert (backup.seq, backup.first_seq) == (0, 0)
    world.repository().restore(world.folder / "again")
    with world.open_alone("again") as restored:
        assert (restored.seq, restored.collections()) == (0, [])


def test_the_same_content_is_sent_once(world: World) -> None:
    with world.open() as db:
        for name in ("a", "b"):
            create(db, name)
        same = vectors(1, 200)
        with db.batch() as batch:
            for name in ("a", "b"):
                batch[name].upsert(ids=np.arange(200), vectors=same, columns={"rank": np.arange(200)})
        db.flush()
        backup = made(db)
        assert backup.sent_objects < backup.files


def use_faulty(repository: Repository, world: World) -> FaultyStore:
    """The repository behind a store that fails as planned."""
    faulty = FaultyStore(open_store(repository.location, create=False))
    repository._opened = opened.open_in(faulty, None, world.clock, world.rng)
    return faulty


def test_the_directory_is_gone_and_the_backup_is_not(world: World, db: Database) -> None:
    made(db)
    expected = ids_of(db)
    db.close()
    shutil.rmtree(world.folder / "db")
    world.repository().restore(Path(world.folder / "db"))
    with world.open_alone("db") as restored:
        assert ids_of(restored) == expected
