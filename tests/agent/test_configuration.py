from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.conftest import FILE, Machine
from tiervdb.agent import configuration
from tiervdb.errors import InvalidInputError


def mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8")
    return [str(mistake) for mistake in configuration.read(path)[1]]


def test_defaults_and_what_overrides_them(machine: Machine) -> None:
    config = machine.configure(
        FILE + '\n[defaults.objectives]\nrpo = "1m"\nrto = "2m"\n[databases.words.objectives]\nrto = "3m"\n'
    )
    words = config.database("words")
    assert (words.objectives["rpo"], words.objectives["rto"], words.objectives["drill_age"]) == ("1m", "3m", "8d")
    assert words.seconds("objectives", "rpo") == 60
    assert (words.policy.pitr, words.policy.daily) == ("14d", 30)
    assert words.path == machine.folder / "words"
    assert words.offsite_repository() is not None
    with pytest.raises(InvalidInputError, match="it has: words"):
        config.database("other")


def test_every_mistake_is_named_by_its_line(tmp_path: Path) -> None:
    text = """[agent]
listn = "x"
parallel = 0
[databases.words]
path = "words"
repositry = "r"
[databases.words.schedule]
backup = "every day"
verify_sample = 2
[databases.words.retention]
pitr = "two weeks"
min_backups = true
[databases.words.nothing]
a = 1
[databases.other]
archive = "maybe"
[defaults.objectives]
rpo = 5
"""
    found = mistakes(tmp_path, text)
    assert [line.split(": ")[0] for line in found] == [f"line {n}" for n in (2, 3, 6, 8, 9, 11, 12, 13, 15, 16, 18)]
    assert "did you mean 'listen'?" in found[0]
    assert "did you mean 'repository'?" in found[2]
    assert "five fields" in found[3]
    assert "neither path nor repository" in found[8]
    with pytest.raises(InvalidInputError, match=r"line 6: databases.words.repositry"):
        configuration.load(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "databases: there is none"),
        ("agent = 1\n", "this is a table"),
        ("[databases]\nwords = 1\n", "write [databases.words]"),
        ("[databases.words\n", "it is not TOML"),
        ('[databases."a b"]\npath = "x"\n', "letters, digits"),
        ('[databases.w]\nrepository = "r"\nkey_env = "A"\nkey_file = "b"\n', "not several"),
        ('[database.w]\npath = "x"\n', "did you mean 'databases'?"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in line for line in mistakes(tmp_path, text)), mistakes(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in str(configuration.read(tmp_path / "none.toml")[1][0])


def test_credentials_come_from_the_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
[stores.minio]
urls = ["s3://backups/"]
endpoint_url = "http://127.0.0.1:1"
key_env = "SOME_KEY"
secret_env = "SOME_SECRET"
region = "eu-central-1"
[databases.words]
repository = "s3://backups/words"
[databases.words.offsite]
url = "s3://elsewhere/words"
"""
    words = machine.configure(text).database("words")
    with pytest.raises(InvalidInputError, match="SOME_KEY is not set"):
        words.repository()
    monkeypatch.setenv("SOME_KEY", "k")
    monkeypatch.setenv("SOME_SECRET", "s3cr3t")
    options = words.repository().location.storage_options
    assert options is not None
    assert (options["key"], options["secret"], options["endpoint_url"]) == ("k", "s3cr3t", "http://127.0.0.1:1")
    offsite = words.offsite_repository()
    assert offsite is not None
    assert not offsite.location.storage_options
    assert "s3cr3t" not in repr(words)
