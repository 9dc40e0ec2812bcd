"""Values of the repository's formats that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.format.values import OWNER, SNAPSHOT, TIER_MOVE, TIMELINE, an_id
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_operations as operations
from tiervdb.format.documents import DocumentBase, StoreRecord, TimelineRecord
from tiervdb.format.repository_documents import BackupFile, ShardBackup, StoredObject
from tiervdb.format.repository_paths import CatalogStateKey, DataKey

STORED = StoredObject(key=DataKey(an_id(1), an_id(2)).key, size=100, stored_size=60, layout="framed", codec="zstd")
FILE = BackupFile(
    name=f"segments/{an_id(3)}.ids",
    role="local",
    size=100,
    sha256="ab" * 32,
    kind="ids",
    segment=an_id(3),
    collection=1,
    object=STORED,
)
COLD = BackupFile(name=f"{an_id(4)}/0000000001/{an_id(5)}.parquet", role="cold", size=7, sha256="cd" * 32, object=None)
SHARD = ShardBackup(
    shard=0,
    manifest=FILE,
    flushed_seq=5,
    first_time_us=50,
    seq=7,
    time_us=70,
    chain="ef" * 32,
    files=(FILE, COLD),
)
BACKUP = documents.BackupDocument(
    id=an_id(1),
    kind="incremental",
    label="nightly, \u00e4",
    database_id=an_id(6),
    timeline=TIMELINE,
    ancestors=(TimelineRecord(id=an_id(3), created_us=1),),
    epoch=2,
    created_us=80,
    finished_us=90,
    cold="reference",
    cold_url="s3://bucket/cold",
    pins=(an_id(7),),
    shards=(SHARD,),
    snapshots=(SNAPSHOT,),
    sent_bytes=107,
    sent_objects=2,
    reused=(an_id(8),),
    owner=OWNER,
    collections=(documents.BackupCollection(id=1, name="words", dim=3, metric="cosine", rows=2),),
    tier_moves=(TIER_MOVE,),
    golden=(documents.GoldenQuery(collection=1, id="king", neighbours=("king", "queen")),),
)
DONE: dict[str, Any] = {"id": an_id(1), "started_us": 1, "finished_us": 2, "owner": OWNER}
REPOSITORY_DOCUMENTS: dict[str, DocumentBase] = {
    "repository": documents.RepositoryDocument(
        id=an_id(1), created_us=1, encrypted=True, probe=StoreRecord(probed_us=1, by="first write", conditional=True)
    ),
    "key_slot": documents.KeySlotDocument(
        id=an_id(2), created_us=1, label="old", salt="00" * 16, wrapped="11" * 60, cost=2**15
    ),
    "timeline": documents.TimelineDocument(timeline=TIMELINE, database_id=an_id(6), created_us=3),
    "repository_epoch": documents.RepositoryEpoch(
        epoch=4, database_id=an_id(6), timeline=an_id(2), writer=an_id(9), created_us=3, owner=OWNER, fences=(an_id(3),)
    ),
    "backup": BACKUP,
    "tombstone": documents.Tombstone(id=an_id(1), created_us=3, reason="its lease ran out", owner=OWNER),
    "expiration": documents.Expiration(id=an_id(1), created_us=3, reason="older than 30 days", owner=OWNER),
    "lease": documents.Lease(
        id=an_id(1), kind="restore", created_us=1, expires_us=2, owner=OWNER, backups=(an_id(2),), timelines=(an_id(3),)
    ),
    "repository_pin": documents.RepositoryPin(
        id=an_id(1), created_us=1, owner=OWNER, holder=an_id(2), path="/data", backups=(an_id(3),)
    ),
    "complete": documents.CompleteThrough(timeline=an_id(2), shard=0, epoch=3, seq=7, time_us=70),
    "part_header": documents.PartHeader(
        kind="records",
        database_id=an_id(6),
        timeline=an_id(2),
        shard=0,
        n=3,
        epoch=2,
        writer=an_id(9),
        first_seq=5,
        last_seq=7,
        first_time_us=50,
        last_time_us=70,
        before="00" * 32,
        after="ab" * 32,
        length=99,
        created_us=71,
    ),
    "merged_header": documents.MergedHeader(
        kind="records",
        database_id=an_id(6),
        timeline=an_id(2),
        shard=0,
        n=3,
        last_n=9,
        epoch=2,
        writer=an_id(9),
        first_seq=5,
        last_seq=70,
        first_time_us=50,
        last_time_us=700,
        before="00" * 32,
        after="ab" * 32,
        length=99,
        created_us=710,
    ),
    "hydration": documents.HydrationDocument(
        url="s3://bucket/repository", repository=an_id(1), pin=an_id(2), files=(FILE,)
    ),
    "restore_operation": operations.RestoreOperation(
        **DONE,
        target="latest",
        path="/data",
        attached=True,
        lazy=False,
        delta=False,
        backup=an_id(1),
        from_timeline=an_id(2),
        seq=7,
        time_us=70,
        timeline=an_id(3),
        database_id=an_id(4),
        fetched_bytes=100,
    ),
    "clone_operation": operations.CloneOperation(
        **DONE,
        path="/copy",
        from_timeline=an_id(2),
        seq=7,
        time_us=70,
        timeline=an_id(3),
        database_id=an_id(4),
    ),
    "verify_operation": operations.VerifyOperation(
        **DONE, deep=True, sample=0.05, backups=1, findings=(operations.FindingRecord(object="data/x", problem="gone"),)
    ),
    "copy_operation": operations.CopyOperation(
        **{**DONE, "error": "the store is away"}, source_url="s3://a/b", target_url="/c", backups=1
    ),
    "expire_operation": operations.ExpireOperation(**DONE, policy="daily=30", backups=(an_id(1),), objects=3, bytes=9),
    "drill_operation": operations.DrillOperation(
        **DONE, target="seq 7", lazy=True, seq=7, rows=9, first_query_seconds=0.5, recall=0.99, problems=("rows",)
    ),
    "job_operation": operations.JobOperation(**DONE, job="backup", due_us=1, attempt=2, summary="sent 3 files"),
    "hold": operations.HoldDocument(id=an_id(1), created_us=1, owner=OWNER, reason="audit", label="year end"),
    "catalog_pointer": operations.CatalogPointer(
        published_us=1,
        directory=f"catalog/{an_id(1)}",
        tables={"backup_objects": ("backup_objects/0000.parquet",)},
        pieces={"backup_objects/0000.parquet": "ab" * 32},
        state=(CatalogStateKey("ab" * 32).key,),
    ),
    "progress": documents.BackupProgress(id=an_id(1), repository=an_id(2), objects={"ab" * 32: STORED}),
}
REPOSITORY_DECODERS: dict[str, Callable[[bytes, str], Any]] = {
    "repository": documents.decode_repository,
    "key_slot": documents.decode_key_slot,
    "timeline": documents.decode_timeline,
    "repository_epoch": documents.decode_epoch,
    "backup": documents.decode_backup,
    "tombstone": documents.decode_backup,
    "expiration": documents.decode_expiration,
    "lease": documents.decode_lease,
    "repository_pin": documents.decode_pin,
    "complete": documents.decode_complete,
    "part_header": documents.decode_part_header,
    "merged_header": documents.decode_merged_header,
    "hydration": documents.decode_hydration,
    "progress": documents.decode_progress,
    "hold": operations.decode_hold,
    "catalog_pointer": operations.decode_pointer,
    **{
        f"{name}_operation": operations.decode_operation
        for name in ("restore", "clone", "verify", "copy", "expire", "drill", "job")
    },
}
