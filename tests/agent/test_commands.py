"""The agent's commands, as people and cron run them."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tests.agent.conftest import FILE, Machine
from tiervdb.cli.main import app

RUNNER = CliRunner()


def run(*arguments: object, exit_code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


def test_check_says_what_is_wrong(machine: Machine) -> None:
    path = machine.folder / "tiervdb.toml"
    assert "is fine: words" in run("config", "check", path)
    machine.configure(FILE)
    path.write_text(FILE + "\n[databases.words.schedule]\nbakup = 1\n")
    said = run("config", "check", path, exit_code=2)
    assert "databases.words.schedule.bakup: this is not known; did you mean 'backup'?" in said
    found = json.loads(RUNNER.invoke(app, ["config", "check", str(path), "--json"]).stdout)
    assert found["ok"] is False
    assert found["mistakes"][0]["line"] == 10


def test_once_and_then_status(machine: Machine) -> None:
    path = machine.folder / "tiervdb.toml"
    ill = run("status", "--config", path, exit_code=4)
    assert "BackupLate" in ill
    assert "What to do: run `tiervdb backup PATH`" in ill
    done = json.loads(RUNNER.invoke(app, ["agent", "--config", str(path), "--once", "--json"]).stdout)
    assert set(done["jobs"]) == {f"words/{job}" for job in ("archive", "backup", "copy", "drill", "verify")}
    well = run("status", "--config", path)
    assert "words: well" in well
    assert "archive lag (RPO)" in well
    [standing] = json.loads(RUNNER.invoke(app, ["status", "--config", str(path), "--json"]).stdout)
    assert standing["alerts"] == []
    assert standing["rows"] == 50


def test_one_job(machine: Machine) -> None:
    path = machine.folder / "tiervdb.toml"
    job = ("agent-job", "--config", path, "--database", "words", "--job")
    assert "full backup" in run(*job, "backup")
    assert "there are archive" in run(*job, "bakup", exit_code=2)
    assert "there is no database 'other'" in run(*job[:4], "other", "--job", "backup", exit_code=2)


def test_status_of_what(machine: Machine) -> None:
    assert "give the directory of a database, or --config FILE" in run("status", exit_code=2)
    assert "repository url" in run("status", "words", "--config", machine.folder / "tiervdb.toml")
