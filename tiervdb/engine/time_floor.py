"""The commit time that was promised to be past: no later commit gets an earlier one, also after a restart."""

from __future__ import annotations

from tiervdb.errors import ObjectNotFoundError
from tiervdb.format import documents, paths
from tiervdb.format.documents import TimeFloor
from tiervdb.storage.local_dir import LocalDir


def read(local: LocalDir) -> int:
    """UTC microseconds; 0 if nothing was promised. CorruptionError."""
    try:
        data = local.read(paths.TIME_FLOOR)
    except ObjectNotFoundError:
        return 0
    return documents.decode_floor(data, str(local.path(paths.TIME_FLOOR))).time_us


def write(local: LocalDir, time_us: int) -> None:
    """Durable when it returns."""
    local.write_atomic(paths.TIME_FLOOR, documents.encode(TimeFloor(time_us=time_us)))
