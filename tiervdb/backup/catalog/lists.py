"""What backups list, by the numbers of backups and files: three tables that DuckDB joins when it is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tiervdb.backup.catalog.facts import Facts, backups_of
from tiervdb.backup.catalog.known import FileRow
from tiervdb.format import repository_paths as paths

_FILES = pa.schema(
    [
        ("number", pa.int32()),
        ("name", pa.string()),
        ("role", pa.string()),
        ("kind", pa.string()),
        ("segment", pa.string()),
        ("collection", pa.string()),
        ("bytes", pa.int64()),
        ("hash", pa.string()),
        ("object", pa.string()),
        ("stored_bytes", pa.int64()),
        ("layout", pa.string()),
        ("codec", pa.string()),
        ("uploaded_by", pa.string()),
    ]
)


class Lists:
    """Makes them; the table of files only grows, so it is kept."""

    def __init__(self) -> None:
        self._files = _FILES.empty_table()
        self._numbering: object = None

    def of(self, found: Facts) -> dict[str, pa.Table]:
        backups = backups_of(found.known)
        listed = {backup.id for backup in found.held.backups}
        listings = [found.known.listing(backup.id) for backup in backups]
        lengths = [len(listing) for listing in listings]
        return {
            "backups": pa.table(
                {
                    "number": pa.array(range(len(backups)), pa.int32()),
                    "id": pa.array([backup.id for backup in backups], pa.string()),
                    "listed": pa.array([backup.id in listed for backup in backups], pa.bool_()),
                }
            ),
            "listings": pa.table(
                {
                    "backup": np.repeat(np.arange(len(backups), dtype=np.int32), lengths),
                    "file": np.concatenate(listings) if listings else np.empty(0, np.int32),
                }
            ),
            "files": self._grown(found),
        }

    def _grown(self, found: Facts) -> pa.Table:
        if self._numbering is not found.known.numbering:
            self._files, self._numbering = _FILES.empty_table(), found.known.numbering
        known, files = self._files.num_rows, found.known.files
        if known < len(files):
            self._files = pa.concat_tables([self._files, _rows(files[known:], found.known.collections[known:], known)])
        return self._files


def _rows(files: Sequence[FileRow], collections: Sequence[str | None], first: int) -> pa.Table:
    columns = {
        "number": range(first, first + len(files)),
        "name": [row.name for row in files],
        "role": [row.role for row in files],
        "kind": [row.kind for row in files],
        "segment": [row.segment for row in files],
        "collection": collections,
        "bytes": [row.size for row in files],
        "hash": [row.sha256 for row in files],
        "object": [row.key for row in files],
        "stored_bytes": [row.stored_size if row.key else None for row in files],
        "layout": [row.layout or None for row in files],
        "codec": [row.codec or None for row in files],
        "uploaded_by": [_uploader(row.key) for row in files],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in _FILES], schema=_FILES)


def _uploader(key: str | None) -> str | None:
    return None if key is None else key.removeprefix(paths.DATA).partition("/")[0]
