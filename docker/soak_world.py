"""What the stack of the soak is like now, and what must hold whenever it is like that."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from soak_stack import DATABASES, Broken, Stack
from soak_truth import Lines, Told, difference

import tiervdb
from tiervdb import Repository, Target
from tiervdb.agent.standing import Standing, look
from tiervdb.clock import SystemClock
from tiervdb.configuration.configuration import DatabaseConfiguration
from tiervdb.errors import OutsideWindowError

SECOND_US = 1_000_000
CLOCK = SystemClock()


@dataclass
class World:
    """``up``: which servers, and the network to the first one; ``missing``: databases whose directory is gone;
    ``jobs_may_fail``: whether a job of the agent was in trouble since all was well. The rest is counted for the end."""

    stack: Stack
    draws: random.Random
    told: dict[str, Told] = field(default_factory=dict)
    lines: dict[str, Lines] = field(default_factory=lambda: {name: Lines() for name in DATABASES})
    missing: set[str] = field(default_factory=set)
    up: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(("store", "offsite", "network"), False))
    jobs_may_fail: bool = False
    restores: int = 0
    looks: int = 0
    most_behind: int = 0
    raised: dict[str, int] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        """For the machine."""
        return self.up["store"] and self.up["network"]

    @property
    def whole(self) -> bool:
        return all(self.up.values()) and not self.missing

    def outside(self, name: str) -> DatabaseConfiguration:
        return self.stack.outside[name]

    def repository(self, name: str) -> Repository:
        """From outside; what is tried there is no operation that its catalog is published for."""
        return Repository(self.outside(name).repository().location, publish=False)

    def path(self, name: str) -> Path:
        path = self.outside(name).path
        assert path is not None
        return path

    # -- what must hold

    def require_all(self, *, every_window: bool) -> None:
        """After each step. Unless ``every_window``, those of one database are tried."""
        self.require_alerts()
        if not self.up["store"]:
            return
        for name in DATABASES:
            self.require_safe(name)
        for name in DATABASES if every_window else [self.draws.choice(DATABASES)]:
            self.require_windows(name)

    def require_safe(self, name: str) -> None:
        """Restored from outside, it has all that is safe, each row as it was written."""
        told = self.told[name]
        safe, acked = told.safe, told.acked  # before the restore: what is said during it may come too late
        seq = self.try_restore(name, None, told.timeline)
        if seq < safe:
            raise Broken(f"{name}: commit {safe} is safe, and a restore ends at {seq}")
        self.most_behind = max(self.most_behind, acked - seq)

    def require_windows(self, name: str) -> None:
        """Each row of restorable_windows can be restored at a random commit of it, and one of them has all that is
        safe."""
        told = self.told[name]
        safe, windows = told.safe, self.windows(name)
        if not any(first <= safe <= last for _, first, last in windows):
            raise Broken(f"{name}: commit {safe} is safe, and no window has it: {windows}")
        for timeline, first, last in windows:
            seq = self.draws.randint(first, last)
            try:
                self.try_restore(name, seq, timeline)
            except OutsideWindowError as error:
                if any(line == timeline and low <= seq <= high for line, low, high in self.windows(name)):
                    raise Broken(f"{name}: commit {seq} of {timeline} is in a window: {error}") from error

    def windows(self, name: str) -> list[tuple[str, int, int]]:
        query = "select timeline, first_seq, last_seq from restorable_windows"
        found: list[tuple[str, int, int]] = self.repository(name).sql(query).fetchall()
        return found

    def try_restore(self, name: str, seq: int | None, timeline: str) -> int:
        """To a scratch directory, compared with what was written; the commit that it reached."""
        target = None if seq is None else Target.seq(seq, timeline=timeline)
        with tempfile.TemporaryDirectory(dir=self.stack.running.root) as scratch:
            done = self.repository(name).restore(Path(scratch) / "restored", target)
            assert isinstance(done, tiervdb.RestoreResult)
            if seq is not None and done.seq != seq:
                raise Broken(f"{name}: asked for commit {seq} of {timeline}, and got {done.seq}")
            with tiervdb.open(done.path, create=False, read_only=True) as db:
                wrong = difference(db, self.lines[name], timeline, done.seq)
        if wrong is not None:
            raise Broken(f"{name}, restored to commit {done.seq} of {timeline}: {wrong}")
        self.restores += 1
        return done.seq

    def require_alerts(self, *always: str) -> None:
        """Exactly those that should be raised now, of each database; ``always``: also these."""
        for name in DATABASES:
            expected = {*always, *(["DatabaseMissing"] if name in self.missing else [])}
            expected |= set() if self.up["store"] else {"RepositoryUnreachable"}
            allowed = expected | ({"JobFailing"} if self.jobs_may_fail else set())
            found = names(standing := self.look(name))
            if not expected <= found <= allowed:
                raise Broken(f"{name}: the alerts should be {sorted(expected)}, and are {standing.alerts}")

    def look(self, name: str, now_us: int | None = None) -> Standing:
        standing = look(self.outside(name), CLOCK.now_us() if now_us is None else now_us)
        self.looks += 1
        for alert in names(standing):
            self.raised[alert] = self.raised.get(alert, 0) + 1
        return standing

    def require_edge(self, name: str, alert: str, due_us: int) -> None:
        for now_us, expected in ((due_us - SECOND_US, False), (due_us + SECOND_US, True)):
            standing = self.look(name, now_us)
            if (alert in names(standing)) != expected:
                when = "a second after its time" if expected else "a second before its time"
                raise Broken(f"{name}: {alert} is {'not ' if expected else ''}raised {when}: {standing}")


def names(standing: Standing) -> set[str]:
    return {alert.name for alert in standing.alerts}
