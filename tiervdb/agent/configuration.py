"""Configuration files: TOML, read with every mistake named by its line, its key and the nearest valid name."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiervdb.agent import options
from tiervdb.agent.options import PARTS, Table
from tiervdb.backup.keys import Key
from tiervdb.backup.policy import Policy
from tiervdb.backup.repository import Repository
from tiervdb.database.database import Database
from tiervdb.database.open import open as open_database
from tiervdb.errors import InvalidInputError
from tiervdb.storage.open import Store

NAME = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+")
_KEY = re.compile(r"\s*([A-Za-z0-9_\"'.-]+)\s*=")


@dataclass(frozen=True)
class Mistake:
    """What is wrong in a file. ``line``: from 1 on; 0 where that is not known. ``key``: dotted."""

    line: int
    key: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key}: {self.problem}" if self.line else f"{self.key}: {self.problem}"


@dataclass(frozen=True)
class DatabaseConfig:
    """One database: what the file says of it, over the defaults. Each table by option name."""

    name: str
    options: Mapping[str, Any]
    objectives: Mapping[str, Any]
    schedule: Mapping[str, Any]
    retention: Mapping[str, Any]
    offsite: Mapping[str, Any]
    stores: tuple[Mapping[str, Any], ...]
    folder: Path

    @property
    def path(self) -> Path | None:
        """Its directory, from the folder of the configuration; None: only a repository."""
        return self._from_here(self.options["path"]) if self.options["path"] else None

    @property
    def policy(self) -> Policy:
        durations = {name: self.retention[name] or None for name in ("pitr", "require_restorable", "lock")}
        return Policy(**{**self.retention, **durations})

    def seconds(self, table: str, name: str) -> float:
        """A duration; 0 for none."""
        return options.seconds_of(getattr(self, table)[name])

    def repository(self) -> Repository:
        """InvalidInputError if none is named."""
        if not self.options["repository"]:
            raise InvalidInputError(f"database {self.name!r} has no repository in the configuration")
        return self._repository(self.options["repository"], self.options)

    def offsite_repository(self) -> Repository | None:
        return self._repository(self.offsite["url"], self.offsite) if self.offsite["url"] else None

    def open(self, *, read_only: bool = False) -> Database:
        """Opens it as the file says. Raises what ``tiervdb.open`` raises; InvalidInputError without a path."""
        if self.path is None:
            raise InvalidInputError(f"database {self.name!r} has no path in the configuration")
        repository = self.repository() if self.options["repository"] else None
        cold = self._place(self.options["cold"]) if self.options["cold"] else None
        how: dict[str, Any] = {"create": False, "read_only": read_only, "archive": self.options["archive"]}
        return open_database(self.path, cold=cold, repository=repository, **how)

    def _repository(self, url: str, keys: Mapping[str, Any]) -> Repository:
        place = self._place(url)
        return Repository(str(place.url), place.storage_options, _key(keys, self.folder))

    def _place(self, url: str) -> Store:
        where = url if "://" in url else str(self._from_here(url))
        for store in self.stores:
            if any(url.startswith(prefix) for prefix in store["urls"]):
                return Store(where, _credentials(store))
        return Store(where)

    def _from_here(self, path: str) -> Path:
        return self.folder / Path(path).expanduser()


@dataclass(frozen=True)
class Config:
    """A configuration file. ``agent``: by option name."""

    path: Path
    agent: Mapping[str, Any]
    databases: Mapping[str, DatabaseConfig] = field(default_factory=dict)

    def database(self, name: str) -> DatabaseConfig:
        """InvalidInputError for a name that is not there."""
        options.require_known("database", name, self.databases)
        return self.databases[name]


def load(path: Path) -> Config:
    """InvalidInputError with every mistake, a line each."""
    config, mistakes = read(path)
    if mistakes or config is None:
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise InvalidInputError(f"{path} cannot be used:\n{lines}")
    return config


def read(path: Path) -> tuple[Config | None, list[Mistake]]:
    """The configuration, or its mistakes in the order of lines."""
    try:
        source = path.read_text(encoding="utf-8")
        data = tomllib.loads(source)
    except OSError as error:
        return None, [Mistake(0, str(path), f"it cannot be read ({error.strerror})")]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found = re.search(r"line (\d+)", str(error))
        return None, [Mistake(int(found[1]) if found else 0, path.name, f"it is not TOML: {error}")]
    reader = _Reader(source)
    config = reader.config(path, data)
    return (None if reader.mistakes else config), sorted(reader.mistakes, key=lambda m: (m.line, m.key))


class _Reader:
    """Reads tables by their options, and collects what is wrong."""

    def __init__(self, source: str) -> None:
        self._lines = dict(_lines(source))
        self.mistakes: list[Mistake] = []

    def config(self, path: Path, data: dict[str, Any]) -> Config:
        self._known("", data, ("agent", "stores", "defaults", "databases"))
        agent = self.table("agent", self._part(data, "agent"), options.AGENT)
        stores = tuple(
            self.table(f"stores.{name}", given, options.STORE) for name, given in self._named(data, "stores")
        )
        given_defaults = self._part(data, "defaults")
        self._known("defaults", given_defaults, tuple(PARTS))
        defaults = {
            part: self.table(f"defaults.{part}", self._part(given_defaults, part, "defaults"), table)
            for part, table in PARTS.items()
        }
        databases = {
            name: self._database(name, given, defaults, stores, path.resolve().parent)
            for name, given in self._named(data, "databases")
        }
        if not databases and not self.mistakes:
            self._wrong("databases", "there is none; write [databases.NAME] with path and repository")
        return Config(path, agent, databases)

    def table(self, where: str, given: Mapping[str, Any], table: Table, base: Mapping[str, Any] = {}) -> dict[str, Any]:
        """Each option, as given, else as in ``base``, else by default."""
        self._known(where, {k: v for k, v in given.items() if not isinstance(v, dict)}, tuple(table))
        found = {}
        for name, option in table.items():
            found[name] = base.get(name, option.default)
            if name in given:
                try:
                    found[name] = option.read(given[name])
                except ValueError as error:
                    self._wrong(f"{where}.{name}", f"{given[name]!r} is not usable; {error}")
        return found

    def _database(
        self,
        name: str,
        given: Mapping[str, Any],
        defaults: Mapping[str, dict[str, Any]],
        stores: tuple[Mapping[str, Any], ...],
        folder: Path,
    ) -> DatabaseConfig:
        where = f"databases.{name}"
        if NAME.fullmatch(name) is None:
            self._wrong(where, "a name consists of letters, digits, - and _")
        self._known(where, {k: v for k, v in given.items() if isinstance(v, dict)}, tuple(PARTS))
        own = self.table(where, given, options.DATABASE)
        parts = {
            part: self.table(f"{where}.{part}", self._part(given, part, where), table, defaults[part])
            for part, table in PARTS.items()
        }
        if not own["path"] and not own["repository"]:
            self._wrong(where, "it has neither path nor repository; give at least one")
        for table, keys in ((where, own), (f"{where}.offsite", parts["offsite"])):
            if sum(bool(keys[key]) for key in ("key_file", "key_env", "key_command")) > 1:
                self._wrong(table, "give one of key_file, key_env and key_command, not several")
        return DatabaseConfig(name, own, **parts, stores=stores, folder=folder)

    def _named(self, data: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, given in self._part(data, kind).items():
            if isinstance(given, dict):
                yield name, given
            else:
                self._wrong(f"{kind}.{name}", f"write [{kind}.{name}] and its options below it")

    def _part(self, data: Mapping[str, Any], name: str, where: str = "") -> dict[str, Any]:
        found = data.get(name, {})
        if isinstance(found, dict):
            return found
        self._wrong(f"{where}.{name}".lstrip("."), "this is a table; write its name in [brackets]")
        return {}

    def _known(self, where: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        for name in given:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(allowed)}"
                self._wrong(f"{where}.{name}".lstrip("."), f"this is not known; {hint}")

    def _wrong(self, key: str, problem: str) -> None:
        self.mistakes.append(Mistake(self._line(key), key, problem))

    def _line(self, key: str) -> int:
        """That of the key, else of the nearest table that holds it."""
        while key:
            if key in self._lines:
                return self._lines[key]
            key = key.rpartition(".")[0]
        return 0


def _lines(source: str) -> Iterator[tuple[str, int]]:
    """The line of each table and key: tomllib does not tell."""
    table = ""
    for number, line in enumerate(source.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _dotted(header[1])
            yield table, number
        elif key := _KEY.match(line):
            yield f"{table}.{_dotted(key[1])}".lstrip("."), number


def _dotted(text: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in text.split("."))


def _key(keys: Mapping[str, Any], folder: Path) -> Key | None:
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
