"""What was wrong in the catalog once."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from tests.backup.conftest import World, create, put
from tests.backup.test_backup import made
from tests.backup.test_catalog_refresh import counted, flipped, pieces
from tests.backup.test_catalog_world import rows, told
from tiervdb.backup.catalog import publishing
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.errors import InvalidInputError, StorageError
from tiervdb.format import documents
from tiervdb.format import repository_operations as operations


def test_params(world: World, db: Database) -> None:
    made(db, label="first")
    repository = world.repository()
    assert repository.sql("select label from backups where kind = ?", ["full"]).fetchall() == [("first",)]
    assert repository.sql("select label from backups where kind = $k", {"k": "full"}).fetchall() == [("first",)]
    with pytest.raises(InvalidInputError):
        repository.sql("select label from backups where kind = ?")
    assert repository.sql("select count(*) from commits where seq >= ?", [2]).fetchall() == [(2,)]


@pytest.mark.parametrize("name", ["COMMITS", "Commits", '"Commits"', "main.COMMITS"])
def test_names_are_the_same_in_any_case(world: World, db: Database, name: str) -> None:
    db.archive()
    assert world.repository().sql(f"select count(*) from {name}").fetchall() == [(3,)]


def test_a_backup_is_counted_once_for_an_object(tmp_path: Path) -> None:
    repository = told(tmp_path).repository
    found = repository.sql("""
        select o.object, any_value(o.backups), count(distinct b.id) from objects o
        left join backup_objects f on f.object = o.object left join backups b on b.id = f.backup and b.listed
        group by o.object having any_value(o.backups) <> count(distinct b.id)
    """).fetchall()
    assert found == []


def test_a_move_is_told_once_also_after_a_restore(tmp_path: Path) -> None:
    [move] = rows(told(tmp_path).repository, "tier_moves")
    assert move["rows"] == 150


@pytest.mark.parametrize("seed", range(6))
def test_moves_do_not_depend_on_the_order_of_ids(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path)
    world.rng.seed(seed)
    known = world.repository()
    with world.open() as db:
        create(db)
        for first in range(0, 900, 300):
            put(db, first, 300)
            db.demote("words")
            world.tick()
            made(db)
            rows(known, "tier_moves")
    assert rows(known, "tier_moves") == rows(world.repository(), "tier_moves")


def test_a_drop_of_a_snapshot_that_only_a_backup_tells_of(world: World) -> None:
    with world.open(mode="off") as db:
        create(db)
        db.snapshot("s")
        db.flush()
        made(db)
        db.drop_snapshot("s")
        made(db)
        seq = db.seq
    assert [row["dropped_seq"] for row in rows(world.repository(), "snapshots")] == [seq]


def test_what_expired_from_the_log_is_forgotten(world: World, db: Database) -> None:
    repository = world.repository()
    made(db, label="first")
    db.snapshot("s")
    db.drop_snapshot("s")
    db.flush()
    world.tick()
    made(db)
    assert len(rows(repository, "commits")) == 5
    world.repository().expire(["first"], dry_run=False)
    for name in ("commits", "snapshots"):
        assert rows(repository, name) == rows(world.repository(), name)


@pytest.mark.parametrize("query", ["select label::int from backups", "from duckdb_secrets()"])
def test_errors_while_rows_are_made(world: World, db: Database, query: str) -> None:
    """On the command line that is a traceback and exit code 1."""
    made(db, label="first")
    with pytest.raises(InvalidInputError):
        world.repository().catalog.table(query)


def test_an_export_that_cannot_be_written(world: World, db: Database) -> None:
    made(db)
    with pytest.raises(StorageError):
        world.repository().catalog.export(world.folder / "nowhere" / "x.duckdb")


def test_one_that_was_the_newest_a_moment_ago_stays_for_an_hour(world: World, db: Database) -> None:
    made(db)
    repository = world.repository()
    repository.catalog.publish()
    before = publishing.read_pointer(repository.open().vault)
    assert before is not None
    folder = world.folder / "repository"
    old = time.time() - 7200  # it was published two hours ago, and nothing since
    for path in (folder / "catalog").rglob("*"):
        os.utime(path, (old, old))
    repository.catalog.publish()
    repository.expire([], dry_run=False)  # a moment later
    assert list((folder / str(before.directory)).rglob("*.parquet"))


@pytest.mark.parametrize("damage", [flipped, Path.unlink])
def test_a_damaged_piece_is_made_anew(world: World, db: Database, damage) -> None:  # type: ignore[no-untyped-def]
    made(db)
    world.repository().catalog.publish()
    damage(pieces(world)[0])
    world.repository().catalog.publish()
    repository = world.repository()
    store = counted(repository, world)
    rows(repository, "backups")
    assert not [key for key in store.read if key.startswith("backups/")]


def test_a_document_of_a_newer_version_fails_no_operation(world: World, db: Database) -> None:
    """The hold is written, and then its publication raises NewerFormatError."""
    made(db)
    world.repository().verify()
    [path] = (world.folder / "repository" / "operations").iterdir()
    known = operations.decode_operation(path.read_bytes(), "x")
    path.write_bytes(documents.encode(msgspec.structs.replace(known, format_version=9)))
    repository = Repository(world.folder / "repository", clock=world.clock, rng=world.rng)  # publishes
    repository.hold(label="x", reason="y")
