"""Backup, archive and restore, killed at every call of the repository's store: the next run ends well."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from tests.backup.bench import RepositoryBench
from tests.model.model import Row
from tests.support.crash_dir import CrashPoint
from tests.support.crashing_store import CrashingStore
from tiervdb.backup import opened
from tiervdb.backup.pace import Limits
from tiervdb.backup.repository import Repository
from tiervdb.storage.open import open_store
from tiervdb.target import Target

When = Literal["before", "after"]
WHENS: list[When] = ["before", "after"]


class CrashingBench(RepositoryBench):
    """``crash_at``: the call of the repository's store, in this process, to die at."""

    crash_at: int | None = None
    when: When = "before"
    store: CrashingStore

    @property
    def repository(self) -> Repository:
        repository = super().repository
        if self.crash_at is None or not self._repository_folder.exists():
            return repository
        self.store = CrashingStore(open_store(repository.location, create=False), self.crash_at, self.when)
        repository._opened = opened.open_in(self.store.inner, None, self.clock, self.rng)
        repository._opened.vault.store = self.store
        return repository


def every_crash(
    folder: Path, work: Callable[[CrashingBench], None], when: When, stride: int
) -> Iterator[CrashingBench]:
    """The bench, dead at each call of the work in turn, and opened again."""
    for at in range(1, 10_000, stride):
        bench = CrashingBench(folder / f"machine{at}")
        try:
            prepare(bench)
            bench.stop()
            bench._new_process()
            bench.crash_at, bench.when = at, when
            try:
                bench.start()
                work(bench)
                if not bench.store.crashed:
                    return
            except CrashPoint:
                pass
            bench.crash_at = None
            bench.crash(power=True)
            bench.start()
            bench.recovered()
            yield bench
        finally:
            bench.end()


def prepare(bench: RepositoryBench) -> None:
    """Rows in both tiers and in the log, of which a backup has some."""
    bench.start()
    bench.create("words", 3, "l2", "int64", {})
    bench.upsert("words", rows(0, 20))
    bench.db.demote("words", 0.5)
    bench.db.backup()
    bench.upsert("words", rows(20, 20))
    bench.db.flush()
    bench.upsert("words", rows(40, 5))


def rows(first: int, count: int) -> dict[int | str, Row]:
    return {i: Row((float(i), 1.0, 0.5)) for i in range(first, first + count)}


def ends_well(bench: CrashingBench) -> None:
    """It can be written, archived, backed up, verified, and restored to every seq that is promised."""
    bench.upsert("words", rows(100, 3))
    bench.db.archive()
    bench.db.backup()
    assert bench.repository.verify(deep=True).ok
    window = bench.repository.windows()[-1]
    assert window.last_seq == bench.acked
    for seq in range(window.first_seq, window.last_seq + 1):
        bench.verify_restore(Target.seq(seq), seq)


@pytest.mark.parametrize("when", WHENS)
def test_archiving(when: When, tmp_path: Path) -> None:
    def work(bench: CrashingBench) -> None:
        bench.db.archive()
        bench.upsert("words", rows(60, 3))
        bench.db.archive()

    for bench in every_crash(tmp_path, work, when, stride=1):
        ends_well(bench)


@pytest.mark.parametrize("when", WHENS)
def test_backing_up(when: When, tmp_path: Path) -> None:
    def work(bench: CrashingBench) -> None:
        bench.db.backup(limits=Limits(parallel=1))

    for bench in every_crash(tmp_path, work, when, stride=2):
        ends_well(bench)


@pytest.mark.slow
@pytest.mark.parametrize("when", WHENS)
def test_backing_up_at_every_call(when: When, tmp_path: Path) -> None:
    def work(bench: CrashingBench) -> None:
        bench.db.backup("full", limits=Limits(parallel=1))

    for bench in every_crash(tmp_path, work, when, stride=1):
        ends_well(bench)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("when", WHENS)
def test_restoring(when: When, lazy: bool, tmp_path: Path) -> None:
    bench = CrashingBench(tmp_path / "machine")
    try:
        prepare(bench)
        bench.db.archive()
        target = tmp_path / "restored"
        for at in range(1, 10_000):
            bench.crash_at, bench.when = at, when
            try:
                bench.repository.restore(target, lazy=lazy, limits=Limits(parallel=1))
                break
            except CrashPoint:
                if target.exists():
                    # all was done, but for that and the record of it
                    assert bench.store.trace[-1].startswith(("delete leases/", "put_if_absent operations/"))
            bench.crash_at = None
            if not target.exists():
                bench.restore_to(Target.latest(), target, lazy=lazy)
            shutil.rmtree(target)
        bench.crash_at = None
        assert at > 10
        ends_well(bench)
    finally:
        bench.end()


@pytest.mark.parametrize("when", WHENS)
def test_attaching(when: When, tmp_path: Path) -> None:
    """Whatever the machine died at, attaching again ends with one writer, and with all that was archived."""
    for at in range(1, 10_000, 2):
        bench = CrashingBench(tmp_path / f"machine{at}")
        try:
            prepare(bench)
            bench.db.archive()
            bench.crash_at, bench.when = at, when
            target = tmp_path / f"restored{at}"
            try:
                bench.repository.restore(target, attach=True, limits=Limits(parallel=1))
                break
            except CrashPoint:
                bench.crash_at = None
            bench.lose_directory()
            ends_well(bench)
        finally:
            bench.end()
