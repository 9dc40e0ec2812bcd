"""The catalog is read incrementally, kept in pieces, and always what the documents alone say."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.backup.conftest import World, put
from tests.backup.test_backup import made, use_faulty
from tests.backup.test_catalog_world import Story, every_table, rows, told
from tests.support.bad_stores import ReadOnlyKey
from tiervdb.backup import opened
from tiervdb.backup.catalog import kept, publishing
from tiervdb.backup.catalog.schema import FROM_LOG, TABLES
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.errors import CorruptionError, StoreRefusedError, StoreUnavailableError
from tiervdb.format import documents, envelope
from tiervdb.format import repository_operations as operations
from tiervdb.storage.object_store import ObjectStat
from tiervdb.storage.open import open_store
from tiervdb.storage.wrapped_store import WrappedStore

Answers = dict[str, list[dict[str, Any]]]


class Counting(WrappedStore):
    """Remembers which keys were read."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(open_store(repository.location, create=False))
        self.read: list[str] = []
        self.listed: list[str] = []

    def get(self, key: str) -> bytes:
        self.read.append(key)
        return self.inner.get(key)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        self.listed.append(prefix)
        return self.inner.list(prefix)


def counted(repository: Repository, world: World) -> Counting:
    store = Counting(repository)
    repository._opened = opened.open_in(store, None, world.clock, world.rng)
    return store


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Only read by tests."""
    return told(tmp_path_factory.mktemp("story"))


@pytest.fixture(scope="module")
def answers(story: Story) -> Answers:
    return every_table(story.repository)


@pytest.fixture
def copied(story: Story, tmp_path: Path) -> World:
    """The story's repository, published, in a place of its own."""
    shutil.copytree(story.world.folder / "repository", tmp_path / "repository")
    world = World(tmp_path, story.world.clock)
    world.repository().catalog.publish()
    return world


def pieces(world: World) -> list[Path]:
    return sorted((world.folder / "repository" / "catalog" / "state").iterdir())


# -- incrementally


def test_reading_what_is_new_gives_what_reading_all_gives(tmp_path: Path) -> None:
    """One that was asked after each chapter, and one that sees the repository for the first time."""
    known: list[Repository] = []

    def ask(story: Story) -> None:
        if not known:
            known.append(story.repository)
        first, anew = every_table(known[0]), every_table(story.repository)
        for name in TABLES.keys() - FROM_LOG:
            assert first[name] == anew[name], name
        commits = [(row["timeline"], row["seq"], row["operation"]) for row in first["commits"]]
        assert {(row["timeline"], row["seq"], row["operation"]) for row in anew["commits"]} <= set(commits)

    told(tmp_path, after=ask)


def test_the_log_is_read_on_from_where_it_was(world: World, db: Database) -> None:
    repository = world.repository()
    for first in (50, 60, 70):
        put(db, first)
        db.snapshot(f"after {first}")
        db.archive()
        world.tick()
        if first == 60:
            db.drop_snapshot("after 50")
            made(db)
        for name in sorted(FROM_LOG):
            assert rows(repository, name) == rows(world.repository(), name)
    assert [row["dropped_seq"] for row in rows(repository, "snapshots")] == [8, None, None]


def test_documents_are_read_once(world: World, db: Database) -> None:
    made(db)
    repository = world.repository()
    store = counted(repository, world)
    rows(repository, "backups")
    assert sum(key.startswith("backups/") for key in store.read) == 1
    put(db, 50)
    second = made(db)
    store.read.clear()
    assert len(rows(repository, "backups")) == 2
    assert [key for key in store.read if key.startswith("backups/")] == [f"backups/{second.id}"]
    store.read.clear()
    rows(repository, "backups")
    assert not [key for key in store.read if key.startswith(("backups/", "wal/", "timelines/", "epochs/"))]


def test_the_log_is_read_only_where_it_is_asked_for(world: World, db: Database) -> None:
    db.archive()
    repository = world.repository()
    store = counted(repository, world)
    rows(repository, "wal_files")
    assert not [key for key in store.read if key.startswith("wal/")]  # but for its headers, by ranges
    assert len(rows(repository, "commits")) == 3
    assert [key for key in store.read if key.startswith("wal/")]


