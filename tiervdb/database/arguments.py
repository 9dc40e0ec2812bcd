"""Arguments that several calls take: notes; paths are in storage/given.py."""

from __future__ import annotations

from tiervdb.errors import InvalidInputError
from tiervdb.storage.given import to_path

__all__ = ["check_note", "to_path"]


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
