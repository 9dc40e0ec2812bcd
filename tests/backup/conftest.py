"""A database of a few vectors with a repository beside it, on one clock that moves only when told."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tiervdb.backup.repository import Repository
from tiervdb.clock import ManualClock
from tiervdb.config import Options
from tiervdb.database.database import Database
from tiervdb.database.open import Protecting, open_in
from tiervdb.engine.open import Setting
from tiervdb.storage.open import Store
from tiervdb.storage.os_dir import OsDir

OPTIONS = Options(background=False, small_floats=200, graph_min_rows=10**6, commit_timeout=1.0)
DIM = 4


@dataclass
class World:
    """Machines, repositories and a clock."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    options: Options = OPTIONS
    cold: Store | None = None

    def repository(self, name: str = "repository", *, publish: bool = False) -> Repository:
        return Repository(self.folder / name, publish=publish, clock=self.clock, rng=self.rng)

    def open(self, name: str = "db", repository: Repository | None = None, **how: object) -> Database:
        """A database that archives, unless ``repository`` is False."""
        protecting = Protecting(repository or self.repository(), **how)  # type: ignore[arg-type]
        return self._open(name, protecting)

    def open_alone(self, name: str, source: Repository | None = None, *, read_only: bool = False) -> Database:
        """One that archives nowhere unless it remembers where."""
        return self._open(name, Protecting(source=source), read_only=read_only)

    def _open(self, name: str, protecting: Protecting, *, read_only: bool = False) -> Database:
        setting = Setting(cold=self.cold, options=self.options)
        local = OsDir(self.folder / name, sync=False)
        return open_in(local, setting, self.clock, self.rng, read_only=read_only, protecting=protecting)

    def tick(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)


def vectors(first: int, count: int) -> np.ndarray:
    return np.random.default_rng(first).normal(size=(count, DIM)).astype(np.float32)


def create(db: Database, name: str = "words") -> tiervdb.Collection:
    return db.create_collection(name, dim=DIM, id_type="int64", columns={"rank": "int64"})


def put(db: Database, first: int, count: int = 10, name: str = "words") -> tiervdb.Commit:
    ids = np.arange(first, first + count)
    return db[name].upsert(ids=ids, vectors=vectors(first, count), columns={"rank": ids * 2})


def ids_of(db: Database, name: str = "words") -> list[int]:
    return sorted(db[name].scan().read_all().column("id").to_pylist())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def db(world: World) -> Iterator[Database]:
    """Ten rows flushed, ten in the log."""
    database = world.open()
    create(database)
    world.tick()
    put(database, 0)
    database.flush()
    world.tick()
    put(database, 10)
    yield database
    database.close()
