"""Merging the archived log: fewer objects, the same history, whatever happens in between."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made, use_faulty
from tests.format.values import an_id
from tests.support.crash_dir import CrashPoint
from tests.support.crashing_store import CrashingStore
from tiervdb.backup import archive_reader, leases, merging, opened, wal_archive
from tiervdb.backup.keys import Key
from tiervdb.backup.merging import FEWEST, YOUNG_US, plan
from tiervdb.backup.policy import Policy
from tiervdb.backup.repository import Repository
from tiervdb.backup.wal_archive import Archiver
from tiervdb.database.database import Database
from tiervdb.errors import (
    ArchiveConflictError,
    CorruptionError,
    FencedError,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from tiervdb.format.repository_documents import PartHeader
from tiervdb.format.repository_paths import WAL, MergedKey, PartKey, parse
from tiervdb.storage.open import open_store
from tiervdb.target import Target

OLD = 2 * YOUNG_US / 1e6


def grow(world: World, db: Database, parts: int, first: int = 1000) -> None:
    """So many commits, each a part of its own after what there is; then they are old enough to be merged."""
    db.archive()
    for number in range(parts):
        put(db, first + number, 1)
        world.tick()
        db.archive()
    world.tick(OLD)


def log_keys(world: World, name: str = "repository") -> list[str]:
    return sorted(found.key for found in world.repository(name).open().vault.store.list(WAL))


def spans(world: World, name: str = "repository") -> list[tuple[int, int]]:
    """First and last numbers of what stands for the log of the only timeline."""
    vault = world.repository(name).open().vault
    timelines = {parsed.timeline for key in log_keys(world, name) if isinstance(parsed := parse(key), PartKey)}
    return [(p.n, p.through) for timeline in timelines for p in archive_reader.headers(vault, timeline, 0)]


def states(world: World, repository: Repository, seqs: Sequence[int]) -> list[list[int]]:
    found = []
    for seq in seqs:
        repository.restore(world.folder / "state", Target.seq(seq))
        with world.open_alone("state") as db:
            found.append(ids_of(db))
        shutil.rmtree(world.folder / "state")
    return found


def history(repository: Repository) -> tuple[object, ...]:
    """All that a repository says about what can be restored and what was committed, times included."""
    commits = repository.sql("select * from commits order by timeline, seq, collection, operation").fetchall()
    return repository.windows(), repository.log().to_pylist(), commits, repository.sql("from gaps").fetchall()


# -- what it changes, and what not


def test_fewer_objects_and_the_same_history(world: World, db: Database) -> None:
    repository = world.repository()
    made(db)
    grow(world, db, 30)
    seqs = [7, db.seq - 20, db.seq]
    before, rows = history(repository), states(world, repository, seqs)
    assert repository.merge_log() == merging.MergeResult(30, 1, repository.merge_log().bytes, 0, dry_run=True)
    assert len(log_keys(world)) == 31
    done = repository.merge_log(dry_run=False)
    assert (done.parts, done.objects, done.deleted) == (30, 1, 30)
    assert spans(world) == [(1, 30), (31, 31)]
    assert len(log_keys(world)) == 2
    fresh = world.repository()
    assert history(fresh) == before
    assert history(repository) == before  # which knew the parts
    assert states(world, fresh, seqs) == rows
    assert fresh.verify(deep=True).ok
    [merged, last] = fresh.sql("select n, last_n, commits from wal_files order by n").fetchall()
    assert (merged[:2], last[:2]) == ((1, 30), (31, 31))


def test_writing_goes_on(world: World, db: Database) -> None:
    grow(world, db, 20)
    world.repository().merge_log(dry_run=False)
    grow(world, db, 5, first=2000)
    db.close()
    with world.open() as again:
        put(again, 3000)
        again.archive()
        expected, seq = ids_of(again), again.seq
    assert world.repository().verify(deep=True).ok
    assert states(world, world.repository(), [seq]) == [expected]
    assert [first for first, _ in spans(world)] == [1, *range(21, 21 + len(spans(world)) - 1)]


def test_merged_objects_are_merged_again_when_there_are_many(world: World, db: Database) -> None:
    for round in range(FEWEST + 1):
        grow(world, db, 10, first=1000 * (round + 1))
        world.repository().merge_log(dry_run=False)
    assert len(spans(world)) < 8
    assert world.repository().verify(deep=True).ok
    assert states(world, world.repository(), [db.seq]) == [ids_of(db)]


def test_an_older_directory_gets_back_what_was_merged(world: World, db: Database) -> None:
    db.close()
    shutil.copytree(world.folder / "db", world.folder / "older")
    with world.open() as same:
        grow(world, same, 20)
        expected, seq = ids_of(same), same.seq
    world.repository().merge_log(dry_run=False)
    for entry in (world.folder / "db").iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(world.folder / "older", world.folder / "db", dirs_exist_ok=True)
    with world.open() as back:
        assert (back.seq, ids_of(back)) == (seq, expected)


def test_an_encrypted_log_stays_sealed(world: World, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a key of more than sixteen bytes")
    key = Key.file(tmp_path / "key")
    where = world.folder / "repository"
    repository = Repository.create(where, encrypted=True, key=key, clock=world.clock, rng=world.rng)
    with world.open(repository=repository) as db:
        create(db)
        db.create_collection("a very secret name", dim=1)
        grow(world, db, 20)
        expected, seq = ids_of(db), db.seq
    assert repository.merge_log(dry_run=False).objects == 1
    assert not any(b"secret" in path.read_bytes() for path in where.rglob("*") if path.is_file())
    assert repository.verify(deep=True).ok
    assert states(world, repository, [seq]) == [expected]


def test_expiry_merges_what_stays_and_deletes_merged_objects_that_go(world: World, db: Database) -> None:
    repository = world.repository()
    grow(world, db, 20)
    policy = Policy(pitr="1d", require_restorable=None, lock=None)
    db.flush()
    made(db)
    assert repository.expire(policy).merged_parts == 20
    assert len(log_keys(world)) > 20
    assert repository.expire(policy, dry_run=False).merged_parts == 20
    assert spans(world)[0] == (1, 20)
    world.tick(5 * 86_400)
    grow(world, db, 20, first=2000)
    db.flush()
    made(db)
    repository.expire(policy, dry_run=False)
    assert spans(world)[0][0] > 20
    assert repository.verify(deep=True).ok
    assert states(world, repository, [db.seq]) == [ids_of(db)]


# -- readers and other writers


def test_who_reads_keeps_the_parts_until_it_is_done(world: World, db: Database) -> None:
    grow(world, db, 20)
    repository = world.repository()
    timeline = db.status().timeline
    with leases.take(repository.open().vault, "restore", timelines=[timeline]):
        done = repository.merge_log(dry_run=False)
        assert (done.objects, done.deleted) == (1, 0)
        assert len(log_keys(world)) == 22
        assert repository.merge_log(dry_run=False).objects == 0
    assert repository.merge_log(dry_run=False).deleted == 20
    assert len(log_keys(world)) == 2


def test_a_restore_that_began_before_ends(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a plan by the parts, and its lease keeps them."""
    made(db)
    grow(world, db, 20)
    repository = world.repository()
    read, merged = archive_reader.body, []

    def body(vault: opened.Vault, part: PartHeader) -> bytes:
        if not merged:
            merged.append(part)
            assert world.repository().merge_log(dry_run=False).objects == 1
        return read(vault, part)

    monkeypatch.setattr(archive_reader, "body", body)
    assert states(world, repository, [db.seq]) == [ids_of(db)]
    assert merged


