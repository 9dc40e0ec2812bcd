"""A small database, and a way to run commands on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import tiervdb
from tiervdb.cli.main import app

Run = Callable[..., Result]
Ask = Callable[..., Any]


@pytest.fixture
def run() -> Run:
    """Runs a command in this process; it must end well unless ``exit_code`` says otherwise."""

    def run(*arguments: object, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exit_code != exit_code:
            raise AssertionError(f"exit code {result.exit_code}\n{result.output}") from result.exception
        return result

    return run


@pytest.fixture
def ask(run: Run) -> Ask:
    """The JSON document that a command prints, and nothing else."""

    def ask(*arguments: object, exit_code: int = 0) -> Any:
        return json.loads(run(*arguments, "--json", exit_code=exit_code).stdout)

    return ask


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """100 points: ids p0 to p99, number 0 to 99, colours in turn; point i lies at the angle of i degrees."""
    folder = tmp_path / "db"
    with tiervdb.open(folder) as db:
        points = db.create_collection("points", dim=2, columns={"number": "int64", "colour": "string"})
        angles = np.radians(np.arange(100))
        points.upsert(
            ids=[f"p{i}" for i in range(100)],
            vectors=np.stack([np.cos(angles), np.sin(angles)], axis=1),
            columns={"number": np.arange(100), "colour": ["red", "green"] * 50},
            note="the points",
        )
    return folder
