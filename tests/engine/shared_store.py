"""Databases in one folder that share a cold store, and what happens to it step by step."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.support.faulty_store import FaultyStore
from tiervdb.clock import ManualClock
from tiervdb.config import Options
from tiervdb.database.database import Database
from tiervdb.database.open import open_in
from tiervdb.engine import drop
from tiervdb.engine import open as opening
from tiervdb.engine.check import check
from tiervdb.engine.open import SHARD, Setting, make_tools
from tiervdb.errors import TiervdbError
from tiervdb.format import documents, paths
from tiervdb.format.documents import Pin
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.open import Store
from tiervdb.storage.os_dir import OsDir

OPTIONS = Options(flush_floats=10**6, background=False, search_threads=1)


class Place:
    """A folder of databases that share a cold store; each is opened as by a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.rng = random.Random(3)
        self.store = DirectoryStore(OsDir(folder / "store", sync=False))

    def local(self, name: str) -> OsDir:
        return OsDir(self.folder / name, sync=False)

    def open(self, name: str, *, copied: str | None = None, read_only: bool = False) -> Database:
        setting = Setting(Store(str(self.folder / "store")), copied=copied, options=OPTIONS)  # type: ignore[arg-type]
        return open_in(self.local(name), setting, self.clock, self.rng, read_only=read_only)

    def fill(self, name: str, ids: range = range(6)) -> None:
        with self.open(name) as db:
            words = db.create_collection("words", dim=1, metric="l2", id_type="int64", exist_ok=True)
            words.upsert(ids=list(ids), vectors=np.array([[float(n)] for n in ids], np.float32))
            db.demote("words")

    def ids(self, name: str) -> list[int]:
        """By an exact search, which reads the cold store; and the checker finds nothing."""
        with self.open(name) as db:
            found = sorted(db["words"].search([0.0], k=100, exact=True).ids.tolist()) if "words" in db else []
        local = self.local(name)
        report = check(local, SHARD, self.store, make_tools(OPTIONS))
        assert report.ok, report.findings
        return found

    def drop(self, name: str, store: FaultyStore | None = None) -> None:
        drop.drop(self.local(name), store or self.store, self.clock, self.rng)

    def pins(self) -> list[Pin]:
        keys = [f.key for f in self.store.list("") if isinstance(paths.parse_key(f.key), paths.ColdPinKey)]
        return [documents.decode_pin(self.store.get(key), key) for key in keys]

    def objects(self) -> list[str]:
        return [f.key for f in self.store.list("") if isinstance(paths.parse_key(f.key), paths.ObjectKey)]

    def deletions(self) -> list[str]:
        return [f.key for f in self.store.list("") if isinstance(paths.parse_key(f.key), paths.DeletionKey)]


def at_step(store: FaultyStore, step: int, action: Callable[[], None]) -> list[bool]:
    """Calls back before the ``step``-th request. The answer gets an entry when that was reached."""
    left, reached = [step], list[bool]()

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            reached.append(True)
            action()

    store.delay = count
    return reached


@contextmanager
def store_of_next_open(place: Place) -> Iterator[FaultyStore]:
    """What the next database reaches its cold store through."""
    faulty = FaultyStore(place.store)
    original = opening._cold_store
    opening._cold_store = lambda *_: faulty  # type: ignore[assignment]
    try:
        yield faulty
    finally:
        opening._cold_store = original


def one_of_both(place: Place, name: str, outcome: TiervdbError | None) -> bool:
    """The copy has all its rows, or was refused. True if it has them."""
    if outcome is None:
        assert place.ids(name) == list(range(6))
    return outcome is None


def copied_directory(place: Place, name: str) -> None:
    shutil.copytree(place.folder / "db", place.folder / name)


def adopted(place: Place, name: str) -> TiervdbError | None:
    try:
        place.open(name, copied="clone").close()
    except TiervdbError as error:
        return error
    return None
