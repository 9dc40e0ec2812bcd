"""docker/stack.py: starts real servers, leaves nothing running, and its checker finds what is not as it was written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import boto3
import make_buckets
import numpy as np
import psutil
import pytest
import stack
import stack_processes
import words as application
from stack_truth import QUERIES, Truth

import tiervdb
from tests.support.s3_servers import find_minio
from tiervdb.cli.demo import steps
from tiervdb.cli.example_data import Words, load_words

ROOT = Path(__file__).parents[2]
STACK = ROOT / "docker" / "stack.py"


@pytest.fixture(params=["seaweedfs", "minio"])
def server(request: pytest.FixtureRequest) -> str:
    if request.param == "minio" and find_minio() is None:
        pytest.skip("no MinIO server: `make minio` builds one; this half of the stack's tests was skipped")
    return str(request.param)


# -- processes


@pytest.mark.s3
def test_servers_with_locked_buckets_that_end(
    server: stack_processes.Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack_processes.keys().items():
        monkeypatch.setenv(name, value)
    with stack_processes.directory(tmp_path, server, scratch=True) as running:
        for name in ("store", "offsite"):
            running.start(name)
        running.run("buckets")
        running.run("buckets")  # they are there: nothing to do
        pids = [process.pid for process in running.processes.values()]
        assert json.loads((tmp_path / "processes.json").read_text()) == dict(
            zip(("store", "offsite"), pids, strict=True)
        )
        stores = tomllib.loads(running.config.read_text())["stores"]
        for name, bucket in (("store", "tiervdb"), ("offsite", "tiervdb-offsite")):
            client = make_buckets.client_of(stores[name])
            assert make_buckets.is_locked(client, bucket)
            client.close()
        with (
            pytest.raises(SystemExit, match="a stack runs in"),
            stack_processes.directory(tmp_path, None, scratch=True),
        ):
            pass
    assert not any(psutil.pid_exists(pid) for pid in pids)
    with stack_processes.directory(tmp_path, server, scratch=True):
        pass  # the lock is free again


@pytest.mark.s3
def test_up_is_stopped_by_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, STACK, "up", "--directory", tmp_path, *(["--server", "minio"] if find_minio() else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "tiervdb status" in line:
                break
        pids = json.loads((tmp_path / "processes.json").read_text())
        assert list(pids) == ["store", "offsite", "agent"]
        keys, _, asked = line.strip().rpartition("; ")
        tiervdb_command = f"{sys.executable} -m tiervdb.cli.main"
        shell = ["bash", "-c", f"{keys}; {asked.replace('tiervdb', tiervdb_command, 1)} --json"]
        done = subprocess.run(shell, capture_output=True, text=True, check=False)
        [standing] = json.loads(done.stdout)
        assert standing["rows"] == 20_000
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_without_minio_it_is_said_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stack_processes.server_program(None)[0] == "seaweedfs"
    assert "make minio" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="make minio"):
        stack_processes.server_program("minio")
    (tmp_path / "minio").write_text("#!/bin/sh\n")
    (tmp_path / "minio").chmod(0o755)
    assert stack_processes.server_program(None) == ("minio", str(tmp_path / "minio"))


def test_the_demo_replaces_only_its_own_directory(tmp_path: Path) -> None:
    mine, others = tmp_path / "mine", tmp_path / "others"
    stack.empty(mine)
    (mine / "data").touch()
    stack.empty(mine)
    assert [path.name for path in mine.iterdir()] == [stack.MARK]
    others.mkdir()
    (others / "precious").touch()
    with pytest.raises(SystemExit, match="choose another --directory"):
        stack.empty(others)
    assert (others / "precious").exists()


@pytest.mark.s3
@pytest.mark.slow
def test_the_demo(server: str, tmp_path: Path) -> None:
    command = [sys.executable, STACK, "demo", "--json", "--server", server, "--directory", tmp_path / "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    machine, site = json.loads(done.stdout)["recovered"]
    assert machine["lost"] == 0
    assert site["lost"] > 0
    assert site["same_answers"] == machine["same_answers"] == QUERIES


# -- the checker


@pytest.fixture(scope="module")
def all_words() -> Words:
    return load_words()


@pytest.fixture
def db(all_words: Words, tmp_path: Path) -> Iterator[tiervdb.Database]:
    with tiervdb.open(tmp_path / "words") as db:
        steps.load(db, all_words, lambda *_: None)
        for number in range(6):  # one of them deletes
            application.commit(db, all_words, number)
        yield db


def test_what_was_written_is_there(db: tiervdb.Database, all_words: Words) -> None:
    truth = Truth.after(all_words, 6)
    assert truth.rows == len(all_words) - application.BATCH_ROWS
    assert (truth.same_rows(db), truth.same_answers(db)) == (truth.rows, QUERIES)


def test_a_commit_that_is_missing_is_found(db: tiervdb.Database, all_words: Words) -> None:
    truth = Truth.after(all_words, 7)
    assert truth.same_rows(db) == truth.rows - application.BATCH_ROWS


def test_a_changed_row_is_found(db: tiervdb.Database, all_words: Words) -> None:
    truth = Truth.after(all_words, 6)
    word = all_words.table.slice(5000, 1)
    vector = np.nextafter(all_words.vectors[5000:5001], np.float32(9))
    columns = {name: word[name] for name in ("rank", "length")}
    db[steps.COLLECTION].upsert(ids=word["word"], vectors=vector, columns=columns)
    assert truth.same_rows(db) == truth.rows - 1
    db[steps.COLLECTION].delete(ids=word["word"])
    assert truth.same_rows(db) == -1


def test_wrong_answers_are_found(db: tiervdb.Database, all_words: Words) -> None:
    truth = Truth.after(all_words, 6)
    db[steps.COLLECTION].delete(where="rank % 2 = 1")
    assert truth.same_answers(db) < QUERIES


def test_a_bucket_without_object_lock_is_refused(seaweedfs: object) -> None:
    options = seaweedfs.storage_options  # type: ignore[attr-defined]
    client = boto3.client(
        "s3",
        endpoint_url=options["endpoint_url"],
        aws_access_key_id=options["key"],
        aws_secret_access_key=options["secret"],
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="without-lock")
    with pytest.raises(SystemExit, match="without Object Lock"):
        make_buckets.make(client, "without-lock")
    client.close()
