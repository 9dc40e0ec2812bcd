"""The catalog's tables: their columns, types and meanings. docs/catalog.md shows them, and a test compares.

Ids are texts, sizes bytes, times are with zone (UTC), seqs are 64-bit integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TEXT, INTEGER, FLAG, SECONDS = pa.string(), pa.int64(), pa.bool_(), pa.float64()
TIME = pa.timestamp("us", tz="UTC")
TEXTS = pa.list_(pa.string())

Columns = tuple[tuple[str, pa.DataType, str], ...]


@dataclass(frozen=True)
class TableSpec:
    """``columns``: name, Arrow type and meaning of each."""

    meaning: str
    columns: Columns

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(name, kind) for name, kind, _ in self.columns])


_OWNER: Columns = (
    ("user", TEXT, "whose process did it"),
    ("host", TEXT, "on which machine"),
    ("version", TEXT, "with which tiervdb"),
)
_RAN: Columns = (
    ("started", TIME, "when it began"),
    ("finished", TIME, "when it ended"),
    ("seconds", SECONDS, "how long it took"),
    ("error", TEXT, "why it failed; null if it did not"),
    *_OWNER,
)

TABLES: dict[str, TableSpec] = {
    "backups": TableSpec(
        "Every backup that has a document, also those that are no longer listed.",
        (
            ("id", TEXT, "of the backup"),
            ("kind", TEXT, "full or incremental"),
            ("label", TEXT, "the name it was given"),
            ("database_id", TEXT, "of the database"),
            ("timeline", TEXT, "that it was made on"),
            ("epoch", INTEGER, "tenure of the writer"),
            ("seq", INTEGER, "the state it holds: the last commit"),
            ("time", TIME, "commit time of seq"),
            ("first_seq", INTEGER, "where the window that starts from it begins"),
            ("first_time", TIME, "commit time of first_seq"),
            ("created", TIME, "when it was begun"),
            ("finished", TIME, "when its document was written"),
            ("seconds", SECONDS, "from begun to written"),
            ("cold", TEXT, "cold objects: copy (in the repository) or reference (in their store)"),
            ("cold_url", TEXT, "the database's cold store; null: its own subdirectory"),
            ("files", INTEGER, "all that it lists"),
            ("bytes", INTEGER, "of these"),
            ("sent_objects", INTEGER, "what no earlier backup had"),
            ("sent_bytes", INTEGER, "of these"),
            ("rows", INTEGER, "in all collections"),
            ("snapshots", TEXTS, "names that live at seq"),
            ("listed", FLAG, "whether it can be restored from"),
            ("unlisted_reason", TEXT, "why not"),
            ("held", FLAG, "whether a hold keeps it from expiring"),
            *_OWNER,
        ),
    ),
    "backup_collections": TableSpec(
        "The collections in each backup.",
        (
            ("backup", TEXT, "id"),
            ("collection", TEXT, "name"),
            ("dim", INTEGER, "of the vectors"),
            ("metric", TEXT, "cosine, l2 or ip"),
            ("rows", INTEGER, "live ones at the backup's seq"),
        ),
    ),
    "backup_objects": TableSpec(
        "Everything that each backup lists: files of the hot tier, cold objects, log and manifest.",
        (
            ("backup", TEXT, "id of the backup that lists it"),
            ("name", TEXT, "in the database: file name or cold key"),
            ("tier", TEXT, "hot, cold, log or meta (manifest, codebooks)"),
            ("kind", TEXT, "vectors, ids, columns, sketch, graph, parquet, deletions, codebook, manifest, wal, ..."),
            ("collection", TEXT, "its name in that backup"),
            ("segment", TEXT, "id of the segment"),
            ("bytes", INTEGER, "of its contents"),
            ("hash", TEXT, "SHA-256 of its contents"),
            ("object", TEXT, "key in the repository; null: by reference in the cold store"),
            ("stored_bytes", INTEGER, "of the object"),
            ("uploaded_by", TEXT, "the backup that sent it first"),
        ),
    ),
    "objects": TableSpec(
        "The repository's objects that documents name.",
        (
            ("object", TEXT, "key in the repository"),
            ("bytes", INTEGER, "of its contents"),
            ("stored_bytes", INTEGER, "of the object: compressed, sealed"),
            ("layout", TEXT, "plain or framed"),
            ("codec", TEXT, "none or zstd"),
            ("hash", TEXT, "SHA-256 of its contents"),
            ("uploaded_by", TEXT, "the backup that sent it first"),
            ("backups", INTEGER, "how many listed backups need it; 0: it is gone, or goes with the next expiry"),
        ),
    ),
    "lineage": TableSpec(
        "What comes from what: edges between timelines, backups, snapshots, restores and copies.",
        (
            ("kind", TEXT, "fork, backup, reuses, snapshot, restore, clone or copy"),
            ("parent_kind", TEXT, "timeline, backup or repository"),
            ("parent", TEXT, "id or URL"),
            ("child_kind", TEXT, "timeline, backup, snapshot or repository"),
            ("child", TEXT, "id, name or URL"),
            ("seq", INTEGER, "the commit where they touch"),
            ("time", TIME, "when that was"),
        ),
    ),
    "snapshots": TableSpec(
        "Named snapshots that the log or a backup tells of.",
        (
            ("name", TEXT, "of the snapshot"),
            ("timeline", TEXT, "that it was made on"),
            ("seq", INTEGER, "the state it names"),
            ("time", TIME, "commit time of seq"),
            ("created", TIME, "when the name was given"),
            ("expires", TIME, "when the database forgets it; null: never"),
            ("dropped_seq", INTEGER, "the commit that dropped the name; null: none known"),
        ),
    ),
    "timelines": TableSpec(
        "Every history that archived here or was attached.",
        (
            ("timeline", TEXT, "id"),
            ("database_id", TEXT, "of the database"),
            ("parent", TEXT, "the timeline that it forked from"),
            ("parent_database", TEXT, "whose that was"),
            ("fork_seq", INTEGER, "the last commit that it shares with its parent"),
            ("fork_time", TIME, "commit time of fork_seq"),
            ("created", TIME, "when it began"),
            ("fence_seq", INTEGER, "the last commit that counts, once another took over"),
            ("current", FLAG, "whether it is the one that is written"),
            ("archived_seq", INTEGER, "the last commit in the archive"),
            ("complete_through", TIME, "no commit up to then is missing in the archive"),
        ),
    ),
    "epochs": TableSpec(
        "The tenures of writers.",
        (
            ("epoch", INTEGER, "number"),
            ("timeline", TEXT, "that is written"),
            ("database_id", TEXT, "of the database"),
            ("created", TIME, "when it was taken"),
            ("fences", TEXTS, "timelines that it ended"),
            *_OWNER,
        ),
    ),
    "commits": TableSpec(
        "What was committed, from the archived log and the logs of backups.",
        (
            ("timeline", TEXT, "that it was made on"),
            ("seq", INTEGER, "commit number"),
            ("time", TIME, "commit time"),
            ("collection", TEXT, "name"),
            ("operation", TEXT, "upsert, update, delete, create collection, ..."),
            ("upserted", INTEGER, "rows"),
            ("deleted", INTEGER, "rows"),
            ("note", TEXT, "of the commit"),
        ),
    ),
    "wal_files": TableSpec(
        "The parts of the archived log; those that were merged into one object are one row.",
        (
            ("timeline", TEXT, "whose log it is"),
            ("shard", INTEGER, "number"),
            ("n", INTEGER, "number of the part, without gaps; of parts that were merged, the first"),
            ("last_n", INTEGER, "of parts that were merged into one object, the last; else n"),
            ("kind", TEXT, "records, gap (given up) or fence (the end)"),
            ("first_seq", INTEGER, "first commit in it"),
            ("last_seq", INTEGER, "last commit in it"),
            ("commits", INTEGER, "how many"),
            ("first_time", TIME, "commit time of first_seq"),
            ("last_time", TIME, "commit time of last_seq"),
            ("created", TIME, "when it was archived"),
            ("bytes", INTEGER, "of the records"),
            ("epoch", INTEGER, "tenure of the writer"),
            ("chain", TEXT, "running hash over the log up to its end"),
            ("object", TEXT, "key in the repository"),
        ),
    ),
    "gaps": TableSpec(
        "Commits between archived parts that no part holds.",
        (
            ("timeline", TEXT, "whose log it is"),
            ("first_seq", INTEGER, "first commit that is missing"),
            ("last_seq", INTEGER, "last commit that is missing"),
            ("after", TIME, "commit time of the part before"),
            ("before", TIME, "commit time of the part after; null: none yet"),
            ("why", TEXT, "given up (the archive was too far behind) or missing"),
        ),
    ),
    "restorable_windows": TableSpec(
        "The gap-free intervals to which the repository can restore: every commit and every moment.",
        (
            ("timeline", TEXT, "id"),
            ("current", FLAG, "whether that is the one that is written"),
            ("first_seq", INTEGER, "first commit"),
            ("last_seq", INTEGER, "last commit"),
            ("first_time", TIME, "from"),
            ("last_time", TIME, "to"),
            ("seconds", SECONDS, "from first_time to last_time"),
            ("backups", TEXTS, "that its states start from; none: the empty database"),
        ),
    ),
    "restores": TableSpec(
        "Restores that were made from here.",
        (
            ("id", TEXT, "of the operation"),
            ("target", TEXT, "as it was asked for"),
            ("backup", TEXT, "that it started from"),
            ("from_timeline", TEXT, "of the state"),
            ("seq", INTEGER, "of the state"),
            ("time", TIME, "commit time of seq"),
            ("timeline", TEXT, "of the new database"),
            ("database_id", TEXT, "of the new database"),
            ("path", TEXT, "on the host"),
            ("attached", FLAG, "whether it took over"),
            ("lazy", FLAG, "whether files came when they were touched"),
            ("delta", FLAG, "whether intact files were kept"),
            ("fetched_bytes", INTEGER, "from the repository until it was open"),
            ("kept_bytes", INTEGER, "of files that were intact"),
            *_RAN,
        ),
    ),
    "clones": TableSpec(
        "Databases that were cloned from the one that archives here.",
        (
            ("id", TEXT, "of the operation"),
            ("path", TEXT, "on the host"),
            ("from_timeline", TEXT, "of the state"),
            ("seq", INTEGER, "of the state"),
            ("time", TIME, "commit time of seq"),
            ("timeline", TEXT, "of the clone"),
            ("database_id", TEXT, "of the clone"),
            ("started", TIME, "when it began"),
            ("finished", TIME, "when it ended"),
            ("seconds", SECONDS, "how long it took"),
            *_OWNER,
        ),
    ),
    "verifications": TableSpec(
        "Verifications of what is stored.",
        (
            ("id", TEXT, "of the operation"),
            ("ok", FLAG, "whether nothing was wrong"),
            ("deep", FLAG, "whether all was read"),
            ("sample", SECONDS, "the share that was read, of 1"),
            ("backups", INTEGER, "looked at"),
            ("objects", INTEGER, "looked at"),
            ("parts", INTEGER, "of the log, looked at"),
            ("read_objects", INTEGER, "whose checksums were compared"),
            ("read_bytes", INTEGER, "of these"),
            ("findings", TEXTS, "what is wrong, a line each"),
            *_RAN,
        ),
    ),
    "drills": TableSpec(
        "Restores that were tried, checked and timed.",
        (
            ("id", TEXT, "of the operation"),
            ("ok", FLAG, "whether everything held"),
            ("target", TEXT, "that was drawn"),
            ("lazy", FLAG, "whether files came when they were touched"),
            ("timeline", TEXT, "of the state"),
            ("seq", INTEGER, "of the state"),
            ("time", TIME, "commit time of seq"),
            ("backup", TEXT, "that it started from"),
            ("collections", INTEGER, "whose rows were counted"),
            ("rows", INTEGER, "in them"),
            ("checked_files", INTEGER, "whose checksums were compared"),
            ("fetched_bytes", INTEGER, "from the repository"),
            ("open_seconds", SECONDS, "until the database was open"),
            ("first_query_seconds", SECONDS, "RTO: until a search was answered"),
            ("hydrated_seconds", SECONDS, "RTO: until all was local"),
            ("rpo_seconds", SECONDS, "RPO: age of the newest restorable moment when it began"),
            ("golden_queries", INTEGER, "searches that were asked again"),
            ("recall", SECONDS, "of these, against exact search, of 1"),
            ("golden_share", SECONDS, "of the neighbours that the backup names, found again, of 1"),
            ("problems", TEXTS, "what did not hold"),
            *_RAN,
        ),
    ),
    "expirations": TableSpec(
        "Backups that were unlisted, and why.",
        (
            ("backup", TEXT, "id"),
            ("time", TIME, "when"),
            ("reason", TEXT, "why"),
            ("kind", TEXT, "expired, or given up (never finished)"),
            *_OWNER,
        ),
    ),
    "expiry_runs": TableSpec(
        "Runs of expiry: what each deleted.",
        (
            ("id", TEXT, "of the operation"),
            ("policy", TEXT, "in words; null where backups were named"),
            ("backups", TEXTS, "that it unlisted"),
            ("objects", INTEGER, "deleted"),
            ("bytes", INTEGER, "of these"),
            ("parts", INTEGER, "of the log, deleted"),
            *_RAN,
        ),
    ),
    "holds": TableSpec(
        "What keeps backups from expiring.",
        (
            ("id", TEXT, "of the hold"),
            ("backup", TEXT, "the one it keeps; null: all of the label"),
            ("label", TEXT, "whose backups it keeps"),
            ("reason", TEXT, "why"),
            ("created", TIME, "when"),
            ("released", TIME, "when it was given up; null: it holds"),
            ("active", FLAG, "whether it holds"),
            ("released_by", TEXT, "whose process ended it"),
            *_OWNER,
        ),
    ),
    "pins": TableSpec(
        "Lazy restores that still fetch.",
        (
            ("id", TEXT, "of the pin"),
            ("database_id", TEXT, "of the restored database"),
            ("path", TEXT, "on the host"),
            ("created", TIME, "when"),
            ("backups", TEXTS, "that it needs"),
            *_OWNER,
        ),
    ),
    "leases": TableSpec(
        "What runs, or ended without giving its lease back.",
        (
            ("id", TEXT, "of the lease; a backup's has its id"),
            ("kind", TEXT, "backup, restore, verify, copy or agent"),
            ("created", TIME, "when"),
            ("expires", TIME, "when others may disregard it"),
            ("running", FLAG, "whether it holds"),
            ("backups", TEXTS, "that it needs"),
            ("timelines", TEXTS, "whose log it needs"),
            *_OWNER,
        ),
    ),
    "jobs": TableSpec(
        "Attempts of agents at scheduled jobs; those that had nothing to do and went well are left out.",
        (
            ("id", TEXT, "of the attempt"),
            ("job", TEXT, "archive, snapshot, backup, verify, drill, expire or copy"),
            ("due", TIME, "when it had to be done"),
            ("attempt", INTEGER, "from 1 on"),
            ("ok", FLAG, "whether it went well"),
            ("summary", TEXT, "what came of it"),
            *_RAN,
        ),
    ),
    "copies": TableSpec(
        "Off-site copies, in the repository that was copied and in the one that has the copy.",
        (
            ("id", TEXT, "of the operation"),
            ("source_url", TEXT, "from"),
            ("target_url", TEXT, "to"),
            ("backups", INTEGER, "copied"),
            ("skipped_backups", INTEGER, "that had been there"),
            ("objects", INTEGER, "copied"),
            ("bytes", INTEGER, "of these"),
            ("parts", INTEGER, "of the log, copied"),
            *_RAN,
        ),
    ),
    "tier_moves": TableSpec(
        "Demotions and promotions, as backups tell of them.",
        (
            ("time", TIME, "when"),
            ("collection", TEXT, "name"),
            ("source", TEXT, "hot or cold"),
            ("target", TEXT, "hot or cold"),
            ("segments", INTEGER, "that went into the new one"),
            ("rows", INTEGER, "that moved"),
            ("bytes", INTEGER, "where they are now"),
        ),
    ),
}
FROM_LOG = frozenset({"commits", "snapshots"})  # what needs the log itself to be read
