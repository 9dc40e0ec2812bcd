"""Two disasters on the stack, on real words: a lost machine, and a lost machine with its bucket."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import words as application
from stack_processes import Running
from stack_truth import QUERIES, Truth

import tiervdb
from tiervdb.cli.example_data import Words, load_words
from tiervdb.cli.output import Output
from tiervdb.cli.readable import milliseconds, size
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration

BATCHES = 12  # that are acknowledged before a disaster, at least


@dataclass(frozen=True)
class Disaster:
    """``acknowledged``: the last commit that was; ``moment``, ``began``: when it happened, on the wall and on a clock
    that only goes forward."""

    name: str
    acknowledged: int
    moment: datetime
    began: float


@dataclass(frozen=True)
class Recovered:
    """``lost``: acknowledged commits that are gone; ``lost_seconds``: of what time. ``answered``: seconds from the
    disaster to the first correct answer; ``restored``: to the end of the restore."""

    disaster: str
    acknowledged: int
    seq: int
    lost: int
    lost_seconds: float
    restored: float
    answered: float
    rows: int
    same_rows: int
    same_answers: int

    @property
    def held(self) -> bool:
        return self.same_rows == self.rows and self.same_answers == QUERIES


class Demo:
    """The demo's state: what was written so far. ``base``: the commit before batch 0; ``batches``: written so far."""

    def __init__(self, running: Running, output: Output) -> None:
        self.running = running
        self.output = output
        self.words: Words = load_words()
        self.base = self.batches = 0

    @property
    def database(self) -> DatabaseConfiguration:
        return Configuration.load(self.running.config)[application.DATABASE]

    @property
    def path(self) -> Path:
        assert self.database.path is not None
        return self.database.path

    def truth(self) -> Truth:
        return Truth.after(self.words, self.batches)

    # -- the steps

    def load(self) -> None:
        loaded, demoted = application.make(self.database, self.words)
        with self.database.open(read_only=True) as db:
            self.base = db.seq
        self.output.say(f"   {loaded.rows:,} words in {loaded.commits} commits, {milliseconds(loaded.seconds)};")
        self.output.say(f"   {demoted.cold_rows:,} of them moved to {demoted.cold_url}, {size(demoted.bytes)}")

    def all_jobs(self) -> None:
        """Whatever is due, which is everything the first time; ends with an error if something is not well."""
        self._tiervdb("agent", "--config", str(self.running.config), "--once")
        self._tiervdb("status", "--config", str(self.running.config))
        for line in self._jobs():
            self.output.say(f"   {line}")

    def write(self, batches: int) -> None:
        with self.database.open(create=False) as db:
            for _ in range(batches):
                seq = application.commit(db, self.words, self.batches)
                self.batches += 1
                self._require_one_commit_a_batch(seq)

    def job(self, name: str) -> None:
        arguments = ["--config", str(self.running.config), "--database", application.DATABASE, "--job", name]
        self.output.say(f"   {name}: {self._tiervdb('agent-job', *arguments).strip()}")

    # -- the disasters

    def lose_the_machine(self) -> Recovered:
        """Its writer is killed between any two instructions, and its directory is deleted."""
        disaster = self._kill_a_writer("machine lost", bucket=False)
        repository = self.database.repository()
        done = repository.restore(self.path, attach=True)
        assert isinstance(done, tiervdb.RestoreResult)
        with self.database.open(create=False) as db:
            return self._compare(db, done, disaster)

    def lose_the_site(self) -> Recovered:
        """The machine and the bucket: what is left is the copy off-site, as old as the last copy job."""
        disaster = self._kill_a_writer("machine and bucket lost", bucket=True)
        repository = self.database.offsite_repository()
        assert repository is not None
        options = repository.location.storage_options
        cold = tiervdb.Store(self.database.options["cold"].replace("s3://tiervdb/", "s3://tiervdb-offsite/"), options)
        done = repository.restore(self.path, attach=True, cold=cold)
        assert isinstance(done, tiervdb.RestoreResult)
        with tiervdb.open(self.path, create=False, cold=cold, repository=repository, archive="sync") as db:
            recovered = self._compare(db, done, disaster)
            seq = application.commit(db, self.words, self.batches)
            self.batches += 1
            self.output.say(f"   it goes on there: commit {seq} is written, and archived off-site")
            if self.truth().same_rows(db) != self.truth().rows:
                raise SystemExit("what was written after the restore is not there")
        return recovered

    def _kill_a_writer(self, name: str, *, bucket: bool) -> Disaster:
        """In the midst of its work, with all that it has."""
        command = [sys.executable, application.__file__, str(self.running.config), "write", str(self.batches)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for heard, line in enumerate(process.stdout, start=1):
                seq = self._hear(line)
                if heard == BATCHES:
                    break
            else:
                raise SystemExit("the writer ended by itself; see above")
            process.kill()
            began, moment = time.monotonic(), datetime.now(UTC)
            for line in process.stdout:  # what it had said before it died
                seq = self._hear(line)
        shutil.rmtree(self.path)
        if bucket:
            self.running.kill("store")
            shutil.rmtree(self.running.place.store.data)
        return Disaster(name, seq, moment, began)

    def _hear(self, line: str) -> int:
        _, number, seq = line.split()
        self.batches = int(number) + 1
        self._require_one_commit_a_batch(int(seq))
        return int(seq)

    def _require_one_commit_a_batch(self, seq: int) -> None:
        if seq != self.base + self.batches:
            raise SystemExit(f"batch {self.batches - 1} is commit {seq}, not {self.base + self.batches}")

    def _compare(self, db: tiervdb.Database, done: tiervdb.RestoreResult, disaster: Disaster) -> Recovered:
        """With what was written up to the commit that the restore reached."""
        restored = time.monotonic() - disaster.began
        self.batches = done.seq - self.base
        truth = self.truth()
        first = truth.same_answers(db, queries=1)
        answered = time.monotonic() - disaster.began
        if first != 1:
            raise SystemExit(f"{disaster.name}: the first answer after the restore was wrong")
        lost = max(disaster.acknowledged - done.seq, 0)
        return Recovered(
            disaster=disaster.name,
            acknowledged=disaster.acknowledged,
            seq=done.seq,
            lost=lost,
            lost_seconds=(disaster.moment - done.time).total_seconds() if lost else 0.0,
            restored=restored,
            answered=answered,
            rows=truth.rows,
            same_rows=truth.same_rows(db),
            same_answers=truth.same_answers(db),
        )

    # -- what the agent is asked

    def _tiervdb(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "tiervdb.cli.main", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"tiervdb {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _jobs(self) -> list[str]:
        found = self.database.repository().sql("select job, summary from jobs order by finished").fetchall()
        return [f"{job}: {summary}" for job, summary in found]


def run(running: Running, output: Output) -> bool:
    """All of it; whether every promise was held."""
    started = time.monotonic()
    for name in ("store", "offsite"):
        running.start(name)
    running.run("buckets")
    demo = Demo(running, output)
    output.say(f"two {running.kind} servers in {running.root}, each with a bucket with versioning and Object Lock")
    title(output, 1, "An application writes real words, and moves most of them to the bucket")
    demo.load()
    title(output, 2, "The agent does what is due: backup, copy off-site, verify, drill")
    demo.all_jobs()
    title(output, 3, "The machine is lost in the midst of a write; the bucket brings the words back")
    machine = demo.lose_the_machine()
    show(output, machine)
    title(output, 4, "The restored database goes on; a backup, and a copy of it off-site")
    demo.write(BATCHES)
    demo.job("backup")
    demo.job("copy")
    title(output, 5, "The machine is lost again, and its bucket with it; the off-site copy brings the words back")
    site = demo.lose_the_site()
    show(output, site)
    output.say()
    table(output, [machine, site])
    seconds = time.monotonic() - started
    output.say()
    output.say(
        f"took {seconds:.0f} s on {running.kind}; logs and data are in {running.root}, the next run replaces them"
    )
    output.document({"server": running.kind, "seconds": seconds, "recovered": [machine, site]})
    return (
        machine.held and machine.lost == 0 and site.held
    )  # archive = "sync": what the bucket lacks is not acknowledged


def title(output: Output, number: int, text: str) -> None:
    output.say()
    output.say(f"{number}. {text}", "bold")


def show(output: Output, done: Recovered) -> None:
    output.say(
        f"   {done.acknowledged} commits were acknowledged; restored up to commit {done.seq} in {done.restored:.1f} s"
    )
    output.say(f"   {done.same_rows:,} of {done.rows:,} rows are bit for bit as they were written")
    output.say(f"   {done.same_answers} of {QUERIES} searches answer as a comparison with every row does")


def table(output: Output, all_of_them: list[Recovered]) -> None:
    """RPO: what was acknowledged and is lost. RTO: from the disaster to the first correct answer."""
    rows = [
        [
            done.disaster,
            str(done.lost),
            f"{done.lost_seconds:.1f} s",
            f"{done.answered:.1f} s",
            f"{done.same_rows:,} of {done.rows:,}",
            f"{done.same_answers} of {QUERIES}",
        ]
        for done in all_of_them
    ]
    output.table(
        ["disaster", "RPO: commits lost", "RPO: time lost", "RTO: first answer", "rows as written", "answers"], rows
    )
