"""Real processes: killed in mid-write, and beside one another."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tiervdb
from tiervdb.errors import DatabaseLockedError

WRITER = """
import sys
import numpy as np
import tiervdb

options = tiervdb.Options(flush_floats=600, small_floats=10**6, wal_file_bytes=20_000, background={background})
with tiervdb.open(sys.argv[1], options=options) as db:
    kinds = dict(dim=3, metric="l2", id_type="int64", columns={{"batch": "int64"}})
    words = db.create_collection("words", **kinds, exist_ok=True)
    first = max([-1, *words.scan().read_all()["batch"].to_pylist()]) + 1
    for batch in range(first, first + 10_000):
        ids = [*range(20 * batch, 20 * batch + 20), batch]  # a batch also overwrites one old row
        rows = {{i: batch for i in ids}}
        vectors = np.full((len(rows), 3), batch, np.float32)
        words.upsert(ids=list(rows), vectors=vectors, columns={{"batch": list(rows.values())}})
        print(batch, flush=True)
        if batch % 7 == 3:
            db.demote("words", 0.5)
"""


@pytest.fixture
def one_inode() -> None:
    """Here the real one counts."""


@contextmanager
def writer(path: Path, *, background: bool) -> Iterator[subprocess.Popen[str]]:
    """A process that commits batch after batch and says which was acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(background=background), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def assert_whole(path: Path, acknowledged: int) -> None:
    """Batches 0 to some last one, each whole, the later over the earlier."""
    with tiervdb.open(path, options=tiervdb.Options(background=False)) as db:
        found = dict(zip(*(db["words"].scan().read_all()[name].to_pylist() for name in ("id", "batch")), strict=True))
        last = max(found.values())
        assert last >= acknowledged
        expected = {i: batch for batch in range(last + 1) for i in (*range(20 * batch, 20 * batch + 20), batch)}
        assert found == expected
    assert tiervdb.check(path).ok


@pytest.mark.parametrize("background", [False, True])
def test_kill_in_mid_write(tmp_path: Path, background: bool) -> None:
    """Again and again on the same database, each time after some more acknowledged batches."""
    chance = random.Random(7)
    path, acknowledged = tmp_path / "db", -1
    for _ in range(2):
        with writer(path, background=background) as process:
            assert process.stdout is not None
            for _ in range(chance.randint(5, 25)):
                acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            process.wait()
            rest = process.stdout.read().split()
            acknowledged = max([acknowledged, *map(int, rest[:-1])])  # the last line may be cut
        assert_whole(path, acknowledged)


def test_a_second_process_is_refused_and_may_read(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with writer(path, background=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(DatabaseLockedError, match=rf"pid {process.pid}\b.*read_only=True"):
            tiervdb.open(path)
        with tiervdb.open(path, read_only=True) as reader:
            seen = 0
            for _ in range(20):
                acknowledged = int(process.stdout.readline())
                reader.refresh()
                rows = reader["words"].scan().read_all()
                assert max(rows["batch"].to_pylist()) >= acknowledged
                assert len(rows) >= seen
                assert len(rows) % 20 == 0
                seen = len(rows)


def test_after_a_fork_the_parents_database_lives_on(tmp_path: Path) -> None:
    with tiervdb.open(tmp_path / "db", options=tiervdb.Options(background=False)) as db:
        words = db.create_collection("words", dim=1, metric="l2", id_type="int64")
        words.upsert(ids=[1], vectors=[[1.0]])
        child = os.fork()
        if child == 0:
            code = 1
            try:
                words.upsert(ids=[2], vectors=[[2.0]])
            except tiervdb.errors.ForkedError:
                db.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        words.upsert(ids=[3], vectors=[[3.0]])
        assert len(words) == 2
    assert tiervdb.check(tmp_path / "db").ok
