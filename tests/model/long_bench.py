"""A bench for what takes time or other processes: loads, expiry, adoption of a copied directory, readers beside."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import pyarrow as pa

from tests.model.bench import Bench, Change, assert_same_answers, assert_same_rows, fitting, to_arrays
from tests.model.model import Id, Model, Row
from tiervdb.database import ingest
from tiervdb.database.database import Database
from tiervdb.database.open import open_in
from tiervdb.engine.open import Setting
from tiervdb.errors import CopiedDatabaseError
from tiervdb.storage import place
from tiervdb.storage.os_dir import OsDir

LOAD_ROWS = 3  # of one commit of an ingest
Copied = Literal["clone", "take_over"]


class LongBench(Bench):
    """``inode``: the directory's, as the database sees it; another one makes it a copy. ``times``: of commits by seq.

    ``reader``: a database that was opened beside the writer, as another process would, and the state that it shows.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.inode = 1
        self.adopting: Copied | None = None
        self.expires: dict[str, int] = {}
        self.times: dict[int, datetime] = {}
        self.reader: tuple[Database, Model] | None = None

    # -- its life

    def open(self, *, read_only: bool = False, copied: Copied | None = None) -> Database:
        setting = Setting(options=self.options, copied=copied)
        with patch.object(place, "inode", lambda _: self.inode):
            return open_in(self.local, setting, self.clock, self.rng, read_only=read_only)

    def start(self) -> None:
        """After a crash in an adoption, that is done again, unless it had come to its end."""
        try:
            self.db = self.open()
        except CopiedDatabaseError:
            assert self.adopting is not None
            self.db = self.open(copied=self.adopting)
        self.adopting = None

    def adopt(self, copied: Copied) -> None:
        """The directory is copied to another place, and goes on there: nothing but its ids may change."""
        before = self.db.status()
        self.stop()
        self.close_reader()
        self._new_process()
        self.inode, self.adopting = self.inode + 1, copied
        self.start()
        after = self.db.status()
        assert after.timeline != before.timeline
        assert (after.database_id == before.database_id) == (copied == "take_over")
        assert self.db.seq == self.acked
        self.verify()

    def crash(self, *, power: bool, seed: int | None = None) -> None:
        """A reader lives on when only the writer's process ends."""
        if power:
            self.close_reader()
        super().crash(power=power, seed=seed)

    def recovered(self) -> None:
        super().recovered()
        self.times = {seq: time for seq, time in self.times.items() if seq <= self.acked}

    def end(self) -> None:
        self.close_reader()
        super().end()

    # -- operations

    def commit(self, change: Change, action: object) -> None:
        super().commit(change, action)  # type: ignore[arg-type]
        self.times[self.acked] = self.db.status().time

    def ingest(self, name: str, rows: Mapping[Id, Row], load: str) -> None:
        """Several commits of a few rows each; the same load again does nothing."""
        collection = self.model.collections[name]
        rows = fitting(collection, rows)
        items, states = list(rows.items()), [self.model]
        for start in range(0, len(items), LOAD_ROWS):
            part = dict(items[start : start + LOAD_ROWS])
            states.append(states[-1].set(name, states[-1].collections[name].upsert(part)))
        self.states.update({self.acked + n: state for n, state in enumerate(states)})
        arrays = to_arrays(collection, rows)
        vectors = pa.array(list(arrays["vectors"]), pa.list_(pa.float32(), collection.dim))  # type: ignore[call-overload]
        kinds = {"int64": pa.int64(), "string": pa.string()}
        columns = {c: pa.array(v, kinds[collection.columns[c]]) for c, v in arrays["columns"].items()}  # type: ignore[attr-defined]
        table = pa.table({"key": pa.array(list(rows), kinds[collection.id_type]), "at": vectors, **columns})
        with patch.object(ingest, "COMMIT_ROWS", LOAD_ROWS):
            done = self.db[name].ingest(table, id="key", vector="at", resume=load)
            assert (done.rows, done.commits, done.seq) == (len(rows), len(states) - 1, self.acked + len(states) - 1)
            self.model, self.acked = states[-1], done.seq
            self.times[self.acked] = self.db.status().time
            again = self.db[name].ingest(table, id="key", vector="at", resume=load)
        assert (again.rows, again.commits) in {(0, 0)}, "the log has its marker still"

    def snapshot_until(self, name: str, seconds: int) -> None:
        seq = self.acked
        expires = timedelta(seconds=seconds)
        self.expires[name] = self.clock.us + seconds * 1_000_000
        self.commit(lambda m: m.add_snapshot(name, seq), lambda: self.db.snapshot(name, expires=expires))

    def maintain(self) -> None:
        """Each snapshot whose time is over is dropped in a commit."""
        after, last = self.model, self.acked
        for name in self.shard.view().catalog.snapshots:
            if self.expires.get(name, self.clock.us + 1) <= self.clock.us:
                after, last = after.drop_snapshot(name), last + 1
                self.states[last] = after
        self.db.maintain()
        assert self.db.seq == last
        self.model, self.acked = after, last

    def look_back_in_time(self, seq: int) -> None:
        """The state at the time of a commit, and just before the next one."""
        later = self.times.get(seq + 1)
        for time in (self.times[seq], *([later - timedelta(microseconds=1)] if later else [])):
            with self.db.at(time=time) as past:
                assert past.seq == seq
                assert_same_rows(past, self.states[seq])

    # -- a reader beside

    def open_reader(self) -> None:
        self.close_reader()
        local = OsDir(self.folder / "db", sync=False)
        setting = Setting(options=self.options)
        self.reader = (open_in(local, setting, self.clock, self.rng, read_only=True), self.model)
        self.check_reader()

    def refresh_reader(self) -> None:
        assert self.reader is not None
        assert self.reader[0].refresh() == self.acked
        self.reader = (self.reader[0], self.model)
        self.check_reader()

    def check_reader(self) -> None:
        if self.reader is not None:
            assert_same_rows(*self.reader)
            assert_same_answers(*self.reader)

    def close_reader(self) -> None:
        if self.reader is not None:
            with suppress(FileNotFoundError):
                self.reader[0].close()
            self.reader = None
