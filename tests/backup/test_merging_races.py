"""Merges in the midst of what others do: no reader sees a hole, no number is taken twice, no lease is overrun."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.backup.conftest import World, ids_of, put
from tests.backup.test_backup import made
from tests.backup.test_merging import copied, grow, log_keys, spans, states
from tiervdb.backup import archive_reader, leases, merging, restore
from tiervdb.backup.catalog import known
from tiervdb.backup.policy import Policy
from tiervdb.backup.wal_archive import Archiver
from tiervdb.database.database import Database
from tiervdb.errors import CorruptionError, StoreUnavailableError
from tiervdb.format.repository_paths import PartKey


def merge(world: World) -> None:
    assert world.repository().merge_log(dry_run=False).objects == 1


def once(monkeypatch: pytest.MonkeyPatch, where: object, name: str, act: Callable[[], None], *, at: int = 1) -> None:
    """``act`` happens right after the ``at``-th call of a function."""
    real: Callable[..., Any] = getattr(where, name)
    calls = 0

    def then(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        found = real(*given, **named)
        if calls == at:
            act()
        return found

    monkeypatch.setattr(where, name, then)


# -- readers


def test_windows_have_no_hole(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made(db)
    grow(world, db, 20)
    before = world.repository().windows()
    once(monkeypatch, archive_reader, "_listed", lambda: merge(world))
    assert world.repository().windows() == before
    assert spans(world)[0] == (1, 20)


def test_a_restore_to_the_newest_state(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made(db)
    grow(world, db, 20)
    once(monkeypatch, archive_reader, "_listed", lambda: merge(world))
    assert world.repository().restore(world.folder / "restored").seq == db.seq


def test_the_catalog_has_no_gap(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made(db)
    grow(world, db, 20)
    [window] = world.repository().sql("from restorable_windows").fetchall()
    real = known._read_all

    def merged_first(*given: Any) -> Any:
        if len(log_keys(world)) > 2:
            merge(world)
        return real(*given)

    monkeypatch.setattr(known, "_read_all", merged_first)
    repository = world.repository()
    assert repository.sql("from gaps").fetchall() == []
    assert repository.sql("from restorable_windows").fetchall() == [window]


def test_an_older_directory_is_opened(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.close()
    shutil.copytree(world.folder / "db", world.folder / "older")
    with world.open() as same:
        grow(world, same, 20)
        expected = ids_of(same)
    for entry in (world.folder / "db").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(world.folder / "older", world.folder / "db", dirs_exist_ok=True)
    once(monkeypatch, archive_reader, "_listed", lambda: merge(world), at=2)
    with world.open() as back:
        assert ids_of(back) == expected


# -- writers


def behind(db: Database) -> Archiver:
    """A second archiver of the same log, as a machine that is set back has it."""
    protection = db._session.protection
    assert protection is not None
    shipping = protection.archiver
    other = Archiver(shipping._vault_of, shipping._source, shipping._epoch_of)
    other.ship()
    return other


def test_an_idle_writer_looks_before_it_sends(world: World, db: Database) -> None:
    db.archive()
    other = behind(db)
    known_seq = other.archived_seq
    for number in range(20):
        put(db, 1000 + number, 1)
        db.archive()
    for _ in range(12):
        world.tick(600)
        other.ship(known_seq)  # each second, say, and nothing to send
    merge(world)
    put(db, 5000, 1)
    assert other.ship().n == 22
    assert [span for span in spans(world) if span[0] <= 20] == [(1, 20)]


def test_a_look_that_failed_is_made_again(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.archive()
    other = behind(db)
    grow(world, db, 20)
    merge(world)
    put(db, 5000, 1)
    with monkeypatch.context() as away:

        def unreachable(*_: object) -> None:
            raise StoreUnavailableError("away")

        away.setattr(archive_reader, "last_header", unreachable)
        with pytest.raises(StoreUnavailableError):
            other.ship()
    assert other.ship().n == 22


def test_a_part_that_holds_something_else_is_never_deleted(
    world: World, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever lies under a merged number was acknowledged to somebody."""
    grow(world, db, 20)
    vault = world.repository().open().vault
    fifth = vault.store.get(log_keys(world)[4])
    merge(world)
    timeline = db.status().timeline
    vault.store.put(PartKey(timeline, 0, 5).key, fifth)  # late, but the same: it goes
    assert world.repository().merge_log(dry_run=False).deleted == 1
    with world.open("other", world.repository("others")) as other:
        other.create_collection("a", dim=2)
        for number in range(5):
            other["a"].upsert(ids=[str(number)], vectors=[[1, 2]])
            other.archive()
        strange = world.repository("others").open().vault.store
        strange_key = next(found.key for found in strange.list("wal/") if found.key.endswith("5"))
        data = strange.get(strange_key).replace(other.status().timeline.encode(), timeline.encode())
    vault.store.put(PartKey(timeline, 0, 5).key, data)
    assert world.repository().merge_log(dry_run=False).deleted == 0
    assert "stay" in caplog.text


