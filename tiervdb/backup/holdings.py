"""What a repository holds, as one value: timelines, listed backups, and the archived log of each timeline.

Restores, windows and plans are decided from it without asking the store again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tiervdb.backup import archive_reader, lineage, listing, origin
from tiervdb.backup.lineage import Branch, Lineage
from tiervdb.backup.vault import Damaged, Vault
from tiervdb.errors import CorruptionError
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import BackupDocument, BackupFile, CompleteThrough, PartHeader, ShardBackup

_READERS = 8
_log = logging.getLogger("tiervdb")
SHARD = 0  # of one: the formats name the shard, so that a database of many needs no new ones


@dataclass(frozen=True)
class Archived:
    """The archived log of a timeline: its parts in order, without the fence; ``fence``: the last seq that counts."""

    parts: tuple[PartHeader, ...] = ()
    fence: int | None = None
    complete: CompleteThrough | None = None


@dataclass(frozen=True)
class Holdings:
    """``archived``: by timeline."""

    lineage: Lineage
    backups: tuple[BackupDocument, ...]
    archived: Mapping[str, Archived]


@dataclass(frozen=True)
class Stretch:
    """Records that can be had: those of the seqs in (after, until]. Where a history leaves a timeline, the object
    holds more; the times are those of all of it.

    ``part``: the archived part that holds them, or else ``backup`` and its ``log``.
    """

    after: int
    until: int
    first_time_us: int
    last_time_us: int
    part: PartHeader | None = None
    backup: BackupDocument | None = None
    log: BackupFile | None = None


def read(vault: Vault, damaged: Damaged | None = None) -> Holdings:
    """Asks the store. Raises StorageError, CorruptionError.

    ``damaged``: told of each document and part that cannot be read, which is left out then, instead of the error; from
    any thread.
    """
    with ThreadPoolExecutor(_READERS, thread_name_prefix="tiervdb-holdings") as pool:
        reading_line = pool.submit(lineage.read, vault, damaged)
        reading_backups = pool.submit(listing.unexpired, vault, damaged)
        timelines = _timelines_with_log(vault)
        logs = pool.map(lambda timeline: _archived(vault, timeline, damaged), timelines)
        archived = dict(zip(timelines, logs, strict=True))
        line, backups = reading_line.result(), reading_backups.result()

    def fence_of(timeline: str, shard: int) -> int | None:
        return archived[timeline].fence if shard == SHARD and timeline in archived else None

    return Holdings(line, tuple(listing.listed(backups, fence_of)), archived)


def readable(vault: Vault) -> tuple[Holdings, list[CorruptionError]]:
    """Like ``read``, but backups and parts of the log that cannot be read are left out, and the log says so: one that
    is damaged must not stand in the way of the others. What was wrong comes beside.

    CorruptionError still if timelines or epochs are damaged, without which nothing can be said.
    """
    damage: dict[str, CorruptionError] = {}

    def left_out(key: str, error: CorruptionError) -> None:
        if isinstance(paths.parse(key), paths.TimelineKey | paths.RepositoryEpochKey):
            raise error
        _log.warning("%s is left out: %s", key, error)
        damage[key] = error

    held = read(vault, left_out)
    return held, [damage[key] for key in sorted(damage)]


def without(held: Holdings, gone: Collection[str]) -> Holdings:
    """The same, without the backups of these ids."""
    return replace(held, backups=tuple(backup for backup in held.backups if backup.id not in gone))


def shard_of(backup: BackupDocument) -> ShardBackup:
    return backup.shards[SHARD]


def on_history(holdings: Holdings, history: Sequence[Branch]) -> list[BackupDocument]:
    """The listed backups whose manifests are states that a history goes through, oldest first; before them its origin,
    if the archive begins there."""
    branches = {branch.timeline: branch for branch in history}
    begins = origin.of(holdings.lineage, history, _parts(holdings, history[-1]), SHARD) if history else None
    return [backup for backup in (begins,) if backup is not None] + [
        backup
        for backup in holdings.backups
        if (branch := branches.get(backup.timeline.id)) is not None
        and (branch.high is None or shard_of(backup).flushed_seq <= branch.high)
    ]


def stretches(holdings: Holdings, history: Sequence[Branch]) -> list[Stretch]:
    """All records along a history that are held somewhere, those of backups first."""
    highs = {branch.timeline: branch.high for branch in history}
    backups = on_history(holdings, history)
    found = [s for backup in backups for s in log_of(backup, highs[backup.timeline.id])]
    for branch in history:
        found += [s for part in _parts(holdings, branch) if (s := _clipped(part, branch)) is not None]
    return found


def log_of(backup: BackupDocument, high: int | None = None) -> Iterator[Stretch]:
    """The records that a backup holds itself, or those of them up to ``high``."""
    shard = shard_of(backup)
    until = shard.seq if high is None else min(shard.seq, high)
    for file in shard.files:
        if file.role == "wal" and until > shard.flushed_seq:
            times = shard.first_time_us + 1, shard.time_us
            yield Stretch(shard.flushed_seq, until, *times, backup=backup, log=file)


def _parts(holdings: Holdings, branch: Branch) -> tuple[PartHeader, ...]:
    archived = holdings.archived.get(branch.timeline)
    return () if archived is None else archived.parts


def _clipped(part: PartHeader, branch: Branch) -> Stretch | None:
    after = part.first_seq - 1
    until = part.last_seq if branch.high is None else min(part.last_seq, branch.high)
    if part.kind != "records" or until <= after:
        return None
    return Stretch(after, until, part.first_time_us, part.last_time_us, part=part)


def _timelines_with_log(vault: Vault) -> list[str]:
    parsed = (paths.parse(found.key) for found in vault.store.list(paths.WAL))
    return sorted({p.timeline for p in parsed if isinstance(p, paths.PartKey | paths.MergedKey) and p.shard == SHARD})


def _archived(vault: Vault, timeline: str, damaged: Damaged | None) -> Archived:
    parts = archive_reader.headers(vault, timeline, SHARD, damaged)
    fence = next((part for part in parts if part.kind == "fence"), None)
    counted = [part for part in parts if fence is None or part.n < fence.n]
    complete = _complete(vault, timeline, damaged)
    return Archived(tuple(counted), None if fence is None else fence.last_seq, complete)


def _complete(vault: Vault, timeline: str, damaged: Damaged | None) -> CompleteThrough | None:
    key = paths.CompleteKey(timeline, SHARD).key
    try:
        return vault.find(key, documents.decode_complete)
    except CorruptionError as error:
        if damaged is None:
            raise
        damaged(key, error)
        return None
