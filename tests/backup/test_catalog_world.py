"""A repository in which everything happened once: every table of its catalog has rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from tests.backup.conftest import OPTIONS, World, create, put
from tests.backup.test_backup import made, use_faulty
from tiervdb.backup import hydrate, leases, recorded
from tiervdb.backup.catalog.schema import FROM_LOG, TABLES
from tiervdb.backup.holds import Hold
from tiervdb.backup.policy import Policy
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import Backup, RestoreResult
from tiervdb.clock import ManualClock
from tiervdb.database.database import Database
from tiervdb.errors import CorruptionError, StoreUnavailableError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_operations import JobOperation
from tiervdb.storage.open import Store
from tiervdb.target import Target


@dataclass
class Story:
    """What was made, by the names that tests use. ``timelines``: "old" forked at ``fork`` into "new"."""

    world: World
    backups: dict[str, Backup] = field(default_factory=dict)
    restores: dict[str, RestoreResult] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    timelines: dict[str, str] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    fork: int = 0
    gap: tuple[int, int] = (0, 0)

    @property
    def repository(self) -> Repository:
        """Opened anew: it knows nothing yet."""
        return self.world.repository()


def told(folder: Path, start_us: int | None = None, after: Callable[[Story], None] = lambda _: None) -> Story:
    """Everything happens once, within two and a half hours. ``after``: called after each chapter."""
    world = World(folder, cold=Store(folder / "cold"))
    if start_us is not None:
        world.clock = ManualClock(start_us)
    story = Story(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydrate, "SMALL_BYTES", 0)
        with world.open() as db:
            story.timelines["old"], story.databases["old"] = db.status().timeline, db.status().database_id
            for chapter in (_backups, _retention, _proofs, _restores, _successor):
                chapter(story, db)
                after(story)
            world.options = OPTIONS
    world.tick()
    return story


def _backups(story: Story, db: Database) -> None:
    world = story.world
    create(db)
    world.tick()
    put(db, 0, 300)
    db.snapshot("start")
    db.flush()
    db.maintain()
    world.tick()
    db.demote("words", 0.5)
    world.tick()
    story.backups["full"] = made(db, label="weekly")
    world.tick(60)
    create(db, "texts")
    put(db, 0, 50, "texts")
    db["words"].delete(where="rank < ?", params=[40], note="too many")
    db.archive()
    world.tick(60)
    db.snapshot("before", expires=timedelta(days=7))
    db.snapshot("brief")
    db.drop_snapshot("brief")
    db.drop_snapshot("start")
    db.flush()
    world.tick()
    story.backups["second"] = made(db, cold="reference")
    world.tick(60)
    put(db, 300, 20)
    db.archive()
    world.tick()
    story.backups["gone"] = made(db, label="nightly")
    world.tick(60)
    db.clone(world.folder / "clone")
    world.tick()


def _retention(story: Story, _: Database) -> None:
    world, repository = story.world, story.repository
    story.holds["audit"] = repository.hold("weekly", reason="audit")
    world.tick()
    story.holds["label"] = repository.hold(label="nightly", reason="by mistake")
    world.tick()
    repository.release("nightly")
    repository.expire(["nightly"], reason="too old", dry_run=False)
    world.tick()
    repository.expire(Policy(pitr="10y", lock=None), dry_run=False)
    world.tick(60)


def _proofs(story: Story, _: Database) -> None:
    """An object is damaged for a while: verification, drill and restore say so."""
    world, repository = story.world, story.repository
    faulty = use_faulty(repository, world)
    faulty.delay = lambda: world.tick(0.001)
    faulty.plan.fail(StoreUnavailableError("away"), "list")
    with pytest.raises(StoreUnavailableError):
        repository.verify()
    repository.verify()
    repository.verify(sample=0.5)
    repository.drill(Target.backup("weekly"), scratch=world.folder)
    world.tick(60)
    [[key]] = repository.sql(
        f"select object from backup_objects where backup = '{story.backups['full'].id}' and kind = 'ids' "
        "order by name limit 1"
    ).fetchall()
    path = world.folder / "repository" / key
    kept = path.read_bytes()
    path.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    assert not repository.verify(deep=True).ok
    assert not repository.drill(Target.backup("weekly"), scratch=world.folder).ok
    with pytest.raises(CorruptionError):
        repository.restore(world.folder / "failed", Target.backup("weekly"))
    with pytest.raises(CorruptionError):
        repository.copy_to(world.repository("offsite"))
    path.write_bytes(kept)
    assert repository.verify(deep=True).ok
    repository.copy_to(world.repository("offsite"))
    world.tick(60)


def _restores(story: Story, db: Database) -> None:
    """The last one takes over; a backup of the old writer comes too late."""
    world, repository = story.world, story.repository
    put(db, 320)
    db.archive()
    story.fork = db.seq
    put(db, 330)
    db.archive()
    world.tick(60)
    for name, lazy in (("plain", False), ("lazy", True)):
        done = repository.restore(world.folder / name, Target.seq(story.fork), lazy=lazy)
        assert isinstance(done, RestoreResult)
        story.restores[name] = done
        world.tick()
    done = repository.restore(world.folder / "new", Target.seq(story.fork), attach=True)
    assert isinstance(done, RestoreResult)
    story.restores["attached"] = done
    story.timelines["new"], story.databases["new"] = done.timeline, done.database_id
    vault = repository.open().vault
    known = vault.read(paths.BackupKey(story.backups["second"].id).key, documents.decode_backup)
    assert isinstance(known, documents.BackupDocument)
    late = msgspec.structs.replace(
        known, id="f" * 32, label="late", shards=(msgspec.structs.replace(known.shards[0], seq=db.seq + 5),)
    )
    vault.create(paths.BackupKey(late.id).key, late)
    world.tick(60)


def _successor(story: Story, _: Database) -> None:
    """The new writer: a gap in its archive, a backup that was given up, one that ends the gap, one that runs."""
    world, repository = story.world, story.repository
    faulty = use_faulty(repository, world)
    world.options = world.options.__class__(background=False, wal_file_bytes=500, archive_behind_bytes=1000)
    with world.open("new", repository, behind="drop") as db:
        put(db, 340)
        db.archive()
        world.tick()
        faulty.away = True
        for first in range(400, 500, 10):
            put(db, first)
        db.flush()
        db.maintain()
        story.gap = (story.fork + 2, db.seq)
        world.tick()
        faulty.away = False
        db.archive()
        put(db, 500)
        db.archive()
        world.tick(60)
        faulty.plan.fail(StoreUnavailableError("away"), "put_if_absent")
        with pytest.raises(StoreUnavailableError):
            made(db, label="given up")
        world.tick(leases.LEASE_SECONDS + 1)
        faulty.plan.fail(StoreUnavailableError("away"), "delete")
        with pytest.raises(StoreUnavailableError):
            repository.expire([], dry_run=False)
        world.tick()
        repository.expire([], dry_run=False)
        story.backups["last"] = made(db)
        world.tick(60)
        put(db, 510)
        db.archive()
        leases.take(repository.open().vault, "backup").leave()
        for attempt, error in ((1, "away"), (2, None)):
            _job(world, repository, attempt, error)


def _job(world: World, repository: Repository, attempt: int, error: str | None) -> None:
    """As an agent writes it down."""
    vault = repository.open().vault
    run = recorded.begun(vault)
    world.tick(5)
    done = JobOperation(
        id=run.id,
        started_us=run.started_us,
        finished_us=world.clock.now_us(),
        owner=run.owner,
        error=error,
        job="verify",
        due_us=run.started_us,
        attempt=attempt,
        summary="nothing is wrong" if error is None else "",
    )
    recorded.write(vault, done)


def rows(repository: Repository, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = repository.sql(f"from {table}").to_arrow_table().to_pylist()
    return found


def every_table(repository: Repository) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, sorted: a select promises no order."""
    loaded = repository.catalog.tables()
    found = {name: loaded.sql(f"from {name}") for name in TABLES.keys() - FROM_LOG}
    found |= {name: repository.sql(f"from {name}") for name in FROM_LOG}
    return {name: sorted(relation.to_arrow_table().to_pylist(), key=repr) for name, relation in found.items()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Only read by tests."""
    return told(tmp_path_factory.mktemp("story"))


def test_every_table_has_rows_and_the_columns_of_its_specification(story: Story) -> None:
    for name, table in TABLES.items():
        found = story.repository.sql(f"from {name}").to_arrow_table()
        assert found.num_rows > 0, name
        assert found.column_names == table.schema.names, name
        for field_, wanted in zip(found.schema, table.schema, strict=True):
            assert field_.type == wanted.type or (is_time(field_.type) and is_time(wanted.type)), (name, field_)


def is_time(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) and (kind.unit, kind.tz.removeprefix("Etc/")) == ("us", "UTC")


def test_every_column_is_filled_in_some_row(story: Story) -> None:
    """So that no test of contents compares nothing with nothing."""
    for name in TABLES:
        found = story.repository.sql(f"from {name}").to_arrow_table()
        assert [c for c in found.column_names if found[c].null_count == found.num_rows] == [], name
