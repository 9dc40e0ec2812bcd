"""The demo as people run it: a process, with a pipe for a terminal."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tiervdb
from tests.support.s3_servers import S3Endpoint
from tiervdb.cli.demo import kill, place, writer
from tiervdb.cli.demo.kill import KillReport, Reports
from tiervdb.cli.example_data import load_words
from tiervdb.errors import AlreadyExistsError, TiervdbError

HELD = KillReport(
    acknowledged=3, rows_acknowledged=300, rows_found=300, seqs_found=3, unacknowledged="absent", recovery_seconds=0.1
)


def demo(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tiervdb.cli.main", "demo", "--path", folder / "demo", *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> str:
    """What a demo prints into a pipe."""
    result = demo(folder)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_it_shows_every_step(shown: str) -> None:
    for step in ("1. Load", "2. Demote", "3. Search", "4. Kill", "5. Back up", "6. Snapshot", "7. Lose", "8. Try"):
        assert step in shown
    for promise in (
        "20,000 words in 20 commits",
        "16,000 words went to",
        "tokyo",
        "10,000 left",
        "20,000, and gives the same",
        "20,000 words are there, 20,000 of them bit for bit",
    ):
        assert promise in shown
    assert "\x1b" not in shown


def test_it_leaves_sound_databases_and_commands_that_work(shown: str, folder: Path) -> None:
    for path, rows in ((folder / "demo" / "words", 20_000), (folder / "demo" / "copy", 20_000)):
        with tiervdb.open(path, create=False) as db:
            assert len(db["words"]) == rows
        assert {finding.severity for finding in tiervdb.check(path).findings} <= {"info"}
    commands = [line.strip() for line in shown.splitlines() if line.startswith("   tiervdb ")]
    assert len(commands) == 11
    for command in commands:
        arguments = [sys.executable, "-m", "tiervdb.cli.main", *shlex.split(command)[1:]]
        result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.s3
def test_again_as_json_with_a_bucket(shown: str, folder: Path, seaweedfs: S3Endpoint) -> None:
    """Replaces the first one. Credentials come from the environment, where the process to be killed finds them too."""
    assert shown
    options = {name: str(value) for name, value in seaweedfs.storage_options.items()}
    environment = {
        "AWS_ACCESS_KEY_ID": options["key"],
        "AWS_SECRET_ACCESS_KEY": options["secret"],
        "AWS_ENDPOINT_URL": options["endpoint_url"],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    place = seaweedfs.place()
    result = demo(folder, "--json", "--cold", place.url, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert options["secret"] not in result.stdout
    document = json.loads(result.stdout)
    assert document["demoted"]["cold_url"] == place.url
    assert document["seconds"] < 60
    check_searches([search["stats"] for search in document["searches"]])
    check_promises(document["killed_writer"], document["looked_back"])


def check_searches(stats: list[dict[str, Any]]) -> None:
    """The first reads from the store, the same again from the cache."""
    assert [each["tiers"] for each in stats] == [["hot", "cold"]] * 5
    assert stats[0]["gets"] > 0
    assert (stats[1]["gets"], stats[1]["cache_hits"] > 0) == (0, True)


def check_promises(killed: dict[str, Any], back: dict[str, Any]) -> None:
    assert killed["acknowledged"] >= kill.KILL_BETWEEN[0]
    assert killed["rows_found"] == killed["rows_acknowledged"] == killed["acknowledged"] * writer.BATCH_ROWS
    assert killed["seqs_found"] == killed["acknowledged"]
    assert killed["unacknowledged"] in {"absent", "whole", None}
    assert (back["live_rows"], back["snapshot_rows"], back["clone_rows"]) == (10_000, 20_000, 20_000)
    assert back["same_answers"] is True


def test_it_replaces_only_what_a_demo_made(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(AlreadyExistsError, match="--path"):
        place.prepare(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_reports_of_the_writer() -> None:
    reports = Reports()
    for line in ("begin 0\n", "done 0 5\n", "begin 1\n"):
        reports.hear(line)
    assert (reports.seqs, reports.begun, reports.in_flight) == ({0: 5}, 2, True)
    reports.hear("done 1 6\n")
    assert not reports.in_flight


def test_what_counts_as_a_broken_promise() -> None:
    assert HELD.held
    assert replace(HELD, unacknowledged="whole").held
    assert not replace(HELD, rows_found=299).held
    assert not replace(HELD, seqs_found=2).held
    assert not replace(HELD, unacknowledged="torn").held


def test_missing_and_altered_rows_are_found_out(tmp_path: Path) -> None:
    """The demo's own comparison is not blind."""
    words = load_words()
    with tiervdb.open(tmp_path / "db") as db:
        rows = db.create_collection(writer.COLLECTION, dim=words.dim, id_type="int64", columns={"word": "string"})
        seqs = {number: rows.upsert(**writer.batch(words, number)).seq for number in range(3)}
        assert kill.compare(db, words, Reports(3, seqs), 0.0).held
        rows.delete(ids=[7])
        rows.update(ids=[150], columns={"word": "altered"})
        given = writer.batch(words, 2)
        rows.upsert(ids=given["ids"][:1], vectors=-given["vectors"][:1], columns={"word": words.table["word"][200:201]})
        assert kill.compare(db, words, Reports(3, seqs), 0.0).rows_found == 297
        torn = kill.compare(db, words, Reports(3, {0: seqs[0], 1: seqs[1]}), 0.0)
        assert torn.unacknowledged == "torn"
        assert kill.compare(db, words, Reports(4, {**seqs, 3: 999}), 0.0).seqs_found == 3


def test_a_writer_that_ends_by_itself(tmp_path: Path) -> None:
    with pytest.raises(TiervdbError, match="ended by itself"):
        kill.kill_a_writer(tmp_path / "no database", random.Random(0))