def test_who_reads_without_a_lease_finds_the_records(world: World, db: Database) -> None:
    """With a read-only key there is none: the part is gone, and what stands for it is there."""
    grow(world, db, 20)
    repository = world.repository()
    vault = repository.open().vault
    heads = archive_reader.headers(vault, db.status().timeline, 0)
    before = [archive_reader.body(vault, head) for head in heads]
    repository.merge_log(dry_run=False)
    assert [archive_reader.body(vault, head) for head in heads] == before
    for key in log_keys(world)[:1]:
        vault.store.delete(key)
    with pytest.raises(ObjectNotFoundError):
        archive_reader.body(vault, heads[3])


def test_a_writer_that_slept_looks_where_the_archive_ends(world: World, db: Database) -> None:
    """Say a machine was set back in time: the numbers after what it remembers are merged, and would be free."""
    db.archive()
    session = db._session
    assert session.protection is not None
    shipping = session.protection.archiver
    behind = Archiver(shipping._vault_of, shipping._source, shipping._epoch_of)
    behind.ship()
    grow(world, db, 20)
    world.repository().merge_log(dry_run=False)
    put(db, 5000, 1)
    assert behind.ship().n == 22
    assert world.repository().verify(deep=True).ok
    assert [span for span in spans(world) if span[0] <= 20] == [(1, 20)]


