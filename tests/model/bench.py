"""A database beside its model: every change is done to both, and a crash is a step like any other.

All that is not the database's own doing is fixed: the clock, random numbers, and what the disk loses.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from tests.model.model import Id, Model, ModelCollection, Row, Value, Where, assert_nearest, assert_same
from tests.support.crash_dir import CrashDir
from tiervdb.clock import ManualClock
from tiervdb.config import Options
from tiervdb.database import history
from tiervdb.database.database import Database
from tiervdb.database.open import open_in
from tiervdb.engine.check import Finding, check
from tiervdb.engine.open import SHARD, Setting, make_tools
from tiervdb.engine.shard import Shard
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import Commit

SMALL = Options(flush_floats=120, small_floats=10**6, graph_min_rows=10**6, wal_file_bytes=8_000, background=False)
Change = Callable[[Model], Model]


@dataclass(frozen=True)
class Prepared:
    """A closed database and its model, to start from again and again."""

    folder: Path
    model: Model
    states: Mapping[int, Model]
    acked: int
    clock_us: int
    random_state: object


class Bench:
    """The database lies in ``folder/db``. ``model``: the state as the caller knows it; ``states``: of every seq.

    ``acked``: the last seq that was acknowledged. Call ``start`` first and ``end`` last.
    """

    db: Database

    def __init__(self, folder: Path, options: Options = SMALL, prepared: Prepared | None = None) -> None:
        self.folder = folder
        self.options = options
        self.clock = ManualClock()
        self.rng = random.Random(1)
        self.model = Model()
        self.states: dict[int, Model] = {0: self.model}
        self.acked = 0
        if prepared is not None:
            shutil.copytree(prepared.folder, folder)
            self.model, self.states, self.acked = prepared.model, dict(prepared.states), prepared.acked
            self.clock.us = prepared.clock_us
            self.rng.setstate(prepared.random_state)
        self.directory = CrashDir(folder)
        self._graves: list[object] = []  # dead processes' objects: were they collected, they would touch the disk

    @property
    def local(self) -> LocalDir:
        """The database's directory."""
        return self.directory.sub("db")

    @property
    def shard(self) -> Shard:
        return self.db._session.shard("look inside")

    # -- its life

    def open(self, *, read_only: bool = False) -> Database:
        return open_in(self.local, Setting(options=self.options), self.clock, self.rng, read_only=read_only)

    def start(self) -> None:
        self.db = self.open()

    def stop(self) -> None:
        self.db.close()

    def prepared(self) -> Prepared:
        """Where other benches can start from; the database must be closed."""
        return Prepared(self.folder, self.model, self.states, self.acked, self.clock.us, self.rng.getstate())

    def reopen(self) -> None:
        """An orderly end and a new start: nothing may change."""
        self.stop()
        self._new_process()
        self.start()
        assert self.db.seq == self.acked
        self.verify()

    def crash(self, *, power: bool, seed: int | None = None) -> None:
        """Ends the process (power: the machine); ``start`` and ``recovered`` come next.

        After a power loss a disk holds what was synced; with a ``seed``, also a random part of the rest.
        """
        self._graves += [getattr(self, "db", None), self.directory]  # a first open() may not have got so far
        if power:
            self.directory.drop_unsynced(seed)
            self.directory = CrashDir(self.folder)
        else:
            self._new_process()

    def recovered(self) -> None:
        """Every acknowledged commit is there, nothing is half done, and the checker finds nothing."""
        seq = self.db.seq
        assert self.acked <= seq <= max(self.states), f"commit {self.acked} was acknowledged, {seq} is there"
        self.model, self.acked = self.states[seq], seq
        self.states = {s: state for s, state in self.states.items() if s <= seq}
        self.verify()

    def end(self) -> None:
        """Frees everything; the directory goes first, so that nobody's finalizer finds it."""
        self._graves += [getattr(self, "db", None), self.directory]
        self.directory.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._graves.clear()

    def _new_process(self) -> None:
        """On the same machine: what the last one did not sync can still be lost."""
        self.directory.kill()
        loss = self.directory.crash_disk.loss
        self.directory = CrashDir(self.folder)
        self.directory.crash_disk.loss = loss

    # -- checks

    def verify(self) -> None:
        assert_same(self.db, self.model)
        self.check(self.local)

    def check(self, local: LocalDir) -> list[Finding]:
        """The database's own checker finds nothing wrong; what it merely notes is returned."""
        store = DirectoryStore(local.sub("cold"), create=False)
        report = check(local, SHARD, store, make_tools(self.options))
        assert report.ok, report.findings
        return report.findings

    # -- operations

    def commit(self, change: Change, action: Callable[[], Commit | object]) -> None:
        """One commit. The model is told before the database begins: a crash may come when it has just been logged."""
        after = change(self.model)
        self.states[self.acked + 1] = after
        action()
        assert self.db.seq == self.acked + 1
        self.model, self.acked = after, self.acked + 1

    def create(self, name: str, dim: int, metric: str, id_type: str, columns: Mapping[str, str]) -> None:
        made = ModelCollection(dim, metric, id_type, columns)
        self.commit(
            lambda m: m.set(name, made),
            lambda: self.db.create_collection(name, dim=dim, metric=metric, id_type=id_type, columns=columns),
        )

    def drop(self, name: str) -> None:
        self.commit(lambda m: m.drop(name), lambda: self.db.drop_collection(name))

    def upsert(self, name: str, rows: Mapping[Id, Row]) -> None:
        rows = fitting(self.model.collections[name], rows)
        arrays = to_arrays(self.model.collections[name], rows)
        self.commit(self._changed(name, lambda c: c.upsert(rows)), lambda: self.db[name].upsert(**arrays))

    def update(self, name: str, ids: Sequence[Id], new: Mapping[str, Value]) -> None:
        """Of ids of which at least one is there: otherwise there is no commit."""
        columns = {column: [value] * len(ids) for column, value in new.items()}
        self.commit(
            self._changed(name, lambda c: c.update(ids, new)), lambda: self.db[name].update(ids=ids, columns=columns)
        )

    def delete(self, name: str, ids: Sequence[Id]) -> None:
        self.commit(self._changed(name, lambda c: c.delete(ids)), lambda: self.db[name].delete(ids=ids))

    def delete_where(self, name: str, where: Where) -> None:
        """Without a commit if nothing matches."""
        ids = self.model.collections[name].matching(where.matches)
        if not ids:
            assert self.db[name].delete(where=where.sql, params=where.params).deleted == 0
            return
        self.commit(
            self._changed(name, lambda c: c.delete(ids)),
            lambda: self.db[name].delete(where=where.sql, params=where.params),
        )

    def add_column(self, name: str, column: str, kind: str) -> None:
        self.commit(
            self._changed(name, lambda c: c.add_column(column, kind)), lambda: self.db[name].add_column(column, kind)
        )

    def drop_column(self, name: str, column: str) -> None:
        self.commit(self._changed(name, lambda c: c.drop_column(column)), lambda: self.db[name].drop_column(column))

    def batch(self, rows: Mapping[str, Mapping[Id, Row]], deleted: Mapping[str, Sequence[Id]]) -> None:
        """Upserts and then deletions in several collections, as one commit."""

        rows = {name: fitting(self.model.collections[name], new) for name, new in rows.items()}

        def change(model: Model) -> Model:
            for name, new in rows.items():
                model = model.set(name, model.collections[name].upsert(new))
            for name, ids in deleted.items():
                model = model.set(name, model.collections[name].delete(ids))
            return model

        def action() -> None:
            with self.db.batch() as batch:
                for name, new in rows.items():
                    batch[name].upsert(**to_arrays(self.model.collections[name], new))
                for name, ids in deleted.items():
                    batch[name].delete(ids=ids)

        self.commit(change, action)

    def ingest(self, name: str, rows: Mapping[Id, Row], size: int, **options: Any) -> None:
        """A load in commits of ``size`` rows, of which the model is told before."""
        first, table = self.acked, self._table(name, rows)
        for number, start in enumerate(range(0, len(rows), size)):
            piece = dict(list(rows.items())[start : start + size])
            before = self.states[first + number]
            self.states[first + number + 1] = before.set(name, before.collections[name].upsert(piece))

        def committed(done: int, _total: int | None) -> None:
            self.acked = first - (-done // size)
            self.model = self.states[self.acked]

        self.db[name].ingest(table, vector="vector", progress=committed, **options)
        assert self.db.seq == self.acked

    def ingest_again(self, name: str, rows: Mapping[Id, Row], **options: Any) -> None:
        """A load that may have begun before and goes on: in the end its rows are there, each once."""
        result = self.db[name].ingest(self._table(name, rows), vector="vector", **options)
        assert result.rows + result.skipped == len(rows)
        self.acked = self.db.seq
        self.model = self.model.set(name, self.model.collections[name].upsert(rows))
        self.states[self.acked] = self.model

    def _table(self, name: str, rows: Mapping[Id, Row]) -> pa.Table:
        collection = self.model.collections[name]
        arrays = to_arrays(collection, fitting(collection, rows))
        vectors = [list(row.vector) for row in rows.values()]
        return pa.table({"id": arrays["ids"], "vector": vectors, **arrays["columns"]})

    def snapshot(self, name: str) -> None:
        seq = self.acked
        self.commit(lambda m: m.add_snapshot(name, seq), lambda: self.db.snapshot(name))

    def drop_snapshot(self, name: str) -> None:
        self.commit(lambda m: m.drop_snapshot(name), lambda: self.db.drop_snapshot(name))

    def look_back(self, point: str | int) -> None:
        """The state of a snapshot or a seq is what it was; snapshot names aside, which belong to the present."""
        with self.db.at(point) if isinstance(point, str) else self.db.at(seq=point) as past:
            seq = self.model.snapshots[point] if isinstance(point, str) else point
            assert past.seq == seq
            assert_same_rows(past, self.states[seq])
            assert_same_answers(past, self.states[seq])

    def clone(self, name: str, at: str | None = None) -> None:
        """A clone beside the database, on the same disk."""
        with patch.object(history, "OsDir", lambda parent: self.directory):
            self.db.clone(self.folder / name, at=at)

    def verify_clone(self, name: str, expected: Model) -> None:
        """A clone opens, shows the rows and takes writes of its own."""
        local = OsDir(self.folder / name, sync=False)
        with open_in(local, Setting(options=self.options), self.clock, self.rng, read_only=False) as copy:
            assert_same(copy, Model(expected.collections))  # its origin's snapshots are not its own
            self.check(local)
            copy.create_collection("of the clone", dim=1)
            copy.flush()
        self.check(local)

    def _changed(self, name: str, change: Callable[[ModelCollection], ModelCollection]) -> Change:
        return lambda model: model.set(name, change(model.collections[name]))


def assert_same_rows(db: Database, expected: Model) -> None:
    """As ``assert_same``, but for the names of snapshots."""
    assert_same(db, Model(expected.collections, {s.name: s.seq for s in db.snapshots()}))


def assert_same_answers(db: Database, expected: Model) -> None:
    """Of exact searches near a row of each collection, and far from all."""
    for name, collection in expected.collections.items():
        ids = collection.matching(None)
        queries = [collection.rows[ids[len(ids) // 2]].vector] if ids else []
        for query in (*queries, (9.5,) * collection.dim):
            if any(query):  # no angle without a direction
                assert_nearest(db, name, collection, query, 5)


def fitting(collection: ModelCollection, rows: Mapping[Id, Row]) -> dict[Id, Row]:
    """The rows without values for columns that the collection does not have."""
    known = collection.columns
    return {i: Row(r.vector, {c: v for c, v in r.columns.items() if c in known}) for i, r in rows.items()}


def to_arrays(collection: ModelCollection, rows: Mapping[Id, Row]) -> dict[str, Any]:
    """What ``upsert`` takes."""
    return {
        "ids": list(rows),
        "vectors": np.array([row.vector for row in rows.values()], np.float32).reshape(len(rows), collection.dim),
        "columns": {name: [row.columns.get(name) for row in rows.values()] for name in collection.columns},
    }
