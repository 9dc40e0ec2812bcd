"""Timelines and epochs of a repository: what descends from what, which timeline is current, and who may write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tiervdb.backup.vault import Damaged, Vault
from tiervdb.errors import FencedError, InvalidInputError, ObjectExistsError, RepositoryInUseError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.documents import Identity, Owner, TimelineRecord
from tiervdb.format.repository_documents import RepositoryEpoch, TimelineDocument


@dataclass(frozen=True)
class Branch:
    """The part of a timeline that a history goes along: its seqs above ``low``, up to ``high`` (None: open).

    The first branch of all includes seq 0, the empty database.
    """

    line: TimelineRecord
    low: int
    high: int | None

    @property
    def timeline(self) -> str:
        return self.line.id

    def holds(self, seq: int) -> bool:
        above = seq > self.low or (self.line.parent is None and seq == self.low)
        return above and (self.high is None or seq <= self.high)


@dataclass(frozen=True)
class Lineage:
    """All timelines that archived here or were attached, by id, and the epochs, oldest first."""

    timelines: Mapping[str, TimelineDocument]
    epochs: tuple[RepositoryEpoch, ...]

    @property
    def current(self) -> TimelineDocument | None:
        """The timeline of the highest epoch; None while nobody has written here."""
        return self.timelines.get(self.epochs[-1].timeline) if self.epochs else None

    @property
    def epoch(self) -> int:
        return self.epochs[-1].epoch if self.epochs else 0

    def document(self, timeline: str) -> TimelineDocument:
        """InvalidInputError for one that is not known here."""
        if timeline not in self.timelines:
            known = ", ".join(sorted(self.timelines)) or "none"
            raise InvalidInputError(f"timeline {timeline!r} is not in this repository, which knows: {known}")
        return self.timelines[timeline]

    def history(self, timeline: str, shard: int = 0) -> tuple[Branch, ...]:
        """What leads to the newest state of a timeline, newest branch first."""
        document = self.document(timeline)
        return history_of((document.timeline, *document.ancestors), shard)


def history_of(lines: tuple[TimelineRecord, ...], shard: int = 0) -> tuple[Branch, ...]:
    """The branches of a timeline and its ancestors, nearest first."""
    branches: list[Branch] = []
    high: int | None = None
    for line in lines:
        low = line.fork_seqs[shard] if len(line.fork_seqs) > shard else 0
        branches.append(Branch(line, low, high))
        high = low if high is None else min(high, low)
    return tuple(branches)


def read(vault: Vault, damaged: Damaged | None = None) -> Lineage:
    """What the repository's documents say now. Raises StorageError, CorruptionError; ``damaged``: see
    ``Vault.read_all``."""
    epochs = vault.read_all(paths.EPOCHS, documents.decode_epoch, damaged)
    # Timelines after epochs: that of an epoch is written first.
    timelines = vault.read_all(paths.TIMELINES, documents.decode_timeline, damaged)
    by_epoch = sorted(epochs, key=lambda e: e.epoch)
    return Lineage({t.timeline.id: t for t in timelines}, tuple(by_epoch))


def require_ours(lineage: Lineage, identity: Identity, url: str, fencing: Collection[str] = ()) -> None:
    """Whether a database may write here: its timeline is the current one, or follows one that is being fenced.

    FencedError if another one took over, RepositoryInUseError if it never was ours.
    """
    current = lineage.current
    if current is None or current.timeline.id in {identity.timeline.id, *fencing}:
        return
    if identity.timeline.id in lineage.timelines:
        raise FencedError(
            f"{url}: timeline {current.timeline.id} took over from {identity.timeline.id} (epoch {lineage.epoch}), so "
            "this database can archive and back up no more. What it holds is safe here: go on with it as a timeline "
            "of its own by Repository.attach(path), or restore the current one"
        )
    raise RepositoryInUseError(
        f"{url} holds database {current.database_id}, which is not the one in this directory. Give another URL, or "
        "restore from it (Repository(url).restore(path)); a restored or cloned directory goes on here after "
        "Repository(url).attach(path)"
    )


def take_epoch(vault: Vault, identity: Identity, owner: Owner, fencing: tuple[str, ...] = ()) -> RepositoryEpoch:
    """Starts a writer's tenure: older writers of this timeline, and those of ``fencing``, are shut out from now on.

    Raises what ``require_ours`` raises.
    """
    while True:
        lineage = read(vault)
        require_ours(lineage, identity, vault.url, fencing)
        if identity.timeline.id not in lineage.timelines:
            _register(vault, identity)
        epoch = RepositoryEpoch(
            epoch=lineage.epoch + 1,
            database_id=identity.database_id,
            timeline=identity.timeline.id,
            writer=local_paths.random_id(vault.rng),
            created_us=vault.clock.now_us(),
            owner=owner,
            fences=fencing,
        )
        try:
            vault.create(paths.RepositoryEpochKey(epoch.epoch).key, epoch)
        except ObjectExistsError:
            continue  # somebody was faster: look who
        return epoch


def require_newest(vault: Vault, epoch: RepositoryEpoch) -> None:
    """FencedError if a newer writer has begun its tenure."""
    newest = max((e for e in _epoch_numbers(vault)), default=0)
    if newest > epoch.epoch:
        raise FencedError(
            f"{vault.url}: a newer writer (epoch {newest}) took over from this one (epoch {epoch.epoch}); close this "
            "database. If both are wanted, Repository.attach(path) makes one of them a timeline of its own"
        )


def _epoch_numbers(vault: Vault) -> list[int]:
    parsed = (paths.parse(found.key) for found in vault.store.list(paths.EPOCHS))
    return [p.epoch for p in parsed if isinstance(p, paths.RepositoryEpochKey)]


def _register(vault: Vault, identity: Identity) -> None:
    document = TimelineDocument(
        timeline=identity.timeline,
        database_id=identity.database_id,
        ancestors=identity.ancestors,
        cold_url=identity.cold_url,
        shards=identity.shards,
        created_us=vault.clock.now_us(),
    )
    try:
        vault.create(paths.TimelineKey(identity.timeline.id).key, document)
    except ObjectExistsError:
        return  # an attempt before this one
