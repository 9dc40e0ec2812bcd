from __future__ import annotations

from pathlib import Path

import tiervdb
from tests.cli.conftest import Ask, Run


def test_list_and_release(tmp_path: Path, run: Run, ask: Ask) -> None:
    path = tmp_path / "db"
    with tiervdb.open(path, cold=tmp_path / "store") as db:
        db.create_collection("points", dim=1, id_type="int64").upsert(ids=[1], vectors=[[1.0]])
        db.demote("points")
    assert run("pin", "list", path).stdout == "no pins\n"
    run("clone", path, tmp_path / "copy")
    [pin] = ask("pin", "list", path)
    assert (pin["kind"], pin["state"], pin["path"]) == ("clone", "held", str(tmp_path / "copy"))
    assert pin["id"] in run("pin", "list", path).stdout
    planned = run("pin", "release", path, pin["id"]).stdout
    assert "reads 3 cold objects" in planned
    assert "say --confirm" in planned
    assert len(ask("pin", "list", path)) == 1
    assert ask("pin", "release", path, pin["id"], "--confirm")["released"] is True
    assert ask("pin", "list", path) == []
    run("pin", "release", path, pin["id"], exit_code=3)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    assert "are not known" in run("pin", "list", path).stdout
