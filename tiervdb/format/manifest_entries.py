"""What a manifest lists: the structs, without their rules (manifest_check.py) or their bytes (manifest.py)."""

from __future__ import annotations

import msgspec

from tiervdb.types import CollectionSchema, Tier

MANIFEST_VERSION = 1
TIER_MOVES_KEPT = 256
CHAIN_LENGTH = 32

StatValue = bool | int | float | str | None


class FileRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An immutable file or object. ``name``: local name or cold key. ``sha256``: 64 hexadecimal digits."""

    name: str
    size: int
    sha256: str


class ColumnStats(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Range of a column's values over all rows of a segment, dead ones too; None where unknown."""

    column: int
    nulls: int
    low: StatValue = None
    high: StatValue = None


class RowGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row group of a Parquet object. ``vectors_end``: end offset of its vector column chunk."""

    rows: int
    vectors_end: int


class SegmentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A segment as of one manifest.

    ``low_seq`` to ``high_seq``: the seqs of the data that it covers, which order segments by age. ``dead``: rows that
    ``deletions`` marks. ``files``: local files by role. ``objects``: cold objects by role. ``columns``: ids of the
    columns that its files hold, also of columns that were dropped since.
    """

    id: str
    shard: int
    collection: int
    tier: Tier
    rows: int
    dead: int = 0
    low_seq: int
    high_seq: int
    files: dict[str, FileRef]
    deletions: FileRef | None = None
    codebook: str | None = None
    objects: dict[str, FileRef] = {}
    row_groups: tuple[RowGroup, ...] = ()
    columns: tuple[int, ...] = ()
    stats: tuple[ColumnStats, ...] = ()
    created_us: int

    @property
    def live(self) -> int:
        return self.rows - self.dead


class CodebookEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A codebook: its local file. ``object``: reserved for its bytes in the cold store."""

    id: str
    collection: int
    file: FileRef
    object: FileRef | None = None
    trained_rows: int
    codec: str


class SnapshotName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot as WAL and manifests carry it. ``seq``, ``time_us``: the state it names. ``pin``: id of its pin."""

    name: str
    seq: int
    time_us: int
    expires_us: int | None = None
    pin: str
    created_us: int


class TierMoveEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows that went from one tier to the other. ``bytes``: of the files or objects that hold them there."""

    time_us: int
    collection: int
    source: Tier
    target: Tier
    segments: int
    rows: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one shard at its ``flushed_seq``: no row and no death later than that.

    ``chain``: running SHA-256 over the WAL records up to ``flushed_seq``. ``tier_moves``: the newest ones.
    """

    format_version: int = MANIFEST_VERSION
    database_id: str
    timeline: str
    shard: int
    version: int
    epoch: int
    flushed_seq: int
    flushed_time_us: int
    chain: bytes
    next_collection_id: int
    collections: tuple[CollectionSchema, ...] = ()
    segments: tuple[SegmentEntry, ...] = ()
    codebooks: tuple[CodebookEntry, ...] = ()
    snapshots: tuple[SnapshotName, ...] = ()
    tier_moves: tuple[TierMoveEntry, ...] = ()

    def segment(self, segment_id: str) -> SegmentEntry | None:
        return next((s for s in self.segments if s.id == segment_id), None)

    def codebook(self, codebook_id: str) -> CodebookEntry | None:
        return next((c for c in self.codebooks if c.id == codebook_id), None)

    def collection(self, collection_id: int) -> CollectionSchema | None:
        return next((c for c in self.collections if c.id == collection_id), None)


class Flushed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What moves when the flushed seq does: the whole schema and snapshot state as of ``seq``."""

    seq: int
    time_us: int
    chain: bytes
    collections: tuple[CollectionSchema, ...]
    snapshots: tuple[SnapshotName, ...]
    next_collection_id: int


class ManifestEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a manifest, as a value. ``replace_segments``: entries of the same id, say with a graph added."""

    flushed: Flushed | None = None
    remove_segments: frozenset[str] = frozenset()
    add_segments: tuple[SegmentEntry, ...] = ()
    replace_segments: tuple[SegmentEntry, ...] = ()
    remove_codebooks: frozenset[str] = frozenset()
    add_codebooks: tuple[CodebookEntry, ...] = ()
    replace_codebooks: tuple[CodebookEntry, ...] = ()
    add_tier_moves: tuple[TierMoveEntry, ...] = ()
    epoch: int | None = None
