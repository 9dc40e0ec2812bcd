"""What expiry once lost, or said wrongly."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.backup import test_expiring as expiring
from tests.backup.conftest import World, create, put
from tests.backup.test_backup import made
from tests.backup.test_expiring import (
    DAY,
    LOCKING,
    POLICY,
    BucketWorld,
    Past,
    begin_again,
    contents,
    inner,
    through,
)
from tests.backup.test_retention import DAY as DAY_US
from tests.backup.test_retention import (
    POLICIES,
    STORIES,
    Story,
    applied,
    at,
    every,
    in_force,
    restorable,
)
from tests.storage.locked_bucket import locked_endpoint
from tests.support.turns import Turns, TurnStore
from tiervdb.backup import leases, retention
from tiervdb.backup.keys import Key
from tiervdb.backup.policy import Policy
from tiervdb.backup.repository import Repository
from tiervdb.backup.windows import Window
from tiervdb.errors import BackupNotFoundError, CorruptionError
from tiervdb.format import repository_paths as paths
from tiervdb.storage.open import open_store
from tiervdb.storage.retention import retaining
from tiervdb.target import Target

past, twelve_days = expiring.past, expiring.twelve_days  # fixtures


def test_the_log_before_the_first_backup_stays_for_pitr(world: World) -> None:
    with world.open() as db:
        create(db)
        for first in range(0, 50, 10):
            put(db, first)
            world.tick(3600)
            db.archive()
        db.flush()
        made(db)
    before = world.repository().windows()
    plan = world.repository().expire()
    assert world.repository().expire(dry_run=False).parts == plan.parts == 0
    assert world.repository().windows() == before


def test_the_log_of_a_new_timeline_before_its_first_backup_stays_for_pitr(world: World) -> None:
    with world.open() as db:
        create(db)
        put(db, 0)
        db.flush()
        made(db)
        put(db, 10)
        db.archive()
    world.tick(60)
    world.repository().restore(world.folder / "new", attach=True)
    with world.open_alone("new") as new:
        for first in range(100, 150, 10):
            put(new, first)
            world.tick(3600)
            new.archive()
        new.flush()
        made(new)
    before = world.repository().windows()
    world.repository().expire(dry_run=False)
    assert world.repository().windows() == before
    assert world.repository().plan(Target.seq(6)).seq == 6


def test_the_newest_state_of_a_closed_database_stays(world: World) -> None:
    with world.open() as db:
        create(db)
        put(db, 0)
        db.flush()
        made(db)
        for first in range(100, 140, 10):
            world.tick(60)
            put(db, first)
            db.archive()
        newest = db.seq
    world.tick(30 * DAY)
    world.repository().expire(dry_run=False)
    assert world.repository().plan().seq == newest


def test_the_state_that_a_new_timeline_begins_with_stays(world: World) -> None:
    with world.open() as db:
        create(db)
        put(db, 0)
        db.flush()
        made(db)
        for first in range(100, 140, 10):
            world.tick(60)
            put(db, first)
            db.archive()
        seq = db.seq - 1
        world.tick(40 * DAY)
        for first in (200, 210):
            put(db, first)
            db.flush()
            made(db)
            world.tick(20 * DAY)
        db.archive()
    world.repository().restore(world.folder / "new", Target.seq(seq), attach=True)
    world.repository().expire(dry_run=False)
    assert world.repository().plan().seq == seq


@settings(max_examples=150, deadline=None)
@given(STORIES, POLICIES)
def test_the_newest_state_always_stays(story: Story, policy: Policy) -> None:
    held, line = story.held(), story.record.id
    newest = max(restorable(held, line), default=0)
    after = applied(held, retention.plan(held, {}, policy, story.now_us))
    assert newest in restorable(after, line) or not restorable(held, line)


def test_a_clock_that_is_behind_deletes_no_log() -> None:
    story = every(24, 30, "2026-01-01T00:00:00")
    story.lines["main"].parts.pop(0)  # as an earlier expiry left it: no origin
    held = story.wait(DAY_US).commit(3).held()
    policy = Policy(require_restorable=None)
    assert applied(held, retention.plan(held, {}, policy, at("2025-01-01T00:00:00"))) == held


def test_without_an_archive_old_backups_go() -> None:
    story = every(24, 60, "2026-01-01T00:00:00", archive=False)
    assert retention.plan(story.held(), {}, Policy(), story.now_us).expiring


def test_lost_names_each_interval_once() -> None:
    old, young = Window("a", 0, 4, 0, 4, ()), Window("a", 6, 9, 60, 90, ())
    assert retention.lost([old, young], [young]) == [old]


@pytest.mark.parametrize("prefix", [paths.LEASES, paths.PINS])
def test_a_damaged_lease_or_pin_stops_it_before_anything_is_unlisted(world: World, past: Past, prefix: str) -> None:
    vault = world.repository().open().vault
    leases.take(vault, "restore", backups=[past.backups[0].id]).leave()
    leases.pin(vault, "0" * 32, "/lazy", [past.backups[0].id], [])
    (path,) = (world.folder / "repository" / prefix).iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    before = contents(world)
    with pytest.raises(CorruptionError, match=path.name):
        world.repository().expire(POLICY, dry_run=False)
    assert contents(world) == before


def test_a_hold_that_was_confirmed_holds(world: World, past: Past) -> None:
    victim = world.repository().expire(POLICY).backups[0]
    for calls in range(0, 120, 2):
        begin_again(past)
        confirmed = hold_during_expiry(world, victim, calls)
        assert not confirmed or victim in {backup.id for backup in world.repository().backups()}, calls


def hold_during_expiry(world: World, victim: str, calls: int) -> bool:
    """An expiry that a hold comes between after so many of its calls; whether the hold was confirmed."""
    turns, done = Turns([("expire", calls), ("hold", 1000), ("expire", 1000)]), []

    def hold() -> None:
        try:
            done.append(through(world, TurnStore(inner(world), "hold", turns)).hold(victim, reason="audit"))
        except BackupNotFoundError:
            pass
        finally:
            turns.end("hold")

    def expire() -> None:
        through(world, TurnStore(inner(world), "expire", turns)).expire(POLICY, dry_run=False)
        turns.end("expire")

    threads = [threading.Thread(target=work) for work in (hold, expire)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bool(done)


@pytest.mark.parametrize("prefix", ["keys/", "wal/", "holds/"])
def test_what_the_rest_is_worthless_without_is_locked(s3_endpoint, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "key").write_bytes(b"a key of more than sixteen bytes")

    class Encrypted(BucketWorld):
        def repository(self, name: str = "repository", *, publish: bool = False) -> Repository:
            where, key = (str(self.place.url), self.place.storage_options), Key.file(tmp_path / "key")
            return Repository(*where, key, publish=publish, clock=self.clock, rng=self.rng)

    world = Encrypted(tmp_path, place=locked_endpoint(s3_endpoint).place())
    _, second = world.fill()
    world.repository().hold(second.id, reason="audit")
    world.repository().restore(tmp_path / "new", attach=True)  # ends the old timeline by a fence
    world.repository().expire(LOCKING, dry_run=False)
    store = open_store(world.place)
    locks = retaining(store)
    assert [found.key for found in store.list(prefix) if locks.retained_until(found.key) is None] == []
    store.close()


def test_the_later_of_two_backups_whatever_their_dates() -> None:
    """No archive, and the clock went back between two backups of one manifest."""
    story = Story(at("2026-01-01T00:00:00"), archive=False)
    story.commit().flush().wait(2 * DAY_US).commit().backup()  # S = 2
    story.wait(-DAY_US).commit(5).backup()  # S = 7, made "earlier"
    story.wait(20 * DAY_US)
    for _ in range(3):
        story.commit().flush().backup().wait(3600 * 1_000_000)
    policy = Policy(pitr="20d", daily=0, weekly=0, monthly=0, min_backups=1, require_restorable=None)
    since_us = story.now_us - policy.us("pitr")
    held = story.held()
    after = applied(held, retention.plan(held, {}, policy, story.now_us))
    assert in_force(story, "main", since_us) <= restorable(after, "main")


def test_a_damaged_catalog_is_no_reason_to_fail(world: World, past: Past) -> None:
    world.repository().catalog.publish()
    path = world.folder / "repository" / paths.CATALOG_POINTER
    path.write_bytes(path.read_bytes()[:-9])
    assert world.repository().expire(POLICY, dry_run=False).backups


def test_a_plan_knows_of_leases(world: World, past: Past) -> None:
    vault = world.repository().open().vault
    leases.take(vault, "verify", backups=[b.id for b in past.backups], timelines=[past.backups[0].timeline])
    plan, done = world.repository().expire(POLICY), world.repository().expire(POLICY, dry_run=False)
    assert (plan.objects, plan.parts) == (done.objects, done.parts)


def test_policies_without_an_end() -> None:
    story = every(24, 5, "2026-01-01T00:00:00")
    retention.plan(story.held(), {}, Policy(hourly=10**7, daily=10**6, weekly=10**6), story.now_us)


def test_an_abandoned_state_beyond_the_fork_is_a_point_of_its_own_branch() -> None:
    story = Story(at("2026-01-01T09:00:00"), archive=False)
    story.commit().flush().wait(3600_000_000).commit(5).backup("before the fork was made")  # F = 1, S = 6
    story.go_on_from(1, "fork").wait(3600_000_000).commit().flush().backup("of the fork")
    story.wait(20 * DAY_US)
    story.commit().flush().backup().commit().flush().backup()
    plan = retention.plan(story.held(), {}, Policy(require_restorable=None, weekly=0, monthly=0), story.now_us)
    assert "before the fork was made" in {d.label for d in plan.decisions if d.keep}