def test_a_timeline_that_was_ended_can_be_merged(world: World, db: Database) -> None:
    grow(world, db, 20)
    made(db)
    old = db.status().timeline
    seq, expected = db.seq, ids_of(db)
    repository = world.repository()
    repository.restore(world.folder / "new", attach=True)
    world.tick(OLD)
    assert repository.merge_log(dry_run=False).objects == 1
    vault = repository.open().vault
    found = archive_reader.headers(vault, old, 0)
    assert [(p.kind, p.n, p.through) for p in found] == [("records", 1, 20), ("records", 21, 21), ("fence", 22, 22)]
    put(db, 6000)
    with pytest.raises(FencedError):
        db.archive()
    repository.restore(world.folder / "then", Target.seq(seq, timeline=old))
    with world.open_alone("then") as then:
        assert ids_of(then) == expected


# -- copies


def copied(world: World) -> None:
    world.repository().copy_to(world.repository("offsite"))


def test_a_copy_of_merged_parts_beside_its_own(world: World, db: Database) -> None:
    made(db)
    grow(world, db, 12)
    copied(world)
    grow(world, db, 12, first=2000)
    world.repository().merge_log(dry_run=False)
    copied(world)
    assert len(log_keys(world, "offsite")) == 2  # what it had is replaced there, too
    assert world.repository("offsite").verify(deep=True).ok
    assert states(world, world.repository("offsite"), [db.seq]) == [ids_of(db)]
    assert spans(world, "offsite")[-1] == spans(world)[-1]


