"""The rules that every manifest keeps, as a pure function that lists what breaks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tiervdb.errors import SchemaError
from tiervdb.format.columns import check_schema
from tiervdb.format.manifest_entries import CHAIN_LENGTH, CodebookEntry, FileRef, Manifest, SegmentEntry, SnapshotName
from tiervdb.format.paths import CodebookName, DeletionName, ObjectKey, SegmentFileName, is_id, parse_key, parse_local

_SHA256 = re.compile(r"[0-9a-f]{64}")


def problems(manifest: Manifest) -> Iterator[str]:
    """What is wrong with a manifest, a sentence each; nothing if it keeps every rule."""
    for what, text in (("database", manifest.database_id), ("timeline", manifest.timeline)):
        if not is_id(text):
            yield f"its {what} id {text!r} is not an id"
    numbers = (manifest.shard, manifest.version, manifest.epoch, manifest.flushed_seq)
    if min(numbers) < 0:
        yield "a shard, version, epoch or seq is negative"
    if len(manifest.chain) != CHAIN_LENGTH:
        yield f"its chain hash has {len(manifest.chain)} bytes instead of {CHAIN_LENGTH}"
    yield from _collection_problems(manifest)
    yield from _repeated("segment", (s.id for s in manifest.segments))
    yield from _repeated("codebook", (c.id for c in manifest.codebooks))
    yield from _repeated("snapshot", (s.name for s in manifest.snapshots))
    next_column = {schema.id: schema.next_column_id for schema in manifest.collections}
    codebooks = {book.id: book for book in manifest.codebooks}
    for segment in manifest.segments:
        yield from (f"segment {segment.id}: {p}" for p in _segment_problems(segment, manifest, next_column, codebooks))
    for book in manifest.codebooks:
        yield from (f"codebook {book.id}: {p}" for p in _codebook_problems(book, next_column))
    for snapshot in manifest.snapshots:
        yield from _snapshot_problems(snapshot)


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{what} {name!r} is listed twice"
        seen.add(name)


def _collection_problems(manifest: Manifest) -> Iterator[str]:
    yield from _repeated("collection", (c.name for c in manifest.collections))
    yield from _repeated("collection id", (str(c.id) for c in manifest.collections))
    for schema in manifest.collections:
        if not 1 <= schema.id < manifest.next_collection_id:
            yield f"collection {schema.name!r} has id {schema.id}, outside 1 to {manifest.next_collection_id - 1}"
        try:
            check_schema(schema)
        except SchemaError as error:
            yield str(error)


def _segment_problems(
    segment: SegmentEntry, manifest: Manifest, next_column: dict[int, int], codebooks: dict[str, CodebookEntry]
) -> Iterator[str]:
    if not is_id(segment.id):
        yield "its id is not 32 hexadecimal digits"
    if segment.shard != manifest.shard:
        yield f"it belongs to shard {segment.shard}"
    if segment.collection not in next_column:
        yield f"its collection {segment.collection} does not exist"
    elif not all(1 <= column < next_column[segment.collection] for column in segment.columns):
        yield f"its columns {segment.columns} are not all known"
    if segment.codebook is not None:
        book = codebooks.get(segment.codebook)
        if book is None or book.collection != segment.collection:
            yield f"its codebook {segment.codebook} is not listed for its collection"
    if not 0 <= segment.low_seq <= segment.high_seq <= manifest.flushed_seq:
        yield f"its seqs {segment.low_seq} to {segment.high_seq} are not within 0 to {manifest.flushed_seq}"
    if not (segment.rows >= 1 and 0 <= segment.dead <= segment.rows):
        yield f"it has {segment.rows} rows, {segment.dead} of them dead"
    yield from _file_problems(segment)
    yield from _tier_problems(segment)


def _file_problems(segment: SegmentEntry) -> Iterator[str]:
    for role, file in segment.files.items():
        yield from _ref_problems(file)
        parsed = parse_local(file.name)
        if not isinstance(parsed, SegmentFileName) or parsed.segment != segment.id:
            yield f"its {role} file has the name {file.name!r}"
    if (segment.deletions is None) != (segment.dead == 0):
        yield f"{segment.dead} rows are dead {'without' if segment.dead else 'but it has'} a deletion vector"
    if segment.deletions is not None:
        yield from _ref_problems(segment.deletions)
        dead = parse_local(segment.deletions.name)
        if not isinstance(dead, DeletionName) or dead.segment != segment.id:
            yield f"its deletion vector has the name {segment.deletions.name!r}"


def _tier_problems(segment: SegmentEntry) -> Iterator[str]:
    for role, ref in segment.objects.items():
        yield from _ref_problems(ref)
        if not isinstance(parse_key(ref.name), ObjectKey):
            yield f"its {role} object has the key {ref.name!r}"
    if segment.tier == "hot" and (segment.objects or segment.row_groups):
        yield "it is hot but has cold objects"
    if segment.tier == "cold" and "parquet" not in segment.objects:
        yield "it is cold but has no Parquet object"
    if segment.tier == "cold" and sum(group.rows for group in segment.row_groups) != segment.rows:
        yield f"its row groups do not add up to its {segment.rows} rows"
    if any(group.rows < 1 or group.vectors_end < 1 for group in segment.row_groups):
        yield "a row group is empty"


def _codebook_problems(book: CodebookEntry, next_column: dict[int, int]) -> Iterator[str]:
    yield from _ref_problems(book.file)
    if parse_local(book.file.name) != CodebookName(book.id):
        yield f"its file has the name {book.file.name!r}"
    if book.object is not None:
        yield from _ref_problems(book.object)
        if not isinstance(parse_key(book.object.name), ObjectKey):
            yield f"its object has the key {book.object.name!r}"
    if book.collection not in next_column:
        yield f"its collection {book.collection} does not exist"


def _snapshot_problems(snapshot: SnapshotName) -> Iterator[str]:
    if not is_id(snapshot.pin):
        yield f"snapshot {snapshot.name!r}: its pin {snapshot.pin!r} is not an id"
    if snapshot.seq < 0:
        yield f"snapshot {snapshot.name!r}: its seq is {snapshot.seq}"


def _ref_problems(file: FileRef) -> Iterator[str]:
    if file.size < 0:
        yield f"{file.name} has {file.size} bytes"
    if not _SHA256.fullmatch(file.sha256):
        yield f"the SHA-256 of {file.name} is {file.sha256!r}"
