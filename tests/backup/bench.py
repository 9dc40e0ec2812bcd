"""A database with a repository beside its model: what was at every seq and time is known, and restores must agree."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np

from tests.model.bench import SMALL, Bench, Prepared, assert_same_answers, assert_same_rows
from tests.model.model import Id, Model, Row
from tests.support.crash_dir import CrashDir
from tiervdb.backup import merging
from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.backup.values import RestorableWindow, RestoreResult
from tiervdb.config import Options
from tiervdb.database.database import Database
from tiervdb.database.open import Protecting, open_in
from tiervdb.database.protection import ArchiveMode
from tiervdb.engine.check import Finding, check
from tiervdb.engine.open import SHARD, Setting, make_tools
from tiervdb.format.repository_documents import ColdMode
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.os_dir import OsDir
from tiervdb.target import Target
from tiervdb.types import to_datetime


@dataclass(frozen=True)
class Place:
    """Where a bench keeps its repository and its cold segments. None: directories of its own.

    ``modes``: how its backups hold the segments of a shared cold store, now so, now so.
    """

    repository: Store | None = None
    cold: Store | None = None
    key: Key | None = None
    modes: tuple[ColdMode, ...] = ("copy", "reference")


class RepositoryBench(Bench):
    """``times``: the commit time of each seq of the present history."""

    def __init__(
        self,
        folder: Path,
        place: Place = Place(),
        mode: ArchiveMode = "async",
        options: Options = SMALL,
        prepared: Prepared | None = None,
    ) -> None:
        super().__init__(folder, options, prepared)
        self.mode = mode
        self.place = place
        self.times: dict[int, int] = {}
        self.restored = 0
        self._repository_folder = folder.with_name(f"{folder.name}-repository")

    @property
    def repository(self) -> Repository:
        """Opened anew each time, as another process would."""
        place = self.place.repository or Store(self._repository_folder)
        given = str(place.url), place.storage_options, self.place.key
        return Repository(*given, publish=False, clock=self.clock, rng=self.rng)

    def open(self, *, read_only: bool = False) -> Database:
        setting = Setting(cold=self.place.cold, options=self.options)
        protecting = Protecting(self.repository, mode=self.mode)
        return open_in(self.local, setting, self.clock, self.rng, read_only=read_only, protecting=protecting)

    def check(self, local: LocalDir) -> list[Finding]:
        if self.place.cold is None:
            return super().check(local)
        with closing(open_store(self.place.cold)) as store:
            report = check(local, SHARD, store, make_tools(self.options))
        assert report.ok, report.findings
        return report.findings

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._repository_folder, ignore_errors=True)

    def note_time(self) -> None:
        """Remembers when the newest commit was made."""
        self.times[self.acked] = self.db._session.view().time_us

    def lose_directory(self) -> None:
        """The machine is gone with all that was on it; what was archived is restored and goes on there."""
        self._graves += [self.db, self.directory]
        self.directory.kill()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.folder.with_name(f".{self.folder.name}.shadow"), ignore_errors=True)
        result = self.restore_to(Target.latest(), self.folder / "db", attach=True)
        self.directory = CrashDir(self.folder)  # another machine, with a disk of its own
        self.start()
        seq = result.seq
        self.model, self.acked = self.states[seq], seq
        self.states = {s: state for s, state in self.states.items() if s <= seq}
        self.times = {s: time for s, time in self.times.items() if s <= seq}
        assert_same_rows(self.db, self.model)
        if self.model.snapshots:  # their pins are gone with the machine, which is a commit
            seq += 1
            self.model, self.acked = Model(self.model.collections), seq
            self.states[seq] = self.model
        assert self.db.seq == seq
        self.verify()

    def restore_to(self, target: Target, path: Path, **how: object) -> RestoreResult:
        result = self.repository.restore(path, target, **how)  # type: ignore[arg-type]
        assert isinstance(result, RestoreResult)
        return result

    def verify_restore(self, target: Target, seq: int, *, lazy: bool = False) -> None:
        """A restore to a target holds the state of that seq, passes every check, and takes writes of its own."""
        path = self.folder.with_name(f"{self.folder.name}-restored")
        result = self.restore_to(target, path, lazy=lazy)
        assert result.seq == seq, f"{target} came to {result.seq} instead of {seq}"
        local = OsDir(path, sync=False)
        given = Protecting(source=self.repository)
        setting = Setting(cold=self.place.cold if self.place.cold else None, options=self.options)
        with open_in(local, setting, self.clock, self.rng, read_only=False, protecting=given) as copy:
            assert copy.seq == seq + bool(self._lost_names(copy, seq))
            assert_same_rows(copy, self.states[seq])
            assert_same_answers(copy, self.states[seq])
            copy.create_collection("of the restored", dim=1)
            copy.flush()
            copy.hydrate()
        self.check(local)
        shutil.rmtree(path)
        self.restored += 1

    def _lost_names(self, copy: Database, seq: int) -> bool:
        """Whether the copy had to give up names of snapshots, which are not held there: a commit of its own."""
        return copy.seq == seq + 1 and not copy.snapshots()

    def own_windows(self) -> list[RestorableWindow]:
        return self.repository.windows()


@dataclass
class Driver:
    """Random operations, and restores to random points in between."""

    bench: RepositoryBench
    rng: random.Random
    snapshots: list[str] = field(default_factory=list)

    def run(self, steps: int, restores: int) -> None:
        bench = self.bench
        bench.start()
        bench.create("words", 3, "cosine", "int64", {"rank": "int64"})
        bench.note_time()
        for step in range(steps):
            self.step()
            bench.clock.advance(self.rng.choice([0.0, 0.001, 1.5, -0.5]))
            if step % max(1, steps // restores) == 0:
                self.restore()
        bench.upsert("words", self.rows([1]))  # so that the present timeline has a state of its own
        bench.note_time()
        bench.db.backup()
        bench.db.archive()
        while bench.restored < restores:
            self.restore()

    def step(self) -> None:
        choice = self.rng.choices(
            [self.write, self.tend, self.protect, self.crash, self.lose], weights=[60, 18, 14, 5, 3]
        )[0]
        choice()

    def write(self) -> None:
        bench, rng = self.bench, self.rng
        kind = rng.randrange(8)
        ids = [rng.randrange(60) for _ in range(rng.randrange(1, 12))]
        if kind <= 3:
            bench.upsert("words", self.rows(ids))
        elif kind == 4:
            bench.delete("words", list(dict.fromkeys(ids)))
        elif kind == 5:
            name = f"s{len(self.snapshots)}"
            self.snapshots.append(name)
            bench.snapshot(name)
        elif kind == 6 and "more" not in bench.model.collections:
            bench.create("more", 2, "l2", "string", {})
        elif kind == 7 and "more" in bench.model.collections:
            bench.batch({"words": self.rows(ids[:2]), "more": {f"x{ids[0]}": Row((1.0, float(ids[0])))}}, {})
        bench.note_time()

    def tend(self) -> None:
        db = self.bench.db
        fraction = self.rng.choice([0.3, 0.7, 1.0])
        rng = self.rng
        [db.flush, db.maintain, lambda: db.demote("words", fraction), lambda: db.promote("words", fraction)][
            rng.randrange(4)
        ]()

    def protect(self) -> None:
        db = self.bench.db
        chance = self.rng.random()
        if chance < 0.5:
            db.archive()
        elif chance < 0.65:
            self.bench.clock.advance(merging.YOUNG_US / 1e6)
            self.bench.repository.merge_log(dry_run=False)
        else:
            place = self.bench.place
            cold: ColdMode = "copy" if place.cold is None else self.rng.choice(place.modes)
            db.backup(self.rng.choice(["full", "incremental", "auto"]), cold=cold)

    def crash(self) -> None:
        self.bench.crash(power=self.rng.random() < 0.5, seed=self.rng.randrange(100))
        self.bench.start()
        self.bench.recovered()
        self.bench.note_time()

    def lose(self) -> None:
        if self.bench.repository.windows():
            self.bench.lose_directory()
            self.bench.note_time()

    def restore(self) -> None:
        windows = self.bench.repository.windows()
        known = [(w, seq) for w in windows for seq in range(w.first_seq, w.last_seq + 1)]
        current = self.bench.db.status().timeline
        mine = [(w, seq) for w, seq in known if w.timeline == current and seq in self.bench.times]
        if not mine:
            return
        window, seq = self.rng.choice(mine)
        target = self.rng.choice([self.by_seq, self.by_time])(seq, window)
        self.bench.verify_restore(target, seq, lazy=self.rng.random() < 0.3)

    def by_seq(self, seq: int, window: RestorableWindow) -> Target:
        return Target.seq(seq)

    def by_time(self, seq: int, window: RestorableWindow) -> Target:
        """A time from the commit of the seq on, before the next one."""
        start = self.bench.times[seq]
        known = int(window.last_time.timestamp() * 1_000_000 + 0.5) + 1
        end = min(self.bench.times.get(seq + 1, known), known)
        at = to_datetime(self.rng.randrange(start, max(end, start + 1)))
        if self.rng.random() < 0.5:
            return Target.time(at, timeline=window.timeline)
        return Target.time(at + timedelta(microseconds=1), exclusive=True, timeline=window.timeline)

    def rows(self, ids: Sequence[int]) -> Mapping[Id, Row]:
        rng = self.rng
        return {
            i: Row(_single(rng.uniform(0.1, 1), rng.uniform(-1, 1), float(i)), {"rank": rng.randrange(100)})
            for i in dict.fromkeys(ids)
        }


def _single(*values: float) -> tuple[float, ...]:
    """As float32 keeps them."""
    return tuple(np.array(values, np.float32).tolist())
