"""The command as a process: exit codes, what goes to which stream, and never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tiervdb

COMMANDS = (
    "demo",
    "import",
    "export",
    "search",
    "snapshot",
    "clone",
    "log",
    "tier",
    "check",
    "status",
    "doctor",
    "version",
)


def tiervdb_command(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tiervdb.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


def test_help_names_every_command() -> None:
    result = tiervdb_command("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in result.stdout


def test_result_on_stdout_and_nothing_on_stderr(path: Path) -> None:
    result = tiervdb_command("status", path, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["stats"]["rows"] == 100


def test_an_error_on_stderr_with_its_own_code(tmp_path: Path) -> None:
    result = tiervdb_command("status", tmp_path / "nothing")
    assert result.returncode == tiervdb.errors.NotADatabaseError.exit_code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert str(tmp_path / "nothing") in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_as_json(path: Path) -> None:
    result = tiervdb_command("search", path, "nobody", "--like", "x", "--json")
    assert result.returncode == 3
    document = json.loads(result.stderr)
    assert (document["error"], document["exit_code"]) == ("CollectionNotFoundError", 3)
    assert result.stdout == ""


def test_a_second_writer(path: Path) -> None:
    with tiervdb.open(path):
        result = tiervdb_command("tier", "demote", path, "points")
    assert result.returncode == tiervdb.errors.DatabaseLockedError.exit_code
    assert "error: " in result.stderr


@pytest.mark.parametrize("arguments", [["fly"], ["search"], ["status", "--colour"], ["search", "a", "b", "-k", "many"]])
def test_wrong_usage(arguments: list[str]) -> None:
    result = tiervdb_command(*arguments)
    assert result.returncode == 2
    assert "Usage:" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reader_that_leaves_early(path: Path) -> None:
    with tiervdb.open(path) as db:
        for _ in range(200):
            db["points"].delete(ids=["p0"], note="x" * 1000)
    log = f"{sys.executable} -m tiervdb.cli.main log {path} --json"
    result = subprocess.run(["bash", "-c", f"{log} | head -c 10"], capture_output=True, text=True, check=False)
    assert result.stdout.startswith("[{")
    assert result.stderr == ""
