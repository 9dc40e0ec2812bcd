"""Merging the archived log: many small parts become one object, which stands for them, and then they go.

A writer that ships every second leaves tens of thousands of parts a day, and who reads them makes a request for each.
The merged object is written beside its parts first, read back, and only then they are deleted, unless a lease or pin
holds their timeline: whoever takes a lease later sees the merged object when it lists, and prefers it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from tiervdb.backup import archive_reader, copied_log, expiry, holdings, log_cover, part_object
from tiervdb.backup.holdings import Holdings
from tiervdb.backup.side_by_side import batches, each
from tiervdb.backup.vault import Vault
from tiervdb.backup.wal_archive import LOOK_AGAIN_US, PART_BYTES
from tiervdb.errors import CorruptionError, ObjectExistsError, ObjectNotFoundError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import MergedHeader, PartHeader
from tiervdb.storage.retention import retaining

FEWEST = 8  # parts that are worth a merge
YOUNG_US = 2 * LOOK_AGAIN_US  # younger parts stay; so two clocks may differ by half of it
_AT_ONCE = 32
_log = logging.getLogger("tiervdb")


@dataclass(frozen=True)
class MergeResult:
    """What was, or with ``dry_run`` would be, done. ``parts`` became ``objects`` of ``bytes`` of records; ``deleted``:
    parts, also of earlier merges, that merged objects stand for."""

    parts: int
    objects: int
    bytes: int
    deleted: int
    dry_run: bool


def run(vault: Vault, *, dry_run: bool) -> MergeResult:
    """Merges the log of all timelines. Raises StorageError; what is damaged is left as it is, aloud."""
    held, _ = holdings.readable(vault)
    groups = plan_all(held, vault.clock.now_us())
    deleted = 0
    if not dry_run:
        groups = [group for group in groups if write(vault, group)]
        deleted = delete_unless_locked(vault)
    parts, size = sum(map(len, groups)), sum(part.length for group in groups for part in group)
    return MergeResult(parts, len(groups), size, deleted, dry_run)


def plan_all(held: Holdings, now_us: int) -> list[tuple[PartHeader, ...]]:
    """What to merge, of all timelines. Pure."""
    return [group for archived in held.archived.values() for group in plan(archived.parts, now_us)]


def plan(parts: Sequence[PartHeader], now_us: int) -> list[tuple[PartHeader, ...]]:
    """What to merge of a timeline's log, given in order: neighbours, together not larger than a part may be, of which
    none is most of the whole, so that no record is written again often. Its last number stays. Pure."""
    return [
        group
        for run in _runs(parts[:-1], now_us)
        for batch in batches(run, _length, PART_BYTES)
        for group in _worth(batch)
    ]


def write(vault: Vault, group: Sequence[PartHeader]) -> bool:
    """Makes one object of some parts; False where they cannot be read."""
    try:
        records = b"".join(each(lambda part: archive_reader.body(vault, part), group, _AT_ONCE, "tiervdb-merge"))
    except (CorruptionError, ObjectNotFoundError) as error:
        _log.warning("%s: a part of the log is left unmerged: %s", vault.url, error)
        return False
    header = _header(vault, group, len(records))
    with suppress(ObjectExistsError):  # made by another merge, or by this one, whose reply was lost
        vault.store.put_if_absent(header.key, part_object.encode(vault, header, records))
    return True


def delete_unless_locked(vault: Vault) -> int:
    """As ``delete_replaced``; nothing under Object Lock, where an expiry retains what was merged before it deletes."""
    return delete_replaced(vault) if retaining(vault.store) is None else 0


def delete_replaced(vault: Vault) -> int:
    """Deletes the parts that merged objects stand for, once these were read back; how many. Those of a timeline that a
    lease or pin names stay: it is looked for now that the merged objects are there."""
    logs = log_cover.by_log(entry.key for entry in vault.store.list(paths.WAL))
    replaced = {timeline: list(_replaced(vault, log)) for (timeline, _), log in logs.items()}
    protected = expiry.protected(vault).timelines
    gone = [key for timeline, keys in replaced.items() if timeline not in protected for key in keys]
    each(vault.store.delete, gone, _AT_ONCE, "tiervdb-merge")
    return len(gone)


def _replaced(vault: Vault, log: Sequence[log_cover.LogKey]) -> Iterator[str]:
    """Those of a log whose records an object that stands for them is seen to hold."""
    for merged, inside in log_cover.inside(log).items():
        try:
            yield from _agreeing(vault, merged, inside)
        except (CorruptionError, ObjectNotFoundError) as error:
            _log.warning("%s: the parts that %s stands for stay: %s", vault.url, merged.key, error)


def _agreeing(vault: Vault, merged: log_cover.LogKey, inside: Sequence[log_cover.LogKey]) -> Iterator[str]:
    header = archive_reader.header(vault, merged.key)
    if header is None:
        return
    heads = each(partial(archive_reader.header, vault), [key.key for key in inside], _AT_ONCE, "tiervdb-merge")
    found = [head for head in heads if head is not None]
    other = copied_log.differing(header, archive_reader.body(vault, header), found)
    for head in other:
        _log.warning("%s: %s holds other commits than %s, and stays", vault.url, head.key, merged.key)
    yield from (head.key for head in found if head not in other)


def _runs(parts: Sequence[PartHeader], now_us: int) -> Iterator[list[PartHeader]]:
    """Neighbours that could be merged: records that follow each other, neither young nor large."""
    run: list[PartHeader] = []
    for part in parts:
        fits = part.kind == "records" and part.length * 2 < PART_BYTES and part.created_us <= now_us - YOUNG_US
        if run and not (fits and _follows(run[-1], part)):
            yield run
            run = []
        if fits:
            run.append(part)
    yield run


def _follows(before: PartHeader, part: PartHeader) -> bool:
    return part.n == before.through + 1 and part.first_seq == before.last_seq + 1 and part.before == before.after


def _length(part: PartHeader) -> int:
    return part.length


def _worth(batch: Sequence[PartHeader]) -> list[tuple[PartHeader, ...]]:
    if len(batch) < FEWEST:
        return []
    largest = max(range(len(batch)), key=lambda at: batch[at].length)
    if 2 * batch[largest].length <= sum(part.length for part in batch):
        return [tuple(batch)]
    return _worth(batch[:largest]) + _worth(batch[largest + 1 :])


def _header(vault: Vault, group: Sequence[PartHeader], length: int) -> MergedHeader:
    assert all(_follows(before, part) for before, part in pairwise(group))
    first, last = group[0], group[-1]
    return MergedHeader(
        kind="records",
        database_id=last.database_id,
        timeline=last.timeline,
        shard=last.shard,
        n=first.n,
        last_n=last.through,
        epoch=last.epoch,
        writer=local_paths.random_id(vault.rng),
        first_seq=first.first_seq,
        last_seq=last.last_seq,
        first_time_us=first.first_time_us,
        last_time_us=last.last_time_us,
        before=first.before,
        after=last.after,
        length=length,
        created_us=last.created_us,
    )
