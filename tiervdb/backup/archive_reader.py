"""Reading the archived log: the heads of its parts, and their records with all checks."""

from __future__ import annotations

from collections.abc import Sequence

from tiervdb.backup.side_by_side import each
from tiervdb.backup.vault import Damaged, Vault
from tiervdb.engine.log_files import split as split_records
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import frames, wal_part
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.frames import Checksum, FrameReader
from tiervdb.format.repository_documents import PartHeader
from tiervdb.format.wal_record import chain_next
from tiervdb.storage.object_store import ByteRange, ObjectStat

_READERS = 32


def headers(vault: Vault, timeline: str, shard: int, damaged: Damaged | None = None) -> list[PartHeader]:
    """The heads of all parts, by number, fences and gaps too. Raises StorageError, CorruptionError; ``damaged``: see
    ``Vault.read_all``."""

    def one(entry: ObjectStat) -> PartHeader | CorruptionError | None:
        try:
            return _header(vault, entry)
        except ObjectNotFoundError:
            return None  # an expiry deleted it since it was listed
        except CorruptionError as error:
            return error

    found = _listed(vault, timeline, shard)
    heads = each(one, found, _READERS, "tiervdb-archive")
    for entry, head in zip(found, heads, strict=True):
        if isinstance(head, CorruptionError):
            if damaged is None:
                raise head
            damaged(entry.key, head)
    return [head for head in heads if isinstance(head, PartHeader)]


def last_header(vault: Vault, timeline: str, shard: int) -> PartHeader | None:
    """The head of the part with the highest number; None if there is none."""
    found = _listed(vault, timeline, shard)
    return _header(vault, found[-1]) if found else None


def numbers(vault: Vault, timeline: str, shard: int) -> set[int]:
    """Those of all parts that are there."""
    parsed = (paths.parse(entry.key) for entry in _listed(vault, timeline, shard))
    return {key.n for key in parsed if isinstance(key, paths.PartKey)}


def header(vault: Vault, timeline: str, shard: int, n: int) -> PartHeader | None:
    """The head of one part; None if there is none."""
    key = paths.PartKey(timeline, shard, n).key
    try:
        return _header(vault, vault.store.stat(key))
    except ObjectNotFoundError:
        return None


def body(vault: Vault, part: PartHeader) -> bytes:
    """The records of a part, as they follow each other: each whole, in order, and their running hash as it should be.

    CorruptionError names the part.
    """
    key = paths.PartKey(part.timeline, part.shard, part.n).key
    name = f"{vault.url}/{key}"
    head, sealed = wal_part.split(vault.store.get(key), name)
    found = documents.decode_part_header(vault.unseal(f"{key}#head", head), name)
    if found != part:
        raise CorruptionError(f"{name} is not the part that was listed; run `tiervdb verify`")
    records = unpacked(vault, key, sealed, found)
    _check(records, found, name)
    return records


def packed(vault: Vault, key: str, records: bytes) -> bytes:
    """Records as the body of a part: one frame sequence, compressed, then sealed where the repository is."""
    return vault.seal(f"{key}#body", frames.encode(records, "zstd", Checksum()))


def unpacked(vault: Vault, key: str, sealed: memoryview, part: PartHeader) -> bytes:
    """What ``packed`` packed."""
    data = vault.unseal(f"{key}#body", bytes(sealed))
    reader = FrameReader(part.length, len(data), "zstd", Checksum(), f"{vault.url}/{key}")
    return b"".join(reader.decode_all(data))


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


def _listed(vault: Vault, timeline: str, shard: int) -> Sequence[ObjectStat]:
    found = vault.store.list(paths.parts_prefix(timeline, shard))
    return sorted((entry for entry in found if isinstance(paths.parse(entry.key), paths.PartKey)), key=lambda e: e.key)


def _header(vault: Vault, entry: ObjectStat) -> PartHeader:
    name = f"{vault.url}/{entry.key}"
    (start,) = vault.store.get_ranges(entry.key, [ByteRange(0, min(entry.size, wal_part.HEAD_BYTES))])
    end = wal_part.head_end(start, name)
    if end > len(start):
        (start,) = vault.store.get_ranges(entry.key, [ByteRange(0, min(entry.size, end))])
    head, _ = wal_part.split(start[:end], name)
    found = documents.decode_part_header(vault.unseal(f"{entry.key}#head", head), name)
    parsed = paths.parse(entry.key)
    if not isinstance(parsed, paths.PartKey) or (found.timeline, found.shard, found.n) != (
        parsed.timeline,
        parsed.shard,
        parsed.n,
    ):
        raise CorruptionError(f"{name} holds part {found.n} of timeline {found.timeline}: it was moved or swapped")
    return found
