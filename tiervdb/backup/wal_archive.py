"""Archiving the log of one shard: numbered parts, each created only if absent, one in flight.

A part holds whole, fsynced records, and follows the one before it by number, seq and running hash. Where a number
is taken, the records decide: ours (a lost reply, or a run before a crash) are accepted; others are a hard stop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tiervdb.backup import archive_reader, part_object
from tiervdb.backup.vault import Vault
from tiervdb.engine import log_files
from tiervdb.engine.log_files import Record
from tiervdb.engine.log_tail import LogTail
from tiervdb.errors import ArchiveConflictError, FencedError, ObjectExistsError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_paths as paths
from tiervdb.format.manifest import Manifest
from tiervdb.format.repository_documents import CompleteThrough, PartHeader, PartKind, RepositoryEpoch
from tiervdb.format.wal_record import chain_next
from tiervdb.storage.local_dir import LocalDir

PART_BYTES = 64 << 20
LOOK_AGAIN_US = 1_800_000_000  # a writer that was told nothing for so long looks first where its archive ends
_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class ArchivePosition:
    """Where an archive stands: the last number, and the seq, commit time and running hash after it."""

    n: int
    seq: int
    time_us: int
    chain: bytes


@dataclass(frozen=True)
class LogSource:
    """The local log of a shard, on the timeline that began after ``fork_seq``. ``fsynced``: how far it may be read.

    ``manifest``: the current one, for the seq and running hash of a log whose files are all gone.
    """

    local: LocalDir
    shard: int
    database_id: str
    timeline: str
    fork_seq: int
    fsynced: Callable[[], int]
    manifest: Callable[[], Manifest]

    def beginning(self) -> tuple[int, int, bytes]:
        """The seq, commit time and running hash after which the log here holds all of the timeline."""
        return log_files.beginning(self.local, self.manifest(), self.fork_seq)


class Archiver:
    """Ships one shard's log. Thread-safe: one ``ship`` at a time, others wait for it."""

    def __init__(self, vault: Callable[[], Vault], source: LogSource, epoch: Callable[[], RepositoryEpoch]) -> None:
        """``vault``, ``epoch``: asked for at the first contact, so that a repository that is away stops nobody."""
        self._vault_of = vault
        self._epoch_of = epoch
        self._source = source
        self._tail = LogTail(source.local, source.shard)
        self._lock = threading.Lock()
        self._position: ArchivePosition | None = None
        self._stopped: Exception | None = None
        self._completed_us = 0
        self._told_us = 0  # when the store was last asked, and told where the archive stands

    @property
    def position(self) -> ArchivePosition | None:
        """Where the archive stands, as far as this writer knows; None before the first contact."""
        return self._position

    @property
    def archived_seq(self) -> int:
        """All commits up to this one are archived; 0 before the first contact."""
        return 0 if self._position is None else self._position.seq

    @property
    def stopped(self) -> Exception | None:
        """Why nothing is archived any more: another writer took over, or the archive holds other records."""
        return self._stopped

    def ship(self, until: int | None = None) -> ArchivePosition:
        """Archives all fsynced commits, or those up to ``until``, and returns where the archive stands then.

        Raises FencedError or ArchiveConflictError, also ever after; StorageError, after which it goes on where it was.
        """
        with self._lock:
            if self._stopped is not None:
                raise self._stopped
            try:
                return self._ship(until)
            except (FencedError, ArchiveConflictError) as error:
                self._stopped = error
                raise

    def complete(self, time_us: int) -> None:
        """Publishes that no commit up to now is missing. The caller has made sure that later ones get later times."""
        with self._lock:
            position = self._position
            if position is None or self._stopped is not None or time_us <= self._completed_us:
                return
            vault, source = self._vault_of(), self._source
            document = CompleteThrough(
                timeline=source.timeline,
                shard=source.shard,
                epoch=self._epoch_of().epoch,
                seq=position.seq,
                time_us=time_us,
            )
            vault.replace(paths.CompleteKey(source.timeline, source.shard).key, document)
            self._completed_us = time_us

    # -- shipping

    def _ship(self, until: int | None) -> ArchivePosition:
        position = self._position or self._find()
        end = self._source.fsynced() if until is None else until
        while position.seq < end:
            position = self._find() if self._is_stale() else self._next(position, end)
            self._position = position
        self._position = position
        return position

    def _is_stale(self) -> bool:
        """Whether the store last told long ago where the archive stands: a machine may have slept since, or been set
        back, and the numbers that would tell may be merged by now."""
        return not 0 <= self._vault_of().clock.now_us() - self._told_us <= LOOK_AGAIN_US

    def _find(self) -> ArchivePosition:
        """Where the archive stands, from its last part; this writer's epoch is taken before."""
        vault, source = self._vault_of(), self._source
        asked_us = vault.clock.now_us()
        self._epoch_of()
        last = archive_reader.last_header(vault, source.timeline, source.shard)
        if last is not None and last.kind == "fence":
            raise _fenced(vault, last)
        if last is not None:
            self._require_ours(vault, last)
        self._told_us = asked_us
        return self._first(vault) if last is None else _after(last)

    def _first(self, vault: Vault) -> ArchivePosition:
        """Where an archive begins that has no part yet."""
        begins = self._source.beginning()
        if begins[0] > self._source.fork_seq:
            _log.warning(
                "%s: the log of %s begins after commit %d: what is archived from now on can be restored once there is "
                "a backup. Make one now",
                vault.url,
                self._source.local.root,
                begins[0],
            )
        return ArchivePosition(0, *begins)

    def _require_ours(self, vault: Vault, last: PartHeader) -> None:
        """The records of the last part must be those of our log, as far as it still has them."""
        source = self._source
        if last.kind != "records":
            return
        if last.last_seq > source.fsynced():
            raise ArchiveConflictError(
                f"{vault.url}: the archive of timeline {source.timeline} goes on to commit {last.last_seq}, and the "
                f"log in {source.local.root} ends at {source.fsynced()}: it lost its end, or is an old copy. Open it "
                "with its repository reachable, which brings the rest back"
            )
        mine = _chain_at(source, last.first_seq - 1, bytes.fromhex(last.before), last.last_seq)
        if mine is not None and mine.hex() != last.after:
            raise _conflict(vault, source, last)

    def _next(self, position: ArchivePosition, end: int) -> ArchivePosition:
        vault, source, epoch = self._vault_of(), self._source, self._epoch_of()
        records = self._tail.take(position.seq, end, PART_BYTES)
        if not records:
            records = log_files.taken_if_there(source.local, source.shard, position.seq, end)  # or says what is wrong
        if records:
            part, body = _part(vault, source, epoch, position, records)
        else:
            part, body = _gap(vault, source, epoch, position, source.beginning()), b""
        data = part_object.encode(vault, part, body)
        asked_us = vault.clock.now_us()
        try:
            vault.store.put_if_absent(part.key, data)
            position = _after(part)
        except ObjectExistsError:
            position = self._taken(vault, position, part.n)
        self._told_us = asked_us
        return position

    def _taken(self, vault: Vault, position: ArchivePosition, n: int) -> ArchivePosition:
        """The number is there: what does it hold?"""
        source = self._source
        there = archive_reader.header(vault, paths.PartKey(source.timeline, source.shard, n).key)
        if there is None:
            raise ArchiveConflictError(f"{vault.url}: part {n} is there and is not; run `tiervdb doctor {vault.url}`")
        if there.kind == "fence":
            raise _fenced(vault, there)
        mine = _chain_at(source, position.seq, position.chain, there.last_seq)
        if there.first_seq != position.seq + 1 or mine is None or mine.hex() != there.after:
            raise _conflict(vault, source, there)
        return _after(there)


