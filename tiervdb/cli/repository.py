"""Which repository a command works on, and with which key: the options of all commands that open one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.cli.taking import taking
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration
from tiervdb.errors import InvalidInputError
from tiervdb.storage.open import Store

RepositoryUrl = Annotated[
    str | None,
    typer.Option("--repository", envvar="TIERVDB_REPOSITORY", help="URL or directory of the repository."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", envvar="TIERVDB_CONFIG", help="Configuration file that says where it is, with which key."),
]
DatabaseName = Annotated[str | None, typer.Option("--database", help="Whose, where the file names several.")]
KeyFile = Annotated[Path | None, typer.Option("--key-file", help="File with the key of an encrypted repository.")]
KeyEnv = Annotated[str | None, typer.Option("--key-env", help="Environment variable with its key.")]
KeyCommand = Annotated[str | None, typer.Option("--key-command", help="Command that prints its key.")]


def key(file: Path | None, env: str | None, command: str | None) -> Key | None:
    """The one key that was named, if any."""
    given = [
        *([Key.file(file)] if file is not None else []),
        *([Key.env(env)] if env is not None else []),
        *([Key.command(command)] if command is not None else []),
    ]
    if len(given) > 1:
        raise InvalidInputError("give one of --key-file, --key-env and --key-command, not several")
    return given[0] if given else None


def was_said(ctx: typer.Context, *names: str) -> bool:
    """Whether one of these options stands on the command line, which goes before the environment."""
    sources = [ctx.get_parameter_source(name) for name in names]
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


@dataclass(frozen=True)
class RepositoryChoice:
    """What was given of a repository. ``url_said``, ``config_said``: on the command line, not by the environment."""

    url: str | None
    config: Configuration | None
    name: str | None
    key: Key | None
    url_said: bool = False
    config_said: bool = False

    @cached_property
    def repository(self) -> Repository:
        """InvalidInputError if none, or two different ones were named."""
        return with_key(self._found(), self.key)

    @property
    def database(self) -> DatabaseConfiguration:
        """The database of the configuration: the one that was named, or the only one with a repository."""
        if self.config is None:
            raise InvalidInputError(
                "which repository? give --repository URL or --config FILE, or set TIERVDB_REPOSITORY or TIERVDB_CONFIG"
            )
        if self.name is not None:
            return self.config[self.name]
        found = [one for one in self.config.databases.values() if one.options["repository"]]
        if len(found) != 1:
            names = ", ".join(one.name for one in found) or "none"
            raise InvalidInputError(
                f"which repository? {self.config.path} names those of several databases ({names}); give --database NAME"
                if found
                else f"{self.config.path} names no repository; name one there, or give --repository URL"
            )
        return found[0]

    def of(self, path: str) -> tuple[Path, RepositoryChoice]:
        """Where a restored database is to lie: a directory, or that of a database of the configuration by its name."""
        named = None if self.config is None else database_named(self.config, path)
        if named is None or named.path is None:
            return Path(path), self
        return named.path, replace(self, name=self.name or named.name)

    def place(self, url: str) -> Store:
        """A cold store, with the credentials that the configuration has for it."""
        return Store(url) if self.config is None else self.config.place(url)

    def other(self, url: str | None, own_key: Key | None) -> Repository:
        """Where to copy to: a URL, or the off-site copy that the configuration names."""
        if url is None:
            whose = self._whose()
            found = None if whose is None else whose.offsite_repository()
            if found is None:
                raise InvalidInputError(
                    "copy: where to? give the URL of the other repository, or name one as [offsite] in "
                    "the configuration, and give --config FILE"
                )
            return with_key(found, own_key)
        if self.config is not None:
            return with_key(self.config.at(url) or Repository(self.config.place(url)), own_key)
        return Repository(url, key=own_key)

    def _whose(self) -> DatabaseConfiguration | None:
        """The database of the configuration whose repository is meant, if it is one of these."""
        if self.config is None:
            return None
        if self.url is None or (self.config_said and not self.url_said):
            return self.database
        return self.config.of_repository(self.url)

    def _found(self) -> Repository:
        if self.config is None and self.url is not None:
            return Repository(self.url)
        if self.config is None or self.url is None or (self.config_said and not self.url_said):
            return self.database.repository()
        named = self.config.at(self.url, self.name)
        if named is None and self.url_said and not self.config_said:
            return Repository(self.config.place(self.url))
        if named is None:
            whose = f"of {self.name!r} " if self.name is not None else ""
            raise InvalidInputError(
                f"--repository {self.url} is no repository {whose}in {self.config.path}; leave it out to use the one "
                "that the file names, or leave --config and TIERVDB_CONFIG out"
            )
        return named


def with_key(repository: Repository, own_key: Key | None) -> Repository:
    """The same with another key, if one is given."""
    return repository if own_key is None else Repository(repository.location, key=own_key)


def database_named(config: Configuration, path: str) -> DatabaseConfiguration | None:
    """The database of that name, or in that directory. A name has no / and no dot, so ./words is a directory."""
    named = config.databases.get(path)
    if named is not None:
        return named
    wanted = Path(path).expanduser().resolve()
    here = [one for one in config.databases.values() if one.path is not None and one.path.resolve() == wanted]
    return here[0] if here else None


def repository_choice(
    ctx: typer.Context,
    repository: RepositoryUrl = None,
    config: ConfigFile = None,
    database: DatabaseName = None,
    key_file: KeyFile = None,
    key_env: KeyEnv = None,
    key_command: KeyCommand = None,
) -> RepositoryChoice:
    """What the shared options say."""
    return RepositoryChoice(
        repository or None,
        None if config is None else Configuration.load(config),
        database,
        key(key_file, key_env, key_command),
        url_said=was_said(ctx, "repository"),
        config_said=was_said(ctx, "config", "database"),
    )


@wraps(repository_choice)
def _repository(**given: Any) -> Repository:
    return repository_choice(**given).repository


on_repository = taking(source=_repository)  # the command takes source: Repository
on_repository_choice = taking(chosen=repository_choice)  # the command takes chosen: RepositoryChoice
