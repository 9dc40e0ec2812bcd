"""The catalog, retention, holds and drills from the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

import tiervdb
from tests.cli.conftest import Ask, Run
from tiervdb.backup.catalog.schema import TABLES

KEEP_ALL = ("--pitr", "10y")
KEEP_LAST = ("--pitr", "none", "--daily", "0", "--weekly", "0", "--monthly", "0", "--min-backups", "1")


@pytest.fixture
def repository(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Backups "first" and "second" of ``path``, a snapshot between them; named in the environment."""
    folder = tmp_path / "repository"
    with tiervdb.open(path, repository=folder) as db:
        db.backup(label="first")
        db.snapshot("between")
        db["points"].delete(where="number >= 90", note="too many")
        db.flush()
        db.backup(label="second")
    monkeypatch.setenv("TIERVDB_REPOSITORY", str(folder))
    return folder


def damage(repository: Path) -> None:
    """One byte of each object of the first backup is another."""
    for file in (repository / "data").rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


# -- catalog sql


def test_a_table(repository: Path, run: Run) -> None:
    lines = run("catalog", "sql", "select label, kind, rows, listed from backups order by seq").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["label", "kind", "rows", "listed"],
        ["first", "full", "100", "yes"],
        ["second", "incremental", "90", "yes"],
    ]
    assert run("catalog", "sql", "from gaps").stdout == "no rows\n"


def test_json(repository: Path, ask: Ask) -> None:
    query = "select label, rows, listed, unlisted_reason, time, snapshots, seconds from backups order by seq"
    first, second = ask("catalog", "sql", query)
    assert (first["label"], first["rows"], first["listed"], first["unlisted_reason"]) == ("first", 100, True, None)
    assert (first["snapshots"], second["snapshots"]) == ([], ["between"])
    assert first["time"].endswith("Z")
    assert first["seconds"] >= 0
    assert ask("catalog", "sql", "from gaps") == []


def test_csv(repository: Path, run: Run) -> None:
    query = "select label, rows, unlisted_reason as why, 'a \"b\", c' as text, time from backups order by seq"
    printed = run("catalog", "sql", query, "--format", "csv").stdout
    header, first, second = csv.reader(io.StringIO(printed))
    assert header == ["label", "rows", "why", "text", "time"]
    assert (first[:4], second[:2]) == (["first", "100", "", 'a "b", c'], ["second", "90"])
    assert first[4].endswith("+00:00")
    assert run("catalog", "sql", "select seq from commits where false", "--format", "csv").stdout == "seq\n"


def test_the_log(repository: Path, ask: Ask) -> None:
    [deleted] = ask("catalog", "sql", "select collection, deleted, note from commits where deleted > 0")
    assert deleted == {"collection": "points", "deleted": 10, "note": "too many"}
    [snapshot] = ask("catalog", "sql", "select name, seq from snapshots")
    assert snapshot == {"name": "between", "seq": 2}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("drop table backups", "give one select"),
        ("select 1; select 2", "give one select"),
        ("select nope from backups", '"nope" not found'),
        ("from read_csv('/etc/passwd')", "disabled by configuration"),
    ],
)
def test_what_is_refused(repository: Path, run: Run, query: str, words: str) -> None:
    result = run("catalog", "sql", query, exit_code=2)
    assert words in result.stderr
    assert result.stdout == ""
    error = json.loads(run("catalog", "sql", query, "--json", exit_code=2).stderr)
    assert (error["error"], error["exit_code"]) == ("InvalidInputError", 2)
    assert words in error["message"]


