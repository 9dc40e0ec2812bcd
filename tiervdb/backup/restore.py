"""Running a restore: stage, verify, publish by a rename. What an interrupted one leaves opens as nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tiervdb.backup import archive_reader, fetching, holdings, hydrate, leases, origin, restore_cold, restore_plan
from tiervdb.backup.destination import Destination
from tiervdb.backup.fetching import Fetched
from tiervdb.backup.holdings import shard_of
from tiervdb.backup.listing import is_listed
from tiervdb.backup.log_reader import LogReader, require_chain
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.origin import is_origin
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.sending import Progress
from tiervdb.backup.vault import Vault
from tiervdb.engine import identity as identities
from tiervdb.engine import log_files
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import (
    AlreadyExistsError,
    CorruptionError,
    DatabaseLockedError,
    OutsideWindowError,
    StorageError,
)
from tiervdb.format import manifest as manifests
from tiervdb.format import paths
from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest
from tiervdb.format.repository_documents import BackupFile, HydrationDocument, PartHeader
from tiervdb.format.wal_body import op_collection
from tiervdb.format.wal_header import RECORD_HEADER_LENGTH
from tiervdb.format.wal_record import peek
from tiervdb.storage.local_dir import LocalDir


@dataclass(frozen=True)
class Restored:
    """What a restore made. ``fetched_bytes``: from the repository; ``kept_bytes``: of files that were intact."""

    identity: Identity
    seq: int
    time_us: int
    backup: str
    fetched_bytes: int
    kept_bytes: int


Settle = Callable[[RestorePlan], RestorePlan]  # the last word on how far the log is replayed: attaching fences first
Finish = Callable[[Identity], Identity]


def restore(
    opened: OpenRepository,
    plan: RestorePlan,
    where: Destination,
    progress: Progress | None = None,
    settle: Settle | None = None,
    finish: Finish | None = None,
) -> Restored:
    """Builds the database of a plan beside its directory and publishes it there.

    ``settle``: called when all files are there, for the plan to finish with. ``finish``: called with the identity
    before it is written. AlreadyExistsError if the directory exists (but for delta), DatabaseLockedError if another
    restore goes there or the database in it is open, CorruptionError, StorageError.
    """
    vault = opened.vault
    _check_target(where)
    staging = where.parent.sub(f".{where.name}.partial")
    lock = staging.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"another restore to {where.parent.path(where.name)} is running; wait for it")
    try:
        fetching.settle_replaced(where.parent, where.name)
        _check_target(where)  # an old one may be back in its place
        with leases.take(vault, "restore", backups=backups(plan), timelines=timelines(plan)):
            plan = as_listed(vault, plan)
            return _Run(opened, where, staging, progress).finish(plan, settle, finish)
    finally:
        lock.release()


class _Run:
    def __init__(
        self, opened: OpenRepository, where: Destination, staging: LocalDir, progress: Progress | None
    ) -> None:
        self._opened = opened
        self._vault = opened.vault
        self._where = where
        self._staging = staging
        self._progress = progress
        self._path = str(where.parent.path(where.name))
        self._reader = LogReader(opened.vault)

    def finish(self, plan: RestorePlan, settle: Settle | None, finish: Finish | None) -> Restored:
        self._clean_up(plan)
        manifest = read_manifest(self._vault, plan)
        identity = new_identity(self._vault, plan, self._staging)
        try:
            cold = restore_cold.bring(self._vault, plan, manifest, identity, self._where, self._staging, self._path)
            got, later = self._files(plan, manifest)
            if settle is not None:
                plan = settle(plan)
                identity = forked_at(identity, plan, self._vault.clock.now_us())
            time_us = self._log(plan, manifest, identity)
            identity = settled(cold.identity, identity, plan.seq, time_us)
            self._manifest(cold.manifest, identity)
            self._remember(plan, identity, [*later, *cold.later])
            if finish is not None:
                identity = finish(identity)
            identities.write(self._staging, identity)
            self._publish()
        except Exception:
            with suppress(StorageError):
                restore_cold.abandon(plan, self._where, self._staging, self._path)
            raise
        restore_cold.complete(plan, self._where, self._where.parent.sub(self._where.name))
        fetched = got.fetched_bytes + cold.fetched_bytes + self._reader.read_bytes
        return Restored(identity, plan.seq, time_us, plan.backup.id, fetched, got.kept_bytes)

    def _clean_up(self, plan: RestorePlan) -> None:
        """What an earlier attempt left; whole files of it are fetched again."""
        restore_cold.abandon(plan, self._where, self._staging, self._path)
        hydrate.give_up(self._staging, self._opened)
        for old in list(self._staging.walk("")):
            if old != paths.WRITER_LOCK:
                self._staging.delete(old)

    def _files(self, plan: RestorePlan, manifest: Manifest) -> tuple[Fetched, list[BackupFile]]:
        """Fetches the local files, or those that a lazy restore needs at once; and those that are to come."""
        files = [file for file in plan.files if file.role == "local"]
        now = files
        if self._where.lazy:
            now = hydrate.before_opening(files, manifest, written_collections(self._reader, plan))
        have = self._where.parent.sub(self._where.name) if self._where.delta else None
        got = fetching.fetch_files(self._vault, now, self._staging, have, self._where.limits, self._progress)
        names = {file.name for file in now}
        return got, [file for file in files if file.name not in names]

    def _remember(self, plan: RestorePlan, identity: Identity, later: list[BackupFile]) -> None:
        """Says in the directory what is still to come, and pins it in the repository."""
        if not later:
            return
        pin = paths.random_id(self._vault.rng)
        document = HydrationDocument(url=self._vault.url, repository=self._opened.id, pin=pin, files=tuple(later))
        hydrate.write(self._staging, document)  # first: whoever cleans up after us finds the pin by it
        leases.pin(self._vault, identity.database_id, self._path, backups(plan), [], id=pin)

    def _log(self, plan: RestorePlan, manifest: Manifest, identity: Identity) -> int:
        """Writes the log after the manifest; the commit time at its end."""
        where = f"the log in {self._vault.url}"
        checked = require_chain(manifest.flushed_seq, manifest.chain, plan.steps, self._reader, where)
        time_us, seq = manifest.flushed_time_us, manifest.flushed_seq
        made = log_files.rebuilt(
            checked,
            shard=manifest.shard,
            database_id=identity.database_id,
            timeline=identity.timeline.id,
            chain=manifest.chain,
        )
        with self._reader.ahead([step.stretch for step in plan.steps]):
            for name, data in made:
                self._staging.write_atomic(name, data)
                for header, _ in log_files.records_of_file(data, name):
                    seq, time_us = header.seq, header.time_us
        if seq != plan.seq:
            raise CorruptionError(f"the log in {self._vault.url} ends at commit {seq}, before {plan.seq}")
        return time_us

    def _manifest(self, manifest: Manifest, identity: Identity) -> None:
        ManifestStore(self._staging, manifest.shard).publish(
            msgspec.structs.replace(manifest, database_id=identity.database_id, timeline=identity.timeline.id, epoch=0)
        )

    def _publish(self) -> None:
        parent, name = self._where.parent, self._where.name
        if self._where.delta and parent.path(name).exists():
            fetching.replace_directory(parent, self._staging.root.name, name)
        else:
            parent.rename(self._staging.root.name, name)


def written_collections(reader: LogReader, plan: RestorePlan) -> frozenset[int]:
    """The collections that the log after the backup's manifest writes to."""
    written: set[int] = set()
    with reader.ahead([step.stretch for step in plan.steps]):
        for header, record in (found for step in plan.steps for found in reader.records(step)):
            meta = peek(record[RECORD_HEADER_LENGTH:], header, f"commit {header.seq}")
            written |= {collection for op in meta.ops if (collection := op_collection(op)) is not None}
    return frozenset(written)


