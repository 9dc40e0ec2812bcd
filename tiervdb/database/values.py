"""What database calls answer with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tiervdb.database.totals import SearchTotals
from tiervdb.types import IdType, Metric


@dataclass(frozen=True)
class Snapshot:
    """A named state that is kept.

    ``seq``, ``time``: the last commit in it. ``expires``: when it goes by itself; None: never. ``consistency``: whether
    all its commits were synced to disk ("fsync") or only handed to the operating system ("os") when it was taken.
    ``only_bytes``: local and cold bytes that are kept for it alone; None where that was not counted.
    """

    name: str
    seq: int
    time: datetime
    created: datetime
    expires: datetime | None
    consistency: str
    pin: str
    only_bytes: int | None = None


@dataclass(frozen=True)
class PinInfo:
    """What keeps files from being deleted: a snapshot, a clone, a reader, also of another process.

    ``seq``: the commit whose state it keeps; None if that cannot be read. ``holder``: who holds it, where that is
    known: a process, or a database by its id. ``state``: "held"; "making" while a clone is not complete, also if it
    never will be; "damaged" if its document cannot be read. ``where``: the directory or the cold store that it lies in.
    ``path``, ``host``: where a clone lies. ``depends``: what is lost when it is released.
    """

    id: str
    kind: str
    seq: int | None
    created: datetime
    expires: datetime | None
    name: str | None
    holder: str | None
    where: str
    state: str = "held"
    path: str | None = None
    host: str | None = None
    depends: str | None = None


class PinList(list[PinInfo]):
    """Pins, those in the cold store last. ``away``: why the store could not be asked, so that its pins are missing."""

    away: str | None = None


@dataclass(frozen=True)
class TierMove:
    """A move between the tiers that a policy wants: ``rows`` of a segment, where to, and why."""

    collection: str
    segment: str
    to: Literal["cold", "hot"]
    rows: int
    reason: str


@dataclass(frozen=True)
class CollectionStats:
    """A collection in numbers. Rows are live ones; ``dead_rows`` wait for compaction.

    ``memory_rows`` are in the log and in memory only, ``hot_rows`` in segments on local disk, ``cold_rows`` in the cold
    store. ``local_bytes`` and ``cold_bytes``: sizes of the segments' files and objects.
    """

    name: str
    dim: int
    metric: Metric
    id_type: IdType
    rows: int
    memory_rows: int
    hot_rows: int
    cold_rows: int
    dead_rows: int
    hot_segments: int
    cold_segments: int
    sketches: int
    graphs: int
    local_bytes: int
    cold_bytes: int


@dataclass(frozen=True)
class Stats:
    """A database in numbers: the sums, each collection, and what the searches since its opening did."""

    rows: int
    local_bytes: int
    cold_bytes: int
    collections: tuple[CollectionStats, ...]
    searches: SearchTotals


@dataclass(frozen=True)
class Status:
    """How a database stands.

    ``protection``: "unprotected" while it archives nowhere, else how it archives ("off", "async", "sync"), and what
    went wrong last. ``archived_seq``, ``archive_lag``: all commits up to this one are in the repository, and for how
    many seconds something has been missing there (what would be lost now); None where it is not known here.
    ``missing_bytes``: what a lazy restore has still to fetch. ``background``: None, or why the last
    background work failed; it is tried again. ``seq``, ``time``: the newest visible commit. ``single_writer``: whether
    the cold store lacks conditional writes, so that nothing there stops a second writer; None: not known (yet).
    """

    path: str
    database_id: str
    timeline: str
    mode: Literal["read-write", "read-only"]
    seq: int
    time: datetime
    cold_url: str | None
    single_writer: bool | None
    protection: str
    repository_url: str | None
    archived_seq: int | None
    archive_lag: float | None
    missing_bytes: int
    snapshots: int
    pins: int
    background: str | None
    collections: tuple[str, ...]


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did. ``skipped``: rows that an earlier run under the same name had committed."""

    rows: int
    skipped: int
    commits: int
    seq: int
    seconds: float
