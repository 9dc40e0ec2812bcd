"""Kills a writing process and compares what it was told with what is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import tiervdb
from tiervdb.cli.demo import writer
from tiervdb.cli.example_data import Words
from tiervdb.clock import SystemClock
from tiervdb.errors import TiervdbError

KILL_BETWEEN = (40, 120)  # the batch in whose midst the writer dies


@dataclass
class Reports:
    """What the writer said until it died. ``seqs``: commit seq by batch, of the acknowledged ones."""

    begun: int = 0
    seqs: dict[int, int] = field(default_factory=dict)

    @property
    def in_flight(self) -> bool:
        """A batch was handed over and not acknowledged: the kill came in the middle of a write."""
        return self.begun > len(self.seqs)

    def hear(self, line: str) -> None:
        match line.split():
            case ["begin", number]:
                self.begun = int(number) + 1
            case ["done", number, seq]:
                self.seqs[int(number)] = int(seq)


@dataclass(frozen=True)
class KillReport:
    """``rows_found``: rows of acknowledged batches that are there, bit for bit. ``unacknowledged``: what became of the
    batch that was being written: ``"absent"``, ``"whole"`` or, which must not be, ``"torn"``; None if there was none.
    """

    acknowledged: int
    rows_acknowledged: int
    rows_found: int
    seqs_found: int
    unacknowledged: str | None
    recovery_seconds: float

    @property
    def held(self) -> bool:
        """Whether the promise was kept."""
        all_there = self.rows_found == self.rows_acknowledged and self.seqs_found == self.acknowledged
        return all_there and self.unacknowledged != "torn"


def kill_a_writer(path: Path, rng: random.Random) -> Reports:
    """Starts the writer on a database that nobody has open, and ends it with SIGKILL at a random moment of a batch."""
    command = [sys.executable, "-m", "tiervdb.cli.demo.writer", str(path)]
    last = rng.randint(*KILL_BETWEEN)
    reports = Reports()
    clock = SystemClock()
    started = clock.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            reports.hear(line)
            if reports.begun == 1:
                started = clock.monotonic()
            if reports.begun > last and process.poll() is None:
                time.sleep(rng.uniform(0, (clock.monotonic() - started) / last))  # somewhere within a commit's time
                process.kill()
        complaint = process.stderr.read()
    if reports.begun <= last:
        raise TiervdbError(f"the writing process ended by itself, on {path}:\n{complaint.strip()}")
    return reports


def compare(db: tiervdb.Database, words: Words, reports: Reports, recovery_seconds: float) -> KillReport:
    """What is there after reopening, against what was acknowledged."""
    logged = set(db.log(collection=writer.COLLECTION)["seq"].to_pylist())
    return KillReport(
        acknowledged=len(reports.seqs),
        rows_acknowledged=len(reports.seqs) * writer.BATCH_ROWS,
        rows_found=rows_found(db, words, reports.seqs),
        seqs_found=len(logged.intersection(reports.seqs.values())),
        unacknowledged=fate_of_the_last(db, words, reports),
        recovery_seconds=recovery_seconds,
    )


def rows_found(db: tiervdb.Database, words: Words, batches: Iterable[int]) -> int:
    """How many rows of these batches are there exactly as they were written."""
    rows = db[writer.COLLECTION]
    found = 0
    for number in batches:
        given = writer.batch(words, number)
        table = rows.get(given["ids"], vectors=True)
        present = np.isin(given["ids"], table["id"].to_numpy())
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), words.dim)
        same_vectors = (vectors == given["vectors"][present]).all(axis=1)
        same_words = np.array(table["word"].to_pylist()) == np.array(given["columns"]["word"].to_pylist())[present]
        found += int((same_vectors & same_words).sum())
    return found


def fate_of_the_last(db: tiervdb.Database, words: Words, reports: Reports) -> str | None:
    """A commit that nobody was told of may be there or not, but never in part."""
    if not reports.in_flight:
        return None
    found = rows_found(db, words, [reports.begun - 1])
    return {0: "absent", writer.BATCH_ROWS: "whole"}.get(found, "torn")
