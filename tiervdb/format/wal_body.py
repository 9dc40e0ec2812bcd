"""The body of a commit record on disk: MessagePack metadata, then Arrow IPC payloads. See docs/formats/wal.md."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import ClassVar

import msgspec

from tiervdb.errors import SchemaError
from tiervdb.format.columns import check_schema
from tiervdb.format.envelope import damaged
from tiervdb.format.manifest_entries import SnapshotName
from tiervdb.format.operations import Verb
from tiervdb.format.wal_header import ALIGNMENT
from tiervdb.types import CollectionSchema, Column, IdType

META_LENGTH = struct.Struct("<Q")


class Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes of an operation's Arrow IPC stream, relative to the start of the payloads."""

    offset: int
    length: int


class _Op(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="op"):
    operation: ClassVar[str]


class CreateCollectionOp(_Op, frozen=True, tag="create_collection"):
    operation = "create collection"
    schema: CollectionSchema


class DropCollectionOp(_Op, frozen=True, tag="drop_collection"):
    operation = "drop collection"
    collection: int


class AddColumnOp(_Op, frozen=True, tag="add_column"):
    operation = "add column"
    collection: int
    column: Column


class DropColumnOp(_Op, frozen=True, tag="drop_column"):
    operation = "drop column"
    collection: int
    column: int


class UpsertRowsOp(_Op, frozen=True, tag="upsert_rows"):
    operation = "upsert"
    collection: int
    rows: int
    verb: Verb
    payload: Payload


class DeleteRowsOp(_Op, frozen=True, tag="delete_rows"):
    operation = "delete"
    collection: int
    rows: int
    id_type: IdType
    payload: Payload


class CreateSnapshotOp(_Op, frozen=True, tag="create_snapshot"):
    operation = "create snapshot"
    snapshot: SnapshotName


class DropSnapshotOp(_Op, frozen=True, tag="drop_snapshot"):
    operation = "drop snapshot"
    name: str


RowOp = UpsertRowsOp | DeleteRowsOp
DiskOp = (
    CreateCollectionOp
    | DropCollectionOp
    | AddColumnOp
    | DropColumnOp
    | UpsertRowsOp
    | DeleteRowsOp
    | CreateSnapshotOp
    | DropSnapshotOp
)


class CollectionCounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a commit did to one collection. ``live``: its rows after the commit."""

    collection: int
    upserted: int
    deleted: int
    live: int


class CommitBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of a commit, which can be read without its payloads."""

    ops: tuple[DiskOp, ...]
    counts: tuple[CollectionCounts, ...] = ()
    note: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CommitBody)


def encode_meta(body: CommitBody) -> bytes:
    """Length, MessagePack and padding: what stands before the payloads."""
    meta = _encoder.encode(body)
    return b"".join((META_LENGTH.pack(len(meta)), meta, bytes(-len(meta) % ALIGNMENT)))


def decode_meta(body: memoryview, name: str) -> tuple[CommitBody, memoryview]:
    """The metadata and the payload bytes of a body whose checksum was verified. Raises CorruptionError."""
    if len(body) < META_LENGTH.size:
        raise damaged(name, "its body is too short")
    (length,) = META_LENGTH.unpack_from(body)
    start = META_LENGTH.size + length + -length % ALIGNMENT
    if start > len(body):
        raise damaged(name, f"its metadata claims {length} bytes")
    try:
        meta = _decoder.decode(body[META_LENGTH.size : META_LENGTH.size + length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(name, f"its metadata is not valid ({error})") from error
    payloads = body[start:]
    for problem in _problems(meta, len(payloads)):
        raise damaged(name, problem)
    return meta, payloads


def _problems(meta: CommitBody, payload_bytes: int) -> Iterator[str]:
    end = 0
    for op in meta.ops:
        yield from _op_problems(op)
        if isinstance(op, RowOp):
            if op.payload.offset != end or op.payload.length < 0 or op.payload.length % ALIGNMENT or op.rows < 0:
                yield f"the payload of an operation lies at {op.payload.offset} instead of {end}"
            end += op.payload.length
    if end != payload_bytes:
        yield f"it has {payload_bytes} bytes of payload instead of {end}"
    for count in meta.counts:
        if min(count.upserted, count.deleted, count.live) < 0 or count.collection < 1:
            yield f"its counts of collection {count.collection} are negative"


def _op_problems(op: DiskOp) -> Iterator[str]:
    if isinstance(op, CreateCollectionOp):
        try:
            check_schema(op.schema)
        except SchemaError as error:
            yield str(error)
    collection = op_collection(op)
    if collection is not None and collection < 1:
        yield f"it names collection {collection}"


def op_collection(op: DiskOp) -> int | None:
    """The collection that an operation is about; None for snapshot names."""
    if isinstance(op, CreateCollectionOp):
        return op.schema.id
    if isinstance(op, CreateSnapshotOp | DropSnapshotOp):
        return None
    return op.collection
