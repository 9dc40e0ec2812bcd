"""From URLs to stores."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tiervdb.errors import FeatureUnavailableError, InvalidInputError, StoreUnavailableError
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.fsspec_store import FsspecStore, fsspec_error
from tiervdb.storage.open import Store, open_store
from tiervdb.storage.s3_store import S3Store


def test_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "a b"
    for url in (folder, str(folder), "a b", folder.as_uri(), f"file://localhost{folder}", Store(folder)):
        store = open_store(url)
        assert isinstance(store, DirectoryStore)
        assert store.url == folder.as_uri()
    assert folder.is_dir()


def test_a_missing_directory_is_not_made_unasked(tmp_path: Path) -> None:
    store = open_store(tmp_path / "mount", create=False)
    with pytest.raises(StoreUnavailableError):
        store.get("k")


def test_buckets() -> None:
    for url in ("s3://bucket/a/b", "s3://bucket/a/b/", "s3a://bucket/a/b"):
        store = open_store(url)
        assert isinstance(store, S3Store)
        assert (store.url, store.conditional) == ("s3://bucket/a/b", True)
    assert open_store("s3://bucket").url == "s3://bucket"


def test_others_say_what_they_lack(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        store = open_store("memory://somewhere/else")
    assert isinstance(store, FsspecStore)
    assert not store.conditional
    assert "only one writer" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret-word@bucket/a",
        "s3://secret-word@bucket/a",
        "ftp://user:secret-word@host/a",
        "https://host/a?token=secret-word",
        "s3://",
        "simplecache::s3://bucket/a",
        "file://elsewhere/a",
        "nosuchprotocol://a/b",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_store(url)
    assert "secret-word" not in str(caught.value)


def test_a_missing_package() -> None:
    with pytest.raises((FeatureUnavailableError, InvalidInputError), match="gs://bucket"):
        open_store("gs://bucket/a")


def test_options_where_none_apply(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="storage_options"):
        open_store(Store(tmp_path, {"key": "k"}))


def test_options_are_not_shown() -> None:
    store = Store("s3://bucket", {"key": "secret-word"})
    assert repr(store) == "Store('s3://bucket', storage_options=<1 hidden>)"
    assert repr(Store("s3://bucket")) == "Store('s3://bucket')"


class _HttpError(OSError):
    def __init__(self, code: int) -> None:
        super().__init__("secret-word")
        self.code = code


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (FileNotFoundError(), "ObjectNotFoundError"),
        (_HttpError(404), "ObjectNotFoundError"),
        (PermissionError(), "StoreRefusedError"),
        (_HttpError(403), "StoreRefusedError"),
        (_HttpError(503), "StoreUnavailableError"),
        (_HttpError(429), "StoreUnavailableError"),
        (TimeoutError(), "StoreUnavailableError"),
        (ConnectionResetError(), "StoreUnavailableError"),
        (OSError(28, "no space"), "DiskFullError"),
        (_HttpError(400), "StorageError"),
        (ValueError("secret-word"), "StorageError"),
    ],
)
def test_errors_of_file_systems(error: Exception, name: str) -> None:
    ours = fsspec_error(error, "reading k")
    assert type(ours).__name__ == name
    assert "reading k" in str(ours)
    assert "secret-word" not in str(ours)
