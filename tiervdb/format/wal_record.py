"""Commit records: operations to bytes and back.

A record is made in two steps. ``encode_payloads`` does the heavy part outside the commit lock, before seq, commit time
and new collection ids are known; ``finish_record`` adds them under the lock. See docs/formats/wal.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import crc32c
import msgspec
import pyarrow as pa

from tiervdb.errors import SchemaError
from tiervdb.format.envelope import damaged
from tiervdb.format.operations import (
    AddColumn,
    CreateCollection,
    CreateSnapshot,
    DeleteRows,
    DropCollection,
    DropColumn,
    DropSnapshot,
    Operation,
    UpsertRows,
)
from tiervdb.format.rows import decode_ids, decode_rows, encode_ids, encode_rows
from tiervdb.format.wal_body import (
    AddColumnOp,
    CollectionCounts,
    CommitBody,
    CreateCollectionOp,
    CreateSnapshotOp,
    DeleteRowsOp,
    DiskOp,
    DropCollectionOp,
    DropColumnOp,
    DropSnapshotOp,
    Payload,
    RowOp,
    UpsertRowsOp,
    decode_meta,
    encode_meta,
    op_collection,
)
from tiervdb.format.wal_header import (
    CHAIN_START,
    FILE_HEADER_LENGTH,
    KIND_COMMIT,
    RECORD_HEADER_LENGTH,
    RecordHeader,
    WalFileHeader,
    chain_next,
    check_body,
    read_record_header,
    require_known,
)
from tiervdb.format.wal_scan import RecordSpan, WalScan, scan
from tiervdb.types import CollectionSchema

__all__ = [
    "CHAIN_START",
    "FILE_HEADER_LENGTH",
    "RECORD_HEADER_LENGTH",
    "CollectionCounts",
    "CommitBody",
    "CommitRecord",
    "EncodedBody",
    "RecordHeader",
    "RecordSpan",
    "WalFileHeader",
    "WalScan",
    "chain_next",
    "decode_body",
    "decode_record",
    "encode_payloads",
    "finish_record",
    "op_collection",
    "peek",
    "scan",
]


class EncodedBody(msgspec.Struct, frozen=True):
    """The operations of a commit with their payloads encoded, still without what the commit lock decides."""

    ops: tuple[DiskOp, ...]
    payloads: tuple[bytes | memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes of the payloads."""
        return sum(len(part) for part in self.payloads)

    def renumbered(self, ids: Mapping[int, int]) -> EncodedBody:
        """The same with collection ids replaced: provisional ones (0 or negative) by those assigned under the lock.

        Cheap: no payload holds a collection id.
        """
        return msgspec.structs.replace(self, ops=tuple(_renumber(op, ids) for op in self.ops))


def _renumber(op: DiskOp, ids: Mapping[int, int]) -> DiskOp:
    collection = op_collection(op)
    if collection is None or collection not in ids:
        return op
    if isinstance(op, CreateCollectionOp):
        return CreateCollectionOp(schema=msgspec.structs.replace(op.schema, id=ids[collection]))
    return msgspec.structs.replace(op, collection=ids[collection])


def encode_payloads(ops: Sequence[Operation], schemas: Mapping[int, CollectionSchema]) -> EncodedBody:
    """The operations with their rows as Arrow IPC. ``schemas``: by collection id, as before the commit.

    Collections and columns that an earlier operation of the same commit creates are known to later ones. Raises
    SchemaError for rows of an unknown collection or of types that do not fit.
    """
    known = dict(schemas)
    encoded: list[DiskOp] = []
    payloads: list[bytes | memoryview] = []
    offset = 0
    for op in ops:
        parts = _payload_parts(op, known)
        length = sum(len(part) for part in parts)
        encoded.append(_disk_op(op, known, Payload(offset=offset, length=length)))
        payloads += parts
        offset += length
        _follow(op, known)
    return EncodedBody(tuple(encoded), tuple(payloads))


def _schema(known: Mapping[int, CollectionSchema], collection: int) -> CollectionSchema:
    if collection not in known:
        raise SchemaError(f"cannot log rows of collection {collection}: it does not exist at that point of the commit")
    return known[collection]


def _payload_parts(op: Operation, known: Mapping[int, CollectionSchema]) -> list[bytes | memoryview]:
    if isinstance(op, UpsertRows):
        return encode_rows(op.batch, _schema(known, op.collection))
    if isinstance(op, DeleteRows):
        return encode_ids(op.ids, _schema(known, op.collection).id_type)
    return []


def _disk_op(op: Operation, known: Mapping[int, CollectionSchema], payload: Payload) -> DiskOp:
    match op:
        case UpsertRows(collection, batch, verb):
            return UpsertRowsOp(collection=collection, rows=len(batch), verb=verb, payload=payload)
        case DeleteRows(collection, ids):
            id_type = _schema(known, collection).id_type
            return DeleteRowsOp(collection=collection, rows=len(ids), id_type=id_type, payload=payload)
        case CreateCollection(schema):
            return CreateCollectionOp(schema=schema)
        case DropCollection(collection):
            return DropCollectionOp(collection=collection)
        case AddColumn(collection, column):
            return AddColumnOp(collection=collection, column=column)
        case DropColumn(collection, column_id):
            return DropColumnOp(collection=collection, column=column_id)
        case CreateSnapshot(snapshot):
            return CreateSnapshotOp(snapshot=snapshot)
        case DropSnapshot(name):
            return DropSnapshotOp(name=name)


