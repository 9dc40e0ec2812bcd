"""Paths and places as users give them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from tiervdb.errors import InvalidInputError
from tiervdb.storage.open import Store


def to_path(path: object, what: str) -> Path:
    """A local path, ``~`` expanded. InvalidInputError for anything else; ``what`` says what it is to be."""
    if not isinstance(path, str | PathLike) or isinstance(
        path.__fspath__() if isinstance(path, PathLike) else path, bytes
    ):
        raise InvalidInputError(f"{path!r} is no path; give {what}")
    if not str(path):
        raise InvalidInputError(f'an empty path was given; give {what}, or "." for the working directory')
    if "://" in str(path):
        raise InvalidInputError(
            f"{str(path).split('://')[0]}:// is no local directory, where a database lives; give a directory, "
            "and the URL as cold= for its cold segments"
        )
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInputError(f"{str(path)!r} cannot be expanded ({error}); write the path out") from error


def to_place(place: object, what: str) -> Store:
    """A URL, a local path (``~`` expanded) or a Store. InvalidInputError for anything else."""
    if isinstance(place, Store):
        return place
    if isinstance(place, str) and "://" in place:
        return Store(place)
    return Store(to_path(place, what))
