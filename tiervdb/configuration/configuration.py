"""What a configuration file describes: databases, how they are opened, and their repositories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tiervdb.backup.keys import Key
from tiervdb.backup.policy import Policy, to_seconds
from tiervdb.backup.repository import Repository
from tiervdb.configuration import reading
from tiervdb.database.database import Database
from tiervdb.database.open import open as open_database
from tiervdb.errors import InvalidInputError
from tiervdb.storage.given import to_path
from tiervdb.storage.open import Store

Stores = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class DatabaseConfiguration:
    """One database: what the file says of it, over the defaults. Each table by option name."""

    name: str
    options: Mapping[str, Any]
    objectives: Mapping[str, Any]
    schedule: Mapping[str, Any]
    retention: Mapping[str, Any]
    offsite: Mapping[str, Any]
    stores: Stores
    folder: Path
    _kept: dict[str, Repository] = field(default_factory=dict, repr=False, compare=False)

    @property
    def path(self) -> Path | None:
        """Its directory, from the folder of the configuration; None: only a repository."""
        return self.from_here(self.options["path"]) if self.options["path"] else None

    @property
    def policy(self) -> Policy:
        """What its retention says is kept."""
        durations = {name: self.retention[name] or None for name in ("pitr", "require_restorable", "lock")}
        return Policy(**{**self.retention, **durations})

    def seconds(self, table: str, name: str) -> float:
        """A duration; 0 for none."""
        return to_seconds(name, getattr(self, table)[name] or None)

    def repository(self) -> Repository:
        """Its repository, with credentials and key: one object, which keeps what it has read. InvalidInputError if none
        is named."""
        if not self.options["repository"]:
            raise InvalidInputError(f"database {self.name!r} has no repository in the configuration; name one there")
        found = self._kept.get("repository")
        if found is None:
            found = self._kept["repository"] = self._repository(self.options["repository"], self.options)
        return found

    def forget(self) -> None:
        """What was read of the repository: another one may be there now."""
        self._kept.clear()

    def offsite_repository(self) -> Repository | None:
        """The copy elsewhere; None if none is named."""
        return self._repository(self.offsite["url"], self.offsite) if self.offsite["url"] else None

    def cold(self) -> Store | None:
        """Its cold store with credentials; None: a subdirectory, or what it remembers."""
        return self.place(self.options["cold"]) if self.options["cold"] else None

    def open(self, **how: Any) -> Database:
        """Opens it as the file says. ``how``: as for ``tiervdb.open``, and goes before the file.

        Raises what ``tiervdb.open`` raises; InvalidInputError without a path.
        """
        if self.path is None:
            raise InvalidInputError(f"database {self.name!r} has no path in the configuration; give it one there")
        said: dict[str, Any] = {"archive": self.options["archive"]}
        if "cold" not in how:
            said["cold"] = self.cold()
        if "repository" not in how and self.options["repository"]:
            said["repository"] = self.repository()
        return open_database(self.path, **{**said, **how})

    def from_here(self, path: str) -> Path:
        """From the folder of the configuration."""
        return self.folder / Path(path).expanduser()

    def place(self, url: str) -> Store:
        """A URL or directory, with the credentials that the file has for it."""
        return placed(url, self.stores, self.folder)

    def _repository(self, url: str, keys: Mapping[str, Any]) -> Repository:
        place = self.place(url)
        return Repository(str(place.url), place.storage_options, key_of(keys, self.folder))


@dataclass(frozen=True)
class Configuration:
    """A configuration file, by ``Configuration.load(path)``: ``configuration["words"].open()`` opens a database of it,
    ``configuration["words"].repository()`` is its repository. ``agent``: by option name."""

    path: Path
    agent: Mapping[str, Any]
    stores: Stores
    databases: Mapping[str, DatabaseConfiguration] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Configuration:
        """Reads a file. InvalidInputError with every mistake, a line each."""
        file = to_path(path, "a configuration file")
        found, mistakes = reading.read(file)
        if mistakes or found is None:
            lines = "\n".join(f"  {mistake}" for mistake in mistakes)
            raise InvalidInputError(f"{file} cannot be used:\n{lines}")
        return cls.of(file, found)

    @classmethod
    def of(cls, path: Path, found: reading.FileTables) -> Configuration:
        """What a file that was read says."""
        folder = path.resolve().parent
        databases = {
            name: DatabaseConfiguration(name, **vars(tables), stores=found.stores, folder=folder)
            for name, tables in found.databases.items()
        }
        return cls(path, found.agent, found.stores, databases)

    def __getitem__(self, name: str) -> DatabaseConfiguration:
        """InvalidInputError for a name that is not there."""
        if name not in self.databases:
            has = ", ".join(self.databases)
            raise InvalidInputError(f"there is no database {name!r} in {self.path}; it has: {has}")
        return self.databases[name]

    def place(self, url: str) -> Store:
        """A URL, or a directory from the current one, with the credentials that the file has for it."""
        return placed(url, self.stores, Path.cwd())

    def of_repository(self, url: str) -> DatabaseConfiguration | None:
        """The database whose repository this is; None if it is nobody's."""
        wanted = comparable(url, Path.cwd())
        for database in self.databases.values():
            if _is_at(database.options["repository"], database.folder, wanted):
                return database
        return None

    def at(self, url: str, name: str | None = None) -> Repository | None:
        """The repository or off-site copy of this URL that the file names; None if it names none. ``name``: only those
        of this database."""
        wanted = comparable(url, Path.cwd())
        for database in self.databases.values() if name is None else (self[name],):
            if _is_at(database.options["repository"], database.folder, wanted):
                return database.repository()
            if _is_at(database.offsite["url"], database.folder, wanted):
                return database.offsite_repository()
        return None


