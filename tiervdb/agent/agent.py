"""The agent: looks what is due, runs each job as a process of its own, and writes down what came of it.

A job that is killed, by its deadline or with the agent, leaves what the next attempt goes on from: backups keep their
lease, copies what they copied, and a restore that was tried is scratch.
"""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tiervdb.agent import due
from tiervdb.agent.jobs import JOBS, is_possible
from tiervdb.backup import recorded
from tiervdb.backup.agent_lease import AgentLease
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.policy import to_seconds
from tiervdb.clock import Clock
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration
from tiervdb.engine import identity as identities
from tiervdb.errors import NotARepositoryError, TiervdbError
from tiervdb.format.paths import IDENTITY
from tiervdb.format.repository_operations import JobOperation
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import to_us

_log = logging.getLogger("tiervdb.agent")
_LAST = "select job, max(due) as due from jobs where ok group by job"
_FAILED = """
    select job, count(*) as failures, max(j.finished) as finished from jobs j
    where not ok and finished > coalesce((select max(o.finished) from jobs o where o.ok and o.job = j.job), 'epoch')
    group by job
"""
_BEGAN = "select min(created) from epochs"


@dataclass(frozen=True)
class Outcome:
    """Of an attempt. ``error``: None if it went well."""

    summary: str
    error: str | None


Start = Callable[[Configuration, DatabaseConfiguration, str, float], Outcome]


@dataclass
class _Memory:
    """What is known of a job: when it was last due and done, and its failures in a row."""

    since_us: int
    failures: int = 0
    failed_us: int = 0
    luck: float = 0.5


class Agent:
    """``start``: runs a job with a deadline in seconds; a process, but for tests."""

    def __init__(self, config: Configuration, clock: Clock, rng: random.Random, start: Start | None = None) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._start = start or run_in_process
        self._pool = ThreadPoolExecutor(config.agent["parallel"], thread_name_prefix="tiervdb-agent")
        self._running: dict[str, Future[None]] = {}
        self._memory: dict[str, dict[str, _Memory]] = {}
        self._leases: dict[str, AgentLease] = {}

    def tick(self) -> list[str]:
        """Starts what is due, at most one job a database; names of the jobs that were started."""
        started = []
        for name, config in self._config.databases.items():
            running = self._running.get(name)
            if running is not None and not running.done():
                continue
            try:
                job = self._next(config)
            except TiervdbError as error:
                say("unreachable", database=name, error=str(error))
                continue
            if job is not None:
                started.append(f"{name}/{job[0]}")
                self._running[name] = self._pool.submit(self._attempt, config, *job)
        return started

    def run_due(self) -> list[str]:
        """Does all that is due, to its end: for cron."""
        done: list[str] = []
        while started := self.tick():
            done += started
            self.wait()
        return done

    def wait(self) -> None:
        """Until nothing runs."""
        for running in list(self._running.values()):
            running.result()

    def close(self) -> None:
        """Waits for what runs, and gives the leases back."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for lease in self._leases.values():
            try:
                lease.release()
            except TiervdbError as error:
                say("lease-not-released", error=str(error))

    # -- what is due

    def _next(self, config: DatabaseConfiguration) -> tuple[str, int] | None:
        """The job that is due for longest, and when it was."""
        if not config.options["repository"] or not self._is_mine(config):
            return None
        memory = self._remembered(config)
        now_us = self._clock.now_us()
        found = []
        for job in JOBS:
            if not is_possible(config, job):
                continue
            known = memory[job]
            known.since_us = min(known.since_us, now_us)  # a clock that was set back: it goes on from now
            if known.failures and due.retry_at(known.failures, known.failed_us, known.luck) > now_us:
                continue
            due_us = due.due_at(config.schedule[job], known.since_us, now_us)
            if due_us is not None:
                found.append((due_us, job))
        return None if not found else (min(found)[1], min(found)[0])

    def _is_mine(self, config: DatabaseConfiguration) -> bool:
        """Whether no other agent looks after this repository."""
        lease = self._leases.get(config.name)
        if lease is None:
            lease = self._leases[config.name] = AgentLease(_opened(config))
        other = lease.hold(self._clock.now_us())
        if other is not None:
            say("another-agent", database=config.name, host=other.owner.host, pid=other.owner.pid)
        return other is None

    def _remembered(self, config: DatabaseConfiguration) -> dict[str, _Memory]:
        """What the repository tells of earlier attempts, also of another agent's; asked once."""
        if config.name not in self._memory:
            tables = config.repository().catalog.tables()
            last = {job: to_us(time) for job, time in tables.sql(_LAST).fetchall()}
            failed = {job: (count, to_us(time)) for job, count, time in tables.sql(_FAILED).fetchall()}
            (began,) = tables.sql(_BEGAN).fetchall()[0]
            began_us = self._clock.now_us() if began is None else to_us(began)
            waits = {"snapshot", "expire", "merge"}  # the others are due at once
            first = {job: began_us if job in waits else 0 for job in JOBS}
            self._memory[config.name] = {
                job: _Memory(last.get(job, first[job]), *failed.get(job, (0, 0))) for job in JOBS
            }
        return self._memory[config.name]

    # -- an attempt

    def _attempt(self, config: DatabaseConfiguration, job: str, due_us: int) -> None:
        known = self._memory[config.name][job]
        started_us = self._clock.now_us()
        say("started", database=config.name, job=job, attempt=known.failures + 1)
        outcome = self._start(self._config, config, job, config.seconds("schedule", "deadline"))
        ended_us = self._clock.now_us()
        attempt = known.failures + 1
        if outcome.error is None:
            known.since_us, known.failures = started_us, 0
        else:
            known.failures, known.failed_us, known.luck = attempt, ended_us, self._rng.random()
        what = {"error": outcome.error} if outcome.error is not None else {"summary": outcome.summary}
        say("failed" if outcome.error else "done", database=config.name, job=job, attempt=attempt, **what)
        if outcome.error is not None or outcome.summary or attempt > 1:
            self._write(config, job, due_us or started_us, attempt, started_us, ended_us, outcome)

    def _write(
        self,
        config: DatabaseConfiguration,
        job: str,
        due_us: int,
        attempt: int,
        started_us: int,
        ended_us: int,
        done: Outcome,
    ) -> None:
        try:
            vault = config.repository().open().vault
            run = recorded.begun(vault)
            operation = JobOperation(
                id=run.id,
                started_us=started_us,
                finished_us=ended_us,
                owner=run.owner,
                error=done.error,
                job=job,
                due_us=due_us,
                attempt=attempt,
                summary=done.summary,
            )
            recorded.write(vault, operation)
        except TiervdbError as error:
            say("not-recorded", database=config.name, job=job, error=str(error))