def test_under_object_lock_only_an_expiry_deletes_parts(
    world: World, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a merge by itself nor a copy does: what was merged is not retained yet."""
    monkeypatch.setattr(merging, "retaining", lambda store: store)
    made(db)
    grow(world, db, 12)
    copied(world)
    grow(world, db, 12, first=2000)
    assert world.repository().merge_log(dry_run=False).deleted == 0
    copied(world)
    assert [len(log_keys(world, name)) for name in ("repository", "offsite")] == [26, 15]
    world.repository().expire(Policy(require_restorable=None, lock=None), dry_run=False)
    assert len(log_keys(world)) == 2


def test_a_copy_that_is_merged_for_itself(world: World, db: Database) -> None:
    made(db)
    grow(world, db, 12)
    copied(world)
    world.repository("offsite").merge_log(dry_run=False)
    grow(world, db, 3, first=2000)
    copied(world)
    assert spans(world, "offsite") == [(1, 12), (13, 13), (14, 14), (15, 15), (16, 16)]
    assert world.repository("offsite").verify(deep=True).ok
    assert states(world, world.repository("offsite"), [db.seq]) == [ids_of(db)]


def test_a_copy_that_went_its_own_way_is_not_merged_over(world: World, db: Database) -> None:
    """Its fence stands at a number that the source's merged object holds."""
    made(db)
    grow(world, db, 6)
    copied(world)
    offsite = world.repository("offsite")
    offsite.restore(world.folder / "elsewhere", attach=True)
    grow(world, db, 12, first=2000)
    world.repository().merge_log(dry_run=False)
    with pytest.raises(ArchiveConflictError):
        copied(world)
    assert offsite.verify(deep=True).ok
    fences = [p.n for p in archive_reader.headers(offsite.open().vault, db.status().timeline, 0) if p.kind == "fence"]
    assert fences == [8]


# -- faults


def test_dies_at_every_call(world: World, db: Database) -> None:
    made(db)
    grow(world, db, 12)
    db.close()
    expected = states(world, world.repository(), [5, 14])
    (world.folder / "repository").rename(world.folder / "template")
    for when, first in (("before", 1), ("after", 2)):
        for at in range(first, 1_000, 2):
            shutil.rmtree(world.folder / "repository", ignore_errors=True)
            shutil.copytree(world.folder / "template", world.folder / "repository")
            repository = world.repository()
            store = CrashingStore(open_store(repository.location, create=False), at, when)  # type: ignore[arg-type]
            repository._opened = opened.open_in(store.inner, None, world.clock, world.rng)
            repository._opened.vault.store = store
            with suppress(CrashPoint):
                repository.merge_log(dry_run=False)
            if not store.crashed:
                break
            assert world.repository().verify(deep=True).ok
            world.repository().merge_log(dry_run=False)
            assert spans(world) == [(1, 12), (13, 13)]
            assert len(log_keys(world)) == 2
        assert at > 30
    assert states(world, world.repository(), [5, 14]) == expected


def test_a_reply_that_is_lost(world: World, db: Database) -> None:
    grow(world, db, 20)
    repository = world.repository()
    faulty = use_faulty(repository, world)
    faulty.plan.fail(StoreUnavailableError("lost"), "put_if_absent", when="after")
    with pytest.raises(StoreUnavailableError):
        repository.merge_log(dry_run=False)
    assert len(log_keys(world)) == 22
    assert repository.merge_log(dry_run=False).deleted == 20
    assert repository.verify(deep=True).ok


def merged_beside_parts(world: World, db: Database) -> Path:
    """The file of a merged object whose parts a lease has kept."""
    grow(world, db, 20)
    repository = world.repository()
    with leases.take(repository.open().vault, "restore", timelines=[db.status().timeline]):
        repository.merge_log(dry_run=False)
    [key] = [key for key in log_keys(world) if isinstance(parse(key), MergedKey)]
    return world.folder / "repository" / key


@pytest.mark.parametrize("at", [10, -40], ids=["head", "body"])
def test_parts_stay_while_what_stands_for_them_is_damaged(world: World, db: Database, at: int) -> None:
    made(db)
    path = merged_beside_parts(world, db)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    repository = world.repository()
    assert repository.merge_log(dry_run=False).deleted == 0
    assert len(log_keys(world)) == 22
    report = repository.verify(deep=True)
    assert [finding.object for finding in report.findings] == [path.relative_to(world.folder / "repository").as_posix()]
    if at == 10:  # the parts are read instead
        assert repository.windows()[-1].last_seq == db.seq
        assert repository.sql("select count(*) from wal_files").fetchall() == [(21,)]
    else:
        with pytest.raises(CorruptionError, match=r"wal/.*0000000000000001-"):
            states(world, repository, [db.seq])
    path.unlink()  # as verify's advice, with the parts at hand
    assert states(world, world.repository(), [db.seq]) == [ids_of(db)]


def test_a_damaged_part_is_left_alone(world: World, db: Database, caplog: pytest.LogCaptureFixture) -> None:
    grow(world, db, 20)
    path = world.folder / "repository" / log_keys(world)[5]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = world.repository().merge_log(dry_run=False)
    assert (done.objects, done.deleted) == (0, 0)
    assert "unmerged" in caplog.text
    assert len(log_keys(world)) == 21


def test_a_merged_object_that_was_moved_is_noticed(world: World, db: Database) -> None:
    path = merged_beside_parts(world, db)
    path.rename(path.with_name(path.name[:-2] + "19"))
    findings = world.repository().verify().findings
    assert any("moved or swapped" in finding.problem for finding in findings)


# -- planning


def header(n: int, length: int, through: int = 0, kind: str = "records", created_us: int = 0) -> PartHeader:
    made = PartHeader(
        kind=kind,  # type: ignore[arg-type]
        database_id=an_id(1),
        timeline=an_id(2),
        shard=0,
        n=n,
        epoch=1,
        writer=an_id(3),
        first_seq=n,
        last_seq=through or n,
        first_time_us=0,
        last_time_us=0,
        before=f"{n - 1:064x}",
        after=f"{through or n:064x}",
        length=length,
        created_us=created_us,
    )
    return made if not through else merged(made, through)


def merged(part: PartHeader, through: int) -> PartHeader:
    return merging.MergedHeader(last_n=through, **msgspec.structs.asdict(part))


NOW = YOUNG_US * 10
parts = st.lists(
    st.tuples(st.sampled_from(["records"] * 12 + ["gap"]), st.integers(1, 40 << 20), st.sampled_from([0] * 6 + [NOW])),
    max_size=80,
).map(lambda drawn: [header(n + 1, size, kind=kind, created_us=at) for n, (kind, size, at) in enumerate(drawn)])


@given(parts)
def test_what_is_merged(log: list[PartHeader]) -> None:
    seen: list[int] = []
    for group in plan(log, NOW):
        numbers = [part.n for part in group]
        assert numbers == list(range(numbers[0], numbers[0] + len(group)))
        assert len(group) >= FEWEST
        assert all(part.kind == "records" and part.created_us == 0 for part in group)
        assert sum(part.length for part in group) <= wal_archive.PART_BYTES
        assert max(part.length for part in group) * 2 <= sum(part.length for part in group)
        assert log[-1] not in group
        seen += numbers
    assert seen == sorted(set(seen))


def test_no_record_is_written_often() -> None:
    """Sixty days of a part of 40 KB each minute, merged each hour: few objects, and each byte written a few times."""
    rng = np.random.default_rng(1)
    log: list[PartHeader] = []
    written = made = n = 0
    for _ in range(24 * 60):
        for size in rng.integers(20_000, 60_000, 60):
            n += 1
            log.append(header(n, int(size)))
            made += int(size)
        for group in plan(log, NOW):
            one = merged(header(group[0].n, sum(p.length for p in group)), group[-1].through)
            one = msgspec.structs.replace(one, last_seq=group[-1].last_seq, after=group[-1].after)
            at = log.index(group[0])
            log[at : at + len(group)] = [one]
            written += one.length
    assert written < 4 * made
    assert len(log) < made / (16 << 20) + 60 + 4 * FEWEST
