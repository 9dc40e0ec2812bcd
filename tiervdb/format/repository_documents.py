"""The documents of a repository: what it is, backups, leases, pins, timelines, epochs, and headers of log parts.

JSON as in documents.py, with a checksum; in an encrypted repository each is sealed (backup/vault.py), but for
``repository.json`` and the key slots. See docs/formats/repository.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from tiervdb.errors import CorruptionError
from tiervdb.format import repository_paths as paths
from tiervdb.format.documents import DocumentBase, Owner, StoreRecord, TimelineRecord, decode_as, require_ids
from tiervdb.format.envelope import damaged
from tiervdb.format.manifest_entries import SnapshotName, TierMoveEntry

Layout = Literal["plain", "framed"]
Codec = Literal["none", "zstd"]
ColdMode = Literal["copy", "reference"]
FileRole = Literal["local", "cold", "wal"]
LeaseKind = Literal["backup", "restore", "verify", "copy", "agent"]
PartKind = Literal["records", "fence", "gap"]


class RepositoryDocument(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``repository.json``: what makes a place a repository. Never changed, but for ``probe``."""

    id: str
    created_us: int
    encrypted: bool
    probe: StoreRecord | None = None


class KeySlotDocument(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The repository's secret, wrapped by one key. ``salt``, ``wrapped``: hexadecimal; ``cost``: scrypt's n."""

    id: str
    created_us: int
    label: str | None = None
    salt: str
    wrapped: str
    cost: int


class TimelineDocument(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A timeline that archives here, of which database, and what it descends from, nearest first.

    ``cold_url``: the database's cold store; None: a subdirectory of its own.
    """

    timeline: TimelineRecord
    database_id: str
    ancestors: tuple[TimelineRecord, ...] = ()
    cold_url: str | None = None
    shards: int = 1
    created_us: int


class RepositoryEpoch(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A writer's tenure here; the timeline of the highest one is the current one. ``writer``: a random id.

    ``fences``: timelines that this tenure ended or is about to end by their next part.
    """

    epoch: int
    database_id: str
    timeline: str
    writer: str
    created_us: int
    owner: Owner
    fences: tuple[str, ...] = ()


class StoredObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where bytes lie in the repository. ``size``: theirs; ``stored_size``: the object's.

    ``layout`` "plain": the object is the bytes, as they are; "framed": see format/frames.py.
    """

    key: str
    size: int
    stored_size: int
    layout: Layout = "plain"
    codec: Codec = "none"


class BackupFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file or object of a backup: its name in the database (local name, or cold key) and its bytes' SHA-256.

    ``kind``: what it holds: a role of segment files or cold objects, "deletions", "codebook", "manifest" or "wal".
    ``segment``, ``collection``: whose it is. ``object``: None where the bytes stay in the source's cold store, by
    reference.
    """

    name: str
    role: FileRole
    size: int
    sha256: str
    kind: str = ""
    segment: str | None = None
    collection: int | None = None
    object: StoredObject | None


class ShardBackup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shard: its manifest at ``flushed_seq``, all that this lists, and the log after it up to ``seq``.

    ``chain``: hexadecimal running hash over the log up to ``seq``. ``first_time_us``: commit time of ``flushed_seq``.
    """

    shard: int
    manifest: BackupFile
    flushed_seq: int
    first_time_us: int
    seq: int
    time_us: int
    chain: str
    files: tuple[BackupFile, ...]


class BackupCollection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection at the backup's seq. ``rows``: live ones."""

    id: int
    name: str
    dim: int
    metric: str
    rows: int


class GoldenQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ids nearest to the vector of row ``id``, itself first as a rule, as a search with defaults found them."""

    collection: int
    id: int | str
    neighbours: tuple[int | str, ...]


class BackupDocument(
    DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="document", tag="backup"
):
    """A backup: complete lists of what makes the database, written last.

    ``pins``: ids of the pins in the source's cold store, where it keeps objects by reference. ``sent_bytes``,
    ``sent_objects``: what this backup had to send. ``tier_moves``: the newest that the manifest knows. ``golden``:
    answers that a drill expects to find again.
    """

    id: str
    kind: Literal["full", "incremental"]
    label: str | None = None
    database_id: str
    timeline: TimelineRecord
    ancestors: tuple[TimelineRecord, ...] = ()
    epoch: int
    created_us: int
    finished_us: int
    cold: ColdMode
    cold_url: str | None = None
    pins: tuple[str, ...] = ()
    shards: tuple[ShardBackup, ...]
    snapshots: tuple[SnapshotName, ...] = ()
    sent_bytes: int
    sent_objects: int
    reused: tuple[str, ...] = ()
    owner: Owner | None = None
    collections: tuple[BackupCollection, ...] = ()
    tier_moves: tuple[TierMoveEntry, ...] = ()
    golden: tuple[GoldenQuery, ...] = ()

    @property
    def files(self) -> Iterable[BackupFile]:
        """Everything that it lists, manifests too."""
        return (file for shard in self.shards for file in (shard.manifest, *shard.files))

    @property
    def size(self) -> int:
        """Bytes of everything that it lists."""
        return sum(file.size for file in self.files)


class Tombstone(
    DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="document", tag="tombstone"
):
    """Takes the place of the document of a backup whose lease ran out, so that it can no longer be finished."""

    id: str
    created_us: int
    reason: str
    owner: Owner | None = None


class Expiration(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unlists a backup. ``id``: the backup's."""

    id: str
    created_us: int
    reason: str
    owner: Owner | None = None


class Lease(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until it expires, what it names must not be deleted. ``backups``: those whose objects its holder reads or reuses.

    ``timelines``: those whose archived log it reads. A backup's lease has the backup's id, and protects all objects
    that this sent.
    """

    id: str
    kind: LeaseKind
    created_us: int
    expires_us: int
    owner: Owner
    backups: tuple[str, ...] = ()
    timelines: tuple[str, ...] = ()


class RepositoryPin(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Like a lease that does not expire: held by a lazy restore until all of it is local. ``holder``: its database."""

    id: str
    created_us: int
    owner: Owner
    holder: str
    path: str
    backups: tuple[str, ...]
    timelines: tuple[str, ...] = ()


class CompleteThrough(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All commits up to a seq are archived, and none later than ``time_us`` was made before this was written."""

    timeline: str
    shard: int
    epoch: int
    seq: int
    time_us: int


class PartHeader(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head of a part of an archived log.

    ``kind`` "records": the records ``first_seq`` to ``last_seq``; "fence": no part of this timeline counts from here
    on; "gap": ``first_seq`` to ``last_seq`` were given up. ``before``, ``after``: hexadecimal running hashes over the
    log, up to the part and with it. ``writer``: a random id of each attempt.
    """

    kind: PartKind
    database_id: str
    timeline: str
    shard: int
    n: int
    epoch: int
    writer: str
    first_seq: int
    last_seq: int
    first_time_us: int
    last_time_us: int
    before: str
    after: str
    length: int = 0
    created_us: int

    @property
    def through(self) -> int:
        """The last number that it stands for."""
        return self.n

    @property
    def key(self) -> str:
        """Of its object."""
        return paths.PartKey(self.timeline, self.shard, self.n).key

    @property
    def where(self) -> str:
        """What it is, for people."""
        numbers = f"part {self.n}" if self.n == self.through else f"parts {self.n} to {self.through}"
        return f"{numbers} of timeline {self.timeline}"


class MergedHeader(PartHeader, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The head of an object that holds the records of the parts ``n`` to ``last_n``, and stands for them all.

    ``epoch`` and ``created_us`` are those of the last of them.
    """

    last_n: int

    @property
    def through(self) -> int:
        """The last number that it stands for."""
        return self.last_n

    @property
    def key(self) -> str:
        """Of its object."""
        return paths.MergedKey(self.timeline, self.shard, self.n, self.last_n).key


class HydrationDocument(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In the directory of a lazy restore: the files that may be missing here, and where they are.

    ``files``: by their names in the directory. ``pin``: what keeps their objects in the repository.
    """

    url: str
    repository: str
    pin: str
    files: tuple[BackupFile, ...]


class BackupProgress(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kept in the database's directory while a backup runs, so that one that was cut short goes on.

    ``objects``: what was sent, by SHA-256.
    """

    id: str
    repository: str
    objects: dict[str, StoredObject] = msgspec.field(default_factory=dict)
    pins: tuple[str, ...] = ()


def decode_progress(data: bytes, name: str) -> BackupProgress:
    """Raises CorruptionError or NewerFormatError naming ``name``, like all decoders here."""
    progress = decode_as(data, name, BackupProgress)
    require_ids(name, progress.id, progress.repository, *progress.pins)
    return progress


def decode_hydration(data: bytes, name: str) -> HydrationDocument:
    document = decode_as(data, name, HydrationDocument)
    require_ids(name, document.repository, document.pin)
    for file in document.files:
        _check_file(file, name)
        if file.name.startswith("/") or ".." in file.name.split("/"):
            raise damaged(name, f"it names {file.name!r}")
    return document


def decode_repository(data: bytes, name: str) -> RepositoryDocument:
    document = decode_as(data, name, RepositoryDocument)
    require_ids(name, document.id)
    return document


def decode_key_slot(data: bytes, name: str) -> KeySlotDocument:
    document = decode_as(data, name, KeySlotDocument)
    require_ids(name, document.id)
    _require_hex(name, document.salt, document.wrapped)
    if not 2 <= document.cost <= 2**20 or document.cost & (document.cost - 1):
        raise damaged(name, f"its cost is {document.cost}")
    return document


def decode_timeline(data: bytes, name: str) -> TimelineDocument:
    document = decode_as(data, name, TimelineDocument)
    require_ids(name, document.database_id, *_line_ids((document.timeline, *document.ancestors)))
    return document


def decode_epoch(data: bytes, name: str) -> RepositoryEpoch:
    document = decode_as(data, name, RepositoryEpoch)
    require_ids(name, document.database_id, document.timeline, document.writer, *document.fences)
    return document


def decode_backup(data: bytes, name: str) -> BackupDocument | Tombstone:
    """A backup's document, or its tombstone."""
    either: Any = BackupDocument | Tombstone
    document: BackupDocument | Tombstone = decode_as(data, name, either)
    require_ids(name, document.id)
    if isinstance(document, BackupDocument):
        _check_backup(document, name)
    return document


def decode_expiration(data: bytes, name: str) -> Expiration:
    document = decode_as(data, name, Expiration)
    require_ids(name, document.id)
    return document


def decode_lease(data: bytes, name: str) -> Lease:
    document = decode_as(data, name, Lease)
    require_ids(name, document.id, *document.backups, *document.timelines)
    return document


def decode_pin(data: bytes, name: str) -> RepositoryPin:
    document = decode_as(data, name, RepositoryPin)
    require_ids(name, document.id, document.holder, *document.backups, *document.timelines)
    return document


def decode_complete(data: bytes, name: str) -> CompleteThrough:
    document = decode_as(data, name, CompleteThrough)
    require_ids(name, document.timeline)
    return document


def decode_part_header(data: bytes, name: str) -> PartHeader:
    header = decode_as(data, name, PartHeader)
    _check_part(header, name)
    return header


def decode_merged_header(data: bytes, name: str) -> MergedHeader:
    header = decode_as(data, name, MergedHeader)
    _check_part(header, name)
    if header.kind != "records" or header.last_n <= header.n:
        raise damaged(name, f"it names the {header.kind} of the parts {header.n} to {header.last_n}")
    return header


def _check_part(header: PartHeader, name: str) -> None:
    require_ids(name, header.database_id, header.timeline, header.writer)
    _require_hex(name, header.before, header.after)
    if len(header.before) != 64 or len(header.after) != 64:
        raise damaged(name, "its running hashes do not have 32 bytes")
    if header.kind != "fence" and not 0 < header.first_seq <= header.last_seq:
        raise damaged(name, f"it names the seqs {header.first_seq} to {header.last_seq}")
    if header.n < 1 or header.shard < 0 or header.length < 0:
        raise damaged(name, "a number in it is out of range")


def _check_backup(document: BackupDocument, name: str) -> None:
    lines = _line_ids((document.timeline, *document.ancestors))
    require_ids(name, document.database_id, *lines, *document.pins, *document.reused)
    shards = [shard.shard for shard in document.shards]
    if not shards or shards != sorted(set(shards)) or shards[0] < 0:
        raise damaged(name, f"it lists the shards {shards}")
    for shard in document.shards:
        if not 0 <= shard.flushed_seq <= shard.seq:
            raise damaged(name, f"shard {shard.shard} has a manifest of {shard.flushed_seq}, after {shard.seq}")
        names = [file.name for file in shard.files]
        if len(set(names)) != len(names):
            raise damaged(name, "it lists a file twice")
    for file in document.files:
        _check_file(file, name)


def _check_file(file: BackupFile, name: str) -> None:
    if len(file.sha256) != 64 or file.size < 0:
        raise damaged(name, f"{file.name} has no SHA-256 or a size below 0")
    _require_hex(name, file.sha256)
    stored = file.object
    if stored is None:
        if file.role != "cold":
            raise damaged(name, f"{file.name} names no object")
    elif not isinstance(paths.parse(stored.key), paths.DataKey) or stored.size != file.size or stored.stored_size < 0:
        raise damaged(name, f"{file.name} names {stored.key} of {stored.size} bytes")


def _line_ids(lines: Iterable[TimelineRecord]) -> list[str]:
    return [text for line in lines for text in (line.id, line.parent, line.parent_database) if text is not None]


def _require_hex(name: str, *texts: str) -> None:
    try:
        for text in texts:
            bytes.fromhex(text)
    except ValueError as error:
        raise CorruptionError(f"cannot read {name}: {error}") from error