def write_fence(
    vault: Vault, database_id: str, timeline: str, shard: int, epoch: int, backed_up: tuple[int, int]
) -> PartHeader:
    """Ends a timeline's archive by its next part, if it is not ended yet; what its writer sends meanwhile comes before
    the fence or not at all. Returns the fence.

    ``backed_up``: the last seq and time of its listed backups, which may be later than what is archived, and count.
    """
    while True:
        last = archive_reader.last_header(vault, timeline, shard)
        if last is not None and last.kind == "fence":
            return last
        position = ArchivePosition(0, 0, 0, bytes(32)) if last is None else _after(last)
        seq, time_us = max((position.seq, position.time_us), backed_up)
        end = seq, time_us, position.chain
        fence = _header_of(vault, "fence", database_id, timeline, shard, epoch, position, *end, 0)
        try:
            vault.store.put_if_absent(fence.key, part_object.encode(vault, fence))
        except ObjectExistsError:
            continue
        return fence


def _part(
    vault: Vault, source: LogSource, epoch: RepositoryEpoch, position: ArchivePosition, records: list[Record]
) -> tuple[PartHeader, bytes]:
    chain = position.chain
    for _, record in records:
        chain = chain_next(chain, record)
    body = b"".join(record for _, record in records)
    last = records[-1][0]
    part = _header_of(
        vault,
        "records",
        source.database_id,
        source.timeline,
        source.shard,
        epoch.epoch,
        position,
        last.seq,
        last.time_us,
        chain,
        len(body),
        first_time_us=records[0][0].time_us,
    )
    return part, body


