"""Databases that nobody closed."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import tiervdb
from tests.database.conftest import OPTIONS
from tests.support.crash_dir import CrashDir
from tiervdb.clock import ManualClock
from tiervdb.database.open import open_in
from tiervdb.engine.open import Setting
from tiervdb.errors import DatabaseLockedError

BUSY = tiervdb.Options()  # with threads in the background, which must not hold the database


def made(path: Path, options: tiervdb.Options = OPTIONS) -> tiervdb.Database:
    db = tiervdb.open(path, options=options)
    db.create_collection("words", dim=2).upsert(ids=["a"], vectors=[[1, 2]])
    return db


@pytest.mark.parametrize("options", [OPTIONS, BUSY], ids=["quiet", "busy"])
def test_a_forgotten_database_lets_go_of_its_directory(path: Path, options: tiervdb.Options) -> None:
    before = set(threading.enumerate())
    db = made(path, options)
    with pytest.warns(ResourceWarning, match=r"was forgotten.*call close\(\)"):
        del db
    assert not [t for t in set(threading.enumerate()) - before if "search" not in t.name]
    with tiervdb.open(path, options=options) as again:
        assert len(again["words"]) == 1


def test_a_database_in_a_cycle_is_found_when_its_path_is_opened_again(path: Path) -> None:
    cycle: list[object] = [made(path)]
    cycle.append(cycle)
    del cycle
    with pytest.warns(ResourceWarning), tiervdb.open(path, options=OPTIONS) as again:
        assert len(again["words"]) == 1


def test_what_is_still_used_keeps_its_database(path: Path) -> None:
    db = made(path)
    words = db["words"]
    past = db.at()
    del db
    with pytest.raises(DatabaseLockedError, match=r"in this process .*use that Database, or close\(\) it first"):
        tiervdb.open(path, options=OPTIONS)
    stream = words.scan()
    del words
    assert stream.read_all()["id"].to_pylist() == ["a"]
    del stream
    assert len(past["words"]) == 1
    with pytest.warns(ResourceWarning):
        del past


def test_a_forgotten_reader_lets_go_of_its_pin(path: Path) -> None:
    with made(path) as db:
        reader = tiervdb.open(path, read_only=True)
        assert len(db.pins()) == 1
        with pytest.warns(ResourceWarning):
            del reader
        gc.collect()
        assert db.pins() == []


def test_a_closed_one_says_nothing(path: Path) -> None:
    made(path).close()
    with made(path.parent / "other"):
        pass


def test_a_directory_that_was_deleted_stays_deleted(path: Path) -> None:
    db = made(path)
    shutil.rmtree(path)
    with pytest.warns(ResourceWarning):
        del db
    assert not path.exists()


def test_the_disk_of_a_machine_that_ended_is_left_alone(tmp_path: Path) -> None:
    local = CrashDir(tmp_path / "bench")
    db = open_in(local, Setting(options=OPTIONS), ManualClock(), random.Random(1), read_only=False)
    local.kill()
    steps = local.steps
    del db  # a warning would fail the test
    assert local.steps == steps


def test_a_child_after_a_fork_leaves_it_to_its_parent(path: Path) -> None:
    db = made(path)
    child = os.fork()
    if child == 0:
        del db
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(DatabaseLockedError):
        tiervdb.open(path, options=OPTIONS)
    db["words"].upsert(ids=["b"], vectors=[[1, 2]])
    db.close()


def test_the_end_of_a_program_is_quiet(path: Path) -> None:
    code = (
        f"import tiervdb\ndb = tiervdb.open({str(path)!r})\n"
        "db.create_collection('words', dim=2).upsert(ids=['a'], vectors=[[1, 2]])\ncycle = [db]\ncycle.append(cycle)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    with tiervdb.open(path, options=OPTIONS) as db:
        assert len(db["words"]) == 1
