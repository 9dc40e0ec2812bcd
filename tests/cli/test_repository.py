"""Backups, archives, restores, verification and recovery from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tiervdb
from tests.cli.conftest import Ask, Run
from tiervdb.backup import merging


@pytest.fixture
def repository(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that ``path`` archives to, named in the environment."""
    folder = tmp_path / "repository"
    with tiervdb.open(path, repository=folder) as db:
        db.archive()
    monkeypatch.setenv("TIERVDB_REPOSITORY", str(folder))
    return folder


def test_from_a_backup_to_a_restore(path: Path, repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    [unbacked] = ask("windows")
    assert (unbacked["first_seq"], unbacked["backups"]) == (0, [])
    assert "would make a full backup" in run("backup", path, "--dry-run").stdout
    made = ask("backup", path, "--label", "first")
    assert (made["kind"], made["label"]) == ("full", "first")
    with tiervdb.open(path) as db:
        db.snapshot("before")
        db["points"].delete(where="number >= 10", note="too many")
    [listed] = ask("backups", "list")
    assert listed["id"] == made["id"]
    assert ask("backups", "show", "first")["files"] == listed["files"]
    assert "first" in run("backups", "list").stdout
    [window] = ask("windows")
    assert window["last_seq"] == 4
    assert ask("history")[-1]["note"] == "too many"
    plan = run("restore", tmp_path / "then", "--target", "seq:3", "--dry-run").stdout
    assert "would restore seq 3: commit 3" in plan
    done = ask("restore", tmp_path / "then", "--target", "snapshot:before")
    assert (done["seq"], done["attached"]) == (2, False)
    assert "detached" in run("restore", tmp_path / "now").stdout
    assert ask("restore", tmp_path / "lazy", "--lazy", "--target", window["last_time"])["seq"] == 4
    with tiervdb.open(tmp_path / "then") as then, tiervdb.open(tmp_path / "now") as now:
        assert (len(then["points"]), len(now["points"])) == (100, 10)
    run("restore", tmp_path / "now", exit_code=3)
    assert "restorable near it" in run("restore", tmp_path / "x", "--target", "seq:99", exit_code=4).stderr
    assert "is no point in time" in run("restore", tmp_path / "x", "--target", "yesterday", exit_code=2).stderr


def test_merging_the_log(path: Path, repository: Path, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "YOUNG_US", 0)
    with tiervdb.open(path) as db:
        for number in range(12):
            db["points"].delete(where="number = ?", params=[number])
            db.archive()
    windows = ask("windows")
    plan = ask("merge-log")
    assert (plan["parts"], plan["objects"], plan["deleted"], plan["dry_run"]) == (12, 1, 0, True)
    assert "would merge 12 parts" in run("merge-log").stdout
    assert "would merge 12 small parts of the log" in run("expire").stdout
    assert "merged 12 parts" in run("merge-log", "--confirm").stdout
    assert "would merge 0 parts" in run("merge-log").stdout
    assert ask("windows") == windows
    assert len(ask("catalog", "sql", "from wal_files")) == 2


def test_expiring(path: Path, repository: Path, run: Run, ask: Ask) -> None:
    ask("backup", path, "--label", "old")
    ask("backup", path, "--label", "new", "--kind", "full")
    assert "would expire 1 backup" in run("backups", "expire", "old").stdout
    assert len(ask("backups", "list")) == 2
    assert ask("backups", "expire", "old", "--confirm")["objects"] > 0
    assert [backup["label"] for backup in ask("backups", "list")] == ["new"]
    assert "last backup" in run("backups", "expire", "new", "--confirm", exit_code=4).stderr


def test_a_refused_expiry_says_what_led_there(path: Path, repository: Path, run: Run, ask: Ask) -> None:
    ask("backup", path, "--label", "old")
    for number in range(3):
        with tiervdb.open(path) as db:
            db["points"].delete(ids=[f"p{number}"])
            db.flush()
    ask("backup", path, "--label", "new", "--kind", "full")
    asked = ("expire", "--pitr", "none", "--daily", 0, "--weekly", 0, "--monthly", 0, "--min-backups", 1)
    refused = run(*asked, exit_code=4)
    assert "would break" in refused.stderr
    assert "--require-restorable 7d" in refused.stderr
    assert "EXPIRE" in refused.stdout
    assert "refused to expire 1 backup" in refused.stdout
    document = json.loads(run(*asked, "--json", exit_code=4).stdout)
    assert [decision["label"] for decision in document["decisions"] if not decision["keep"]] == ["old"]
    assert "would break" in document["refused"]


def test_losing_the_machine(path: Path, repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    run("backup", path)
    shutil.rmtree(path)
    run("restore", path, "--attach")
    with tiervdb.open(path) as db:
        assert len(db["points"]) == 100
        assert db.status().repository_url == f"file://{repository}"
    assert ask("status", path)["status"]["repository_url"] == f"file://{repository}"
    assert ask("archive", path)["seq"] == ask("status", path)["status"]["seq"]


def test_attaching_only_when_confirmed(path: Path, repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    run("backup", path)
    run("restore", tmp_path / "new")
    assert "say --confirm" in run("attach", tmp_path / "new").stdout
    assert ask("attach", tmp_path / "new", "--confirm")["attached"]
    assert "took over" in run("archive", path, exit_code=8).stderr


def test_beside_a_writer(path: Path, repository: Path, ask: Ask) -> None:
    with tiervdb.open(path) as db:
        db.archive()
        assert ask("backup", path)["seq"] == db.seq


def test_verify_and_copy(path: Path, repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    run("backup", path)
    assert ask("verify", "--deep")["ok"]
    assert ask("verify", "--sample", "50%")["ok"]
    copied = ask("copy", tmp_path / "offsite")
    assert copied["backups"] == 1
    assert "1 backup had been there" in run("copy", tmp_path / "offsite").stdout
    run("restore", tmp_path / "back", "--repository", tmp_path / "offsite")
    next(file for file in (repository / "data").rglob("*") if file.is_file()).unlink()
    result = run("verify", exit_code=7)
    assert "missing" in result.stdout
    assert "full backup" in result.stdout


def test_an_encrypted_one(path: Path, tmp_path: Path, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "a key that is long enough")
    sealed = ("--repository", tmp_path / "sealed")
    run("backup", path, *sealed, "--key-env", "THE_KEY")
    assert "give --key-file, --key-env or --key-command" in run("windows", *sealed, exit_code=5).stderr
    assert len(ask("windows", *sealed, "--key-command", "printenv THE_KEY")) == 1
    (tmp_path / "other").write_text("another key, also long enough")
    assert "opens none" in run("windows", *sealed, "--key-file", tmp_path / "other", exit_code=5).stderr
    both = ("--key-env", "THE_KEY", "--key-file", tmp_path / "other")
    assert "not several" in run("windows", *sealed, *both, exit_code=2).stderr


def test_which_repository(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERVDB_REPOSITORY", raising=False)
    assert "give --repository URL" in run("windows", exit_code=2).stderr


def test_diff_and_recover(path: Path, run: Run, ask: Ask) -> None:
    with tiervdb.open(path) as db:
        db.snapshot("before")
        db["points"].delete(where="number < ?", params=[30])
        db["points"].update(ids=["p50"], columns={"colour": "blue"})
    assert "since before: 0 added, 30 removed, 1 changed" in run("diff", path, "points", "--at", "before").stdout
    assert len(ask("diff", path, "points", "--at", "before")) == 31
    options = ("--at", "snapshot:before", "--where", "number < ?", "--param", "5")
    assert "would bring back 5 missing rows" in run("recover", path, "points", *options).stdout
    assert ask("recover", path, "points", *options, "--confirm")["missing"] == 5
    with tiervdb.open(path) as db:
        assert len(db["points"]) == 75
