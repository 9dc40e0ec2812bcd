"""Expiry by a policy, on repositories with databases behind them: what is kept restores, and nothing else goes."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made, use_faulty
from tests.storage.locked_bucket import locked_endpoint, s3_client
from tests.support.bad_stores import ReadOnlyKey, RefusesDeletes
from tests.support.crash_dir import CrashPoint
from tests.support.crashing_store import CrashingStore
from tests.support.s3_servers import S3Endpoint
from tests.support.turns import Turns, TurnStore
from tiervdb.backup import leases, opened
from tiervdb.backup.catalog.publishing import read_pointer
from tiervdb.backup.pace import Limits
from tiervdb.backup.policy import Policy
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import Backup
from tiervdb.clock import SystemClock
from tiervdb.database.database import Database
from tiervdb.errors import (
    BackupNotFoundError,
    CorruptionError,
    OutsideWindowError,
    StateError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_operations as operations
from tiervdb.format import repository_paths as paths
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.retention import RetainingStore, retaining
from tiervdb.target import Target
from tiervdb.types import to_datetime

DAY = 86_400
POLICY = Policy(pitr="3d", daily=5, weekly=2, monthly=0, require_restorable="2d")
DERIVED = (paths.CATALOG, paths.OPERATIONS)  # what is written about a repository, and not of it


@dataclass
class Past:
    """Some days of a database: its ids at each seq, and when each was committed."""

    world: World
    states: dict[int, list[int]] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)
    backups: list[Backup] = field(default_factory=list)
    template: Path | None = None

    def __post_init__(self) -> None:
        self.template = self.template or self.world.folder / "repository"

    def commit(self, db: Database, first: int, gone: int | None = None) -> None:
        put(db, first, 4)
        self._note(db)
        if gone is not None:
            db["words"].delete(ids=[gone])
            self._note(db)
        self.world.tick(DAY / 4)

    def _note(self, db: Database) -> None:
        self.states[db.seq], self.times[db.seq] = ids_of(db), db._session.view().time_us

    def restored(self, target: Target) -> list[int]:
        path = self.world.folder / "restored"
        self.world.repository().restore(path, target)
        with self.world.open_alone("restored") as db:
            found = ids_of(db)
        shutil.rmtree(path)
        return found

    def live(self, days: int) -> Past:
        """A backup a day, every second one after a flush; each commit archived."""
        with self.world.open() as db:
            create(db)
            for day in range(days):
                self.commit(db, 10 * day, gone=10 * day - 8 if day else None)
                db.archive()
                self.commit(db, 10 * day + 4)
                if day % 2 == 0:
                    db.flush()
                self.backups.append(made(db, label=f"day {day}"))
                self.world.tick(DAY / 2)
            db.archive()
        return self


@pytest.fixture(scope="module")
def twelve_days(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return Past(World(tmp_path_factory.mktemp("past"))).live(12)


@pytest.fixture
def past(world: World, twelve_days: Past) -> Past:
    """Twelve days, of which the repository is left."""
    world.clock.us = twelve_days.world.clock.us
    past = replace(twelve_days, world=world)
    begin_again(past)
    return past


def begin_again(past: Past) -> None:
    """The repository as the twelve days left it."""
    folder = past.world.folder / "repository"
    shutil.rmtree(folder, ignore_errors=True)
    assert past.template is not None
    shutil.copytree(past.template, folder)


def contents(world: World) -> dict[str, int]:
    """The keys of a repository in a directory, and their sizes; without what is derived."""
    root = world.folder / "repository"
    found = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}
    return {key: size for key, size in found.items() if not key.startswith(DERIVED)}


def through(world: World, store: ObjectStore) -> Repository:
    """The repository by way of a store, which is wrapped around its own."""
    repository = world.repository()
    plain = open_store(repository.location, create=False)
    repository._opened = opened.open_in(plain, None, world.clock, world.rng)
    repository._opened.vault.store = store
    return repository


def inner(world: World) -> ObjectStore:
    return open_store(world.repository().location, create=False)


# -- what is planned, done and left


def test_a_plan_is_what_is_done(world: World, past: Past) -> None:
    before = contents(world)
    plan = world.repository().expire(POLICY)
    assert contents(world) == before
    assert (plan.dry_run, plan.locked_objects) == (True, 0)
    done = world.repository().expire(POLICY, dry_run=False)
    assert done.backups == plan.backups
    assert set(plan.backups) == {d.backup for d in plan.decisions if not d.keep}
    assert (done.objects, done.bytes, done.parts) == (plan.objects, plan.bytes, plan.parts)
    assert (done.decisions, done.vanishing) == (plan.decisions, plan.vanishing)
    assert all(decision.reasons for decision in done.decisions)
    after = contents(world)
    gone = before.keys() - after.keys()
    data = [key for key in gone if key.startswith(paths.DATA)]
    assert len(data) == done.objects > 0
    assert sum(before[key] for key in data) == done.bytes
    assert len([key for key in gone if key.startswith(paths.WAL)]) == done.parts > 0
    assert len(gone) == done.objects + done.parts
    assert after.keys() - before.keys() == {paths.ExpirationKey(backup).key for backup in done.backups}


def test_what_is_kept_restores_and_the_rest_does_not(world: World, past: Past) -> None:
    repository = world.repository()
    repository.expire(POLICY, dry_run=False)
    assert repository.verify(deep=True).ok
    kept = repository.backups()
    assert 6 <= len(kept) < len(past.backups)
    for backup in kept:
        assert past.restored(Target.backup(backup.id)) == past.states[backup.seq]
    since_us = world.clock.now_us() - POLICY.us("pitr")
    young = [seq for seq, time_us in past.times.items() if time_us >= since_us]
    assert len(young) > 6
    for seq in young:
        assert past.restored(Target.seq(seq)) == past.states[seq]


def test_every_hour_of_pitr_restores(world: World, past: Past) -> None:
    repository = world.repository()
    done = repository.expire(POLICY, dry_run=False)
    now_us, since_us = world.clock.now_us(), world.clock.now_us() - POLICY.us("pitr")
    for time_us in range(since_us, now_us + 1, 3600 * 1_000_000):
        expected = max(seq for seq, at in past.times.items() if at <= time_us)
        assert repository.plan(Target.time(to_datetime(time_us))).seq == expected
    lost = [seq for window in done.vanishing for seq in range(window.first_seq, window.last_seq + 1)]
    assert lost
    windows = repository.windows()
    for seq in lost:
        assert not any(w.first_seq <= seq <= w.last_seq for w in windows)
        with pytest.raises(OutsideWindowError, match="restorable near it"):
            repository.plan(Target.seq(seq))
    with pytest.raises(BackupNotFoundError):
        repository.plan(Target.backup(done.backups[0]))


def test_a_second_expiry_deletes_nothing(world: World, past: Past) -> None:
    world.repository().expire(POLICY, dry_run=False)
    before = contents(world)
    for done in (world.repository().expire(POLICY), world.repository().expire(POLICY, dry_run=False)):
        assert (done.backups, done.objects, done.bytes, done.parts, done.vanishing) == ((), 0, 0, 0, ())
    assert contents(world) == before


def test_day_after_day(world: World) -> None:
    """An expiry after each backup: what the policy promises holds at every one of them."""
    past, policy = Past(world), Policy(pitr="2d", daily=4, weekly=2, monthly=0, require_restorable="1d")
    with world.open() as db:
        create(db)
        for day in range(9):
            past.commit(db, 10 * day)
            past.commit(db, 10 * day + 4)
            if day % 3 == 0:
                db.flush()
            past.backups.append(made(db))
            db.archive()
            world.tick(DAY / 2)
            if day >= 3:
                assert world.repository().expire(policy, dry_run=False).parts < 4
                oldest = world.clock.now_us() - policy.us("pitr")
                for seq in [seq for seq, time_us in past.times.items() if time_us >= oldest]:
                    assert world.repository().plan(Target.seq(seq)).seq == seq
        assert past.restored(Target.latest()) == past.states[db.seq]
    assert world.repository().verify(deep=True).ok
    assert 4 <= len(world.repository().backups()) <= 6


def test_what_would_break_is_refused(world: World, past: Past) -> None:
    policy = Policy(pitr="1d", daily=0, weekly=0, monthly=0, require_restorable="10d")
    before = contents(world)
    for dry_run in (True, False):
        with pytest.raises(StateError, match=r"require_restorable=10d would break.*commits .* pitr .* it is 1d"):
            world.repository().expire(policy, dry_run=dry_run)
    assert contents(world) == before


def test_snapshots_go_with_their_states(world: World) -> None:
    past = Past(world)
    with world.open() as db:
        create(db)
        for name in ("old", "young"):
            past.commit(db, 10 * db.seq)
            db.snapshot(name)
            past.commit(db, 10 * db.seq)
            db.flush()
            made(db)
            world.tick(10 * DAY)
        past.commit(db, 1000)
        db.archive()
        seqs = {snapshot.name: snapshot.seq for snapshot in db.snapshots()}
    for name, seq in seqs.items():
        assert past.restored(Target.snapshot(name)) == past.states[seq]
    world.repository().expire(Policy(pitr="2d", daily=0, weekly=0, monthly=0, min_backups=1), dry_run=False)
    for seq in seqs.values():
        with pytest.raises(OutsideWindowError, match="restorable near it"):
            world.repository().plan(Target.seq(seq))
    with pytest.raises(OutsideWindowError):
        world.repository().plan(Target.snapshot("young"))


def test_the_record_says_what_was_done(world: World, past: Past) -> None:
    done = world.repository().expire(POLICY, dry_run=False)
    vault = world.repository().open().vault
    (record,) = vault.read_all(paths.OPERATIONS, operations.decode_operation)
    assert isinstance(record, operations.ExpireOperation)
    assert (record.policy, record.backups) == (str(POLICY), done.backups)
    assert (record.objects, record.bytes, record.parts) == (done.objects, done.bytes, done.parts)
    for backup, why in {d.backup: d.reasons for d in done.decisions if not d.keep}.items():
        assert vault.read(paths.ExpirationKey(backup).key, documents.decode_expiration).reason == "; ".join(why)


# -- what others need


def test_a_lease_keeps_what_it_names(world: World, past: Past) -> None:
    vault = world.repository().open().vault
    first = past.backups[0]
    timeline = first.timeline
    lease = leases.take(vault, "verify", backups=[first.id], timelines=[timeline])
    before = contents(world)
    done = world.repository().expire(POLICY, dry_run=False)
    assert first.id in done.backups
    assert done.parts == 0
    listed = {key for key in before if key.startswith(f"{paths.DATA}{first.id}/")}
    assert listed <= contents(world).keys()
    lease.release()
    again = world.repository().expire(POLICY, dry_run=False)
    assert (again.backups, again.objects > 0, again.parts > 0) == ((), True, True)
    assert world.repository().verify(deep=True).ok


def test_a_lazy_restore_fetches_to_its_end(world: World) -> None:
    states = []
    with world.open() as db:
        create(db)
        for first in (0, 1000, 2000):
            put(db, first, 300)
            db.demote("words")
            made(db, label=f"from {first}")
            states.append(ids_of(db))
            db["words"].delete(where="rank >= 0")
            db.maintain()
            world.tick(10 * DAY)
        db.archive()
    policy = Policy(pitr="2d", daily=0, weekly=0, monthly=0, min_backups=1)
    world.repository().restore(world.folder / "lazy", Target.backup("from 0"), lazy=True)
    done = world.repository().expire(policy, dry_run=False)
    assert len(done.backups) == 2
    with world.open_alone("lazy", world.repository()) as db:
        assert leases.pinned(world.repository().open().vault)
        db.hydrate()
        assert ids_of(db) == states[0]
    assert leases.pinned(world.repository().open().vault) == []
    assert world.repository().expire(policy, dry_run=False).objects > 0
    with world.open_alone("lazy") as db:
        assert ids_of(db) == states[0]


def test_a_backup_that_is_being_made_goes_on(world: World) -> None:
    past = Past(world).live(8)
    repository = world.repository()
    faulty = use_faulty(repository, world)
    with world.open(repository=repository) as db:
        put(db, 1000, 300)
        db.flush()
        db.archive()
        faulty.plan.fail(StoreUnavailableError("away"), "put", name_part=paths.DATA, at=2, count=None)
        with pytest.raises(StoreUnavailableError):
            made(db, limits=Limits(parallel=1))
        faulty.plan.heal()
        (running,) = leases.running(world.repository().open().vault)
        sent = {key for key in contents(world) if key.startswith(f"{paths.DATA}{running.id}/")}
        assert sent
        assert world.repository().expire(POLICY, dry_run=False).backups
        assert sent <= contents(world).keys()
        assert made(db).id == running.id
        assert past.restored(Target.backup(running.id)) == ids_of(db)
    assert world.repository().verify(deep=True).ok


def test_holds(world: World, past: Past) -> None:
    repository = world.repository()
    by_id = repository.hold(past.backups[1].id[:8], reason="for the audit")
    repository.hold(label="day 3", reason="before the migration")
    repository.hold(label="not yet", reason="what comes")
    plan = repository.expire(POLICY)
    reasons = {decision.label: decision.reasons for decision in plan.decisions}
    assert "held: for the audit" in reasons["day 1"]
    assert "held: before the migration" in reasons["day 3"]
    done = repository.expire(POLICY, dry_run=False)
    assert done.backups == plan.backups
    assert {"day 1", "day 3"} <= {backup.label for backup in repository.backups()}
    for backup in past.backups[1], past.backups[3]:
        assert past.restored(Target.backup(backup.id)) == past.states[backup.seq]
        with pytest.raises(StateError, match="is held"):
            repository.expire([backup.id], dry_run=False)
    repository.release(by_id.id)
    assert repository.expire(POLICY, dry_run=False).backups == (past.backups[1].id,)
    assert {hold.label for hold in repository.holds()} == {"day 3", "not yet"}
    repository.release("day 3")
    assert repository.expire(POLICY, dry_run=False).backups == (past.backups[3].id,)
    assert repository.verify(deep=True).ok


def test_a_label_holds_what_comes_later(world: World) -> None:
    past = Past(world).live(1)
    world.repository().hold(label="release", reason="kept for ever")
    with world.open() as db:
        put(db, 700)
        held = made(db, label="release")
        world.tick(DAY)
        for day in range(3):
            put(db, 710 + 10 * day)
            db.flush()
            made(db)
            world.tick(30 * DAY)
        db.archive()
        put(db, 800)
        db.archive()
    world.repository().expire(Policy(pitr="1d", daily=0, weekly=0, monthly=0), dry_run=False)
    assert held.id in {backup.id for backup in world.repository().backups()}
    assert 700 in past.restored(Target.backup(held.id))


def test_a_backup_of_the_future_is_left_alone(world: World) -> None:
    past = Past(world).live(8)
    with world.open() as db:
        world.tick(1000 * DAY)
        future = made(db)
        world.tick(-1000 * DAY)
    plan = world.repository().expire(POLICY)
    (about,) = [decision for decision in plan.decisions if decision.backup == future.id]
    assert about.keep
    assert about.reasons == ("ignored: it is dated in the future, so its age is not known",)
    assert world.repository().expire(POLICY, dry_run=False).backups == plan.backups
    assert past.restored(Target.backup(future.id)) == past.states[future.seq]


def test_old_publications_of_the_catalog_go(world: World, past: Past) -> None:
    folder = world.folder / "repository" / "catalog"
    for _ in range(3):
        world.repository().catalog.publish()
    pointer = read_pointer(world.repository().open().vault)
    old = {path for path in folder.rglob("*") if path.is_file()}
    world.repository().expire(POLICY, dry_run=False)
    assert {path for path in folder.rglob("*") if path.is_file()} == old  # somebody may read them still
    newest = max(path.stat().st_mtime for path in old)
    for path in old:
        if path.name != Path(paths.CATALOG_POINTER).name:
            os.utime(path, (newest - 4000, newest - 4000))
    world.repository().expire(POLICY, dry_run=False)
    left = {path for path in folder.rglob("*") if path.is_file()}
    assert left < old
    assert len({path.parent for path in left if path.suffix == ".parquet"}) <= 2  # its tables, and its lists
    assert read_pointer(world.repository().open().vault) == pointer
    assert world.repository().sql("from backups").fetchall()


# -- cut short, damaged, at once


def cut_short(past: Past, when: Literal["before", "after"], stride: int) -> int:
    """Stops at every so many calls of the store, and finishes it then; how many calls there are, about."""
    world = past.world
    world.repository().expire(POLICY, dry_run=False)
    finished = contents(world)
    for at in range(2, 10_000, stride):
        begin_again(past)
        store = CrashingStore(inner(world), at, when)
        try:
            through(world, store).expire(POLICY, dry_run=False)
            if not store.crashed:
                return at
        except CrashPoint:
            pass
        assert world.repository().verify().ok
        world.repository().expire(POLICY, dry_run=False)
        assert contents(world).keys() == finished.keys()
    raise AssertionError("it never ends")


@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_short(past: Past, when: Literal["before", "after"]) -> None:
    assert cut_short(past, when, stride=29) > 100
    assert past.world.repository().verify(deep=True).ok


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_short_at_every_call(past: Past, when: Literal["before", "after"]) -> None:
    cut_short(past, when, stride=1)


PREFIXES = (paths.BACKUPS, paths.HOLDS, paths.TIMELINES, paths.EPOCHS, paths.WAL, paths.COMPLETE)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_damage_stops_it_before_anything_is_unlisted(world: World, past: Past, prefix: str) -> None:
    repository = world.repository()
    repository.hold(past.backups[3].id, reason="x")
    key = next(iter(sorted(found.key for found in inner(world).list(prefix))))
    path = world.folder / "repository" / key
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    before = contents(world)
    with pytest.raises(CorruptionError, match=Path(key).name):
        world.repository().expire(POLICY, dry_run=False)
    assert contents(world) == before
    path.write_bytes(data)
    assert world.repository().expire(POLICY, dry_run=False).backups


@pytest.mark.parametrize("seed", range(4))
def test_two_at_once(world: World, past: Past, seed: int) -> None:
    world.repository().expire(POLICY, dry_run=False)
    finished = contents(world)
    begin_again(past)
    chance = random.Random(seed)
    turns = Turns([(chance.choice("ab"), chance.randrange(1, 40)) for _ in range(40)])
    failures: list[BaseException] = []

    def act(name: str) -> None:
        try:
            through(world, TurnStore(inner(world), name, turns)).expire(POLICY, dry_run=False)
        except BaseException as error:
            failures.append(error)
        finally:
            turns.end(name)

    threads = [threading.Thread(target=act, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert contents(world).keys() == finished.keys()
    assert world.repository().verify(deep=True).ok


def test_credentials_that_only_read(world: World, past: Past) -> None:
    before = contents(world)
    repository = through(world, RefusesDeletes(ReadOnlyKey(inner(world))))
    plan = repository.expire(POLICY)
    assert plan.backups
    with pytest.raises(StoreRefusedError):
        repository.expire(POLICY, dry_run=False)
    assert contents(world) == before


def test_credentials_that_do_not_delete(world: World, past: Past) -> None:
    """All is unlisted, and who may delete finishes it."""
    plan = world.repository().expire(POLICY)
    with pytest.raises(StoreRefusedError):
        through(world, RefusesDeletes(inner(world))).expire(POLICY, dry_run=False)
    assert not {backup.id for backup in world.repository().backups()} & set(plan.backups)
    assert world.repository().verify(deep=True).ok
    done = world.repository().expire(POLICY, dry_run=False)
    assert (done.objects, done.bytes, done.parts) == (plan.objects, plan.bytes, plan.parts)


# -- Object Lock


DAY_US = DAY * 1_000_000
LOCKING = Policy(pitr="5d", daily=0, weekly=0, monthly=0, min_backups=1, require_restorable="3d", lock="2d")


@dataclass
class BucketWorld(World):
    """Its repository lies in a bucket. Its clock begins in the past and comes to the time that it is now, with which
    the server compares."""

    place: Store = field(default_factory=lambda: Store("nowhere"))

    def repository(self, name: str = "repository", *, publish: bool = False) -> Repository:
        url, options = str(self.place.url), self.place.storage_options
        return Repository(url, options, publish=publish, clock=self.clock, rng=self.rng)

    def fill(self) -> list[Backup]:
        """Two backups, the first of which ``LOCKING`` lets go."""
        self.clock.us = SystemClock().now_us() - 30 * DAY_US
        with self.open() as db:
            create(db)
            backups = []
            for first in (0, 10):
                put(db, first)
                db.flush()
                backups.append(made(db))
                self.tick(10 * DAY)
            put(db, 100)
            self.tick(10 * DAY)
            db.archive()
            return backups

    def kept_keys(self) -> set[str]:
        """All that the present state consists of: what is overwritten, and what ended, aside."""
        passing = (*DERIVED, paths.COMPLETE, paths.EXPIRATIONS, paths.LEASES)
        return {found.key for found in open_store(self.place).list("") if not found.key.startswith(passing)}


@pytest.fixture
def locked(s3_endpoint: S3Endpoint, tmp_path: Path) -> Iterator[tuple[BucketWorld, RetainingStore, Any]]:
    """A world in a bucket with Object Lock; what asks for retention there; and boto3, which may name versions."""
    endpoint = locked_endpoint(s3_endpoint)
    world = BucketWorld(tmp_path, place=endpoint.place())
    store = open_store(world.place)
    locks = retaining(store)
    assert locks is not None
    with s3_client(endpoint) as client:
        yield world, locks, client
    store.close()


def test_what_is_kept_is_locked(locked: tuple[BucketWorld, RetainingStore, Any]) -> None:
    world, locks, client = locked
    first, second = world.fill()
    gone = world.kept_keys()
    assert world.repository().expire(LOCKING).locked_objects == 0
    assert all(locks.retained_until(key) is None for key in gone)
    done = world.repository().expire(LOCKING, dry_run=False)
    kept = world.kept_keys()
    gone -= kept
    assert done.backups == (first.id,)
    assert done.locked_objects == len({*kept} - {paths.BackupKey(first.id).key})
    for key in kept - {paths.BackupKey(first.id).key}:
        _is_locked(world, locks, client, key, world.clock.now_us() + 2 * DAY_US)
    world.tick(DAY)
    again = world.repository().expire(LOCKING, dry_run=False)
    assert (again.backups, again.locked_objects) == ((), done.locked_objects)
    for key in kept - {paths.BackupKey(first.id).key}:
        _is_locked(world, locks, client, key, world.clock.now_us() + 2 * DAY_US)
    world.repository().restore(world.folder / "back", Target.backup(second.id))
    assert world.repository().verify(deep=True).ok


def _is_locked(world: BucketWorld, locks: RetainingStore, client: Any, key: str, until_us: int) -> None:
    """Until then, up to a second longer, and the version that the key has now cannot be removed."""
    held = locks.retained_until(key)
    assert held is not None
    assert until_us <= held < until_us + 1_000_000
    parts = urlsplit(str(world.place.url))
    where = {"Bucket": parts.netloc, "Key": f"{parts.path.strip('/')}/{key}"}
    version = client.head_object(**where)["VersionId"]
    with pytest.raises(ClientError):
        client.delete_object(**where, VersionId=version)
    assert client.head_object(**where)["VersionId"] == version


def test_no_lock_is_set_if_none_is_asked_for(locked: tuple[BucketWorld, RetainingStore, Any]) -> None:
    world, locks, _ = locked
    first, _ = world.fill()
    done = world.repository().expire(replace(LOCKING, lock=None), dry_run=False)
    assert (done.backups, done.locked_objects) == ((first.id,), 0)
    assert world.repository().expire([], dry_run=False).locked_objects == 0
    assert all(locks.retained_until(key) is None for key in world.kept_keys())


def test_a_bucket_without_object_lock(s3_place: Store, tmp_path: Path) -> None:
    world = BucketWorld(tmp_path, place=s3_place)
    first, second = world.fill()
    plan = world.repository().expire(LOCKING)
    done = world.repository().expire(LOCKING, dry_run=False)
    assert (done.backups, done.locked_objects) == ((first.id,), 0)
    assert (done.objects, done.bytes, done.parts) == (plan.objects, plan.bytes, plan.parts)
    assert [backup.id for backup in world.repository().backups()] == [second.id]
    assert world.repository().verify(deep=True).ok
