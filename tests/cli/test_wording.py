"""What to do is said in commands and options where it is read on the command line."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiervdb
from tests.cli.conftest import Ask, Run
from tiervdb.cli.wording import in_commands

PACKAGE = Path(tiervdb.__file__).parent
PYTHON = re.compile(
    r"\bdb\.\w+\(|\bRepository[.(]|\bKey\.(file|env)|\bTarget\.\w+\(|storage_options|\b(backup|archive|maintain|pins|"
    r"holds|backups)\(\)|\b(read_only|copied|attach|delta|repository|cold|kind|label|reason|lock|timeline|resume)="
)
ONLY_IN_PYTHON = (  # a command cannot meet these
    *("Repository.create: ", "Repository: key=", "open: repository=", "cold= a directory", "is no target; give"),
    *("storage_options of ", "storage_options do not apply", ", storage_options=<", "(archive=", "db.hydrate()"),
    *("earlier tiervdb.open", "Target.time: ", "Target.seq: ", "read_only=True if the parent", "and the URL as cold="),
    *("start another one with db.batch()", "`with db.batch()"),
)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("Close it there, or open it here with read_only=True", "or only read: search, export, status and backup"),
        ("Repository('s3://a/b').copy_to(...) copies all of it", "`tiervdb copy` copies all of it"),
        ("restore with delta=True, or label= and kind=\"full\"", "restore with --delta, or --label and --kind full"),
        ("timeline=\"ab12\" for it, lock=None", "--timeline ab12 for it, --lock none"),
        ("Target.seq(7) is the last one", "--target seq:7 is the last one"),
        ("the filter 'kind=\"x\"' is wrong", "the filter 'kind=\"x\"' is wrong"),
        ("log(since=5) tells", "`tiervdb log` tells"),
        ("the database's own cold= and that of a clone's", "the database's own --cold and that of a clone's"),
    ],
)  # fmt: skip
def test_phrases(said: str, read: str) -> None:
    assert read in in_commands(said)


def messages() -> Iterator[tuple[str, str]]:
    """Every text of some length below the command line, by file; docstrings are none."""
    for layer in ("database", "backup", "engine", "storage", "target.py"):
        for file in sorted((PACKAGE / layer).rglob("*.py")) or [PACKAGE / layer]:
            tree = ast.parse(file.read_text())
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            parts = {id(v) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for v in node.values}
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    yield file.name, "".join(v.value if isinstance(v, ast.Constant) else "x" for v in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | parts:
                    yield file.name, node.value


FOR_ARGUMENTS = {"ingest.py", "sources.py", "create.py", "writes.py", "filters.py", "history.py", "rows.py"}


def test_no_message_that_a_command_meets_speaks_of_python() -> None:
    """Those about arguments of Python calls are left out."""
    found = [
        (file, text)
        for file, text in messages()
        if " " in text
        and file not in FOR_ARGUMENTS | {"arrays.py", "tables.py", "vectors.py", "names.py", "schemas.py"}
        and "is not usable; give" not in text
        and "is not known; give" not in text
        and not any(known in text for known in ONLY_IN_PYTHON)
        and PYTHON.search(in_commands(text))
    ]
    assert found == []


def test_a_copied_directory(path: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    for what in ("clone", "take-over"):
        shutil.copytree(path, tmp_path / what)
        said = run("snapshot", "create", tmp_path / what, "now", exit_code=5).stderr
        assert "`tiervdb adopt PATH take-over` if the original is gone" in said
        ask("adopt", tmp_path / what, what)
        run("snapshot", "create", tmp_path / what, "now")
    places = (path, tmp_path / "clone", tmp_path / "take-over")
    kept, cloned, taken = (ask("status", place)["status"]["database_id"] for place in places)
    assert cloned != kept == taken


def test_a_repository_that_is_missing(path: Path, tmp_path: Path, run: Run) -> None:
    assert "Name one with --repository" in run("backup", path, exit_code=4).stderr
    (tmp_path / "none").mkdir()
    said = run("windows", "--repository", tmp_path / "none", exit_code=5).stderr
    assert "`tiervdb backup PATH --repository URL` makes one" in said