def _follow(op: Operation, known: dict[int, CollectionSchema]) -> None:
    match op:
        case CreateCollection(schema):
            known[schema.id] = schema
        case DropCollection(collection):
            known.pop(collection, None)
        case AddColumn(collection, column):
            schema = _schema(known, collection)
            columns = (*schema.columns, column)
            known[collection] = msgspec.structs.replace(schema, columns=columns, next_column_id=column.id + 1)
        case DropColumn(collection, column_id):
            schema = _schema(known, collection)
            kept = tuple(c for c in schema.columns if c.id != column_id)
            known[collection] = msgspec.structs.replace(schema, columns=kept)
        case _:
            pass


def finish_record(
    encoded: EncodedBody,
    *,
    shard: int,
    seq: int,
    time_us: int,
    write_id: bytes,
    durable_seq: int,
    salt: int,
    counts: Sequence[CollectionCounts] = (),
    note: str | None = None,
) -> bytes:
    """The bytes of a commit's record, to be appended to the file of that ``salt``."""
    if any((collection := op_collection(op)) is not None and collection < 1 for op in encoded.ops):
        raise ValueError(f"record {seq} still holds a provisional collection id")
    body = (encode_meta(CommitBody(ops=encoded.ops, counts=tuple(counts), note=note)), *encoded.payloads)
    crc = 0
    for part in body:
        crc = crc32c.crc32c(part, crc)
    length = sum(len(part) for part in body)
    header = RecordHeader(length, KIND_COMMIT, 0, shard, seq, time_us, write_id, durable_seq, salt, crc)
    return b"".join((header.encode(), *body))


@dataclass(frozen=True)
class CommitRecord:
    """A commit read back from its record."""

    shard: int
    seq: int
    time_us: int
    write_id: bytes
    kind: int
    counts: tuple[CollectionCounts, ...]
    note: str | None
    ops: tuple[Operation, ...]


def peek(body: bytes | memoryview, header: RecordHeader, name: str = "the WAL") -> CommitBody:
    """The metadata of a commit, its rows left unread. Raises CorruptionError naming ``name``."""
    require_known(header, name)
    check_body(body, header, name)
    return decode_meta(memoryview(body), f"record {header.seq} of {name}")[0]


def decode_body(body: bytes | memoryview, header: RecordHeader, name: str = "the WAL") -> CommitRecord:
    """A commit from the body of its record. Copies it, so the result does not depend on ``body``.

    Needs no schema: payloads carry theirs. Raises CorruptionError or NewerFormatError naming ``name``.
    """
    require_known(header, name)
    own = bytes(body)
    check_body(own, header, name)
    where = f"record {header.seq} of {name}"
    meta, payloads = decode_meta(memoryview(own), where)
    ops = tuple(_operation(op, payloads, where) for op in meta.ops)
    return CommitRecord(
        header.shard, header.seq, header.time_us, header.write_id, header.kind, meta.counts, meta.note, ops
    )


def decode_record(record: bytes | memoryview, name: str = "the WAL") -> CommitRecord:
    """A commit from the bytes of exactly one record."""
    view = memoryview(record)
    header = read_record_header(view, 0)
    if header is None:
        raise damaged(name, "a record does not start with a valid header")
    return decode_body(view[RECORD_HEADER_LENGTH:], header, name)


def _operation(op: DiskOp, payloads: memoryview, name: str) -> Operation:
    if isinstance(op, RowOp):
        return _row_operation(op, payloads, name)
    match op:
        case CreateCollectionOp():
            return CreateCollection(op.schema)
        case DropCollectionOp():
            return DropCollection(op.collection)
        case AddColumnOp():
            return AddColumn(op.collection, op.column)
        case DropColumnOp():
            return DropColumn(op.collection, op.column)
        case CreateSnapshotOp():
            return CreateSnapshot(op.snapshot)
        case DropSnapshotOp():
            return DropSnapshot(op.name)


def _row_operation(op: RowOp, payloads: memoryview, name: str) -> UpsertRows | DeleteRows:
    data = payloads[op.payload.offset : op.payload.offset + op.payload.length]
    if isinstance(op, UpsertRowsOp):
        batch = decode_rows(data, name)
        _require_rows(len(batch), op, name)
        return UpsertRows(op.collection, batch, op.verb)
    ids: pa.Array = decode_ids(data, name)
    _require_rows(len(ids), op, name)
    return DeleteRows(op.collection, ids)


def _require_rows(rows: int, op: RowOp, name: str) -> None:
    if rows != op.rows:
        raise damaged(name, f"an operation of {op.rows} rows has a payload of {rows}")