def read_manifest(vault: Vault, plan: RestorePlan) -> Manifest:
    """The manifest of the plan's backup, checked against what the document says."""
    if is_origin(plan.backup):
        return origin.manifest_of(plan.backup)
    shard = shard_of(plan.backup)
    listed = shard.manifest
    name = f"the manifest of backup {plan.backup.id}"
    if listed.object is None:
        raise CorruptionError(f"{name} has no object; run `tiervdb verify`")
    data = fetching.checked(vault.get_bytes(listed.object), listed, vault)
    manifest = manifests.decode(data, name)
    if (manifest.shard, manifest.flushed_seq) != (shard.shard, shard.flushed_seq):
        raise CorruptionError(f"{name} is that of commit {manifest.flushed_seq}, not {shard.flushed_seq}")
    return manifest


def new_identity(vault: Vault, plan: RestorePlan, staging: LocalDir) -> Identity:
    """A new database, on a new timeline that forks from the plan's point."""
    lines = [branch.line for branch in plan.point.history]
    at = lines.index(plan.point.branch.line)
    origin = Identity(
        database_id=plan.backup.database_id,
        shards=len(plan.backup.shards),
        timeline=lines[at],
        ancestors=tuple(lines[at + 1 :]),
        created_us=vault.clock.now_us(),
        place=identities.here(staging),
        cold_url=plan.backup.cold_url,
    )
    return identities.forked(origin, staging, vault.clock, vault.rng, plan.seq, 0, paths.random_id(vault.rng))