def _gap(
    vault: Vault, source: LogSource, epoch: RepositoryEpoch, position: ArchivePosition, begins: tuple[int, int, bytes]
) -> PartHeader:
    """Commits that were given up: their log is gone."""
    seq, time_us, chain = begins
    _log.warning(
        "%s: the log of commits %d to %d of %s is gone before it was archived: nothing between the last backup and the "
        "next one can be restored. Make a backup now",
        vault.url,
        position.seq + 1,
        seq,
        source.local.root,
    )
    times = max(time_us, position.time_us)
    return _header_of(
        vault, "gap", source.database_id, source.timeline, source.shard, epoch.epoch, position, seq, times, chain, 0
    )


def _header_of(
    vault: Vault,
    kind: PartKind,
    database_id: str,
    timeline: str,
    shard: int,
    epoch: int,
    position: ArchivePosition,
    last_seq: int,
    last_time_us: int,
    chain: bytes,
    length: int,
    first_time_us: int | None = None,
) -> PartHeader:
    return PartHeader(
        kind=kind,
        database_id=database_id,
        timeline=timeline,
        shard=shard,
        n=position.n + 1,
        epoch=epoch,
        writer=local_paths.random_id(vault.rng),
        first_seq=position.seq + 1,
        last_seq=last_seq,
        first_time_us=last_time_us if first_time_us is None else first_time_us,
        last_time_us=last_time_us,
        before=position.chain.hex(),
        after=chain.hex(),
        length=length,
        created_us=vault.clock.now_us(),
    )


def _after(part: PartHeader) -> ArchivePosition:
    return ArchivePosition(part.n, part.last_seq, part.last_time_us, bytes.fromhex(part.after))


def _chain_at(source: LogSource, after: int, chain: bytes, until: int) -> bytes | None:
    """The running hash of our log at a seq, from one that is known; None if we do not have these records."""
    if until > source.fsynced():
        return None
    seq = after
    for header, record in log_files.taken_if_there(source.local, source.shard, after, until):
        chain, seq = chain_next(chain, record), header.seq
    return chain if seq == until else None


def _fenced(vault: Vault, fence: PartHeader) -> FencedError:
    return FencedError(
        f"{vault.url}: timeline {fence.timeline} was ended at commit {fence.last_seq} by a newer writer (epoch "
        f"{fence.epoch}): this database can archive no more. What it holds is safe here: "
        "Repository.attach(path) makes it a timeline of its own"
    )


def _conflict(vault: Vault, source: LogSource, there: PartHeader) -> ArchiveConflictError:
    return ArchiveConflictError(
        f"{vault.url}: part {there.n} of timeline {source.timeline} holds other commits ({there.first_seq} to "
        f"{there.last_seq}, written by epoch {there.epoch}) than the log in {source.local.root}: two copies of one "
        "database archive to one place. Stop one of them; Repository.attach(path) makes it a timeline of its own"
    )
