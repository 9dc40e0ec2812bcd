"""What a configuration opens, from Python."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import tiervdb
from tiervdb import Configuration, Key
from tiervdb.errors import InvalidInputError, NotADatabaseError, WrongKeyError

FILE = """
[databases.words]
path = "words"
cold = "cold"
repository = "repository"
key_file = "words.key"
archive = "sync"

[databases.words.offsite]
url = "offsite"
"""


def configured(tmp_path: Path, text: str = FILE) -> Configuration:
    (tmp_path / "tiervdb.toml").write_text(text, encoding="utf-8")
    (tmp_path / "words.key").write_text("a key that is long enough")
    return Configuration.load(tmp_path / "tiervdb.toml")


def test_a_database_as_its_file_says(tmp_path: Path) -> None:
    words = configured(tmp_path)["words"]
    with pytest.raises(NotADatabaseError):
        words.open(create=False)
    with words.open() as db:
        rows = db.create_collection("words", dim=2, id_type="int64")
        rows.upsert(ids=[1, 2], vectors=np.ones((2, 2), np.float32))
        db.demote("words")
        db.backup()
        assert db.status().repository_url == (tmp_path / "repository").as_uri()
    assert words.repository().encrypted
    assert words.repository() is words.repository()
    assert len(words.repository().backups()) == 1
    assert list((tmp_path / "cold").rglob("*.parquet"))
    shutil.rmtree(tmp_path / "words")
    words.repository().restore(tmp_path / "words", attach=True)
    with words.open(read_only=True) as db:
        assert len(db["words"]) == 2
    with pytest.raises(WrongKeyError):
        tiervdb.open(tmp_path / "words")


def test_what_is_given_goes_before_the_file(tmp_path: Path) -> None:
    words = configured(tmp_path)["words"]
    with words.open(cold=None, repository=None) as db:
        assert db.status().repository_url is None


def test_repositories_by_their_url(tmp_path: Path) -> None:
    configuration = configured(tmp_path)
    near, copy = configuration.at(str(tmp_path / "repository")), configuration.at((tmp_path / "offsite").as_uri())
    assert near is configuration["words"].repository()
    assert near is not None
    assert copy is not None
    assert (near.key, copy.key) == (Key.file(tmp_path / "words.key"), None)
    assert configuration.at(str(tmp_path / "other")) is None


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    configuration = configured(tmp_path, '[databases.a]\nrepository = "r"\n[databases.b]\npath = "b"\n')
    with pytest.raises(InvalidInputError, match="'a' has no path"):
        configuration["a"].open()
    with pytest.raises(InvalidInputError, match="'b' has no repository"):
        configuration["b"].repository()
    with pytest.raises(InvalidInputError, match="it has: a, b"):
        configuration["c"]


def test_defaults_and_what_overrides_them(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        FILE + '\n[defaults.objectives]\nrpo = "1m"\nrto = "2m"\n[databases.words.objectives]\nrto = "3m"\n',
    )
    words = config["words"]
    assert (words.objectives["rpo"], words.objectives["rto"], words.objectives["drill_age"]) == ("1m", "3m", "8d")
    assert words.seconds("objectives", "rpo") == 60
    assert (words.policy.pitr, words.policy.daily) == ("14d", 30)
    assert words.path == tmp_path / "words"
    assert words.offsite_repository() is not None
    with pytest.raises(InvalidInputError, match="it has: words"):
        config["other"]


def test_credentials_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    words = configured(tmp_path, text)["words"]
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


@pytest.mark.parametrize("named", ["s3://backups", "s3://backups/", "s3://backups/a"])
def test_a_store_is_what_lies_in_it_and_not_what_begins_alike(tmp_path: Path, named: str) -> None:
    text = f'[stores.s]\nurls = ["{named}"]\nregion = "eu-central-1"\n[databases.w]\npath = "w"\n'
    config = configured(tmp_path, text)
    place = named.rstrip("/")
    for within in (place, f"{place}/", f"{place}/words"):
        assert config.place(within).storage_options, within
    for beside in (f"{place}-2", f"{place}-2/", f"{place}-2/words", "s3://backup"):
        assert not config.place(beside).storage_options, beside