def forked_at(identity: Identity, plan: RestorePlan, now_us: int) -> Identity:
    """The same, where the last word on the point moved it."""
    timeline = msgspec.structs.replace(identity.timeline, fork_seqs=(plan.seq,), created_us=now_us)
    return msgspec.structs.replace(identity, timeline=timeline)


def settled(cold: Identity, identity: Identity, seq: int, time_us: int) -> Identity:
    """With what only the end of the log tells, and what the cold store needs."""
    timeline = msgspec.structs.replace(identity.timeline, fork_seqs=(seq,), fork_time_us=time_us)
    return msgspec.structs.replace(identity, timeline=timeline, cold_url=cold.cold_url, borrowed=cold.borrowed)


def backups(plan: RestorePlan) -> list[str]:
    """What a lease names for a restore."""
    return [] if is_origin(plan.backup) else [plan.backup.id]


def timelines(plan: RestorePlan) -> list[str]:
    """The same, of those whose log it may read."""
    return sorted(branch.timeline for branch in plan.point.history)


def as_listed(vault: Vault, plan: RestorePlan) -> RestorePlan:
    """The plan as the repository is now that a lease keeps it: parts of its log may have been merged since, and are
    about to be deleted. OutsideWindowError if what it needs has expired."""
    if not is_origin(plan.backup) and not is_listed(vault, plan.backup.id):
        raise OutsideWindowError(f"backup {plan.backup.id} was expired just now; plan the restore again")
    parts: dict[str, list[PartHeader]] = {}
    for step in plan.steps:
        if step.stretch.part is not None:
            parts.setdefault(step.stretch.part.timeline, []).append(step.stretch.part)
    shard = shard_of(plan.backup).shard
    if all(archive_reader.are_current(vault, timeline, shard, some) for timeline, some in parts.items()):
        return plan
    return restore_plan.with_log_of(holdings.readable(vault)[0], plan)


def _check_target(where: Destination) -> None:
    path = where.parent.path(where.name)
    if not path.exists():
        return
    if not where.delta:
        raise AlreadyExistsError(
            f"{path} exists already; restore to a path that does not, or with delta=True, which replaces the database "
            "there and keeps its intact files"
        )
    local = where.parent.sub(where.name)
    identities.read(local)  # never over anything that is no database
    if local.is_locked(paths.WRITER_LOCK):
        raise DatabaseLockedError(f"{path} is open for writing; close it before it is replaced")
