from __future__ import annotations

from pathlib import Path

import tiervdb
from tests.cli.conftest import Ask, Run


def test_status(path: Path, run: Run, ask: Ask) -> None:
    document = ask("status", path)
    assert document["status"]["protection"] == "unprotected"
    [points] = document["stats"]["collections"]
    assert (points["name"], points["rows"]) == ("points", 100)
    shown = run("status", path).stdout
    assert "unprotected" in shown
    assert "points" in shown
    assert document["status"]["database_id"] in shown


def test_log(path: Path, run: Run, ask: Ask) -> None:
    with tiervdb.open(path) as db:
        db["points"].delete(ids=["p0"], note="a mistake")
    lines = ask("log", path)
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)
    assert (lines[-1]["deleted"], lines[-1]["note"]) == (1, "a mistake")
    assert ask("log", path, "-n", 1) == lines[-1:]
    assert ask("log", path, "--collection", "points")[-1] == lines[-1]
    assert ask("log", path, "--since", "1h") == lines
    assert ask("log", path, "--until", "2020-01-01T00:00:00Z") == []
    shown = run("log", path).stdout
    assert "the points" in shown
    assert "a mistake" in shown
    assert "is not a time" in run("log", path, "--since", "yesterday", exit_code=2).stderr
    run("log", path, "--collection", "nobody", exit_code=3)


def test_check_of_a_sound_database(path: Path, run: Run, ask: Ask) -> None:
    assert ask("check", path)["findings"] == []
    assert run("check", path).stdout.endswith("no damage\n")


def test_check_of_a_damaged_database(path: Path, run: Run, ask: Ask) -> None:
    with tiervdb.open(path) as db:
        db.flush()
    victim = next((path / "segments").glob("*.vectors"))
    data = bytearray(victim.read_bytes())
    data[10] ^= 1
    victim.write_bytes(data)
    [finding, *_] = ask("check", path, exit_code=7)["findings"]
    assert victim.name in finding["file"]
    assert victim.name in run("check", path, exit_code=7).stdout


def test_tiers(path: Path, run: Run, ask: Ask) -> None:
    with tiervdb.open(path) as db:
        db.flush()
    plan = ask("tier", "demote", path, "points", "--fraction", 0.25, "--dry-run")
    assert plan == {"collection": "points", "rows": 25, "of": 100}
    assert ask("status", path)["stats"]["cold_bytes"] == 0
    done = ask("tier", "demote", path, "points", "--fraction", 0.25)
    assert done["moved"]["rows"] == 25
    assert (done["collection"]["hot_rows"], done["collection"]["cold_rows"]) == (75, 25)
    assert "would promote at least 25 rows of 100" in run("tier", "promote", path, "points", "--dry-run").stdout
    assert "'points' now: 100 hot, 0 cold" in run("tier", "promote", path, "points").stdout
    run("tier", "demote", path, "nobody", exit_code=3)
    run("tier", "demote", path, "points", "--fraction", 2, exit_code=2)
    run("tier", "demote", path, "points", "--fraction", 2, "--dry-run", exit_code=2)


def test_version(run: Run, ask: Ask) -> None:
    assert ask("version")["tiervdb"] == tiervdb.__version__
    assert run("version").stdout.startswith(f"tiervdb {tiervdb.__version__} (Python 3.")
