"""Attaching: a restored or copied database becomes the repository's current one, and the old writer is shut out.

The fence comes first: the next part of the old timeline's archived log, created only if absent, so that of it and the
old writer's next part one wins. What lies before the fence is the old timeline for good. Then the new timeline is
registered, and an epoch on it makes it current. Repeating an attempt that was cut short finishes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from tiervdb.backup import holdings, lineage, resolve, restore_plan, wal_archive
from tiervdb.backup.holdings import SHARD
from tiervdb.backup.log_reader import LogReader
from tiervdb.backup.opened import OpenRepository
from tiervdb.backup.restore_plan import RestorePlan
from tiervdb.backup.vault import Vault
from tiervdb.engine import identity as identities
from tiervdb.engine import wal
from tiervdb.engine.identity import this_process
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.errors import DatabaseLockedError, RepositoryInUseError
from tiervdb.format import paths
from tiervdb.format.documents import Identity
from tiervdb.storage.local_dir import LocalDir
from tiervdb.target import Target


@dataclass
class Attaching:
    """The two moments at which a restore that attaches does more: before the log is staged, and before publishing."""

    opened: OpenRepository
    target: Target
    fenced: tuple[str, ...] = ()

    def settle(self, plan: RestorePlan) -> RestorePlan:
        """Fences the current timeline; for ``latest``, goes on to what lies before the fence, from the same backup: its
        files are there already."""
        self.fenced = fence_current(self.opened.vault)
        if self.target.kind != "latest":
            return plan
        held = holdings.read(self.opened.vault)
        reader = LogReader(self.opened.vault)
        point = resolve.resolve(held, self.target, reader.times, None)
        return restore_plan.with_log_of(held, replace(plan, point=point))

    def finish(self, identity: Identity) -> Identity:
        """Registers the timeline and takes the epoch; the identity remembers the repository."""
        lineage.take_epoch(self.opened.vault, identity, this_process(), self.fenced)
        return msgspec.structs.replace(identity, repository_url=self.opened.vault.url)


def attach(opened: OpenRepository, local: LocalDir) -> Identity:
    """Makes the database in a directory, which descends from one that archived here, the current one.

    DatabaseLockedError if it is open, RepositoryInUseError if it does not descend from a timeline of this repository.
    """
    lock = local.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"{local.root} is open; close it, attach it, and open it again")
    try:
        identity = identities.read(local)
        line = lineage.read(opened.vault)
        _require_descendant(line, identity, opened.vault)
        identity = _own_timeline(line, local, identity, opened.vault)
        fenced: tuple[str, ...] = ()
        if line.current is not None and line.current.timeline.id != identity.timeline.id:
            fenced = fence_current(opened.vault)
        lineage.take_epoch(opened.vault, identity, this_process(), fenced)
        identity = msgspec.structs.replace(identity, repository_url=opened.vault.url)
        identities.write(local, identity)
        return identity
    finally:
        lock.release()


def fence_current(vault: Vault) -> tuple[str, ...]:
    """Ends the current timeline by its next part; the ids of what is fenced."""
    held = holdings.read(vault)
    current = held.lineage.current
    if current is None:
        return ()
    timeline = current.timeline.id
    own = [holdings.shard_of(backup) for backup in held.backups if backup.timeline.id == timeline]
    backed_up = max(((shard.seq, shard.time_us) for shard in own), default=(0, 0))
    wal_archive.write_fence(vault, current.database_id, timeline, SHARD, held.lineage.epoch + 1, backed_up)
    return (timeline,)


def fence_if_taken_over(vault: Vault, identity: Identity) -> tuple[str, ...]:
    """A directory that was copied and took over goes on as a new timeline: its parent ends, if it is current."""
    line = lineage.read(vault)
    current, timeline = line.current, identity.timeline
    if current is None or timeline.id in line.timelines or timeline.parent != current.timeline.id:
        return ()
    if timeline.parent_database != identity.database_id:  # a clone or a restore: only attaching makes these current
        return ()
    return fence_current(vault)


def _own_timeline(line: lineage.Lineage, local: LocalDir, identity: Identity, vault: Vault) -> Identity:
    """A directory whose own timeline was ended here by another one goes on as a new one, from what it holds."""
    current = line.current
    was_here = identity.timeline.id in line.timelines
    if not was_here or current is None or current.timeline.id == identity.timeline.id:
        return identity
    seq, time_us = newest_point(local)
    forked = identities.forked(identity, local, vault.clock, vault.rng, seq, time_us, identity.database_id)
    identities.write(local, forked)
    return forked


def newest_point(local: LocalDir) -> tuple[int, int]:
    """The last seq and time in a closed database."""
    manifest = ManifestStore(local, SHARD).current()
    seq, time_us = manifest.flushed_seq, manifest.flushed_time_us
    for file in wal.read_after(local, SHARD, seq, 0):
        for span in file.spans(seq, 2**63):
            seq, time_us = span.header.seq, span.header.time_us
    return seq, time_us


def _require_descendant(line: lineage.Lineage, identity: Identity, vault: Vault) -> None:
    if line.current is None:
        return
    own = {identity.timeline.id, *(ancestor.id for ancestor in identity.ancestors)}
    if not own & set(line.timelines):
        raise RepositoryInUseError(
            f"{vault.url} holds database {line.current.database_id}, and the one in this directory does not descend "
            "from it. Give it a repository of its own"
        )