def test_which_repository(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERVDB_REPOSITORY", raising=False)
    assert "give --repository URL" in run("catalog", "sql", "from backups", exit_code=2).stderr
    (tmp_path / "empty").mkdir()
    run("catalog", "sql", "from backups", "--repository", tmp_path / "empty", exit_code=5)


def test_an_encrypted_one(path: Path, tmp_path: Path, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "a key that is long enough")
    sealed = ("--repository", tmp_path / "sealed")
    run("backup", path, *sealed, "--key-env", "THE_KEY")
    assert "give --key-file" in run("catalog", "sql", "from backups", *sealed, exit_code=5).stderr
    assert len(ask("catalog", "sql", "from backups", *sealed, "--key-env", "THE_KEY")) == 1
    assert "published" in run("catalog", "publish", *sealed, "--key-env", "THE_KEY").stdout
    assert not list((tmp_path / "sealed").rglob("*.parquet"))


# -- the other ways


def test_tables(run: Run, ask: Ask) -> None:
    printed = run("catalog", "tables").stdout
    assert all(f"{name}: {table.meaning}" in printed for name, table in TABLES.items())
    rows = ask("catalog", "tables")
    assert [(row["table"], row["column"]) for row in rows] == [
        (name, column) for name, table in TABLES.items() for column, _, _ in table.columns
    ]
    kinds = {(row["table"], row["column"]): row["type"] for row in rows}
    assert kinds["backups", "time"] == "timestamptz"
    assert kinds["backups", "snapshots"] == "varchar[]"
    assert {"varchar", "bigint", "boolean", "double"} <= set(kinds.values())


def test_export(repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    file = tmp_path / "catalog.duckdb"
    assert f"wrote {len(TABLES)} tables" in run("catalog", "export", file).stdout
    with duckdb.connect(str(file), read_only=True) as connection:
        assert {name for (name,) in connection.sql("show tables").fetchall()} == set(TABLES)
        assert connection.sql("select label from backups order by seq").fetchall() == [("first",), ("second",)]
        assert connection.sql("select count(*) from commits").fetchall() == [(4,)]
    before = file.read_bytes()
    assert "exists already" in run("catalog", "export", file, exit_code=3).stderr
    assert file.read_bytes() == before
    assert ask("catalog", "export", tmp_path / "other.duckdb")["tables"] == len(TABLES)


def test_graph(repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    printed = run("catalog", "graph").stdout
    assert str(repository) in printed
    assert "second" in printed
    found = ask("catalog", "graph")
    assert [backup["label"] for backup in found["backups"]] == ["first", "second"]
    assert len(found["windows"]) == 1
    file = tmp_path / "lineage.html"
    assert "drew 2 backups" in run("catalog", "graph", "-o", file).stdout
    page = file.read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "second" in page
    assert ask("catalog", "graph", "--output", file) == {"file": str(file), "backups": 2}
    run("catalog", "graph", "-o", tmp_path / "nowhere" / "x.html", exit_code=8)


def test_publish(repository: Path, run: Run, ask: Ask) -> None:
    pointer = repository / "catalog" / "current.json"
    before = json.loads(pointer.read_text())
    assert f"published the catalog in file://{repository}" in run("catalog", "publish").stdout
    after = json.loads(pointer.read_text())
    assert after["directory"] != before["directory"]
    assert {"commits", "snapshots"} <= after["tables"].keys()
    assert ask("catalog", "publish") == {"repository": f"file://{repository}"}
    published = pq.read_table(repository / after["directory"] / "backups.parquet")
    assert sorted(published["label"].to_pylist()) == ["first", "second"]


# -- expire


def test_a_plan_expires_nothing(repository: Path, run: Run, ask: Ask) -> None:
    plan = ask("expire", *KEEP_LAST, "--require-restorable", "none")
    assert plan["dry_run"]
    assert {decision["label"]: decision["keep"] for decision in plan["decisions"]} == {"first": False, "second": True}
    assert all(decision["reasons"] for decision in plan["decisions"])
    assert (len(plan["backups"]), plan["objects"] > 0) == (1, True)
    printed = run("expire", *KEEP_LAST, "--require-restorable", "none").stdout
    assert "EXPIRE" in printed
    assert "could no longer be restored" in printed
    assert "would expire 1 backup" in printed
    assert "say --confirm" in printed
    assert len(ask("backups", "list")) == 2
    assert "would expire 0 backups" in run("expire", *KEEP_ALL).stdout


def test_expiring(repository: Path, run: Run, ask: Ask) -> None:
    result = run("expire", *KEEP_LAST, "--confirm", exit_code=4)
    assert "require" in result.stderr
    assert len(ask("backups", "list")) == 2
    options = (*KEEP_LAST, "--require-restorable", "none", "--lock", "none")
    plan = ask("expire", *options)
    done = ask("expire", *options, "--confirm")
    assert not done["dry_run"]
    assert [done[name] for name in ("backups", "objects")] == [plan[name] for name in ("backups", "objects")]
    assert [backup["label"] for backup in ask("backups", "list")] == ["second"]
    [row] = ask("catalog", "sql", "select policy, len(backups) as backups, objects, error from expiry_runs")
    assert (row["backups"], row["objects"], row["error"]) == (1, done["objects"], None)
    assert "min_backups=1" in row["policy"]
    [gone] = ask("catalog", "sql", "select label, unlisted_reason from backups where not listed")
    assert gone["label"] == "first"
    assert gone["unlisted_reason"]
    assert "expired 0 backups" in run("expire", *options, "--confirm").stdout


@pytest.mark.parametrize("option", [("--pitr", "soon"), ("--daily", "-1"), ("--min-backups", "0"), ("--lock", "x")])
def test_policies_that_cannot_be(repository: Path, run: Run, option: tuple[str, str]) -> None:
    run("expire", *option, exit_code=2)


# -- holds


def test_holding_and_releasing(repository: Path, run: Run, ask: Ask) -> None:
    assert run("holds").stdout == "nothing is held\n"
    assert ask("holds") == []
    [first] = [backup["id"] for backup in ask("backups", "list") if backup["label"] == "first"]
    held = ask("hold", "first", "--reason", "audit")
    assert (held["backup"], held["label"], held["reason"], held["released"]) == (first, None, "audit", None)
    by_label = run("hold", "--label", "nightly", "--reason", "for now").stdout
    assert "keeps all backups labelled 'nightly'" in by_label
    assert [hold["reason"] for hold in ask("holds")] == ["audit", "for now"]
    assert "audit" in run("holds").stdout
    options = (*KEEP_LAST, "--require-restorable", "none", "--lock", "none", "--confirm")
    assert ask("expire", *options)["backups"] == []
    assert "is held" in run("backups", "expire", "first", "--confirm", exit_code=4).stderr
    [released] = ask("release", "nightly")
    assert released["label"] == "nightly"
    assert released["released"] is not None
    assert "released 1 hold" in run("release", held["id"]).stdout
    assert ask("holds") == []
    assert "`tiervdb holds` lists them" in run("release", "nightly", exit_code=3).stderr
    assert ask("expire", *options)["backups"] == [first]
    rows = ask("catalog", "sql", "select reason, active from holds order by created")
    assert rows == [{"reason": "audit", "active": False}, {"reason": "for now", "active": False}]


def test_holds_that_cannot_be(repository: Path, run: Run) -> None:
    assert "say why" in run("hold", "first", exit_code=2).stderr
    run("hold", "--reason", "neither", exit_code=2)
    run("hold", "first", "--label", "first", "--reason", "both", exit_code=2)
    run("hold", "nothing", "--reason", "not there", exit_code=3)


# -- drills


def test_a_drill(repository: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done: dict[str, Any] = ask("drill", "--target", "seq:2", "--scratch", scratch)
    assert (done["ok"], done["error"], done["problems"]) == (True, None, [])
    assert (done["seq"], done["rows"], done["collections"], done["lazy"]) == (2, 100, 1, False)
    assert done["hydrated_seconds"] > 0
    printed = run("drill", "--lazy").stdout
    assert printed.startswith("drill to ")
    assert printed.splitlines()[0].endswith("ok")
    assert not list(scratch.iterdir())
    rows = ask("catalog", "sql", "select ok, lazy, rows from drills order by started")
    assert [(row["ok"], row["lazy"]) for row in rows] == [(True, False), (True, True)]
    assert "restorable near it" in run("drill", "--target", "seq:99", exit_code=4).stderr


def test_a_drill_that_fails(repository: Path, run: Run, ask: Ask) -> None:
    damage(repository)
    done = ask("drill", "--target", "backup:first", exit_code=7)
    assert not done["ok"]
    assert done["error"] or done["problems"]
    result = run("drill", "--target", "backup:first", exit_code=7)
    assert "FAILED" in result.stdout
    assert "tiervdb verify --deep" in result.stderr
    assert [row["ok"] for row in ask("catalog", "sql", "select ok from drills")] == [False, False]
    assert not ask("verify", "--deep", exit_code=7)["ok"]
    [row] = ask("catalog", "sql", "select ok, len(findings) as findings from verifications")
    assert not row["ok"]
    assert row["findings"] > 0


def test_a_name_that_comes_twice(repository: Path, ask: Ask) -> None:
    assert ask("catalog", "sql", "select 1 as a, 2 as a") == [{"a": 1, "a_2": 2}]
