"""Databases that an agent looks after, with a clock of their own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tiervdb.agent.agent import Agent, Outcome
from tiervdb.clock import ManualClock, SystemClock
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration

FILE = """
[databases.words]
path = "words"
repository = "repository"

[databases.words.offsite]
url = "offsite"
"""
Start = Callable[[Configuration, DatabaseConfiguration, str, float], Outcome]


@dataclass
class Machine:
    """A folder with a database, and agents on it. ``outcomes``: what each job comes to; well unless given."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(SystemClock().now_us() + 60_000_000))
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    @property
    def config(self) -> Configuration:
        return Configuration.load(self.folder / "tiervdb.toml")

    def configure(self, text: str = FILE) -> Configuration:
        (self.folder / "tiervdb.toml").write_text(text, encoding="utf-8")
        return self.config

    def database(self, rows: int = 50) -> None:
        with tiervdb.open(self.folder / "words", repository=self.folder / "repository") as db:
            words = db.create_collection("words", dim=4, id_type="int64")
            vectors = np.random.default_rng(1).normal(size=(rows, 4)).astype(np.float32)
            words.upsert(ids=np.arange(rows), vectors=vectors)

    def agent(self, start: Start | None = None) -> Agent:
        return Agent(self.config, self.clock, random.Random(3), start or self._start)

    def _start(self, _config: Configuration, _database: DatabaseConfiguration, job: str, _deadline: float) -> Outcome:
        self.ran.append(job)
        return self.outcomes.get(job, Outcome(f"{job} was done", None))

    def took(self) -> list[str]:
        """The jobs that ran since this was asked last, but for merges: one is due each hour."""
        ran, self.ran = self.ran, []
        return [job for job in ran if job != "merge"]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.configure()
    machine.database()
    return machine
