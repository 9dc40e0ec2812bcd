"""Every key in a repository, with its parser.

Keys are relative to the repository's URL; numbers are padded with zeros, so that keys sort by number, and
``parse(x.key) == x``. The layout is described in docs/formats/repository.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tiervdb.format.paths import is_id

REPOSITORY = "repository.json"
KEYS, DATA, BACKUPS, EXPIRATIONS, LEASES, PINS = "keys/", "data/", "backups/", "expirations/", "leases/", "pins/"
TIMELINES, EPOCHS, WAL, COMPLETE = "timelines/", "epochs/", "wal/", "complete/"
OPERATIONS, HOLDS, CATALOG = "operations/", "holds/", "catalog/"
CATALOG_POINTER, CATALOG_STATE = "catalog/current.json", "catalog/state/"

_SHARD_DIGITS, _PART_DIGITS, _EPOCH_DIGITS = 4, 16, 10
_ID = "([0-9a-f]{32})"


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"{text!r} is not an id of 32 hexadecimal digits")
    return text


def _number(value: int, digits: int) -> str:
    if not 0 <= value < 10**digits:
        raise ValueError(f"{value} does not fit a key with {digits} digits")
    return f"{value:0{digits}}"


@dataclass(frozen=True)
class KeySlot:
    """A wrapped copy of the repository's secret, which one key opens."""

    id: str

    @property
    def key(self) -> str:
        return f"{KEYS}{_id(self.id)}"


@dataclass(frozen=True)
class DataKey:
    """An object's bytes, written once. ``uploader``: the id of the backup that sent it, whose lease protects it."""

    uploader: str
    id: str

    @property
    def key(self) -> str:
        return f"{data_prefix(self.uploader)}{_id(self.id)}"


@dataclass(frozen=True)
class BackupKey:
    """A backup's document, or the tombstone that takes its place."""

    id: str

    @property
    def key(self) -> str:
        return f"{BACKUPS}{_id(self.id)}"


@dataclass(frozen=True)
class ExpirationKey:
    """Says that a backup is no longer listed, and why. ``id``: the backup's."""

    id: str

    @property
    def key(self) -> str:
        return f"{EXPIRATIONS}{_id(self.id)}"


@dataclass(frozen=True)
class LeaseKey:
    id: str

    @property
    def key(self) -> str:
        return f"{LEASES}{_id(self.id)}"


@dataclass(frozen=True)
class RepositoryPinKey:
    """Keeps what a restore still has to fetch."""

    id: str

    @property
    def key(self) -> str:
        return f"{PINS}{_id(self.id)}"


@dataclass(frozen=True)
class TimelineKey:
    id: str

    @property
    def key(self) -> str:
        return f"{TIMELINES}{_id(self.id)}"


@dataclass(frozen=True)
class RepositoryEpochKey:
    epoch: int

    @property
    def key(self) -> str:
        return f"{EPOCHS}{_number(self.epoch, _EPOCH_DIGITS)}"


@dataclass(frozen=True)
class PartKey:
    """The ``n``-th part of a timeline's archived log, counted from 1 for each shard."""

    timeline: str
    shard: int
    n: int

    @property
    def key(self) -> str:
        return f"{parts_prefix(self.timeline, self.shard)}{_number(self.n, _PART_DIGITS)}"


@dataclass(frozen=True)
class MergedKey:
    """The parts ``first`` to ``last`` in one object, beside or instead of them."""

    timeline: str
    shard: int
    first: int
    last: int

    @property
    def key(self) -> str:
        span = f"{_number(self.first, _PART_DIGITS)}-{_number(self.last, _PART_DIGITS)}"
        return f"{parts_prefix(self.timeline, self.shard)}{span}"


@dataclass(frozen=True)
class CompleteKey:
    """Up to when the archive of a timeline's shard is complete: small, and overwritten by the writer only."""

    timeline: str
    shard: int

    @property
    def key(self) -> str:
        return f"{COMPLETE}{_id(self.timeline)}/{_number(self.shard, _SHARD_DIGITS)}"


@dataclass(frozen=True)
class OperationKey:
    """Says what was done, by whom."""

    id: str

    @property
    def key(self) -> str:
        return f"{OPERATIONS}{_id(self.id)}"


