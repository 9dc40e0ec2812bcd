"""Every file name and object key, with their parsers.

Names are relative POSIX paths within a database directory; keys are relative to a store's URL. Numbers are padded with
zeros, so names sort by number, and a parser accepts only what its formatter writes: ``parse(x.name) == x`` and
``parse(name).name == name``. The layout is described in docs/formats/directory.md.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

IDENTITY = "tiervdb.json"
DROPPED = "tiervdb.json.dropped"
WRITER_LOCK = "writer.lock"
ARCHIVE_LOCK = "archive.lock"  # of a backup, which may run beside the writer
BACKUP_PROGRESS = "backup.json"
TIME_FLOOR = "floor.json"
HYDRATION = "hydration.json"  # of a lazy restore: what is still in the repository
WAL_DIR = "wal"
MANIFEST_DIR = "manifests"
SEGMENT_DIR = "segments"
CODEBOOK_DIR = "codebooks"
PIN_DIR = "pins"
INTENT_DIR = "intents"
LOG_DIR = "log"
COLD_DIR = "cold"
SKETCH_DIR = "sketches"
TMP_DIR = "tmp"
STORE = "store.json"  # in a cold store: what is known of it

SEGMENT_ROLES = ("vectors", "ids", "columns", "sketch", "rowsums", "graph", "graphrows")
COLD_ROLES = ("parquet", "sketch", "codebook")

_SHARD_DIGITS = 4
_VERSION_DIGITS = 16
_SEQ_DIGITS = 20
_EPOCH_DIGITS = 10
_ID_PATTERN = re.compile(r"[0-9a-f]{32}")


def random_id(rng: random.Random) -> str:
    """A new id of a database, timeline, segment, pin, ...: 128 random bits as 32 hexadecimal digits."""
    return f"{rng.getrandbits(128):032x}"


def is_id(text: str) -> bool:
    """Whether the text is 32 lower-case hexadecimal digits."""
    return _ID_PATTERN.fullmatch(text) is not None


def _number(value: int, digits: int) -> str:
    if not 0 <= value < 10**digits or value >= 2**64:
        raise ValueError(f"{value} does not fit a name with {digits} digits")
    return f"{value:0{digits}}"


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError(f"{text!r} is not an id of 32 hexadecimal digits")
    return text


@dataclass(frozen=True)
class WalName:
    """A WAL file: the shard and the seq of its first record."""

    shard: int
    first_seq: int

    @property
    def name(self) -> str:
        return f"wal/{_number(self.shard, _SHARD_DIGITS)}-{_number(self.first_seq, _SEQ_DIGITS)}.wal"


@dataclass(frozen=True)
class PublishedName:
    """The file of two uint64 words, fsynced seq and visible seq, that other processes read."""

    shard: int

    @property
    def name(self) -> str:
        return f"wal/{_number(self.shard, _SHARD_DIGITS)}.published"


@dataclass(frozen=True)
class ManifestName:
    """A manifest. The highest version that is listed is current."""

    shard: int
    version: int
    unlisted: bool = False

    @property
    def name(self) -> str:
        suffix = ".unlisted" if self.unlisted else ""
        return (
            f"manifests/{_number(self.shard, _SHARD_DIGITS)}-{_number(self.version, _VERSION_DIGITS)}.manifest{suffix}"
        )


@dataclass(frozen=True)
class SegmentFileName:
    """A local file of a segment, by its role (one of ``SEGMENT_ROLES``)."""

    segment: str
    role: str

    @property
    def name(self) -> str:
        if self.role not in SEGMENT_ROLES:
            raise ValueError(f"{self.role!r} is not a role of segment files ({', '.join(SEGMENT_ROLES)})")
        return f"segments/{_id(self.segment)}.{self.role}"


@dataclass(frozen=True)
class SketchCopyName:
    """The local copy of a cold segment's sketch object."""

    segment: str

    @property
    def name(self) -> str:
        return f"sketches/{_id(self.segment)}.sketch"


@dataclass(frozen=True)
class DeletionName:
    """A segment's deletion vector, by the manifest version that first names it."""

    segment: str
    version: int

    @property
    def name(self) -> str:
        return f"segments/{_id(self.segment)}.{_number(self.version, _VERSION_DIGITS)}.dead"


@dataclass(frozen=True)
class CodebookName:
    id: str

    @property
    def name(self) -> str:
        return f"codebooks/{_id(self.id)}.codebook"


@dataclass(frozen=True)
class PinName:
    id: str

    @property
    def name(self) -> str:
        return f"pins/{_id(self.id)}.pin"


@dataclass(frozen=True)
class IntentName:
    id: str

    @property
    def name(self) -> str:
        return f"intents/{_id(self.id)}.intent"


@dataclass(frozen=True)
class LogName:
    """Headers of the commits ``first_seq`` to ``last_seq``, which outlive their WAL file."""

    shard: int
    first_seq: int
    last_seq: int

    @property
    def name(self) -> str:
        seqs = f"{_number(self.first_seq, _SEQ_DIGITS)}-{_number(self.last_seq, _SEQ_DIGITS)}"
        return f"log/{_number(self.shard, _SHARD_DIGITS)}-{seqs}.log"