def _opened(config: DatabaseConfiguration) -> OpenRepository:
    """Made only for a database that is here and has none yet: a URL may be mistyped. NotARepositoryError."""
    try:
        return config.repository().open()
    except NotARepositoryError:
        local = None if config.path is None else OsDir(config.path)
        if local is None or not local.exists(IDENTITY) or identities.read(local).repository_url is not None:
            raise
        return config.repository().open_or_create()


def run_in_process(config: Configuration, database: DatabaseConfiguration, job: str, deadline: float) -> Outcome:
    """Runs a job as a child, which is killed at the deadline."""
    arguments = ["agent-job", "--config", str(config.path), "--database", database.name, "--job", job, "--json"]
    try:
        done = subprocess.run(  # noqa: S603  (this Python, and a module of tiervdb)
            [sys.executable, "-m", "tiervdb.cli.main", *arguments],
            capture_output=True,
            text=True,
            timeout=deadline or None,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Outcome("", f"it was stopped after its deadline of {deadline:,.0f} s")
    if done.returncode == 0:
        return Outcome(str(json.loads(done.stdout)["summary"]), None)
    return Outcome("", _message(done.stderr) or f"it ended with exit code {done.returncode}")


def _message(stderr: str) -> str:
    last = stderr.strip().splitlines()[-1:] or [""]
    try:
        return str(json.loads(last[0])["message"])
    except (ValueError, KeyError, TypeError):
        return last[0][:2000]


def say(event: str, **fields: Any) -> None:
    """One JSON line an event."""
    _log.info("%s", json.dumps({"event": event, **fields}, default=str))


def check_every(config: Configuration) -> float:
    return to_seconds("check_every", config.agent["check_every"] or None) or 10.0