def test_what_was_deleted_by_hand_is_forgotten(copied: World, story: Story) -> None:
    repository = copied.repository()
    every_table(repository)
    (copied.folder / "repository" / "backups" / story.backups["full"].id).unlink()
    shutil.rmtree(copied.folder / "repository" / "holds")
    known = every_table(repository)
    shutil.rmtree(copied.folder / "repository" / "catalog")
    anew = every_table(copied.repository())
    for name in sorted(TABLES.keys() - FROM_LOG - {"tier_moves"}):  # another backup tells of these moves now
        assert known[name] == anew[name], name
    assert len(known["backups"]) == 4


# -- kept, and rebuilt


def test_a_second_process_reads_pieces_not_documents(copied: World, story: Story, answers: Answers) -> None:
    repository = copied.repository()
    store = counted(repository, copied)
    assert rows(repository, "backups") == rows(story.repository, "backups")
    assert any(key.startswith("catalog/state/") for key in store.read)
    assert not [key for key in store.read if key.startswith(("backups/", "operations/", "timelines/", "epochs/"))]
    assert every_table(repository) == answers


def test_rebuilt_from_documents_alone(copied: World, answers: Answers) -> None:
    shutil.rmtree(copied.folder / "repository" / "catalog")
    assert every_table(copied.repository()) == answers


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flipped(path: Path) -> None:
    data = path.read_bytes()
    at = len(data) // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def of_a_newer_version(path: Path) -> None:
    if path.suffix == ".json":
        known = operations.decode_pointer(path.read_bytes(), path.name)
        path.write_bytes(documents.encode(msgspec.structs.replace(known, format_version=known.format_version + 1)))
        return
    data = envelope.unseal(path.read_bytes(), kept._MAGIC, kept.PIECE_VERSION, path.name)
    path.write_bytes(envelope.seal(kept._MAGIC, kept.PIECE_VERSION + 1, bytes(data)))


def other_contents(path: Path) -> None:
    """Whole, but not what its name says."""
    data = b"{}" if path.suffix == ".json" else kept.stored(b"\x90")
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flipped, emptied, of_a_newer_version, other_contents, Path.unlink])
@pytest.mark.parametrize("what", ["pointer", "piece"])
def test_damage_to_what_is_kept_changes_no_answer(
    copied: World, answers: Answers, what: str, damage: Callable[[Path], None]
) -> None:
    path = copied.folder / "repository" / "catalog" / "current.json" if what == "pointer" else pieces(copied)[0]
    damage(path)
    repository = copied.repository()
    assert every_table(repository) == answers
    repository.catalog.publish()
    assert every_table(copied.repository()) == answers


