"""The published catalog: whole before it is named, equal to what SQL answers, and never plain where all is sealed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
import s3fs

from tests.backup.conftest import World, create, put
from tests.backup.test_backup import made
from tests.backup.test_catalog_world import Story, every_table, rows, told
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup import opened
from tiervdb.backup.catalog import catalog, publishing
from tiervdb.backup.catalog.schema import FROM_LOG, TABLES
from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.errors import AlreadyExistsError, StoreUnavailableError
from tiervdb.format.repository_operations import CatalogPointer
from tiervdb.storage.open import open_store
from tiervdb.storage.wrapped_store import WrappedStore
from tiervdb.target import Target

HOUR = 3600


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Only read by tests."""
    return told(tmp_path_factory.mktemp("story"))


@pytest.fixture
def copied(story: Story, tmp_path: Path) -> World:
    """The story's repository, in a place of its own."""
    shutil.copytree(story.world.folder / "repository", tmp_path / "repository")
    return World(tmp_path, story.world.clock)


def pointer_of(repository: Repository) -> CatalogPointer:
    found = publishing.read_pointer(repository.open().vault)
    assert found is not None
    return found


def parquet(base: str, pointer: CatalogPointer, connection: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """The rows of all tables that are named, by DuckDB alone."""
    found = {}
    connection.execute("set TimeZone = 'UTC'")
    for name, files in pointer.tables.items():
        urls = [f"{base}/{pointer.directory}/{file}" for file in files]
        found[name] = sorted(connection.read_parquet(urls).to_arrow_table().to_pylist(), key=repr)
    return found


def published(repository: Repository, folder: Path) -> dict[str, list[Any]]:
    with duckdb.connect() as connection:
        return parquet(str(folder), pointer_of(repository), connection)


# -- what is there


def test_parquet_says_what_sql_says(copied: World) -> None:
    repository = copied.repository()
    repository.catalog.publish()
    found = published(repository, copied.folder / "repository")
    assert found.keys() == TABLES.keys()
    assert found == every_table(copied.repository())
    [directory] = [path for path in (copied.folder / "repository" / "catalog").iterdir() if len(path.name) == 32]
    assert f"catalog/{directory.name}" == pointer_of(repository).directory


def test_columns_and_types_of_the_files(copied: World) -> None:
    repository = copied.repository()
    repository.catalog.publish()
    pointer = pointer_of(repository)
    with duckdb.connect() as connection:
        for name, files in pointer.tables.items():
            for file in files:
                path = copied.folder / "repository" / str(pointer.directory) / file
                there = connection.sql(f"describe from '{path}'").fetchall()
                told_of = repository.sql(f"describe {name}").fetchall()
                assert [row[:2] for row in there] == [row[:2] for row in told_of], name


@pytest.mark.s3
def test_in_a_bucket_through_s3fs(world: World, s3_endpoint: S3Endpoint) -> None:
    """As docs/catalog.md shows."""
    place = s3_endpoint.place()
    away = Repository(str(place.url), place.storage_options, clock=world.clock, rng=world.rng)
    with world.open(repository=away) as db:
        create(db)
        put(db, 0, 300)
        db.demote("words", 0.5)
        made(db)
    filesystem = s3fs.S3FileSystem(
        key=place.storage_options["key"],
        secret=place.storage_options["secret"],
        endpoint_url=place.storage_options["endpoint_url"],
    )
    with duckdb.connect() as connection:
        connection.register_filesystem(filesystem)
        pointer = pointer_of(away)
        found = parquet(str(place.url), pointer, connection)
        [(directory,)] = connection.sql(f"select directory from '{place.url}/catalog/current.json'").fetchall()
    assert directory == pointer.directory
    anew = every_table(Repository(str(place.url), place.storage_options, clock=world.clock, rng=world.rng))
    assert found == {name: anew[name] for name in found}
    assert found.keys() == TABLES.keys()
    assert len(found["backups"]) == 1


# -- when


def test_after_each_operation(world: World) -> None:
    repository = world.repository(publish=True)
    seen: list[str | None] = []

    def is_new() -> bool:
        seen.append(pointer_of(world.repository()).directory)
        return len(set(seen)) == len(seen)

    with world.open(repository=repository) as db:
        create(db)
        put(db, 0)
        first = made(db)
        assert is_new()
        put(db, 10)
        made(db)
        assert is_new()
        repository.restore(world.folder / "restored")
        assert is_new()
        repository.verify()
        assert is_new()
        repository.drill(Target.backup(first.id), scratch=world.folder)
        assert is_new()
        hold = repository.hold(first.id, reason="audit")
        assert is_new()
        repository.release(hold.id)
        assert is_new()
        repository.expire([first.id], dry_run=False)
        assert is_new()
        repository.copy_to(world.repository("offsite", publish=True))
        assert is_new()
    assert len(published(world.repository("offsite"), world.folder / "offsite")["backups"]) == 1
    found = published(repository, world.folder / "repository")
    assert found == {name: table for name, table in every_table(world.repository()).items() if name in found}
    assert [len(found[name]) for name in ("restores", "verifications", "drills", "holds", "copies")] == [1] * 5


def test_not_where_it_is_not_wanted(world: World, db: Database) -> None:
    made(db)
    repository = world.repository(publish=False)
    repository.verify()
    repository.sql("from backups").fetchall()
    repository.expire(dry_run=True)
    assert not (world.folder / "repository" / "catalog").exists()
    repository.catalog.publish()
    assert len(published(repository, world.folder / "repository")["backups"]) == 1


def test_commits_only_where_the_log_is_short(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made(db)
    put(db, 70)
    db.archive()
    repository = world.repository(publish=True)
    repository.verify()
    assert pointer_of(repository).tables.keys() >= FROM_LOG
    for name, limit in (("SHORT_LOG_PARTS", 1), ("SHORT_LOG_BYTES", 10)):
        with monkeypatch.context() as patch:
            patch.setattr(catalog, name, limit)
            repository.verify()
            assert pointer_of(repository).tables.keys() == TABLES.keys() - FROM_LOG
            repository.catalog.publish(with_log=False)
            assert not pointer_of(repository).tables.keys() & FROM_LOG
            repository.catalog.publish()
            found = published(repository, world.folder / "repository")
            assert len(found["commits"]) == 4


# -- how


class Ordered(WrappedStore):
    """Remembers what was read, written and copied, in order; may fail at one key."""

    def __init__(self, repository: Repository, fails_at: str | None = None) -> None:
        super().__init__(open_store(repository.location, create=False))
        self.read: list[str] = []
        self.written: list[str] = []
        self.copies: list[tuple[str, str]] = []
        self.fails_at = fails_at

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return self.inner.get(key)

    def put(self, key: str, data: bytes) -> None:
        self._may_fail(key)
        self.written.append(key)
        self.inner.put(key, data)

    def _may_fail(self, key: str) -> None:
        if self.fails_at is not None and self.fails_at in key:
            raise StoreUnavailableError(f"{key}: away")

    def copy(self, source: str, target: str) -> None:
        self._may_fail(target)
        self.copies.append((source, target))
        self.inner.copy(source, target)


def ordered(world: World, fails_at: str | None = None) -> tuple[Repository, Ordered]:
    repository = world.repository()
    store = Ordered(repository, fails_at)
    repository._opened = opened.open_in(store, None, world.clock, world.rng)
    return repository, store


def test_the_pointer_comes_last(copied: World) -> None:
    repository, store = ordered(copied)
    repository.catalog.publish()
    assert store.written[-1] == "catalog/current.json"
    assert store.written.count("catalog/current.json") == 1
    assert len(store.written) == len(TABLES) + 2  # a file of each, a piece of what is known, the pointer


@pytest.mark.parametrize("fails_at", ["catalog/state/", "/backups.parquet", "/backup_objects/", "current.json"])
def test_one_that_is_cut_short_leaves_the_one_before(copied: World, fails_at: str) -> None:
    copied.repository().catalog.publish()
    before = pointer_of(copied.repository())
    answers = published(copied.repository(), copied.folder / "repository")
    copied.repository().hold(label="later", reason="one more")
    copied.repository().verify()
    repository, _ = ordered(copied, fails_at)
    with pytest.raises(StoreUnavailableError):
        repository.catalog.publish()
    assert pointer_of(copied.repository()) == before
    assert published(copied.repository(), copied.folder / "repository") == answers


def test_lists_of_files_are_copied_not_written_again(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "BACKUPS_A_PIECE", 2)
    repository = world.repository()
    for first in range(100, 150, 10):
        put(db, first)
        made(db)
        rows(repository, "backups")  # so that the order of reading is that of making
    repository, store = ordered(world)
    repository.catalog.publish()
    first_pointer = pointer_of(repository)
    assert [key for key in store.written if "/backup_objects/" in key] == [
        f"{first_pointer.directory}/backup_objects/{n:04}.parquet" for n in range(3)
    ]
    put(db, 200)
    made(db)
    store.written.clear()
    repository.catalog.publish()
    second_pointer = pointer_of(repository)
    assert [target.rpartition("/")[2] for _, target in store.copies] == ["0000.parquet", "0001.parquet"]
    assert [source for source, _ in store.copies] == [
        f"{first_pointer.directory}/backup_objects/{n:04}.parquet" for n in range(2)
    ]
    assert [key.rpartition("/")[2] for key in store.written if "/backup_objects/" in key] == ["0002.parquet"]
    assert len(second_pointer.tables["backup_objects"]) == 3
    found = published(repository, world.folder / "repository")
    assert found["backup_objects"] == sorted(rows(world.repository(), "backup_objects"), key=repr)


def test_a_piece_that_went_is_written_again(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "BACKUPS_A_PIECE", 1)
    made(db)
    put(db, 100)
    made(db)
    repository = world.repository()
    repository.catalog.publish()
    shutil.rmtree(world.folder / "repository" / str(pointer_of(repository).directory))
    repository.catalog.publish()
    found = published(repository, world.folder / "repository")
    assert found["backup_objects"] == sorted(rows(world.repository(), "backup_objects"), key=repr)


def test_who_reads_the_one_before_can_go_on(copied: World) -> None:
    repository = copied.repository()
    repository.catalog.publish()
    before = pointer_of(repository)
    folder = copied.folder / "repository"
    with duckdb.connect() as connection:
        answers = parquet(str(folder), before, connection)
        repository.hold(label="later", reason="one more")
        repository.catalog.publish()
        assert pointer_of(repository).directory != before.directory
        repository.expire([], dry_run=False)
        assert parquet(str(folder), before, connection) == answers
    assert len(published(repository, folder)["holds"]) == len(answers["holds"]) + 1


def test_an_expiry_takes_old_ones_and_leaves_the_current(copied: World) -> None:
    repository = copied.repository()
    repository.catalog.publish()
    before = pointer_of(repository)
    repository.verify()
    repository.catalog.publish()
    folder = copied.folder / "repository"
    old = time.time() - 2 * HOUR
    for path in (folder / "catalog").rglob("*"):
        if path.is_file() and path.name != "current.json":
            os.utime(path, (old, old))
    repository.expire([], dry_run=False)
    assert not list((folder / str(before.directory)).rglob("*.parquet"))
    after = pointer_of(repository)
    assert {path.name for path in (folder / "catalog" / "state").iterdir()} == {
        key.rpartition("/")[2] for key in after.state
    }
    assert published(repository, folder)["backups"] == sorted(rows(copied.repository(), "backups"), key=repr)


# -- encrypted


def test_nothing_is_plain_in_an_encrypted_repository(world: World) -> None:
    (world.folder / "key").write_bytes(b"a key of more than sixteen bytes")
    key = Key.file(world.folder / "key")
    Repository.create(world.folder / "repository", encrypted=True, key=key, clock=world.clock, rng=world.rng)

    def reached() -> Repository:
        return Repository(world.folder / "repository", key=key, clock=world.clock, rng=world.rng)

    with world.open(repository=reached()) as db:
        create(db, "confidential")
        put(db, 0, 300, "confidential")
        db.demote("confidential", 0.5)
        made(db, label="confidential")
        db.archive()
    repository = reached()
    repository.hold(label="confidential", reason="confidential")
    repository.drill(scratch=world.folder)
    repository.catalog.publish()
    pointer = pointer_of(repository)
    assert (pointer.directory, pointer.tables, pointer.pieces) == (None, {}, {})
    assert pointer.state
    files = {path: path.read_bytes() for path in (world.folder / "repository").rglob("*") if path.is_file()}
    assert not [path for path in files if path.suffix == ".parquet"]
    [backup] = rows(repository, "backups")
    for path, data in files.items():
        for plain in (b"confidential", b"PAR1", backup["database_id"].encode(), b"backup_objects", b"directory"):
            assert plain not in data, (path, plain)
    second = reached()
    store = Ordered(second)
    second._opened = opened.open_in(store, key, world.clock, world.rng)
    assert rows(second, "backups") == [backup]
    assert not [key for key in store.read if key.startswith(("backups/", "operations/"))]
    assert [key for key in store.read if key.startswith("catalog/state/")]
    assert every_table(second) == every_table(repository)


# -- exported


def test_an_exported_file(copied: World) -> None:
    repository = copied.repository()
    path = copied.folder / "catalog.duckdb"
    repository.catalog.export(path)
    answers = every_table(copied.repository())
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, table in TABLES.items():
            found = connection.sql(f"from {name}").to_arrow_table().to_pylist()
            assert sorted(found, key=repr) == answers[name], name
            comments = connection.sql(
                f"select column_name, comment from duckdb_columns() where table_name = '{name}' order by column_index"
            ).fetchall()
            assert comments == [(column, meaning) for column, _, meaning in table.columns]
    with pytest.raises(AlreadyExistsError, match="exists already"):
        repository.catalog.export(path)
