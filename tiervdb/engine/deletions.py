"""Deletion vectors on local disk."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import deletion_vector, paths
from tiervdb.format.manifest import FileRef, SegmentEntry
from tiervdb.storage.local_dir import LocalDir
from tiervdb.types import Mask


def write_deletions(local: LocalDir, entry: SegmentEntry, dead: Mask, version: int) -> SegmentEntry:
    """Writes the vector for the manifest of that version; the entry that names it."""
    data = deletion_vector.encode(dead)
    name = paths.DeletionName(entry.id, version).name
    local.write_atomic(name, data)
    reference = FileRef(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return msgspec.structs.replace(entry, deletions=reference, dead=int(np.count_nonzero(dead)))


def read_deletions(local: LocalDir, entry: SegmentEntry) -> Mask | None:
    """The dead rows of a segment as of its manifest; None: none are.

    CorruptionError if the file does not fit the entry.
    """
    if entry.deletions is None:
        return None
    name = entry.deletions.name
    try:
        data = local.read(name)
    except ObjectNotFoundError as error:
        raise CorruptionError(
            f"{error}, but the manifest names it. Restore the directory, or a backup of it"
        ) from error
    dead = deletion_vector.decode(data, str(local.path(name)), entry.rows)
    if int(np.count_nonzero(dead)) != entry.dead:
        raise CorruptionError(
            f"{local.path(name)} marks other rows than its manifest counts: it belongs to another version. "
            "Restore the directory, or a backup of it"
        )
    return dead
