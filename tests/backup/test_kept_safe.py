"""What a backup, an expiry and a verification must notice, also where the store works or another one is faster."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import tiervdb
from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made
from tiervdb.backup import holdings, leases, verify
from tiervdb.backup.scratch import Scratch
from tiervdb.backup.verify import VerifyWish
from tiervdb.database.database import Database
from tiervdb.errors import CorruptionError, OutsideWindowError, PinNotFoundError, StateError
from tiervdb.storage.open import Store
from tiervdb.storage.os_dir import OsDir


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("own", [True, False])
def test_a_damaged_cold_object_is_no_backup(world: World, own: bool) -> None:
    """Also where the store copies it by itself."""
    world.cold = None if own else Store(world.folder / "cold")
    with world.open() as db:
        create(db)
        put(db, 0, 200)
        db.demote("words")
        [parquet] = (world.folder / ("db/cold" if own else "cold")).rglob("*.parquet")
        flip(parquet)
        with pytest.raises(CorruptionError, match="parquet"):
            made(db)
    assert world.repository().backups() == []


def test_by_name_nothing_of_the_log_goes(world: World, db: Database) -> None:
    """What the log alone restores stays restorable."""
    db.flush()
    made(db, label="first")
    put(db, 50)
    db.archive()
    made(db, label="second", kind="full")
    before = [(w.first_seq, w.last_seq) for w in world.repository().windows()]
    world.repository().expire(["second"], dry_run=False)
    assert [(w.first_seq, w.last_seq) for w in world.repository().windows()] == before


def test_the_last_one_with_all_its_objects_stays(world: World, db: Database) -> None:
    db.flush()
    bad = made(db, kind="full")
    good = made(db, kind="full")
    for path in (world.folder / "repository" / "data" / bad.id).iterdir():
        path.unlink()
    with pytest.raises(StateError, match=good.id):
        world.repository().expire([good.id], dry_run=False)
    assert len(world.repository().backups()) == 2
    assert world.repository().expire([bad.id], dry_run=False).backups == (bad.id,)


def test_a_pin_that_nobody_needs_is_released(world: World, db: Database) -> None:
    vault = world.repository().open().vault
    backup = made(db)
    pin = leases.pin(vault, "a" * 32, "/gone", [backup.id], [])
    with pytest.raises(PinNotFoundError, match=pin.id[:12]):
        world.repository().release_pin("nothing")
    world.repository().release_pin(pin.id[:8])
    assert world.repository().sql("from pins").fetchall() == []


def test_a_verification_beside_an_expiry_finds_nothing(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes between its first look and its lease is no damage."""
    db.flush()
    made(db, label="first")
    for first in (50, 60):
        put(db, first)
        db.archive()
    take = leases.take

    def late(*args: object, **how: object) -> object:
        monkeypatch.setattr(leases, "take", take)
        for path in (world.folder / "repository" / "wal").rglob("*001"):
            path.unlink()
        return take(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(leases, "take", late)
    assert verify.verify(world.repository().open().vault, VerifyWish(deep=True)).ok


def test_log_that_went_while_a_restore_was_planned(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.flush()
    made(db, label="first")
    for first in (50, 60):
        put(db, first)
        db.archive()
    readable = holdings.readable

    def then_gone(vault: object) -> object:
        found = readable(vault)  # type: ignore[arg-type]
        for path in (world.folder / "repository" / "wal").rglob("*003"):
            path.unlink()
        return found

    monkeypatch.setattr(holdings, "readable", then_gone)
    with pytest.raises(OutsideWindowError, match="expired just now"):
        world.repository().restore(world.folder / "back")
    assert not (world.folder / "back").exists()


def test_what_a_killed_drill_left_goes_with_the_next(world: World, db: Database, tmp_path: Path) -> None:
    db.flush()
    made(db)
    vault = world.repository().open().vault
    killed, running, kept = (tmp_path / f"tiervdb-drill-{name}" for name in ("killed", "running", "kept"))
    for folder in (killed, running, kept):
        (folder / "db").mkdir(parents=True)
    (killed / "scratch.lock").touch()
    lock = OsDir(running).lock("scratch.lock")
    for folder in (killed, running, kept):
        os.utime(folder, (1, 1))
    leases.pin(vault, "a" * 32, str(killed / "db"), [], [])
    assert world.repository().drill(scratch=tmp_path).ok
    assert (killed.exists(), running.exists(), kept.exists()) == (False, True, True)
    assert leases.pinned(vault) == []
    assert lock is not None
    lock.release()


def test_what_a_killed_view_of_the_past_left_goes_with_the_next(
    world: World, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    db.flush()
    seq, expected = db.seq, ids_of(db)
    made(db)
    put(db, 500)
    db.flush()
    db.archive()
    vault = world.repository().open().vault
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(Scratch, "remove", lambda self, _vault: self._release())  # as if it were, with its lock
        db.at(seq=seq).close()
    [left] = tmp_path.glob("tiervdb-at-*")
    leases.pin(vault, "a" * 32, str(left / "db"), [], [])
    with db.at(seq=seq) as young:  # it may not have its lock yet
        assert ids_of(young) == expected
    assert left.exists()
    os.utime(left, (1, 1))
    with db.at(seq=seq) as past:
        assert ids_of(past) == expected
        assert not left.exists()
    assert leases.pinned(vault) == []
    assert list(tmp_path.glob("tiervdb-at-*")) == []


FORGETFUL = """
import sys
import tempfile
import tiervdb
for _ in range(3):
    with tiervdb.open(sys.argv[1], repository=sys.argv[2]) as db:
        db.create_collection("words", dim=2, exist_ok=True)
db = tiervdb.open(sys.argv[1])
db["words"].upsert(ids=["a"], vectors=[[1, 0]])
"""


def test_a_database_that_nobody_closes_is_shipped_at_the_end(tmp_path: Path) -> None:
    where = [str(tmp_path / "db"), str(tmp_path / "repository")]
    done = subprocess.run([sys.executable, "-c", FORGETFUL, *where], capture_output=True, text=True, check=True)
    assert "Exception ignored" not in done.stderr, done.stderr
    with tiervdb.open(where[0], read_only=True) as db:
        assert tiervdb.Repository(where[1]).windows()[-1].last_seq == db.seq
