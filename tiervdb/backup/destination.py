"""Where a restored database is to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tiervdb.backup.pace import UNLIMITED, Limits
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Destination:
    """Where the database is to be: ``parent / name``.

    ``cold``: another cold store for it, or None for the source's (its own subdirectory if the source had that).
    ``source_cold``: opens the source's, by its URL. ``delta``: the directory exists, and intact files in it are kept.
    """

    parent: LocalDir
    name: str
    cold: ObjectStore | None = None
    source_cold: Callable[[str], ObjectStore] | None = None
    delta: bool = False
    lazy: bool = False  # what opening does not need stays in the repository until it is touched
    limits: Limits = UNLIMITED
