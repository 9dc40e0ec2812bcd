"""Arguments that several calls take: paths and notes."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from tiervdb.errors import InvalidInputError


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


def check_note(note: object) -> str | None:
    """The note of a commit. InvalidInputError for what is no text."""
    if note is None:
        return None
    if not isinstance(note, str):
        raise InvalidInputError(f"note={note!r} is not usable; give a string")
    try:
        note.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(f"note={note!r} is not usable: it is not valid Unicode; repair the text") from error
    return note