def test_many_pieces(copied: World, answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full ones stay as they are; of several, any one may be damaged."""
    monkeypatch.setattr(kept, "PIECE_ENTRIES", 5)
    copied.repository().catalog.publish()
    first = publishing.read_pointer(copied.repository().open().vault)
    assert first is not None
    assert len(first.state) > 5
    assert every_table(copied.repository()) == answers
    copied.repository().hold(label="later", reason="another document, which passes")
    copied.repository().verify()
    copied.repository().catalog.publish()
    second = publishing.read_pointer(copied.repository().open().vault)
    assert second is not None
    assert second.state[: len(first.state) - 1] == first.state[:-1]
    (copied.folder / "repository" / second.state[2]).write_bytes(b"damaged")
    found = every_table(copied.repository())
    assert found["backups"] == answers["backups"]
    assert len(found["verifications"]) == len(answers["verifications"]) + 1


def test_a_damaged_document_is_left_out(copied: World, story: Story, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(copied.folder / "repository" / "catalog")
    broken = story.backups["full"].id
    cut(copied.folder / "repository" / "backups" / broken)
    cut(next((copied.folder / "repository" / "holds").iterdir()))
    repository = copied.repository()
    assert broken not in {row["id"] for row in rows(repository, "backups")}
    assert len(rows(repository, "backups")) == 4
    assert len(rows(repository, "holds")) == 1
    assert [row["first_seq"] for row in rows(repository, "restorable_windows")] == [
        window.first_seq for window in copied.repository().windows()
    ]
    assert f"the catalog leaves backups/{broken} out" in caplog.text
    repository.catalog.publish()
    assert every_table(copied.repository()) == every_table(repository)


def test_a_damaged_part_of_the_log_takes_only_its_commits(
    copied: World, story: Story, answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    part = next(row for row in answers["wal_files"] if row["timeline"] == story.timelines["new"] and row["n"] == 5)
    flipped(copied.folder / "repository" / part["object"])
    found = {(row["timeline"], row["seq"]) for row in rows(copied.repository(), "commits")}
    lost = {(row["timeline"], row["seq"]) for row in answers["commits"]} - found
    assert lost == {(part["timeline"], part["first_seq"])}
    assert "the catalog leaves" in caplog.text


# -- stores that refuse or are away


def test_with_a_key_that_may_only_read(copied: World, answers: Answers, caplog: pytest.LogCaptureFixture) -> None:
    repository = Repository(copied.folder / "repository", clock=copied.clock, rng=copied.rng)
    refusing = ReadOnlyKey(open_store(repository.location, create=False))
    repository._opened = opened.open_in(refusing, None, copied.clock, copied.rng)
    assert every_table(repository) == answers
    repository.catalog.export(copied.folder / "catalog.duckdb")
    with pytest.raises(StoreRefusedError):
        repository.catalog.publish()
    with caplog.at_level(logging.WARNING):
        assert repository.verify().backups == 3
    assert "the catalog could not be published" in caplog.text


def test_a_store_that_is_away_for_a_while(copied: World, answers: Answers) -> None:
    repository = copied.repository()
    faulty = use_faulty(repository, copied)
    faulty.away = True
    with pytest.raises(StoreUnavailableError):
        rows(repository, "backups")
    faulty.away = False
    assert every_table(repository) == answers
    faulty.away = True
    with pytest.raises(StoreUnavailableError):
        rows(repository, "backups")


def test_a_failed_publication_fails_no_operation(world: World, db: Database, caplog: pytest.LogCaptureFixture) -> None:
    made(db)
    repository = Repository(world.folder / "repository", clock=world.clock, rng=world.rng)
    faulty = use_faulty(repository, world)

    class NoCatalog(WrappedStore):
        def put(self, key: str, data: bytes) -> None:
            if key.startswith("catalog/"):
                raise StoreUnavailableError("no catalog today")
            self.inner.put(key, data)

    repository._opened = opened.open_in(NoCatalog(faulty), None, world.clock, world.rng)
    assert repository.verify().ok
    assert "no catalog today" in caplog.text
    assert not (world.folder / "repository" / "catalog").exists()


# -- relations


def test_a_relation_stays_as_it_was(world: World, db: Database) -> None:
    made(db)
    repository = world.repository()
    backups, commits = repository.sql("select count(*) from backups"), repository.sql("select count(*) from commits")
    put(db, 70)
    made(db)
    db.archive()
    assert repository.sql("select count(*) from backups").fetchall() == [(2,)]
    assert (backups.fetchall(), commits.fetchall()) == ([(1,)], [(3,)])
    assert repository.sql("select count(*) from commits").fetchall() == [(4,)]
    del repository
    assert backups.aggregate("sum(1)").fetchall() == [(1,)]


def test_from_many_threads(copied: World, answers: Answers) -> None:
    repository = copied.repository()

    def ask(at: int) -> Answers:
        names = list(TABLES)[at:] + list(TABLES)[:at]
        return {name: sorted(rows(repository, name), key=repr) for name in names}

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(ask, (0, 5, 10, 15)):
            assert found == answers


def test_one_load_for_many_queries(copied: World, answers: Answers) -> None:
    loaded = copied.repository().catalog.tables()
    assert len(loaded.sql("from backups").fetchall()) == len(answers["backups"])
    assert loaded.sql("from commits").fetchall() == []  # documented: without the log


def test_a_pointer_to_what_is_no_piece_is_made_anew(world: World, db: Database) -> None:
    made(db)
    pointer = operations.CatalogPointer(published_us=1, state=("backups/" + "a" * 32,))
    repository = world.repository()
    repository.open().vault.replace("catalog/current.json", pointer)
    with pytest.raises(CorruptionError):
        publishing.read_pointer(repository.open().vault)
    assert len(rows(repository, "backups")) == 1
    repository.catalog.publish()
    found = publishing.read_pointer(repository.open().vault)
    assert found is not None
    assert found.published_us > 1
