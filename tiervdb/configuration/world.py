"""What of a configuration does not fit the machine that it is on. Looks, and changes nothing."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from tiervdb.backup.keys import Key
from tiervdb.backup.repository import Repository
from tiervdb.configuration.configuration import Configuration, DatabaseConfiguration, comparable
from tiervdb.configuration.reading import FileTables, Mistake
from tiervdb.errors import NotARepositoryError, ObjectNotFoundError, TiervdbError
from tiervdb.format import paths
from tiervdb.storage.open import open_store

Found = Iterator[tuple[str, str]]  # the key, and what is wrong with it


def look(config: Configuration, tables: FileTables, *, connect: bool = False) -> list[Mistake]:
    """Variables that are not set, keys that cannot be read, directories that cannot be made or lie in one another.

    ``tables``: what the configuration was read from. ``connect``: also asks each store, with its credentials and keys.
    """
    databases = config.databases.values()
    found = [*_variables(config), *_places(config)]
    found += [problem for database in databases for problem in _of_one(database)]
    if connect and not found:  # without its variables and keys a store answers nothing new
        found += [problem for database in databases for problem in _stores(database)]
    mistakes = [Mistake(tables.line(key), key, problem) for key, problem in dict.fromkeys(found)]
    return sorted(mistakes, key=lambda mistake: (mistake.line, mistake.key))


def _of_one(database: DatabaseConfiguration) -> Found:
    yield from _keys(database)
    yield from _own_places(database)
    yield from _directories(database)


def _variables(config: Configuration) -> Found:
    for name, store in config.stores.items():
        for option in ("key_env", "secret_env"):
            if store[option] and store[option] not in os.environ:
                yield f"stores.{name}.{option}", _unset(store[option])


def _keys(database: DatabaseConfiguration) -> Found:
    for where, table in ((_at(database), database.options), (_at(database, "offsite"), database.offsite)):
        if table["key_file"]:
            yield from ((f"{where}.key_file", problem) for problem in _key_file(database.from_here(table["key_file"])))
        if table["key_env"] and table["key_env"] not in os.environ:
            yield f"{where}.key_env", _unset(table["key_env"])
        if table["key_command"] and shutil.which(shlex.split(table["key_command"])[0]) is None:
            yield f"{where}.key_command", "there is no such program here; install it, or write its path"


def _key_file(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield f"there is no file {path}; bring it here, or make one by `openssl rand -base64 32 > {path}`"
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXO:
        yield f"everybody may read or write {path} (mode {mode:04o}); run `chmod o= {path}`"
    try:
        Key.file(path).read()
    except TiervdbError as error:
        yield str(error)


def _places(config: Configuration) -> Found:
    """Two databases with one directory or repository, or one in the directory of the other."""
    for one, other in combinations(config.databases.values(), 2):
        first, second = one.path, other.path
        if first is not None and second is not None and _overlap(first, second):
            yield f"{_at(other)}.path", f"{second} and {first}, of {one.name}, lie in one another; give each its own"
        mine, theirs = (c.options["repository"] and comparable(c.options["repository"], c.folder) for c in (one, other))
        if mine and mine == theirs:
            what = f"{one.name} has this repository, too, and it is for one database"
            yield f"{_at(other)}.repository", f"{what}; give each its own, or look after it once"


def _own_places(database: DatabaseConfiguration) -> Found:
    """A repository that would be lost with the database, and a copy that would be lost with the repository."""
    repository, offsite, folder = database.options["repository"], database.offsite["url"], database.folder
    if repository and offsite and comparable(offsite, folder) == comparable(repository, folder):
        yield f"{_at(database, 'offsite')}.url", "this is the repository itself; name another place, elsewhere"
    is_local = repository and "://" not in repository
    if is_local and database.path is not None and _overlap(database.from_here(repository), database.path):
        yield f"{_at(database)}.repository", f"it and {database.path} lie in one another; name another disk"


def _directories(database: DatabaseConfiguration) -> Found:
    where = _at(database)
    named = [(f"{where}.{option}", database.options[option]) for option in ("path", "cold", "repository")]
    named.append((f"{_at(database, 'offsite')}.url", database.offsite["url"]))
    for key, text in named:
        if text and "://" not in text:
            problem = _unusable(database.from_here(text))
            if problem is not None:
                yield key, problem
    scratch = database.schedule["drill_scratch"]
    if scratch and not (folder := database.from_here(scratch)).is_dir():
        yield _at(database, "schedule", "drill_scratch"), f"there is no directory {folder}; make it"


def _unusable(path: Path) -> str | None:
    """None for a directory that is there and may be written to, or that can be made."""
    above = next(place for place in (path, *path.resolve().parents) if place.exists())
    if not above.is_dir():
        return f"{above} is a file; name a directory"
    if os.access(above, os.W_OK | os.X_OK):
        return None
    what = "is there, but may not be written to" if above == path else f"cannot be made in {above}"
    return f"{path} {what}; run this as its user, or mount the disk"


def _stores(database: DatabaseConfiguration) -> Found:
    repository = database.repository() if database.options["repository"] else None
    named = (
        (f"{_at(database)}.repository", repository),
        (f"{_at(database, 'offsite')}.url", database.offsite_repository()),
    )
    for key, asked in named:
        problem = None if asked is None else _unreachable(asked)
        if problem is not None:
            yield key, problem
    cold = database.cold()
    if cold is not None and "://" in str(cold.url):
        try:
            open_store(cold, create=False).stat(paths.STORE)
        except ObjectNotFoundError:
            pass
        except TiervdbError as error:
            yield f"{_at(database)}.cold", str(error)


def _unreachable(repository: Repository) -> str | None:
    """None for a repository that opens, and for a place where there is none yet."""
    if "://" not in str(repository.location.url) and not Path(repository.location.url).exists():
        return None
    try:
        repository.open()
    except NotARepositoryError:
        return None
    except TiervdbError as error:
        return str(error)
    return None


def _unset(variable: str) -> str:
    return f"the environment variable {variable} is not set; set it here, and where the agent and the application run"


def _overlap(one: Path, other: Path) -> bool:
    first, second = one.resolve(), other.resolve()
    return first.is_relative_to(second) or second.is_relative_to(first)


def _at(database: DatabaseConfiguration, *more: str) -> str:
    return ".".join(("databases", database.name, *more))