def _is_at(given: str, folder: Path, wanted: str) -> bool:
    """Whether a URL or directory is given, and is the ``comparable`` one."""
    return bool(given) and comparable(given, folder) == wanted


def placed(url: str, stores: Stores, folder: Path) -> Store:
    """A URL, or a directory from ``folder``, with the credentials of the first store that names its beginning."""
    where = url if "://" in url else str(folder / Path(url).expanduser())
    for store in stores.values():
        if any(_is_within(url, place) for place in store["urls"]):
            return Store(where, _credentials(store))
    return Store(where)


def _is_within(url: str, place: str) -> bool:
    """Whether it is that place or lies below: s3://bucket-2 does not lie in s3://bucket."""
    return f"{url}/".startswith(f"{place.rstrip('/')}/")


def comparable(url: str, folder: Path) -> str:
    """A URL or directory so that two which mean the same place are equal."""
    parts = urlsplit(url)
    if parts.scheme in {"file", "local"}:
        return Path(unquote(parts.path)).resolve().as_uri()
    return url.rstrip("/") if "://" in url else (folder / Path(url).expanduser()).resolve().as_uri()


def key_of(keys: Mapping[str, Any], folder: Path) -> Key | None:
    """The key that a table names."""
    if keys["key_file"]:
        return Key.file(folder / Path(keys["key_file"]).expanduser())
    if keys["key_env"]:
        return Key.env(keys["key_env"])
    return Key.command(keys["key_command"]) if keys["key_command"] else None


def _credentials(store: Mapping[str, Any]) -> dict[str, object]:
    """In s3fs names. InvalidInputError for an environment variable that is not set."""
    found: dict[str, object] = {name: store[name] for name in ("endpoint_url", "profile") if store[name]}
    for name, variable in (("key", store["key_env"]), ("secret", store["secret_env"])):
        if variable:
            if variable not in os.environ:
                raise InvalidInputError(f"the environment variable {variable} is not set; the configuration names it")
            found[name] = os.environ[variable]
    if store["region"]:
        found["client_kwargs"] = {"region_name": store["region"]}
    return found