@dataclass(frozen=True)
class HoldKey:
    """Keeps backups from expiring."""

    id: str

    @property
    def key(self) -> str:
        return f"{HOLDS}{_id(self.id)}"


@dataclass(frozen=True)
class CatalogStateKey:
    """A piece of what a catalog is made of, named by the SHA-256 of its plain bytes."""

    sha256: str

    @property
    def key(self) -> str:
        if re.fullmatch("[0-9a-f]{64}", self.sha256) is None:
            raise ValueError(f"{self.sha256!r} is not a SHA-256")
        return f"{CATALOG_STATE}{self.sha256}"


@dataclass(frozen=True)
class CatalogFileKey:
    """A Parquet file of a published catalog. ``number``: of a table's pieces; None where there is one."""

    publication: str
    table: str
    number: int | None = None

    @property
    def key(self) -> str:
        if re.fullmatch("[a-z_]+", self.table) is None:
            raise ValueError(f"{self.table!r} is not a table")
        piece = "" if self.number is None else f"/{_number(self.number, _SHARD_DIGITS)}"
        return f"{CATALOG}{_id(self.publication)}/{self.table}{piece}.parquet"


RepositoryKey = (
    KeySlot
    | DataKey
    | BackupKey
    | ExpirationKey
    | LeaseKey
    | RepositoryPinKey
    | TimelineKey
    | RepositoryEpochKey
    | PartKey
    | MergedKey
    | CompleteKey
    | OperationKey
    | HoldKey
    | CatalogStateKey
    | CatalogFileKey
)


def data_prefix(uploader: str) -> str:
    """What the keys of all objects that a backup sent start with."""
    return f"{DATA}{_id(uploader)}/"


def parts_prefix(timeline: str, shard: int) -> str:
    """What the keys of a timeline's archived log start with."""
    return f"{WAL}{_id(timeline)}/{_number(shard, _SHARD_DIGITS)}/"


def _field(digits: int) -> str:
    return f"([0-9]{{{digits}}})"


_S, _N, _E = (_field(n) for n in (_SHARD_DIGITS, _PART_DIGITS, _EPOCH_DIGITS))
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[..., RepositoryKey]], ...] = (
    (re.compile(f"{KEYS}{_ID}"), KeySlot),
    (re.compile(f"{DATA}{_ID}/{_ID}"), DataKey),
    (re.compile(f"{BACKUPS}{_ID}"), BackupKey),
    (re.compile(f"{EXPIRATIONS}{_ID}"), ExpirationKey),
    (re.compile(f"{LEASES}{_ID}"), LeaseKey),
    (re.compile(f"{PINS}{_ID}"), RepositoryPinKey),
    (re.compile(f"{TIMELINES}{_ID}"), TimelineKey),
    (re.compile(f"{EPOCHS}{_E}"), lambda e: RepositoryEpochKey(int(e))),
    (re.compile(f"{WAL}{_ID}/{_S}/{_N}"), lambda t, s, n: PartKey(t, int(s), int(n))),
    (re.compile(f"{WAL}{_ID}/{_S}/{_N}-{_N}"), lambda t, s, a, b: MergedKey(t, int(s), int(a), int(b))),
    (re.compile(f"{COMPLETE}{_ID}/{_S}"), lambda t, s: CompleteKey(t, int(s))),
    (re.compile(f"{OPERATIONS}{_ID}"), OperationKey),
    (re.compile(f"{HOLDS}{_ID}"), HoldKey),
    (re.compile(f"{CATALOG_STATE}([0-9a-f]{{64}})"), CatalogStateKey),
    (re.compile(rf"{CATALOG}{_ID}/([a-z_]+)\.parquet"), CatalogFileKey),
    (re.compile(rf"{CATALOG}{_ID}/([a-z_]+)/{_S}\.parquet"), lambda p, t, s: CatalogFileKey(p, t, int(s))),
)


def parse(key: str) -> RepositoryKey | None:
    """What a key in a repository means; None if no key here looks like it."""
    for pattern, build in _PATTERNS:
        match = pattern.fullmatch(key)
        if match:
            return build(*match.groups())
    return None
