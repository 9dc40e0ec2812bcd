"""Which database and which repository a command works on: options, environment, configuration."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tiervdb
from tests.cli.conftest import Ask, Run
from tiervdb import Configuration, Key
from tiervdb.cli.main import app
from tiervdb.cli.repository import RepositoryChoice
from tiervdb.errors import WrongKeyError

SHARED = {"config", "key_file", "key_env", "key_command"}
NO_REPOSITORY = {"agent", "agent-job", "config check", "catalog tables", "demo", "doctor", "plan-cost", "version"}
ON_A_DATABASE = {
    *("import", "export", "search", "clone", "backup", "archive", "diff", "recover", "log", "check", "status", "adopt"),
    *("snapshot create", "snapshot list", "snapshot drop", "pin list", "pin release"),
    *("tier apply", "tier demote", "tier promote"),
}
FILE = """
[databases.points]
path = "db"
repository = "repository"
key_file = "points.key"

[databases.points.offsite]
url = "offsite"
key_file = "offsite.key"
"""


def every_command(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(every_command())


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - NO_REPOSITORY))
def test_every_command_has_the_shared_options(name: str) -> None:
    options = {parameter.name for parameter in COMMANDS[name].params}
    wanted = SHARED if name in ON_A_DATABASE else SHARED | {"repository", "database"}
    assert wanted <= options
    assert all(parameter.help for parameter in COMMANDS[name].params)


@pytest.fixture
def folder(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the database ``db``, keys for its repository and the copy of it, and a configuration."""
    monkeypatch.delenv("TIERVDB_REPOSITORY", raising=False)
    monkeypatch.delenv("TIERVDB_CONFIG", raising=False)
    (tmp_path / "points.key").write_text("a key that is long enough")
    (tmp_path / "offsite.key").write_text("another key, also long enough")
    (tmp_path / "tiervdb.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


ON_A_REPOSITORY = [
    ("windows",),
    ("history",),
    ("backups", "list"),
    ("backups", "show", "first"),
    ("catalog", "sql", "from backups"),
    ("catalog", "graph"),
    ("catalog", "export", "catalog.duckdb"),
    ("catalog", "publish"),
    ("hold", "--label", "first", "--reason", "audit"),
    ("holds",),
    ("release", "first"),
    ("release-pin", "00"),
    ("expire",),
    ("merge-log", "--confirm"),
    ("restore", "restored", "--dry-run"),
    ("restore", "restored"),
    ("attach", "restored"),
    ("verify", "--deep"),
    ("drill", "--target", "latest"),
    ("copy", "offsite", "--to-key-file", "offsite.key"),
    ("backups", "expire", "first", "--confirm"),
]


def test_every_repository_command_on_an_encrypted_one(folder: Path, run: Run) -> None:
    key = ("--key-file", "points.key")
    given = ("--repository", "repository", *key)
    run("backup", "db", "--label", "first", *given)
    run("archive", "db", *given)
    run("backup", "db", "--kind", "full", *given)
    for command in ON_A_REPOSITORY:
        run(*command, *given)
    covered = {" ".join(command[: 2 if command[0] in {"backups", "catalog"} else 1]) for command in ON_A_REPOSITORY}
    assert covered == COMMANDS.keys() - NO_REPOSITORY - ON_A_DATABASE
    run("snapshot", "create", "db", "now", *key)
    for command in (("snapshot", "list"), ("pin", "list"), ("log",), ("status",), ("check",)):
        run(*command, "db", *key)
    with pytest.raises(WrongKeyError):
        tiervdb.open(folder / "db")


def test_without_the_key_all_say_what_to_do(folder: Path, run: Run) -> None:
    run("backup", "db", "--repository", "repository", "--key-file", "points.key")
    for command in (("windows",), ("verify",), ("catalog", "sql", "from backups"), ("restore", "restored")):
        said = run(*command, "--repository", "repository", exit_code=5).stderr
        assert "--key-file" in said
    assert "--key-file" in run("snapshot", "create", "db", "now", exit_code=5).stderr
    unclosed = ("--repository", "repository", "--key-command", "echo '")
    assert "close its quotes" in run("windows", *unclosed, exit_code=2).stderr


def test_names_of_databases(folder: Path, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ("--config", "tiervdb.toml")
    run("backup", "points", *file)
    assert ask("search", "points", "points", "--like", "p1", *file)["hits"]
    assert "it has: points. For a directory write ./pionts" in run("log", "pionts", *file, exit_code=2).stderr
    assert ask("log", "./db", *file) == ask("log", "points", *file)
    monkeypatch.setenv("TIERVDB_CONFIG", "tiervdb.toml")
    assert len(ask("log", "points")) == 2
    assert len(ask("log", "db")) == 2
    assert len(ask("windows")) == 1
    shutil.rmtree(folder / "db")
    run("restore", "points", "--attach")
    assert len(ask("log", "points")) == 2


def test_a_lazy_restore_and_the_off_site_copy(folder: Path, run: Run, ask: Ask) -> None:
    file = ("--config", "tiervdb.toml")
    run("backup", "points", *file)
    run("copy", *file)
    assert len(ask("backups", "list", "--repository", "offsite", *file)) == 1
    run("restore", "./look", "--lazy", "--repository", "offsite", *file)
    for given in (file, ("--key-file", "offsite.key")):
        assert len(ask("search", "./look", "points", "--like", "p1", "-k", 3, *given)["hits"]) == 3
    assert not [f for f in ask("check", "./look", *file)["findings"] if f["severity"] == "error"]
    run("clone", "points", "./twin", *file)
    shutil.rmtree(folder / "db")
    run("restore", "points", "--lazy", "--repository", "offsite", *file)
    assert len(ask("search", "points", "points", "--like", "p1", "-k", 3, *file)["hits"]) == 3


def test_a_file_that_names_no_repository(folder: Path, run: Run, ask: Ask) -> None:
    (folder / "tiervdb.toml").write_text('[databases.points]\npath = "db"\n')
    file = ("--config", "tiervdb.toml", "--key-file", "points.key")
    run("backup", "points", "--repository", "repository", *file)
    assert ask("backup", "points", *file)["kind"] == "incremental"


def test_two_that_differ(folder: Path, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    run("backup", "points", "--config", "tiervdb.toml")
    both = ("--repository", "elsewhere", "--config", "tiervdb.toml")
    assert "leave it out to use the one that the file names" in run("windows", *both, exit_code=2).stderr
    assert "leave it out" in run("backup", "points", *both, exit_code=2).stderr
    assert len(ask("windows", "--repository", "repository", "--config", "tiervdb.toml")) == 1
    monkeypatch.setenv("TIERVDB_REPOSITORY", "elsewhere")  # what stands on the command line goes first
    assert len(ask("windows", "--config", "tiervdb.toml")) == 1
    assert ask("backup", "points", "--config", "tiervdb.toml")["seq"]
    monkeypatch.setenv("TIERVDB_CONFIG", "tiervdb.toml")
    monkeypatch.delenv("TIERVDB_REPOSITORY")
    with tiervdb.open(folder / "plain", repository=folder / "of-plain") as db:
        db.backup()
    assert len(ask("backups", "list", "--repository", "of-plain")) == 1


def test_which_of_several(folder: Path, run: Run, ask: Ask) -> None:
    (folder / "tiervdb.toml").write_text(FILE + '\n[databases.other]\nrepository = "other"\n')
    file = ("--config", "tiervdb.toml")
    run("backup", "points", *file)
    assert "(points, other); give --database NAME" in run("windows", *file, exit_code=2).stderr
    assert len(ask("windows", *file, "--database", "points")) == 1
    assert "it has: points, other" in run("windows", *file, "--database", "pionts", exit_code=2).stderr
    assert "only its repository" in run("log", "other", *file, exit_code=2).stderr
    (folder / "tiervdb.toml").write_text('[databases.points]\npath = "db"\n')
    assert "names no repository" in run("windows", *file, exit_code=2).stderr
    assert "where to?" in run("copy", "--repository", "repository", exit_code=2).stderr


def test_a_repository_of_another_is_not_copied_to_the_off_site_copy_of_this(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERVDB_CONFIG", "tiervdb.toml")
    run("backup", "points")
    with tiervdb.open(folder / "plain", repository=folder / "of-plain") as db:
        db.backup()
    assert "where to?" in run("copy", "--repository", "of-plain", exit_code=2).stderr
    run("copy", "--repository", "repository")
    assert (folder / "offsite").is_dir()
    assert "usable" in run("doctor", "offsite").stdout


@pytest.mark.parametrize("key", [None, Key.env("SOME_KEY")])
def test_a_repository_that_the_file_does_not_name_is_reached_by_its_credentials(folder: Path, key: Key | None) -> None:
    stores = '[stores.s]\nurls = ["s3://other"]\nendpoint_url = "http://127.0.0.1:9"\n'
    (folder / "tiervdb.toml").write_text(stores + FILE)
    config = Configuration.load("tiervdb.toml")
    found = RepositoryChoice("s3://other/r", config, None, key, url_said=True).repository
    assert found.location.url == "s3://other/r"
    assert found.location.storage_options == {"endpoint_url": "http://127.0.0.1:9"}
    assert found.key == key
