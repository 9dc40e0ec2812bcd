"""Values that several tests of the formats share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tiervdb.format import documents, operations
from tiervdb.format.commit_log import LoggedCommit, LoggedOperation
from tiervdb.format.manifest import (
    CodebookEntry,
    ColumnStats,
    FileRef,
    Manifest,
    RowGroup,
    SegmentEntry,
    SnapshotName,
    TierMoveEntry,
)
from tiervdb.format.paths import CodebookName, DeletionName, ObjectKey, SegmentFileName
from tiervdb.format.wal_record import (
    CHAIN_START,
    CollectionCounts,
    WalFileHeader,
    encode_payloads,
    finish_record,
)
from tiervdb.types import CollectionSchema, Column, RowBatch

SALT = 0x0123456789ABCDEF
SEVENTH = "7" * 32


def an_id(n: int) -> str:
    return f"{n:032x}"


WORDS = CollectionSchema(
    id=1,
    name="words",
    dim=3,
    metric="cosine",
    id_type="string",
    columns=(
        Column(id=1, name="rank", type="int64"),
        Column(id=2, name="pos", type="string"),
        Column(id=4, name="tags", type="list<string>", stored=True),
    ),
    next_column_id=5,
)
NUMBERS = CollectionSchema(id=2, name="numbers", dim=1, metric="l2", id_type="int64")
SNAPSHOT = SnapshotName(name="before", seq=4, time_us=44, expires_us=None, pin=an_id(9), created_us=45)

TIER_MOVE = TierMoveEntry(time_us=45, collection=1, source="hot", target="cold", segments=2, rows=3, bytes=99)


def word_batch() -> RowBatch:
    return RowBatch(
        pa.array(["king", "queen"]),
        np.array([[1, 2, 3], [4, 5, -6]], dtype=np.float32),
        {
            1: pa.array([1, None], pa.int64()),
            2: pa.array(["noun", "nöun"]),
            4: pa.array([["a", "b"], None], pa.list_(pa.string())),
        },
    )


def every_operation() -> list[operations.Operation]:
    """One of each, over collection 1 (known) and 2 (created here)."""
    return [
        operations.UpsertRows(1, word_batch()),
        operations.CreateCollection(NUMBERS),
        operations.UpsertRows(2, RowBatch(pa.array([-1, 2**62]), np.array([[0.5], [1.5]], np.float32)), "update"),
        operations.DeleteRows(1, pa.array(["queen", "absent"])),
        operations.DeleteRows(2, pa.array([-1])),
        operations.AddColumn(1, Column(id=5, name="lang", type="bool")),
        operations.DropColumn(1, 2),
        operations.CreateSnapshot(SNAPSHOT),
        operations.DropSnapshot("before"),
        operations.DropCollection(2),
    ]


def record(seq: int, durable_seq: int | None = None, ops: list[operations.Operation] | None = None) -> bytes:
    some = [operations.UpsertRows(1, word_batch())] if seq % 2 else [operations.DropSnapshot("s" * seq)]
    return finish_record(
        encode_payloads(some if ops is None else ops, {1: WORDS}),
        shard=0,
        seq=seq,
        time_us=1_700_000_000_000_000 + seq,
        write_id=bytes(range(16)),
        durable_seq=seq - 1 if durable_seq is None else durable_seq,
        salt=SALT,
        counts=[CollectionCounts(1, 2, 0, 2)],
        note=f"commit {seq}",
    )


def wal_file(records: list[bytes], first_seq: int = 5) -> bytes:
    header = WalFileHeader(0, an_id(1), an_id(2), first_seq, SALT, CHAIN_START)
    return b"".join((header.encode(), *records))


def ref(name: str, size: int = 10) -> FileRef:
    return FileRef(name=name, size=size, sha256="ab" * 32)


def hot_segment(n: int = 10, rows: int = 100, codebook: str | None = None) -> SegmentEntry:
    return SegmentEntry(
        id=an_id(n),
        shard=0,
        collection=1,
        tier="hot",
        rows=rows,
        low_seq=1,
        high_seq=5,
        files={role: ref(SegmentFileName(an_id(n), role).name) for role in ("vectors", "ids", "columns")},
        codebook=codebook,
        columns=(1, 2, 4),
        stats=(
            ColumnStats(column=1, nulls=1, low=-5, high=2**63),
            ColumnStats(column=2, nulls=0, low="a", high="zß"),
            ColumnStats(column=4, nulls=3),
        ),
        created_us=1,
    )


def cold_segment(n: int = 11) -> SegmentEntry:
    return SegmentEntry(
        id=an_id(n),
        shard=0,
        collection=1,
        tier="cold",
        rows=20_000,
        dead=7,
        low_seq=1,
        high_seq=5,
        files={"ids": ref(SegmentFileName(an_id(n), "ids").name)},
        deletions=ref(DeletionName(an_id(n), 3).name),
        codebook=an_id(20),
        objects={role: ref(ObjectKey(an_id(1), 1, an_id(30), role).key) for role in ("parquet", "sketch")},
        row_groups=(RowGroup(rows=16_384, vectors_end=300_000), RowGroup(rows=3_616, vectors_end=400_000)),
        columns=(1, 2),
        stats=(ColumnStats(column=1, nulls=0, low=0.25, high=float("inf")),),
        created_us=2,
    )


def manifest() -> Manifest:
    return Manifest(
        database_id=an_id(1),
        timeline=an_id(2),
        shard=0,
        version=3,
        epoch=1,
        flushed_seq=5,
        flushed_time_us=55,
        chain=bytes(range(32)),
        next_collection_id=3,
        collections=(WORDS, NUMBERS),
        segments=(hot_segment(), cold_segment()),
        codebooks=(
            CodebookEntry(
                id=an_id(20),
                collection=1,
                file=ref(CodebookName(an_id(20)).name),
                object=ref(ObjectKey(an_id(1), 1, an_id(20), "codebook").key),
                trained_rows=1000,
                codec="pq4fs",
            ),
        ),
        snapshots=(SNAPSHOT,),
        tier_moves=(TIER_MOVE,),
    )


def commits() -> list[LoggedCommit]:
    counts = (CollectionCounts(1, 2, 0, 2),)
    upsert = LoggedOperation("upsert", 1, "words")
    return [
        LoggedCommit(seq=s, time_us=s, write_id=bytes(16), operations=(upsert,), counts=counts, note="n" * s)
        for s in (3, 4)
    ]


OWNER = documents.Owner(pid=12, host="höst", user="änna", version="0.1.0")
TIMELINE = documents.TimelineRecord(id=an_id(2), created_us=5, parent=an_id(3), fork_seqs=(7,), fork_time_us=4)
DOCUMENTS: dict[str, documents.DocumentBase] = {
    "identity": documents.Identity(
        database_id=an_id(1),
        shards=1,
        timeline=TIMELINE,
        ancestors=(documents.TimelineRecord(id=an_id(3), created_us=1),),
        created_us=1,
        place=documents.Place(inode=2**63 + 1, machine="m\u20ac"),
        cold_url="s3://bucket/cold",
        borrowed=(documents.BorrowedPin(database_id=an_id(4), pin=an_id(5)),),
    ),
    "pin": documents.Pin(
        id=an_id(9),
        kind="snapshot",
        timeline=an_id(2),
        shard=0,
        manifest_version=3,
        seq=4,
        time_us=44,
        created_us=45,
        owner=OWNER,
        name="before",
        path="/data/cöpy",
        state="making",
        keys=("k",),
    ),
    "intent": documents.Intent(id=an_id(8), kind="upload", shard=0, epoch=1, created_us=3, keys=("a/b",), files=("c",)),
    "epoch": documents.EpochDocument(
        database_id=an_id(1), epoch=4, timeline=an_id(2), writer=an_id(6), created_us=3, owner=OWNER
    ),
    "store": documents.StoreRecord(
        probed_us=7, by="doctor", conditional=False, replaces_if_unchanged=True, range_reads=True, skew_us=-5
    ),
}
DECODERS = {
    "identity": documents.decode_identity,
    "pin": documents.decode_pin,
    "intent": documents.decode_intent,
    "epoch": documents.decode_epoch,
    "store": documents.decode_store,
}
