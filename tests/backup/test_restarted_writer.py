"""A backup beside a writer that is started again, or replaced by another one, at any of the backup's calls.

The same writer in a new tenure has the same commits: the backup goes on. Another timeline shuts it out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from tests.backup.conftest import World, create, ids_of, put
from tests.backup.test_backup import made
from tests.support.stepped_store import SteppedStore
from tiervdb.backup import attach, holdings, leases
from tiervdb.backup.pace import Limits
from tiervdb.database.database import Database
from tiervdb.database.open import Protecting
from tiervdb.errors import FencedError
from tiervdb.storage.object_store import ObjectStore
from tiervdb.target import Target

T = TypeVar("T")
ONE = Limits(parallel=1)


class MeanwhileStore(SteppedStore):
    """Something else happens just before one of the calls. ``at``: which, counted from 1."""

    def __init__(self, inner: ObjectStore, at: int, meanwhile: Callable[[], None]) -> None:
        super().__init__(inner)
        self.calls = 0
        self._at = at
        self._meanwhile = meanwhile

    def around(self, what: str, call: Callable[[], T]) -> T:
        self.calls += 1
        if self.calls == self._at:
            self._meanwhile()
        return call()


@dataclass
class Scene:
    """A writer with a backup behind it, and a process beside it that makes the next one. Begun anew for each call."""

    world: World
    writer: Database

    def begin(self) -> None:
        self.writer.close()
        for name in ("db", "repository", "new"):
            shutil.rmtree(self.world.folder / name, ignore_errors=True)
        self.writer = self.world.open()
        create(self.writer)
        put(self.writer, 0)
        self.writer.flush()
        made(self.writer)
        put(self.writer, 100, 40)
        self.writer.flush()
        put(self.writer, 10)
        self.writer.archive()

    def restart(self) -> None:
        self.writer.close()
        self.writer = self.world.open()
        put(self.writer, 500)
        self.writer.archive()
        self.writer.flush()
        self.writer.maintain()

    def take_over(self) -> None:
        self.world.repository().restore(self.world.folder / "new", attach=True)

    def calls(self, meanwhile: Callable[[], None], stride: int = 1, unarchived: int = 0) -> Iterator[Database]:
        """A reader whose n-th call of the repository is preceded by ``meanwhile``, for every n that there is."""
        for at in range(1, 1000, stride):
            self.begin()
            for number in range(unarchived):
                put(self.writer, 900 + number, 1)
            repository = self.world.repository()
            vault = repository.open().vault
            vault.store = store = MeanwhileStore(vault.store, at, meanwhile)
            with self.world._open("db", Protecting(repository), read_only=True) as reader:
                yield reader
            if store.calls < at:
                assert at > 20
                return


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    scene = Scene(world, world.open())
    yield scene
    scene.writer.close()


def test_the_writer_is_started_again(scene: Scene) -> None:
    for reader in scene.calls(scene.restart, stride=2):
        expected = ids_of(reader)
        backup = made(reader, limits=ONE)
        assert backup.seq == reader.seq
        repository = scene.world.repository()
        assert repository.backups()[-1] == backup
        vault = repository.open().vault
        assert leases.running(vault) == []
        sent = {found.key for found in vault.store.list(f"data/{backup.id}/")}
        document = holdings.read(vault).backups[-1]
        assert sent == {f.object.key for f in document.files if f.object is not None and backup.id in f.object.key}
        assert document.epoch in {epoch.epoch for epoch in holdings.read(vault).lineage.epochs}
        repository.restore(scene.world.folder / "new", Target.backup(backup.id))
        with scene.world.open_alone("new") as copy:
            assert ids_of(copy) == expected


def test_a_fence_comes_while_commits_are_not_archived(scene: Scene) -> None:
    """What returns is listed: a takeover fences first, and says later who it is."""

    def fence() -> None:
        attach.fence_current(scene.world.repository().open().vault)

    outcomes = set()
    for reader in scene.calls(fence, stride=3, unarchived=5):
        before = scene.world.repository().backups()
        try:
            backup = made(reader, limits=ONE)
        except FencedError:
            outcomes.add("fenced")
            assert scene.world.repository().backups() == before
            continue
        outcomes.add("listed")
        assert backup in scene.world.repository().backups()
    assert outcomes == {"fenced", "listed"}


def test_another_timeline_takes_over(scene: Scene) -> None:
    """The backup fails, and is not listed; or it was listed before."""
    outcomes = set()
    for reader in scene.calls(scene.take_over, stride=3):
        before = len(scene.world.repository().backups())
        try:
            backup = made(reader, limits=ONE)
        except FencedError:
            outcomes.add("fenced")
            assert len(scene.world.repository().backups()) == before
            continue
        outcomes.add("listed")
        assert scene.world.repository().backups()[-1].id == backup.id
    assert outcomes == {"fenced", "listed"}
