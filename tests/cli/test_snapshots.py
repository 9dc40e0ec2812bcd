from __future__ import annotations

from pathlib import Path

import tiervdb
from tests.cli.conftest import Ask, Run


def test_create_and_list(path: Path, run: Run, ask: Ask) -> None:
    assert run("snapshot", "list", path).stdout == "no snapshots\n"
    created = ask("snapshot", "create", path, "first")
    assert created["name"] == "first"
    run("snapshot", "create", path, "second", "--expires", "7d")
    listed = ask("snapshot", "list", path)
    assert [snapshot["name"] for snapshot in listed] == ["first", "second"]
    assert listed[0]["expires"] is None
    assert listed[1]["expires"] > listed[1]["created"]
    assert isinstance(listed[0]["only_bytes"], int)
    shown = run("snapshot", "list", path).stdout
    assert "first" in shown
    assert "never" in shown
    assert "fsync" in shown


def test_list_beside_a_writer(path: Path, run: Run, ask: Ask) -> None:
    run("snapshot", "create", path, "first")
    with tiervdb.open(path):
        [listed] = ask("snapshot", "list", path)
    assert listed["name"] == "first"


def test_drop_only_plans_unless_confirmed(path: Path, run: Run, ask: Ask) -> None:
    run("snapshot", "create", path, "first")
    assert "say --confirm to do it" in run("snapshot", "drop", path, "first").stdout
    assert len(ask("snapshot", "list", path)) == 1
    assert ask("snapshot", "drop", path, "first", "--confirm")["dropped"] is True
    assert ask("snapshot", "list", path) == []


def test_unknown_and_taken_names(path: Path, run: Run) -> None:
    run("snapshot", "create", path, "first")
    assert "there are: first" in run("snapshot", "drop", path, "frist", exit_code=3).stderr
    run("snapshot", "create", path, "first", exit_code=3)
    assert "is not a duration" in run("snapshot", "create", path, "x", "--expires", "soon", exit_code=2).stderr


def test_clone(path: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    run("snapshot", "create", path, "first")
    with tiervdb.open(path) as db:
        db["points"].delete(where="number >= 10")
    ask("clone", path, tmp_path / "then", "--at", "first")
    made = ask("clone", path, tmp_path / "now")
    with tiervdb.open(tmp_path / "then") as then, tiervdb.open(tmp_path / "now") as now, tiervdb.open(path) as source:
        assert (len(then["points"]), len(now["points"])) == (100, 10)
        assert len({made["database_id"], then.status().database_id, source.status().database_id}) == 3
    run("clone", path, tmp_path / "then", exit_code=3)
