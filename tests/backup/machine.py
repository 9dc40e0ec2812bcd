"""A machine that stops at any operation of its disk or of a store, and what its next run must come to.

The n-th operation is counted over both. What the stores were given stays; what the disk was not told to sync goes.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from tests.backup.bench import Place, RepositoryBench
from tests.crash.driver import Stop
from tests.model.bench import Prepared, assert_same_answers, assert_same_rows
from tests.support.crash_dir import CrashDisk, CrashPoint
from tests.support.stepped_store import SteppedStore
from tiervdb.backup import create, opened, restoring
from tiervdb.backup import repository as repositories
from tiervdb.backup.pace import Limits
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.database.open import Protecting, open_in
from tiervdb.database.protection import ArchiveMode
from tiervdb.engine.open import Setting
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target

T = TypeVar("T")
ONE = Limits(parallel=1)


class MachineStore(SteppedStore):
    """A machine's way to a store elsewhere."""

    def __init__(self, inner: ObjectStore, disk: CrashDisk) -> None:
        super().__init__(inner)
        self._disk = disk

    def around(self, what: str, call: Callable[[], T]) -> T:
        with self._disk.elsewhere("store", what):
            return call()


class Machine(RepositoryBench):
    """The database lies in ``db``, a restored one in ``copy``, on the same disk."""

    @property
    def repository(self) -> Repository:
        repository = super().repository
        if (self._repository_folder / "repository.json").exists():
            store = open_store(repository.location, create=False)
            repository._opened = opened.open_in(store, None, self.clock, self.rng)
            repository._opened.vault.store = self.way_to(store)
        return repository

    def way_to(self, store: ObjectStore) -> MachineStore:
        return MachineStore(store, self.directory.crash_disk)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    @property
    def stored(self) -> set[str]:
        """The keys below ``data/``."""
        folder = self._repository_folder / "data"
        return {path.relative_to(self._repository_folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    @contextmanager
    def on_this_disk(self) -> Iterator[None]:
        """Restores and attachments go to the machine's disk, and its cold store is at the end of its own way."""

        def store(place: Store, *, create: bool = True) -> ObjectStore:
            return self.way_to(open_store(place, create=create))

        with (
            patch.object(restoring, "OsDir", self._parent),
            patch.object(restoring, "open_store", store),
            patch.object(repositories, "OsDir", lambda path: self.directory.sub(Path(path).name)),
            patch.object(create, "_SAVE_SECONDS", 0.0),
        ):
            yield

    def _parent(self, path: Path) -> OsDir:
        return self.directory if path == self.folder else OsDir(path, sync=False)

    def restore_here(self, name: str = "copy", target: Target | None = None, **how: object) -> None:
        self.repository.restore(self.folder / name, target, limits=ONE, **how)  # type: ignore[arg-type]

    def open_restored(self, name: str = "copy", *, attached: bool = False) -> Database:
        """Kept until the end: a dead process's database must not be collected."""
        setting = Setting(cold=self.place.cold, options=self.options, create=False)
        given = Protecting(self.repository) if attached else Protecting(source=self.repository)
        local = self.directory.sub(name)
        db = open_in(local, setting, self.clock, self.rng, read_only=False, protecting=given)
        self._graves.append(db)
        return db

    def look_at(self, name: str, seq: int) -> None:
        """It opens with what was there at a seq, whole, and takes writes; nothing is pinned for it any more."""
        with self.open_restored(name) as copy:
            assert copy.seq == seq
            assert_same_rows(copy, self.states[seq])
            assert_same_answers(copy, self.states[seq])
            copy.hydrate()
            copy.create_collection("of the restored", dim=1)
            copy.flush()
        self.check(self.directory.sub(name))
        self.leaves_nothing_behind()

    def leaves_nothing_behind(self) -> None:
        """No directory of a restore that was cut short, no pin in the repository, none half made in the cold store."""
        assert [path.name for path in self.folder.iterdir() if path.name.startswith(".")] == []
        assert list((self._repository_folder / "pins").rglob("*")) == []

        for pin in _cold_folder(self.folder).rglob("pins/*"):
            assert json.loads(pin.read_text())["state"] == "held"

    def is_protected(self) -> None:
        """It can be written, archived, backed up, verified and restored: to the last commit and one before."""
        self.upsert("words", {1: self.states[self.acked].collections["words"].rows[1]})
        if self.mode != "off":
            self.db.archive()
        self.db.backup()
        report = self.repository.verify(deep=True)
        assert report.ok, report.findings
        window = self.repository.windows()[-1]
        assert window.last_seq == self.acked
        for seq in {window.last_seq, self.rng.randint(window.first_seq, window.last_seq)}:
            self.verify_restore(Target.seq(seq), seq)

    def end(self) -> None:
        super().end()
        for left in (_cold_folder(self.folder), self.folder.with_name(f".{self.folder.name}.shadow")):
            shutil.rmtree(left, ignore_errors=True)


@dataclass(frozen=True)
class Phase:
    """``work`` is stopped at every step; ``setup`` comes before. ``again`` is the next run, which may be stopped, too;
    then ``check``. Each begins in a new process, with nothing open, and leaves nothing open."""

    work: Callable[[Machine], None]
    again: Callable[[Machine], None]
    check: Callable[[Machine], None]
    setup: Callable[[Machine], None] | None = None
    mode: ArchiveMode = "async"
    shared_cold: bool = False
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or self.work.__name__


@dataclass
class Stage:
    """Where a phase is played again and again: the machine always lies in the same place."""

    phase: Phase
    folder: Path
    prepared: Prepared

    @classmethod
    def of(cls, phase: Phase, folder: Path, prepare: Callable[[Machine], None]) -> Stage:
        machine = Machine(folder / "machine", _place(phase, folder), phase.mode)
        machine.folder.mkdir()
        with machine.on_this_disk():
            prepare(machine)
            if phase.setup is not None:
                phase.setup(machine)
        prepared = machine.prepared()
        machine.directory.kill()
        shutil.rmtree(folder / ".machine.shadow", ignore_errors=True)
        template = folder / "template"
        template.mkdir()
        for path in list(folder.glob("machine*")):
            path.rename(template / path.name)
        return cls(phase, folder, replace(prepared, folder=template / "machine"))

    def machine(self) -> Machine:
        for path in (self.folder / "template").iterdir():
            shutil.rmtree(self.folder / path.name, ignore_errors=True)
            if path.name != "machine":
                shutil.copytree(path, self.folder / path.name)
        place = _place(self.phase, self.folder)
        return Machine(self.folder / "machine", place, self.phase.mode, prepared=self.prepared)

    def steps(self) -> int:
        """How many steps the work takes when nothing happens."""
        machine = self.machine()
        try:
            with machine.on_this_disk():
                self.phase.work(machine)
            return machine.directory.steps
        finally:
            machine.end()

    def run(self, stop: Stop) -> None:
        """One stop, and all that must come of it."""
        phase, machine = self.phase, self.machine()
        try:
            self._stopped(machine, phase.work, stop, stop.step)
            if stop.again is not None:
                self._stopped(machine, phase.again, stop, stop.again)
            with machine.on_this_disk():
                phase.again(machine)
                phase.check(machine)
        except BaseException as error:
            error.add_note(f"phase {phase.name}, {stop}")
            raise
        finally:
            machine.end()

    def _stopped(self, machine: Machine, work: Callable[[Machine], None], stop: Stop, step: int) -> None:
        disk = machine.directory.crash_disk
        disk.crash_at, disk.when = step, stop.when
        with machine.on_this_disk(), suppress(CrashPoint):
            work(machine)
        machine.crash(power=stop.power, seed=stop.seed)


def some(stops: list[Stop], count: int, seed: int) -> list[Stop]:
    """A share of them, spread over all and different for each seed; the last one always."""
    chance = random.Random(seed)
    size = max(1, len(stops) // count)
    return [chance.choice(stops[first : first + size]) for first in range(0, len(stops) - 1, size)][:count] + stops[-1:]


def _place(phase: Phase, folder: Path) -> Place:
    return Place(cold=Store(_cold_folder(folder / "machine")) if phase.shared_cold else None)


def _cold_folder(machine: Path) -> Path:
    return machine.with_name(f"{machine.name}-cold")
