"""What many small parts of the archived log cost who reads them, and what merging brings.

``python -m benchmarks.archived_log``: an hour of one commit a second, 3,600 parts, 30 ms to the store.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tiervdb
from benchmarks import s3_server
from benchmarks.s3_server import BUCKET, Server
from benchmarks.tables import Table, publish
from benchmarks.workplace import scratch
from tiervdb.backup import read_ahead
from tiervdb.clock import SystemClock
from tiervdb.config import Options

DELAY_MS = 30.0
PARTS = 3_600
DIM = 100
PLACE = f"s3://{BUCKET}/archived-log"
OPTIONS = Options(background=False)


class Later(SystemClock):
    """Two hours ahead, when the parts are old enough to be merged."""

    def now_us(self) -> int:
        return super().now_us() + 7_200_000_000


def main() -> None:
    folder = scratch("archived-log")
    folder.mkdir(parents=True)
    table = Table(
        f"{PARTS:,} parts of the archived log, 30 ms to the store", ("what", "parts", "seconds", "GETs", "waves")
    )
    with s3_server.running(folder / "server", DELAY_MS) as server:
        write(folder, server)
        tiervdb.Repository(PLACE, server.options(delayed=True)).backups()  # the libraries are loaded
        for parts in ("one at a time", "read ahead", "merged"):
            if parts == "merged":
                merge(table, server)
            read_ahead.AHEAD = 1 if parts == "one at a time" else 32
            for what, act in READERS.items():
                measure(table, server, folder, what, parts, act)
    publish("archived_log", [table])
    shutil.rmtree(folder)


def write(folder: Path, server: Server) -> None:
    """A backup of an empty collection, and commits that are archived one by one."""
    repository = tiervdb.Repository(PLACE, server.options(delayed=False), publish=False)
    rng = np.random.default_rng(1)
    with tiervdb.open(folder / "db", options=OPTIONS, repository=repository) as db:
        rows = db.create_collection("rows", dim=DIM, id_type="int64")
        db.backup()
        for number in range(PARTS):
            rows.upsert(ids=[number], vectors=rng.normal(size=(1, DIM)).astype(np.float32))
            db.archive()


def merge(table: Table, server: Server) -> None:
    repository = tiervdb.Repository(PLACE, server.options(delayed=True), publish=False, clock=Later())
    server.reset()
    started = time.perf_counter()
    repository.merge_log(dry_run=False)
    counted = server.counted()
    methods = counted["by_method"]
    table.add("merging them", "", time.perf_counter() - started, methods.get("GET", 0), counted["waves"])


def measure(
    table: Table,
    server: Server,
    folder: Path,
    what: str,
    parts: str,
    act: Callable[[tiervdb.Repository, Path], int],
) -> None:
    repository = tiervdb.Repository(PLACE, server.options(delayed=True), publish=False)
    server.reset()
    started = time.perf_counter()
    commits = act(repository, folder / "restored")
    taken, counted = time.perf_counter() - started, server.counted()
    if commits != PARTS + 1:
        raise AssertionError(f"{what}: {commits} commits instead of {PARTS + 1}")
    shutil.rmtree(folder / "restored", ignore_errors=True)
    table.add(what, parts, taken, counted["by_method"].get("GET", 0), counted["waves"])


def windows(repository: tiervdb.Repository, _: Path) -> int:
    return repository.windows()[-1].last_seq


def restore(repository: tiervdb.Repository, path: Path) -> int:
    return repository.restore(path).seq


def commits(repository: tiervdb.Repository, _: Path) -> int:
    return int(repository.sql("select count(*) from commits").fetchall()[0][0])


READERS: dict[str, Callable[[tiervdb.Repository, Path], int]] = {
    "windows()": windows,
    "restore()": restore,
    "sql over commits": commits,
}


if __name__ == "__main__":
    main()
