"""Backup, archive and restore, stopped at every operation of the disk and of the stores: the next run ends well."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.backup.machine import ONE, Machine, Phase, Stage, some
from tests.crash.driver import stops
from tests.model.bench import assert_same_rows
from tests.model.conftest import dead_processes_stay_quiet, one_inode
from tests.model.model import Id, Row
from tests.support.crash_dir import When
from tiervdb.backup import holdings
from tiervdb.errors import FencedError, NotADatabaseError
from tiervdb.format import paths
from tiervdb.format import repository_documents as documents
from tiervdb.target import Target

__all__ = ["dead_processes_stay_quiet", "one_inode"]

FEW = 5  # stops of each phase in the short form
EVERY: tuple[When, ...] = ("before", "during", "after")


def rows(first: int, count: int) -> dict[Id, Row]:
    return {i: Row((float(i), 1.0, 0.5)) for i in range(first, first + count)}


def prepare(machine: Machine) -> None:
    """Rows in both tiers and in the log, of which a backup has some, and the archive all."""
    machine.start()
    machine.create("words", 3, "l2", "int64", {})
    machine.upsert("words", rows(0, 20))
    machine.db.demote("words", 0.5)
    machine.db.backup()
    machine.upsert("words", rows(20, 20))
    machine.db.flush()
    machine.upsert("words", rows(40, 5))
    machine.stop()


# -- the writer


def archives(machine: Machine) -> None:
    machine.start()
    machine.upsert("words", rows(60, 3))
    if machine.mode != "off":
        machine.db.archive()
    machine.upsert("words", rows(70, 3))
    machine.stop()


def starts(machine: Machine) -> None:
    """Every commit that was acknowledged is there; with ``sync``, even if the machine is not."""
    if machine.mode == "sync":
        lost = machine.folder.with_name("machine-lost")
        seq = machine.restore_to(Target.latest(), lost).seq
        assert machine.acked <= seq <= max(machine.states)
        shutil.rmtree(lost)
    machine.start()
    machine.recovered()
    machine.stop()


def is_protected(machine: Machine) -> None:
    machine.start()
    machine.is_protected()
    machine.stop()


def backs_up(machine: Machine) -> None:
    machine.start()
    machine.db.backup(limits=ONE)
    machine.stop()


def backs_up_from_beside(machine: Machine) -> None:
    machine.start()
    machine.db.archive()
    reader = machine.open(read_only=True)
    machine._graves.append(reader)
    reader.backup(limits=ONE)
    reader.close()
    machine.stop()


def backs_up_again(machine: Machine) -> None:
    """What the run before sent, and had time to note, is not sent again."""
    for backup in machine.repository.backups():
        machine.verify_restore(Target.backup(backup.id), backup.seq)
    progress = noted(machine)
    machine.start()
    machine.recovered()
    machine.db.backup(limits=ONE)
    machine.stop()
    document = holdings.read(machine.repository.open().vault).backups[-1]
    listed = {file.object.key for file in document.files if file.object is not None}
    if progress is not None and document.id == progress.id:
        assert {stored.key for stored in progress.objects.values()} <= listed


def noted(machine: Machine) -> documents.BackupProgress | None:
    """What an interrupted backup left behind for the next one. It is whole, or not there at all."""
    if not machine.local.exists(paths.BACKUP_PROGRESS):
        return None
    return documents.decode_progress(machine.local.read(paths.BACKUP_PROGRESS), "progress")


def nothing_was_sent_twice(machine: Machine) -> None:
    """But for what was in flight, the manifest and the log: three objects for each of up to two interruptions."""
    listed = {
        file.object.key
        for backup in holdings.read(machine.repository.open().vault).backups
        for shard in backup.shards
        for file in (*shard.files, shard.manifest)
        if file.object is not None
    }
    assert len(machine.stored - listed) <= 6
    is_protected(machine)


def forgets(machine: Machine) -> None:
    machine.start()
    machine.delete("words", list(range(5, 30)))
    machine.db.archive()
    machine.stop()


def recovers(machine: Machine) -> None:
    machine.start()
    seq = machine.acked - 1
    before = machine.states[seq].collections["words"]
    with machine.db.at(seq=seq) as past:
        machine.commit(
            lambda model: model.set("words", model.collections["words"].upsert(before.rows)),
            lambda: machine.db.recover("words", past),
        )
    machine.stop()


# -- restores


def restores(machine: Machine) -> None:
    machine.restore_here()


def restores_lazily(machine: Machine) -> None:
    machine.restore_here(lazy=True)
    hydrates(machine)


def hydrates(machine: Machine) -> None:
    with machine.open_restored() as copy:
        copy["words"].search([3.0, 1.0, 0.5], k=3, exact=True)
        copy.hydrate()


def if_it_is_not_there(work: Callable[[Machine], None], name: str = "copy") -> Callable[[Machine], None]:
    """What is there is whole. What is not opens as nothing, and can be made."""

    def again(machine: Machine) -> None:
        if not machine.has(name):
            with pytest.raises(NotADatabaseError):
                machine.open_restored(name)
            work(machine)

    return again


def is_what_was_archived(machine: Machine) -> None:
    machine.look_at("copy", machine.acked)


def has_more(machine: Machine) -> None:
    machine.start()
    machine.create("more", 2, "l2", "int64", {})
    machine.upsert("more", {1: Row((1.0, 2.0))})
    machine.stop()


def restores_one_collection(machine: Machine) -> None:
    machine.restore_here(collections=["words"])


def holds_one_collection(machine: Machine) -> None:
    with machine.open_restored() as copy:
        assert_same_rows(copy, machine.states[machine.acked].drop("more"))
    machine.leaves_nothing_behind()


def restores_over_it(machine: Machine) -> None:
    machine.restore_here("db", Target.seq(3), delta=True)


def is_the_earlier_state(machine: Machine) -> None:
    machine.look_at("db", 3)


def attaches_a_restore(machine: Machine) -> None:
    machine.restore_here(attach=True)


def is_restored_alone(machine: Machine) -> None:
    machine.restore_here()


def attaches(machine: Machine) -> None:
    machine.repository.attach(machine.folder / "copy")


def goes_on_alone(machine: Machine) -> None:
    """One writer goes on, with all that was archived, and the other is shut out."""
    seq = machine.acked
    with machine.open_restored(attached=True) as copy:
        assert copy.seq == seq
        assert_same_rows(copy, machine.states[seq])
        copy.create_collection("of the restored", dim=1)
        copy.archive()
        copy.backup()
    machine.start()
    machine.upsert("words", rows(90, 1))
    with pytest.raises(FencedError):
        machine.db.archive()
    machine.crash(power=False)
    assert machine.repository.windows()[-1].last_seq == seq + 1


RESTORE = Phase(restores, if_it_is_not_there(restores), is_what_was_archived)
PHASES = [
    Phase(archives, starts, is_protected),
    Phase(archives, starts, is_protected, mode="sync", called="archives each commit"),
    Phase(archives, starts, is_protected, mode="off", called="archives nothing"),
    Phase(backs_up, backs_up_again, nothing_was_sent_twice),
    Phase(backs_up, backs_up_again, nothing_was_sent_twice, shared_cold=True, called="backs up a shared cold store"),
    Phase(backs_up_from_beside, backs_up_again, nothing_was_sent_twice),
    Phase(recovers, starts, is_protected, forgets),
    RESTORE,
    replace(RESTORE, shared_cold=True, called="restores with a shared cold store"),
    Phase(restores_lazily, if_it_is_not_there(restores_lazily), is_what_was_archived),
    Phase(restores_one_collection, if_it_is_not_there(restores_one_collection), holds_one_collection, has_more),
    Phase(
        restores_one_collection,
        if_it_is_not_there(restores_one_collection),
        holds_one_collection,
        has_more,
        shared_cold=True,
        called="restores one collection with a shared cold store",
    ),
    Phase(restores_over_it, restores_over_it, is_the_earlier_state),
    Phase(attaches_a_restore, if_it_is_not_there(attaches_a_restore), goes_on_alone),
    Phase(attaches, attaches, goes_on_alone, is_restored_alone),
]


@pytest.fixture(autouse=True)
def temporary_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_the_machine_stops_now_and_then(phase: Phase, tmp_path: Path) -> None:
    stage = Stage.of(phase, tmp_path, prepare)
    steps = stage.steps()
    assert steps > 10
    for stop in some(stops(steps, 1, ("before", "after")), FEW, seed=steps):
        stage.run(stop)


@pytest.mark.slow
@pytest.mark.parametrize("when", EVERY)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_the_machine_stops_everywhere(phase: Phase, when: When, tmp_path: Path) -> None:
    stage = Stage.of(phase, tmp_path, prepare)
    for stop in stops(stage.steps(), 1, (when,)):
        stage.run(stop)
