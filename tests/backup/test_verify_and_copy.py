"""Verification finds what is wrong and says what depends on it; off-site copies are complete by themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made
from tests.format.repository_values import REPOSITORY_DOCUMENTS
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup import leases
from tiervdb.backup.keys import Key
from tiervdb.backup.leases import HeldLease
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.errors import ArchiveConflictError, CorruptionError, InvalidInputError, WrongKeyError
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import Expiration, decode_backup
from tiervdb.storage.open import Store
from tiervdb.target import Target


@pytest.fixture
def filled(world: World, db: Database) -> list[int]:
    put(db, 1000, 300)
    db.flush()
    db.maintain()
    db.demote("words", 0.5)
    made(db)
    for first in (30, 40, 50):
        put(db, first)
        db.archive()
    return ids_of(db)


def objects(world: World) -> list[Path]:
    return sorted(path for path in (world.folder / "repository" / "data").rglob("*") if path.is_file())


def parts(world: World) -> list[Path]:
    return sorted(path for path in (world.folder / "repository" / "wal").rglob("*") if path.is_file())


def test_a_sound_one(world: World, filled: list[int]) -> None:
    quick = world.repository().verify()
    assert quick.ok
    assert (quick.backups, quick.objects, quick.read_objects) == (1, len(objects(world)), 0)
    deep = world.repository().verify(deep=True)
    assert deep.ok
    assert deep.read_objects == deep.objects + deep.parts


def test_what_is_missing_or_short(world: World, filled: list[int]) -> None:
    backup = world.repository().backups()[0].id
    for path in objects(world):
        kept = path.read_bytes()
        path.write_bytes(kept[:-1])
        (finding,) = world.repository().verify().findings
        assert path.name in finding.object
        assert finding.depends == (backup,)
        assert "full backup" in finding.advice
        path.unlink()
        (finding,) = world.repository().verify().findings
        assert "missing" in str(finding)
        path.write_bytes(kept)


def test_flipped_bits_are_found_deep(world: World, filled: list[int]) -> None:
    for path in (*objects(world), *parts(world)):
        kept = path.read_bytes()
        at = len(kept) // 2
        path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
        findings = world.repository().verify(deep=True).findings
        assert [path.name in finding.object for finding in findings] == [True]
        path.write_bytes(kept)


def test_every_damaged_document_is_a_finding(world: World, filled: list[int]) -> None:
    """Whatever lies in the repository: one finding that names it, and what depends on it."""
    leases.pin(world.repository().open().vault, "a" * 32, "/elsewhere", [], [])
    vault = world.repository().open().vault
    vault.create(paths.ExpirationKey("b" * 32).key, Expiration(id="b" * 32, created_us=1, reason="old"))
    vault.create(paths.LeaseKey("c" * 32).key, REPOSITORY_DOCUMENTS["lease"])
    vault.create(paths.OperationKey("d" * 32).key, REPOSITORY_DOCUMENTS["drill_operation"])
    vault.create(paths.HoldKey("e" * 32).key, REPOSITORY_DOCUMENTS["hold"])
    root = world.folder / "repository"
    documents = [p for p in root.rglob("*") if p.is_file() and p.parent.name != "data" and p.name != "repository.json"]
    kinds = set()
    for path in documents:
        key = str(path.relative_to(root))
        if not key.startswith("data/"):
            kinds.add(key.split("/", maxsplit=1)[0])
            kept = path.read_bytes()
            path.write_bytes(kept[:20])
            (finding,) = world.repository().verify().findings
            assert finding.object == key
            assert finding.depends != ("",)
            path.write_bytes(kept)
    assert kinds == {
        *("backups", "expirations", "leases", "pins", "timelines", "epochs", "wal", "complete", "operations", "holds")
    }


def test_a_damaged_backup_does_not_stand_in_the_way_of_others(world: World, db: Database) -> None:
    first = made(db)
    put(db, 60)
    db.archive()
    second = made(db, kind="full")
    expected = ids_of(db)
    path = world.folder / "repository" / "backups" / first.id
    kept = path.read_bytes()
    path.write_bytes(kept[:-20])
    assert [backup.id for backup in world.repository().backups()] == [second.id]
    for target in (Target.latest(), Target.time(second.time), Target.snapshot("s")):
        with pytest.raises(CorruptionError, match=f"{first.id}.*name a seq or a backup"):
            world.repository().restore(world.folder / "x", target)  # it might be in what cannot be read
    with pytest.raises(CorruptionError, match=f"{first.id}.*Without it: there is no backup"):
        world.repository().restore(world.folder / "x", Target.backup(first.id))
    world.repository().restore(world.folder / "x", Target.backup(second.id))
    with world.open_alone("x") as back:
        assert ids_of(back) == expected
    third = made(db, kind="full")
    assert [backup.id for backup in world.repository().backups()] == [second.id, third.id]
    path.write_bytes(kept)
    assert len(world.repository().backups()) == 3


def test_what_expires_meanwhile_is_no_finding(world: World, filled: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """An expiry after the look at what is listed and before the lease: it may delete, for it saw no lease."""
    vault = world.repository().open().vault
    (backup,) = world.repository().backups()
    take = leases.take

    def expire_first(*args: object, **how: object) -> HeldLease:
        vault.create(paths.ExpirationKey(backup.id).key, Expiration(id=backup.id, created_us=1, reason="old"))
        for path in objects(world):
            path.unlink()
        return take(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(leases, "take", expire_first)
    report = world.repository().verify(deep=True)
    assert report.ok
    assert (report.backups, report.objects) == (0, 0)


def test_a_hole_in_the_log(world: World, filled: list[int]) -> None:
    parts(world)[1].unlink()
    (finding,) = world.repository().verify().findings
    assert parts(world)[1].name != finding.object
    assert "missing" in finding.problem
    assert "timeline" in finding.depends[0]


def test_a_sample_and_going_on(world: World, filled: list[int], tmp_path: Path) -> None:
    some = world.repository().verify(sample=0.5)
    assert 0 < some.read_objects < some.objects + some.parts
    with pytest.raises(InvalidInputError, match="sample"):
        world.repository().verify(sample=5)
    seen = tmp_path / "seen"
    first = world.repository().verify(deep=True, resume=seen)
    again = world.repository().verify(deep=True, resume=seen)
    assert first.read_objects == first.objects + first.parts
    assert again.read_objects == 0


def test_a_copy_is_complete_by_itself(world: World, db: Database, filled: list[int]) -> None:
    result = world.repository().copy_to(world.folder / "offsite")
    assert (result.backups, result.skipped_backups) == (1, 0)
    assert result.parts > 0
    assert result.objects == len(objects(world))
    again = world.repository().copy_to(world.folder / "offsite")
    assert (again.backups, again.skipped_backups, again.objects, again.parts) == (0, 1, 0, 0)
    put(db, 60)
    db.archive()
    db.flush()
    made(db)
    more = world.repository().copy_to(world.folder / "offsite")
    assert (more.backups, more.skipped_backups) == (1, 1)
    expected = ids_of(db)
    windows = world.repository().windows()
    db.close()
    shutil.rmtree(world.folder / "repository")
    shutil.rmtree(world.folder / "db")
    offsite = world.repository("offsite")
    assert offsite.verify(deep=True).ok
    assert [(w.first_seq, w.last_seq) for w in offsite.windows()] == [(w.first_seq, w.last_seq) for w in windows]
    offsite.restore(world.folder / "db", attach=True)
    with world.open_alone("db") as back:
        assert ids_of(back) == expected
        put(back, 70)
        back.archive()


def test_a_copy_that_went_its_own_way_is_left_alone(world: World, db: Database, filled: list[int]) -> None:
    world.repository().copy_to(world.folder / "offsite")
    world.repository("offsite").restore(world.folder / "new", attach=True)
    put(db, 60)
    db.archive()
    with pytest.raises(ArchiveConflictError, match="another one"):
        world.repository().copy_to(world.folder / "offsite")


def test_damage_at_the_source_stops_only_what_it_touches(world: World, db: Database) -> None:
    first = made(db)
    put(db, 60, 200)
    db.flush()
    db.archive()
    second = made(db)
    vault = world.repository().open().vault
    documents = {b.id: vault.read(paths.BackupKey(b.id).key, decode_backup) for b in (first, second)}
    keys = {id: {f.object.key for f in document.files} for id, document in documents.items()}
    damaged = world.folder / "repository" / min(keys[first.id] - keys[second.id])
    whole = damaged.read_bytes()
    for form in (None, whole[:-1], bytes(len(whole))):
        offsite = f"offsite-{form is None}-{len(form or b'')}"
        damaged.unlink() if form is None else damaged.write_bytes(form)
        with pytest.raises(CorruptionError, match=f"not complete.*{damaged.name}"):
            world.repository().copy_to(world.folder / offsite)
        assert [b.id for b in world.repository(offsite).backups()] == [second.id]
        assert world.repository(offsite).verify(deep=True).ok
        damaged.write_bytes(whole)
        world.repository().copy_to(world.folder / offsite)
        assert [b.id for b in world.repository(offsite).backups()] == [first.id, second.id]
        assert world.repository(offsite).verify(deep=True).ok


def test_a_damaged_part_is_filled_in_later(world: World, db: Database, filled: list[int]) -> None:
    part = parts(world)[1]
    whole = part.read_bytes()
    for form in (whole[:20], whole[:-1]):
        part.write_bytes(form)
        with pytest.raises(CorruptionError, match=f"not complete.*{part.name}"):
            world.repository().copy_to(world.folder / "offsite")
        copied = world.folder / "offsite" / "wal"
        assert len([path for path in copied.rglob("*") if path.is_file()]) == len(parts(world)) - 1
        assert not list((world.folder / "offsite" / "complete").rglob("*/0000"))
    part.write_bytes(whole)
    assert world.repository().copy_to(world.folder / "offsite").parts == 1
    assert world.repository("offsite").windows() == world.repository().windows()


def test_what_an_interrupted_copy_left_is_used_or_mended(world: World, filled: list[int]) -> None:
    world.repository().copy_to(world.folder / "offsite")
    offsite = world.folder / "offsite"
    for document in (offsite / "backups").iterdir():
        document.unlink()  # it is written last
    sent = sorted(path for path in (offsite / "data").rglob("*") if path.is_file())
    before = {path: path.stat().st_mtime_ns for path in sent}
    sent[0].write_bytes(bytes(sent[0].stat().st_size))
    world.repository().copy_to(offsite)
    again = sorted(path for path in (offsite / "data").rglob("*") if path.is_file())
    assert again == sent
    assert [path.stat().st_mtime_ns == before[path] for path in again] == [False] + [True] * (len(sent) - 1)
    assert world.repository("offsite").verify(deep=True).ok


def test_what_expired_in_the_copy_does_not_come_back(world: World, db: Database, filled: list[int]) -> None:
    world.repository().copy_to(world.folder / "offsite")
    vault = world.repository("offsite").open().vault
    (backup,) = world.repository("offsite").backups()
    vault.create(paths.ExpirationKey(backup.id).key, Expiration(id=backup.id, created_us=1, reason="old"))
    shutil.rmtree(world.folder / "offsite" / "data")
    result = world.repository().copy_to(world.folder / "offsite")
    assert (result.backups, result.skipped_backups, result.objects) == (0, 1, 0)
    put(db, 60)
    db.flush()
    newer = made(db)  # names objects that were sent with the first
    world.repository().copy_to(world.folder / "offsite")
    first_part = min((world.folder / "offsite" / "wal").rglob("*1"))
    first_part.unlink()
    assert world.repository().copy_to(world.folder / "offsite").parts == 0
    assert not first_part.exists()
    assert [b.id for b in world.repository("offsite").backups()] == [newer.id]
    assert world.repository("offsite").verify(deep=True).ok


def test_a_copy_holds_a_lease_at_both_ends(world: World, filled: list[int]) -> None:
    """On the prefix that it writes to; nothing that it sends lies elsewhere, and both leases go."""
    seen: list[set[str]] = []
    offsite = world.folder / "offsite"

    def look(done: int, total: int) -> None:
        seen.append({path.name for path in (offsite / "leases").iterdir()})
        assert len(list((world.folder / "repository" / "leases").iterdir())) == 1

    world.repository().copy_to(offsite, progress=look)
    (backup,) = world.repository().backups()
    assert set.union(*seen) == {backup.id}
    assert all(seen)
    assert {path.name for path in (offsite / "data").iterdir()} == {backup.id}
    for name in ("repository", "offsite"):
        assert list((world.folder / name / "leases").iterdir()) == []


@pytest.mark.parametrize(("source_key", "target_key"), [(None, "b"), ("a", None), ("a", "b")])
def test_between_keys(world: World, source_key: str | None, target_key: str | None) -> None:
    def repository(name: str, key: str | None) -> Repository:
        given = None
        if key is not None:
            path = world.folder / f"{key}.key"
            path.write_bytes(key.encode() * 20)
            given = Key.file(path)
        return Repository(world.folder / name, key=given, clock=world.clock, rng=world.rng)

    with world.open(repository=repository("repository", source_key)) as db:
        create(db)
        put(db, 0, 200)
        db.demote("words", 0.5)
        made(db)
        put(db, 500)
        db.archive()
        expected = ids_of(db)
    source, target = repository("repository", source_key), repository("offsite", target_key)
    source.copy_to(target)
    assert repository("offsite", target_key).encrypted == (target_key is not None)
    assert repository("offsite", target_key).verify(deep=True).ok
    repository("offsite", target_key).restore(world.folder / "back", lazy=True)
    with world.open_alone("back", repository("offsite", target_key)) as back:
        assert ids_of(back) == expected
    if source_key is not None:
        for key in (None, "c"):
            with pytest.raises(WrongKeyError):
                repository("repository", key).windows()
        plain = b"".join(path.read_bytes() for path in (world.folder / "repository").rglob("*") if path.is_file())
        assert b"words" not in plain
        assert db.status  # its status is not asked: it is closed


def test_keys_can_be_changed(world: World) -> None:
    for name in ("one", "two"):
        (world.folder / name).write_bytes(name.encode() * 10)
    one, two = Key.file(world.folder / "one"), Key.file(world.folder / "two")
    made_now = Repository.create(world.folder / "r", encrypted=True, key=one, clock=world.clock, rng=world.rng)
    with world.open(repository=made_now) as db:
        create(db)
        made(db)
    first = made_now.keys()
    made_now.add_key(two)
    opened = Repository(world.folder / "r", key=two, clock=world.clock, rng=world.rng)
    assert len(opened.backups()) == 1
    with pytest.raises(WrongKeyError):
        made_now.remove_key(first[0])  # it would lock itself out
    opened.remove_key(first[0])
    with pytest.raises(WrongKeyError, match="opens none of the repository's 1 keys"):
        Repository(world.folder / "r", key=one).backups()


@pytest.mark.s3
def test_to_a_bucket_and_back(world: World, db: Database, filled: list[int], s3_endpoint: S3Endpoint) -> None:
    place: Store = s3_endpoint.place()
    away = Repository(str(place.url), place.storage_options, clock=world.clock, rng=world.rng)
    world.repository().copy_to(away)
    assert away.verify(deep=True).ok
    away.restore(world.folder / "back", lazy=True)
    with world.open_alone("back", away) as back:
        assert ids_of(back) == filled
        back.hydrate()
    away.copy_to(Repository(world.folder / "third", clock=world.clock, rng=world.rng))
    assert world.repository("third").verify(deep=True).ok
