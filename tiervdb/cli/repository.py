"""How commands reach a repository: its URL and its key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.engine import identity as identities
from tiervdb.errors import InvalidInputError
from tiervdb.format.paths import IDENTITY
from tiervdb.storage.os_dir import OsDir

RepositoryUrl = Annotated[
    str | None,
    typer.Option("--repository", envvar="TIERVDB_REPOSITORY", help="URL or directory of the repository."),
]
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


def reached(url: str | None, given: Key | None) -> Repository:
    """The repository that was named. InvalidInputError if none was."""
    if not url:
        raise InvalidInputError("which repository? give --repository URL, or set TIERVDB_REPOSITORY")
    return Repository(url, key=given)


def reached_if_named(url: str | None, given: Key | None, path: Path) -> Repository | None:
    """For database commands, which remember theirs; a key without a URL is for that one."""
    local = OsDir(path)
    if not url and given is not None and local.exists(IDENTITY):
        url = identities.read(local).repository_url
    return Repository(url, key=given) if url else None
