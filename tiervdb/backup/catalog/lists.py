"""What backups list, by the numbers of backups and files: four tables that DuckDB joins when it is asked. Pure."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tiervdb.backup.catalog.facts import Facts, backups_of
from tiervdb.format import repository_paths as paths


def lists(found: Facts) -> dict[str, pa.Table]:
    """The lists of files, by numbers."""
    backups = backups_of(found.known)
    listed = {backup.id for backup in found.held.backups}
    listings = [found.known.listing(backup.id) for backup in backups]
    numbers = np.repeat(np.arange(len(backups), dtype=np.int32), [len(listing) for listing in listings])
    files = found.known.files
    uploaders = [_uploader(row.key) for row in files]
    collections = [(n, c.id, c.name) for n, backup in enumerate(backups) for c in backup.collections]
    return {
        "backups": pa.table(
            {
                "number": pa.array(range(len(backups)), pa.int32()),
                "id": pa.array([backup.id for backup in backups], pa.string()),
                "listed": pa.array([backup.id in listed for backup in backups], pa.bool_()),
            }
        ),
        "listings": pa.table(
            {"backup": numbers, "file": np.concatenate(listings) if listings else np.empty(0, np.int32)}
        ),
        "files": pa.table(
            {
                "number": pa.array(range(len(files)), pa.int32()),
                "name": pa.array([row.name for row in files], pa.string()),
                "role": pa.array([row.role for row in files], pa.string()),
                "kind": pa.array([row.kind for row in files], pa.string()),
                "segment": pa.array([row.segment for row in files], pa.string()),
                "collection": pa.array([row.collection for row in files], pa.int64()),
                "bytes": pa.array([row.size for row in files], pa.int64()),
                "hash": pa.array([row.sha256 for row in files], pa.string()),
                "object": pa.array([row.key for row in files], pa.string()),
                "stored_bytes": pa.array([row.stored_size if row.key else None for row in files], pa.int64()),
                "layout": pa.array([row.layout or None for row in files], pa.string()),
                "codec": pa.array([row.codec or None for row in files], pa.string()),
                "uploaded_by": pa.array(uploaders, pa.string()),
            }
        ),
        "collections": pa.table(
            {
                "backup": pa.array([n for n, _, _ in collections], pa.int32()),
                "id": pa.array([id for _, id, _ in collections], pa.int64()),
                "name": pa.array([name for _, _, name in collections], pa.string()),
            }
        ),
    }


def _uploader(key: str | None) -> str | None:
    parsed = None if key is None else paths.parse(key)
    return parsed.uploader if isinstance(parsed, paths.DataKey) else None
