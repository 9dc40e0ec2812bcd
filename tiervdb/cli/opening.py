"""Which database a command works on, and how it is opened: the parameters of all database commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

import tiervdb
from tiervdb.backup import hydrate
from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.cli.repository import (
    ConfigFile,
    KeyCommand,
    KeyEnv,
    KeyFile,
    RepositoryChoice,
    RepositoryUrl,
    database_named,
    key,
    was_said,
    with_key,
)
from tiervdb.cli.taking import taking
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration
from tiervdb.configuration.reading import NAME
from tiervdb.engine import identity as identities
from tiervdb.errors import DatabaseLockedError, InvalidInputError
from tiervdb.format.paths import IDENTITY
from tiervdb.storage.open import Store
from tiervdb.storage.os_dir import OsDir

DatabasePath = Annotated[
    str, typer.Argument(metavar="PATH", help="Directory of the database, or with --config its name in that file.")
]


@dataclass(frozen=True)
class Opening:
    """A database that was named. ``database``: what the configuration says of it; None: it is not in there, but its
    credentials and keys serve for what the directory remembers. ``url``, ``key``: of its repository, as given."""

    path: Path
    config: Configuration | None = None
    database: DatabaseConfiguration | None = None
    url: str | None = None
    url_said: bool = False
    key: Key | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a database."""
        return OsDir(self.path.expanduser()).exists(IDENTITY)

    def open(self, **how: Any) -> tiervdb.Database:
        """As the command line and the configuration say, and ``how``."""
        given = {**self._places(), **how}
        return tiervdb.open(self.path, **given) if self.database is None else self.database.open(**given)

    def writing(self) -> tiervdb.Database:
        """For writing: it must exist, and nobody else may write to it."""
        return self.open(create=False)

    @contextmanager
    def reading(self, at: str | None = None) -> Iterator[tiervdb.Database]:
        """For reading, beside a writer if there is one; as of a snapshot with ``at``."""
        with self.open(create=False, read_only=True) as db:
            if at is None:
                yield db
            else:
                with db.at(at) as before:
                    yield before

    def writing_if_free(self) -> tiervdb.Database:
        """For writing if nobody writes, else beside the writer: for what only a writer knows, or does best."""
        try:
            return self.open(create=False)
        except DatabaseLockedError:
            return self.open(create=False, read_only=True)

    def check(self) -> tiervdb.CheckReport:
        """Verifies it."""
        places = self._places()
        return tiervdb.check(self.path, cold=places["cold"], source=places["source"] or places["repository"])

    def copy_at(self, path: Path) -> Opening:
        """A clone of it elsewhere, which has no repository yet."""
        return replace(self, path=path, database=None, url=None, key=None)

    def _places(self) -> dict[str, Any]:
        """Cold store, repository, and source of what a lazy restore left: None where nothing is said of them."""
        url, cold, missing, repository = self.url, None, None, None
        if (self.key is not None or self.config is not None) and self.exists:
            local = OsDir(self.path.expanduser())
            identity = identities.read(local)
            url = url or identity.repository_url
            cold = self._cold(identity.cold_url)
            missing = hydrate.read(local)
        if self.database is not None:
            cold, repository = self.database.cold() or cold, self._of_configuration(self.database)
        return {
            "cold": cold,
            "repository": repository or self._reached(url),
            "source": None if missing is None else self._reached(missing.url),
        }

    def _cold(self, url: str | None) -> Store | None:
        """None: nothing is said of it, so it is reached as ever."""
        if url is None or self.config is None:
            return None
        place = self.config.place(url)
        return place if place.storage_options else None

    def _of_configuration(self, database: DatabaseConfiguration) -> Repository | None:
        if not database.options["repository"]:
            return None
        said = {"url_said": self.url_said, "config_said": True}
        return RepositoryChoice(self.url, self.config, database.name, self.key, **said).repository

    def _reached(self, url: str | None) -> Repository | None:
        if url is None:
            return None
        if self.config is None:
            return Repository(url, key=self.key)
        return with_key(self.config.at(url) or Repository(self.config.place(url)), self.key)


def opening_or_repository(
    ctx: typer.Context,
    path: DatabasePath,
    repository: RepositoryUrl = None,
    config: ConfigFile = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
) -> Opening:
    """What the parameters of a command say that may be the first to name the repository."""
    loaded = None if config is None else Configuration.load(config)
    named = None if loaded is None else database_named(loaded, path)
    own_key = key(key_file, key_env, key_command)
    if loaded is not None and named is None and was_said(ctx, "config") and NAME.fullmatch(path):
        has = ", ".join(loaded.databases)
        raise InvalidInputError(
            f"there is no database {path!r} in {loaded.path}; it has: {has}. For a directory write ./{path}"
        )
    if named is None:
        return Opening(Path(path), loaded, None, repository or None, key=own_key)
    if named.path is None:
        raise InvalidInputError(f"database {named.name!r} has no path in {config}: only its repository is looked after")
    return Opening(named.path, loaded, named, repository or None, was_said(ctx, "repository"), own_key)


def opening_of(
    ctx: typer.Context,
    path: DatabasePath,
    config: ConfigFile = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
) -> Opening:
    """What the parameters of a database command say."""
    return opening_or_repository(ctx, path, None, config, key_file, key_env, key_command)


on_database = taking(opening=opening_of)  # the command takes opening: Opening
on_database_and_repository = taking(opening=opening_or_repository)