LocalName = (
    WalName
    | PublishedName
    | ManifestName
    | SegmentFileName
    | SketchCopyName
    | DeletionName
    | CodebookName
    | PinName
    | IntentName
    | LogName
)


@dataclass(frozen=True)
class ObjectKey:
    """A cold object, by its role (one of ``COLD_ROLES``): written once under the owner's id and epoch, never reused."""

    database_id: str
    epoch: int
    id: str
    role: str

    @property
    def key(self) -> str:
        if self.role not in COLD_ROLES:
            raise ValueError(f"{self.role!r} is not a role of cold objects ({', '.join(COLD_ROLES)})")
        return f"{_id(self.database_id)}/{_number(self.epoch, _EPOCH_DIGITS)}/{_id(self.id)}.{self.role}"


@dataclass(frozen=True)
class EpochKey:
    """The document of one epoch of a database in a cold store."""

    database_id: str
    epoch: int

    @property
    def key(self) -> str:
        return f"{epoch_prefix(self.database_id)}{_number(self.epoch, _EPOCH_DIGITS)}"


@dataclass(frozen=True)
class ColdPinKey:
    """A pin that lies in the cold store of the database whose objects it keeps."""

    database_id: str
    id: str

    @property
    def key(self) -> str:
        return f"{cold_pin_prefix(self.database_id)}{_id(self.id)}"


@dataclass(frozen=True)
class DeletionKey:
    """What the writer of an epoch is deleting from its cold store right now."""

    database_id: str
    epoch: int

    @property
    def key(self) -> str:
        return f"{deletion_prefix(self.database_id)}{_number(self.epoch, _EPOCH_DIGITS)}"


ColdKey = ObjectKey | EpochKey | ColdPinKey | DeletionKey


def probe_key(database_id: str, id: str) -> str:
    """Where a writer tries, before its first write, what a cold store does; deleted at once."""
    return f"{_id(database_id)}/probe/{_id(id)}"


def epoch_prefix(database_id: str) -> str:
    """What the keys of all epochs of a database start with."""
    return f"{_id(database_id)}/epochs/"


def cold_pin_prefix(database_id: str) -> str:
    """What the keys of all pins on a database's cold objects start with."""
    return f"{_id(database_id)}/pins/"


def deletion_prefix(database_id: str) -> str:
    """What the keys of all deletions of a database start with."""
    return f"{_id(database_id)}/deletions/"


def _field(digits: int) -> str:
    return f"([0-9]{{{digits}}})"


_S, _V, _Q, _E = (_field(n) for n in (_SHARD_DIGITS, _VERSION_DIGITS, _SEQ_DIGITS, _EPOCH_DIGITS))
_I = f"({_ID_PATTERN.pattern})"
_LOCAL: tuple[tuple[re.Pattern[str], Callable[..., LocalName]], ...] = (
    (re.compile(rf"wal/{_S}-{_Q}\.wal"), lambda s, q: WalName(int(s), int(q))),
    (re.compile(rf"wal/{_S}\.published"), lambda s: PublishedName(int(s))),
    (re.compile(rf"manifests/{_S}-{_V}\.manifest(\.unlisted)?"), lambda s, v, u: ManifestName(int(s), int(v), bool(u))),
    (re.compile(rf"segments/{_I}\.({'|'.join(SEGMENT_ROLES)})"), SegmentFileName),
    (re.compile(rf"sketches/{_I}\.sketch"), SketchCopyName),
    (re.compile(rf"segments/{_I}\.{_V}\.dead"), lambda i, v: DeletionName(i, int(v))),
    (re.compile(rf"codebooks/{_I}\.codebook"), CodebookName),
    (re.compile(rf"pins/{_I}\.pin"), PinName),
    (re.compile(rf"intents/{_I}\.intent"), IntentName),
    (re.compile(rf"log/{_S}-{_Q}-{_Q}\.log"), lambda s, a, b: LogName(int(s), int(a), int(b))),
)
_COLD: tuple[tuple[re.Pattern[str], Callable[..., ColdKey]], ...] = (
    (re.compile(rf"{_I}/{_E}/{_I}\.({'|'.join(COLD_ROLES)})"), lambda d, e, i, r: ObjectKey(d, int(e), i, r)),
    (re.compile(rf"{_I}/epochs/{_E}"), lambda d, e: EpochKey(d, int(e))),
    (re.compile(rf"{_I}/pins/{_I}"), ColdPinKey),
    (re.compile(rf"{_I}/deletions/{_E}"), lambda d, e: DeletionKey(d, int(e))),
)


def parse_local(name: str) -> LocalName | None:
    """What a file name within a database directory means; None if no name here looks like it."""
    for pattern, build in _LOCAL:
        match = pattern.fullmatch(name)
        if match:
            parsed = build(*match.groups())
            return parsed if _fits(parsed) else None
    return None


def _fits(parsed: LocalName) -> bool:
    seqs = [getattr(parsed, field, 0) for field in ("first_seq", "last_seq")]
    return all(seq < 2**64 for seq in seqs)


def parse_key(key: str) -> ColdKey | None:
    """What a key in a cold store means; None if no key here looks like it."""
    for pattern, build in _COLD:
        match = pattern.fullmatch(key)
        if match:
            return build(*match.groups())
    return None
