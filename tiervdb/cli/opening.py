"""How commands open a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tiervdb
from tiervdb.errors import DatabaseLockedError


@contextmanager
def reading(path: Path, at: str | None = None) -> Iterator[tiervdb.Database]:
    """For reading, beside a writer if there is one; as of a snapshot with ``at``."""
    with tiervdb.open(path, create=False, read_only=True) as db:
        if at is None:
            yield db
        else:
            with db.at(at) as before:
                yield before


def writing(path: Path) -> tiervdb.Database:
    """For writing: it must exist, and nobody else may write to it."""
    return tiervdb.open(path, create=False)


def writing_if_free(path: Path) -> tiervdb.Database:
    """For commands that only look, but at what only a writer knows: the bytes that only one snapshot keeps."""
    try:
        return tiervdb.open(path, create=False)
    except DatabaseLockedError:
        return tiervdb.open(path, create=False, read_only=True)