# -- leases, expiries, other merges


def test_two_merges_and_a_reader(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has looked for parts; the other merges, and a reader begins on the parts."""
    grow(world, db, 20)
    repository = world.repository()
    timeline = db.status().timeline
    merge_leases: list[leases.HeldLease] = []

    def begin() -> None:
        for group in merging.plan_all(merging.holdings.read(repository.open().vault), world.clock.now_us()):
            merging.write(repository.open().vault, group)
        merge_leases.append(leases.take(repository.open().vault, "restore", timelines=[timeline]))

    vault = repository.open().vault
    once(monkeypatch, vault.store, "list", begin)
    assert merging.delete_replaced(vault) == 0
    assert len(log_keys(world)) >= 21
    merge_leases[0].release()
    assert merging.delete_replaced(vault) == 20


def test_a_part_that_expires_while_it_is_merged(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(world, db, 20)
    repository = world.repository()
    vault = repository.open().vault
    key = log_keys(world)[0]
    once(monkeypatch, merging.holdings, "readable", lambda: vault.store.delete(key))
    done = repository.merge_log(dry_run=False)
    assert (done.objects, done.deleted) == (0, 0)


def test_a_copy_does_not_bring_back_what_expired_there(world: World, db: Database) -> None:
    policy = Policy(
        pitr="1d", daily=0, weekly=0, monthly=0, min_backups=1, require_restorable=None, lock=None
    )  # fmt: skip
    made(db)
    grow(world, db, 20)
    db.flush()
    made(db)
    copied(world)
    put(db, 3000, 1)
    db.archive()
    world.tick(20 * 86_400)
    grow(world, db, 9, first=4000)
    db.flush()
    made(db)
    copied(world)
    offsite = world.repository("offsite")
    offsite.expire(policy, dry_run=False)
    first = spans(world, "offsite")[0][0]
    assert first > 10
    world.repository().merge_log(dry_run=False)
    put(db, 9000, 1)
    db.archive()
    copied(world)
    assert spans(world, "offsite")[0][0] == first
    assert offsite.verify(deep=True).ok
    assert states(world, offsite, [db.seq]) == [ids_of(db)]


# -- attaching


def test_attaching_while_the_old_writer_flushes_and_backs_up(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that were fetched are those of the backup of the plan, and the log must begin where they end."""
    db.flush()
    made(db)
    put(db, 100, 5)
    db.archive()

    def meanwhile() -> None:
        put(db, 200, 5)
        db.flush()
        put(db, 300, 5)
        made(db)

    once(monkeypatch, restore._Run, "_files", meanwhile)
    done = world.repository().restore(world.folder / "new", attach=True)
    assert done.seq == db.seq
    with world.open_alone("new") as new:
        assert ids_of(new) == ids_of(db)


def test_a_log_of_another_history_is_no_restore(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made(db)
    grow(world, db, 3)
    real = archive_reader.headers

    def other_chain(*given: Any, **named: Any) -> Any:
        return [msgspec.structs.replace(head, before="ab" * 32) for head in real(*given, **named)]

    monkeypatch.setattr(archive_reader, "headers", other_chain)
    true = archive_reader.header
    monkeypatch.setattr(archive_reader, "body", lambda vault, part: archive_reader._body(vault, true(vault, part.key)))
    with pytest.raises(CorruptionError, match="another history"):
        world.repository().restore(world.folder / "restored")
    assert not (world.folder / "restored").exists()
