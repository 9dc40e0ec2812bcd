"""Reads a configuration file, and names every mistake in it by its line, its key and the nearest valid name."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiervdb.configuration import options
from tiervdb.configuration.options import PARTS, Table

NAME = re.compile(r"[A-Za-z0-9_-]+")
_PIECE = re.compile(
    r'''
    """(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}    # two quotes may stand before the closing three
    | '{3}(?:[^']|'{1,2}(?!'))*'{3,5}
    | "(?:[^"\\]|\\.)*"
    | '[^']*'
    | \#[^\n]*
    | \n
    | [\w-]+
    | \S
    ''',
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = ("[", "{"), ("]", "}")
_KEY = tuple[str, ...]  # its parts
_TABLE = Mapping[str, Any]  # by option name


@dataclass(frozen=True)
class Mistake:
    """What is wrong in a file. ``line``: from 1 on; 0 where that is not known. ``key``: dotted."""

    line: int
    key: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.key}: {self.problem}" if self.line else f"{self.key}: {self.problem}"


@dataclass(frozen=True)
class DatabaseTables:
    """What a file says of one database, over the defaults."""

    options: _TABLE
    objectives: _TABLE
    schedule: _TABLE
    retention: _TABLE
    offsite: _TABLE


@dataclass(frozen=True)
class FileTables:
    """What a file says. ``lines``: of each table and key, dotted."""

    agent: _TABLE
    stores: Mapping[str, _TABLE]
    databases: Mapping[str, DatabaseTables]
    lines: Mapping[str, int]

    def line(self, key: str) -> int:
        """That of the key, else of the nearest table that holds it; 0 if there is none."""
        return line_of(self.lines, key)


def read(path: Path) -> tuple[FileTables | None, list[Mistake]]:
    """What a file says, or its mistakes in the order of lines."""
    try:
        source = path.read_text(encoding="utf-8")
        data = tomllib.loads(source)
    except OSError as error:
        return None, [Mistake(0, str(path), f"it cannot be read ({error.strerror})")]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        found = re.search(r"line (\d+)", str(error))
        return None, [Mistake(int(found[1]) if found else 0, path.name, f"it is not TOML: {error}")]
    reader = _Reader(source)
    tables = reader.file(data)
    return (None if reader.mistakes else tables), sorted(reader.mistakes, key=lambda m: (m.line, m.key))


class _Reader:
    """Reads tables by their options, and collects what is wrong."""

    def __init__(self, source: str) -> None:
        self._lines = _lines(source)
        self.mistakes: list[Mistake] = []

    def file(self, data: dict[str, Any]) -> FileTables:
        self._known("", data, ("agent", "stores", "defaults", "databases"))
        agent = self.table("agent", self._part(data, "agent"), options.AGENT)
        stores = {
            name: self.table(f"stores.{name}", given, options.STORE) for name, given in self._named(data, "stores")
        }
        given_defaults = self._part(data, "defaults")
        self._known("defaults", given_defaults, tuple(PARTS))
        defaults = {
            part: self.table(f"defaults.{part}", self._part(given_defaults, part, "defaults"), table)
            for part, table in PARTS.items()
        }
        databases = {name: self._database(name, given, defaults) for name, given in self._named(data, "databases")}
        if not databases and not self.mistakes:
            self._wrong("databases", "there is none; write [databases.NAME] with path and repository")
        return FileTables(agent, stores, databases, self._lines)

    def table(
        self, where: str, given: _TABLE, table: Table, base: Mapping[str, Any] = {}, parts: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Each option, as given, else as in ``base``, else by default. ``parts``: tables that it may hold."""
        self._known(where, given, (*table, *parts))
        found = {}
        for name, option in table.items():
            found[name] = base.get(name, option.default)
            if name in given:
                try:
                    found[name] = option.read(given[name])
                except ValueError as error:
                    self._wrong(f"{where}.{name}", f"{given[name]!r} is not usable; {error}")
        return found

    def _database(self, name: str, given: Mapping[str, Any], defaults: Mapping[str, dict[str, Any]]) -> DatabaseTables:
        where = f"databases.{name}"
        if NAME.fullmatch(name) is None:
            self._wrong(where, "a name consists of letters, digits, - and _")
        own = self.table(where, given, options.DATABASE, parts=PARTS)
        parts = {
            part: self.table(f"{where}.{part}", self._part(given, part, where), table, defaults[part])
            for part, table in PARTS.items()
        }
        if not own["path"] and not own["repository"]:
            self._wrong(where, "it has neither path nor repository; give at least one")
        for table, keys in ((where, own), (f"{where}.offsite", parts["offsite"])):
            if sum(bool(keys[key]) for key in ("key_file", "key_env", "key_command")) > 1:
                self._wrong(table, "give one of key_file, key_env and key_command, not several")
        return DatabaseTables(own, **parts)

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
        self.mistakes.append(Mistake(line_of(self._lines, key), key, problem))


def line_of(lines: Mapping[str, int], key: str) -> int:
    """That of the key, else of the nearest table that holds it."""
    while key:
        if key in lines:
            return lines[key]
        key = key.rpartition(".")[0]
    return 0


def _lines(source: str) -> dict[str, int]:
    """The first line of each table and key, dotted: tomllib does not tell. ``source``: what tomllib has accepted."""
    own: dict[str, int] = {}
    implied: dict[str, int] = {}  # [a.b] makes a table a, whose own header may come later
    for key, line in _keys(source):
        own.setdefault(".".join(key), line)
        for end in range(1, len(key)):
            implied.setdefault(".".join(key[:end]), line)
    return implied | own


def _keys(source: str) -> Iterator[tuple[_KEY, int]]:
    table: _KEY = ()
    for statement in _statements(source):
        first, line = statement[0]
        if first == "[":
            table = _names(piece for piece, _ in statement)
            yield table, line
        else:
            yield from _assigned(table, statement)


def _statements(source: str) -> Iterator[list[tuple[str, int]]]:
    """The pieces of each, with their lines. A newline ends it, but not one within brackets or a string."""
    statement: list[tuple[str, int]] = []
    depth, line = 0, 1
    for found in _PIECE.finditer(source + "\n"):
        piece = found[0]
        if piece == "\n" and depth == 0 and statement:
            yield statement
            statement = []
        elif piece != "\n" and not piece.startswith("#"):
            statement.append((piece, line))
            depth += (piece in _OPENING) - (piece in _CLOSING)
        line += piece.count("\n")


def _assigned(table: _KEY, statement: list[tuple[str, int]]) -> Iterator[tuple[_KEY, int]]:
    """The key of an assignment, and those of the inline tables in its value."""
    holders, key = [table], table
    names: list[str] = []  # what may turn out to be a key
    for piece, line in statement:
        if piece == "=":
            key = holders[-1] + _names(names)
            yield key, line
        elif piece in _OPENING:
            holders.append(key)
        elif piece in _CLOSING:
            key = holders.pop()
        elif piece != ",":
            names.append(piece)
            continue
        names = []


def _names(pieces: Iterable[str]) -> _KEY:
    """Without dots and brackets, and quoted ones as what they mean."""
    names = (piece for piece in pieces if piece not in {".", *_OPENING, *_CLOSING})
    return tuple(tomllib.loads(f"name = {name}")["name"] if name[0] in "\"'" else name for name in names)
