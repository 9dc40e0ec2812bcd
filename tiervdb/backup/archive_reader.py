"""Reading the archived log: the heads of its parts, and their records with all checks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from tiervdb.backup import part_object
from tiervdb.backup.log_cover import LogKey, cover, span
from tiervdb.backup.side_by_side import each
from tiervdb.backup.vault import Damaged, Vault
from tiervdb.engine.log_files import split as split_records
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import repository_paths as paths
from tiervdb.format import wal_part
from tiervdb.format.repository_documents import PartHeader
from tiervdb.format.wal_record import chain_next
from tiervdb.storage.object_store import ByteRange, ObjectStat

_READERS = 32


def headers(vault: Vault, timeline: str, shard: int, damaged: Damaged | None = None) -> list[PartHeader]:
    """The heads of all parts, by number, fences and gaps too; where parts were merged, of the objects that stand for
    them. Raises StorageError, CorruptionError; ``damaged``: see ``Vault.read_all``."""
    found: dict[LogKey, PartHeader] = {}
    broken: set[LogKey] = set()
    gone: set[LogKey] = set()
    while True:
        listed = _listed(vault, timeline, shard)
        chosen = cover(listed.keys() - broken)  # what a damaged one stands for may be there still
        new = [key for key in chosen if key not in found]
        heads = each(partial(_head, vault), [listed[key] for key in new], _READERS, "tiervdb-archive")
        for key, head in zip(new, heads, strict=True):
            if isinstance(head, PartHeader):
                found[key] = head
            elif isinstance(head, CorruptionError):
                if damaged is None:
                    raise head
                damaged(key.key, head)
                broken.add(key)
            elif key in gone:
                broken.add(key)  # a listing that names what is not there
        gone.update(key for key in new if key not in found)
        if all(key in found for key in chosen):  # else they went meanwhile, or another stands for them now
            return [found[key] for key in chosen]


def last_header(vault: Vault, timeline: str, shard: int) -> PartHeader | None:
    """The head of the part with the highest number, which is never a merged one; None if there is none."""
    found = _listed(vault, timeline, shard)
    last = max((key for key in found if isinstance(key, paths.PartKey)), key=lambda key: key.n, default=None)
    return None if last is None else _header(vault, found[last])


def are_current(vault: Vault, timeline: str, shard: int, parts: Iterable[PartHeader]) -> bool:
    """Whether all of these are there still, and no merged object stands for one of them."""
    chosen = {key.key for key in cover(_listed(vault, timeline, shard))}
    return all(part.key in chosen for part in parts)


def header(vault: Vault, key: str) -> PartHeader | None:
    """The head of a part, or of a merged one; None if it is not there."""
    try:
        return _header(vault, vault.store.stat(key))
    except ObjectNotFoundError:
        return None


def body(vault: Vault, part: PartHeader) -> bytes:
    """The records of a part, as they follow each other: each whole, in order, and their running hash as it should be.

    Where the part was merged since its head was read, they come from the object that stands for it now. CorruptionError
    names the part; ObjectNotFoundError if it is gone.
    """
    try:
        return _body(vault, part)
    except ObjectNotFoundError:
        merged = _standing_for(vault, part)
        if merged is None:
            raise
        every = split_records(body(vault, merged), merged.where)
        records = b"".join(r for head, r in every if part.first_seq <= head.seq <= part.last_seq)
        _check(records, part, part.where)
        return records


def _body(vault: Vault, part: PartHeader) -> bytes:
    key = part.key
    name = f"{vault.url}/{key}"
    head, sealed = wal_part.split(vault.store.get(key), name)
    found = part_object.head(vault, key, head)
    if found != part:
        raise CorruptionError(f"{name} is not the part that was listed; run `tiervdb verify`")
    records = part_object.unpacked(vault, key, sealed, found)
    _check(records, found, name)
    return records


def _standing_for(vault: Vault, part: PartHeader) -> PartHeader | None:
    for key in cover(_listed(vault, part.timeline, part.shard)):
        first, last = span(key)
        if first <= part.n and part.through <= last and key.key != part.key:
            return header(vault, key.key)
    return None


def _check(records: bytes, part: PartHeader, name: str) -> None:
    chain, seq = bytes.fromhex(part.before), part.first_seq
    for head, record in split_records(records, name):
        if head.seq != seq or head.shard != part.shard:
            raise CorruptionError(f"{name} holds commit {head.seq} where {seq} should stand; run `tiervdb verify`")
        chain, seq = chain_next(chain, record), seq + 1
    if seq != part.last_seq + 1 or chain.hex() != part.after:
        raise CorruptionError(
            f"{name} does not hold the commits {part.first_seq} to {part.last_seq} that its head names"
        )


def _listed(vault: Vault, timeline: str, shard: int) -> dict[LogKey, ObjectStat]:
    listed = ((paths.parse(entry.key), entry) for entry in vault.store.list(paths.parts_prefix(timeline, shard)))
    return {key: entry for key, entry in listed if isinstance(key, paths.PartKey | paths.MergedKey)}


def _head(vault: Vault, entry: ObjectStat) -> PartHeader | CorruptionError | None:
    try:
        return _header(vault, entry)
    except ObjectNotFoundError:
        return None  # it was merged or expired since it was listed
    except CorruptionError as error:
        return error


def _header(vault: Vault, entry: ObjectStat) -> PartHeader:
    name = f"{vault.url}/{entry.key}"
    (start,) = vault.store.get_ranges(entry.key, [ByteRange(0, min(entry.size, wal_part.HEAD_BYTES))])
    end = wal_part.head_end(start, name)
    if end > len(start):
        (start,) = vault.store.get_ranges(entry.key, [ByteRange(0, min(entry.size, end))])
    head, _ = wal_part.split(start[:end], name)
    found = part_object.head(vault, entry.key, head)
    if found.key != entry.key:
        raise CorruptionError(f"{name} holds part {found.n} of timeline {found.timeline}: it was moved or swapped")
    return found
