"""A writer is killed (kill -9) and its directory is gone: what the repository holds, with each way to archive."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import tiervdb
from tests.support.s3_servers import S3Endpoint
from tiervdb.backup.repository import Repository
from tiervdb.storage.open import Store

WRITER = """
import json, os, sys, time
import numpy as np
import tiervdb

path, url, mode = sys.argv[1:]
repository = tiervdb.Repository(url, json.loads(os.environ["STORAGE_OPTIONS"]), publish=False)
options = tiervdb.Options(archive_seconds=0.1, flush_floats=600, small_floats=10**6, wal_file_bytes=20_000)
with tiervdb.open(path, repository=repository, archive=mode, options=options) as db:
    words = db.create_collection("words", dim=3, metric="l2", id_type="int64")
    for number in range(100_000):
        commit = words.upsert(ids=[number, 10**6], vectors=np.full((2, 3), number, np.float32))
        now, status = time.time(), db.status()
        said = {"seq": commit.seq, "time": commit.time.timestamp(), "now": now, "lag": status.archive_lag}
        print(json.dumps(said | {"archived": status.archived_seq}), flush=True)
        if number == 12:
            db.backup()
        if number == 20:
            db.demote("words", 0.5)
"""


@dataclass(frozen=True)
class Said:
    """What the writer last said: of a commit that was acknowledged, and of the archive after it."""

    seq: int
    time: float
    now: float
    lag: float
    archived: int


def write_and_kill(path: Path, place: Store, mode: str, commits: int) -> list[Said]:
    """Kills the writer after so many commits; all that it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(place.url), mode],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"STORAGE_OPTIONS": json.dumps(dict(place.storage_options or {}))},
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(commits)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
    return [Said(**json.loads(line)) for line in lines if line.endswith("\n")]


def restored_seq(path: Path, place: Store) -> int:
    """Restores the newest state from the repository alone, which must be that of one commit; which one."""
    repository = Repository(str(place.url), place.storage_options, publish=False)
    seq = repository.restore(path, attach=True).seq
    with tiervdb.open(path, repository=repository) as db:
        assert db.seq == seq
        rows = db["words"].scan(vectors=True).read_all()
        found = dict(zip(rows["id"].to_pylist(), rows["vector"].to_pylist(), strict=True))
        last = seq - 2  # the first commit made the collection
        assert found == {n: [float(n)] * 3 for n in range(last + 1)} | {10**6: [float(last)] * 3}
        db["words"].upsert(ids=[1], vectors=[[0.0, 0.0, 0.0]])
        assert db.archive().seq == seq + 1
    return int(seq)


def lose(folder: Path, place: Store, mode: str, commits: int) -> tuple[int, list[Said]]:
    said = write_and_kill(folder / "db", place, mode, commits)
    shutil.rmtree(folder / "db")
    return restored_seq(folder / "back", place), said


def check(folder: Path, place: Store, mode: str, seed: int) -> None:
    seq, said = lose(folder, place, mode, random.Random(seed).randrange(12, 40))
    if mode == "sync":
        assert seq >= said[-1].seq
        return
    assert seq >= said[-1].archived
    for one in said:  # what the archive lagged behind at any moment is what could be lost then
        owed = [other.seq for other in said if other.time <= one.now - one.lag and other.seq <= one.seq]
        assert seq >= max(owed, default=0)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_with_a_directory(mode: str, tmp_path: Path) -> None:
    check(tmp_path, Store(tmp_path / "repository"), mode, 1)


@pytest.mark.s3
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_with_a_bucket(mode: str, tmp_path: Path, s3_endpoint: S3Endpoint) -> None:
    check(tmp_path, s3_endpoint.place(), mode, 2)


@pytest.mark.slow
@pytest.mark.s3
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("seed", range(20))
def test_with_a_bucket_again_and_again(mode: str, seed: int, tmp_path: Path, s3_endpoint: S3Endpoint) -> None:
    check(tmp_path, s3_endpoint.place(), mode, 100 + seed)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("seed", range(20))
def test_with_a_directory_again_and_again(mode: str, seed: int, tmp_path: Path) -> None:
    check(tmp_path, Store(tmp_path / "repository"), mode, 100 + seed)
