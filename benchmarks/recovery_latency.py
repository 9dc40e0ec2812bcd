"""What recovery costs in waiting: snapshots, commits during a backup, the archive's lag, a lazy restore's first answer.

``python -m benchmarks.recovery_latency`` (``snapshots``, ``commits``, ``lag`` or ``lazy`` alone). The million rows are
synthetic: clusters of 100 dimensions.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tiervdb
from benchmarks import prepare, s3_server
from benchmarks.s3_server import BUCKET, Server
from benchmarks.sides import tier
from benchmarks.tables import Table, met, publish
from benchmarks.words import words
from benchmarks.workplace import built, home, scratch
from tiervdb.config import Options

DELAY_MS = 30.0
MILLION = 1_000_000
DIM = 100
WITHOUT_GRAPH = Options(flush_floats=10**9, background=False, graph_min_rows=10**9)
SECONDS = 10.0
RATE = 1_000


def million() -> Path:
    """A database of a million synthetic rows in one hot segment with a sketch."""
    return built("tiervdb-million", lambda folder: _make(folder / "db", MILLION))


def _make(path: Path, rows: int) -> None:
    with tiervdb.open(path, options=WITHOUT_GRAPH) as db:
        collection = db.create_collection("words", dim=DIM, id_type="int64")
        rng = np.random.default_rng(1)
        centers = rng.normal(size=(2_000, DIM)).astype(np.float32)
        for start in range(0, rows, 50_000):
            count = min(50_000, rows - start)
            near = centers[rng.integers(0, len(centers), count)]
            vectors = near + rng.normal(scale=0.6, size=(count, DIM)).astype(np.float32)
            collection.upsert(ids=np.arange(start, start + count), vectors=vectors)
        db.flush()
        db.maintain()


def snapshots(folder: Path) -> Table:
    """In turn on a small and a large database."""
    table = Table("Taking a snapshot", ("rows", "ms, median of 30", "target", ""))
    _make(folder / "small", 10_000)
    with (
        tiervdb.open(folder / "small", options=WITHOUT_GRAPH) as small,
        tiervdb.open(million() / "db", options=WITHOUT_GRAPH) as large,
    ):
        taken: dict[int, list[float]] = {10_000: [], MILLION: []}
        for number in range(30):
            for rows, db in ((10_000, small), (MILLION, large)):
                started = time.perf_counter()
                db.snapshot(f"s{number}")
                taken[rows].append(time.perf_counter() - started)
                db.drop_snapshot(f"s{number}")
        for rows, times in taken.items():
            middle = float(np.median(times)) * 1000
            table.add(f"{rows:,}", middle, "< 5", met(middle < 5))
    return table


def commits(folder: Path, server: Server) -> Table:
    """Single rows, one thread, with a backup of the words going on and without; both in turn."""
    table = Table("Commit latency during a full backup", ("what", "p99, ms", "target", ""))
    prepare.ensure("tiervdb")
    with tiervdb.open(home() / "tiervdb-words-1" / "db", options=tier.BY_HAND) as source:
        source.clone(folder / "db")
    repository = tiervdb.Repository(f"s3://{BUCKET}/commits", server.options(delayed=False))
    with tiervdb.open(folder / "db", options=tier.BY_HAND, repository=repository, archive="off") as db:
        rows = db.create_collection("rows", dim=DIM, id_type="int64")
        quiet, busy = [], []
        for _ in range(3):
            quiet += _committed(rows, lambda: False, 2.0)
            backup = threading.Thread(target=lambda: db.backup("full"))
            backup.start()
            busy += _committed(rows, backup.is_alive, 60.0)
            backup.join()
    without, with_one = (float(np.percentile(times, 99)) * 1000 for times in (quiet, busy))
    table.add("without", without)
    table.add("during a backup", with_one, f"<= {without + 10:.1f}", met(with_one <= without + 10))
    return table


def _committed(rows: Any, going_on: Callable[[], bool], seconds: float) -> list[float]:
    """Commits as fast as they go, until the other work ends or the time is over."""
    vector = np.ones((1, DIM), np.float32)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    waited_for = going_on()
    while time.perf_counter() < end and (going_on() or not waited_for):
        started = time.perf_counter()
        rows.upsert(ids=[len(taken)], vectors=vector)
        taken.append(time.perf_counter() - started)
    return taken


def lag(folder: Path, server: Server) -> Table:
    """A steady load, to a store that is 30 ms away; how old the oldest commit is that is not archived, each 10 ms."""
    table = Table(f"Archive lag at {RATE:,} commits a second, 30 ms to the store", ("what", "seconds", "target", ""))
    repository = tiervdb.Repository(f"s3://{BUCKET}/lag", server.options(delayed=True))
    options = Options(flush_floats=10**9)
    with tiervdb.open(folder / "lag", options=options, repository=repository) as db:
        rows = db.create_collection("rows", dim=DIM, id_type="int64")
        times: dict[int, float] = {}
        lags: list[float] = []
        stop = threading.Event()

        def write() -> None:
            vector = np.ones((1, DIM), np.float32)
            start = time.perf_counter()
            for number in range(int(SECONDS * RATE)):
                commit = rows.upsert(ids=[number % 1000], vectors=vector)
                times[commit.seq] = time.perf_counter()
                time.sleep(max(0.0, start + number / RATE - time.perf_counter()))
            stop.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not stop.wait(0.01):
            oldest = times.get((db.status().archived_seq or 0) + 1)
            lags.append(0.0 if oldest is None else time.perf_counter() - oldest)
        writer.join()
    worst = float(np.percentile(lags, 99))
    table.add("median", float(np.median(lags)))
    table.add("p99", worst, "< 2", met(worst < 2))
    table.add("commits a second", len(times) / SECONDS)
    return table


def lazy(folder: Path, server: Server) -> Table:
    """From the call of restore() to the first answer, on a database that is nowhere but in the repository."""
    table = Table(
        "A lazy restore, 30 ms to the store: from the call to the first answer",
        ("rows", "seconds", "waves", "requests", "MB", "target", ""),
    )
    prepare.ensure("tiervdb")
    for name, path in (("339,479", home() / "tiervdb-words-1" / "db"), ("1,000,000", million() / "db")):
        place = f"s3://{BUCKET}/lazy-{name.replace(',', '')}"
        with tiervdb.open(path, options=WITHOUT_GRAPH) as source:
            query = words().queries[0]
            source.clone(folder / "clone")
        near = tiervdb.Repository(place, server.options(delayed=False))
        with tiervdb.open(folder / "clone", options=WITHOUT_GRAPH, repository=near, archive="off") as db:
            db.backup()
            expected = list(db["words"].search(query, 10).ids)
        shutil.rmtree(folder / "clone")
        away = tiervdb.Repository(place, server.options(delayed=True))
        tiervdb.Repository(place, server.options(delayed=True)).windows()  # the libraries are loaded
        server.reset()
        started = time.perf_counter()
        away.restore(folder / "lazy", lazy=True)
        with tiervdb.open(folder / "lazy", options=WITHOUT_GRAPH, source=away) as db:
            found = list(db["words"].search(query, 10).ids)
            taken = time.perf_counter() - started
            counted = server.counted()
        if found != expected:
            raise AssertionError("the lazy restore answers otherwise")
        shutil.rmtree(folder / "lazy")
        limit = 1 + 6 * DELAY_MS / 1000
        megabytes = counted["bytes_down"] / 1e6
        table.add(
            name, taken, counted["waves"], counted["requests"], megabytes, f"<= {limit:.2f} s", met(taken <= limit)
        )
    return table


def main(arguments: Sequence[str]) -> None:
    wanted = list(arguments) or ["snapshots", "commits", "lag", "lazy"]
    folder = scratch("recovery-latency")
    folder.mkdir(parents=True)
    tables = [snapshots(folder)] if "snapshots" in wanted else []
    with s3_server.running(folder / "server", DELAY_MS) as server:
        for name, work in (("commits", commits), ("lag", lag), ("lazy", lazy)):
            if name in wanted:
                tables.append(work(folder, server))
    publish("recovery_latency", tables)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
