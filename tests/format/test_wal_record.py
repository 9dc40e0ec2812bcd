from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.format.damage import assert_notices
from tests.format.test_rows import assert_same
from tests.format.values import NUMBERS, SALT, SNAPSHOT, WORDS, every_operation, record, word_batch
from tiervdb.errors import CorruptionError, NewerFormatError, SchemaError
from tiervdb.format import operations, wal_header
from tiervdb.format.operations import CreateCollection, DeleteRows, DropCollection, DropSnapshot, UpsertRows
from tiervdb.format.wal_body import encode_meta
from tiervdb.format.wal_record import (
    CHAIN_START,
    RECORD_HEADER_LENGTH,
    CollectionCounts,
    CommitBody,
    CommitRecord,
    EncodedBody,
    RecordHeader,
    chain_next,
    decode_body,
    decode_record,
    encode_payloads,
    finish_record,
    peek,
)
from tiervdb.types import Column, RowBatch


def assert_same_operations(found: CommitRecord, expected: list[operations.Operation]) -> None:
    assert len(found.ops) == len(expected)
    for a, b in zip(found.ops, expected, strict=True):
        if isinstance(a, UpsertRows):
            assert isinstance(b, UpsertRows)
            assert (a.collection, a.verb) == (b.collection, b.verb)
            assert_same(a.batch, b.batch)
        elif isinstance(a, DeleteRows):
            assert isinstance(b, DeleteRows)
            assert a.collection == b.collection
            assert a.ids.equals(b.ids)
        else:
            assert a == b


def test_every_operation_reads_back() -> None:
    found = decode_record(record(7, ops=every_operation()), "the file")
    assert_same_operations(found, every_operation())
    assert (found.shard, found.seq, found.kind, found.note) == (0, 7, 1, "commit 7")
    assert (found.time_us, found.write_id) == (1_700_000_000_000_007, bytes(range(16)))
    assert found.counts == (CollectionCounts(1, 2, 0, 2),)


@settings(deadline=None)
@given(st.lists(st.sampled_from(every_operation()[:1] + every_operation()[3:4] + every_operation()[7:9]), max_size=5))
def test_any_list_of_operations_reads_back(ops: list[operations.Operation]) -> None:
    data = record(7, ops=ops)
    assert len(data) % 8 == 0
    assert_same_operations(decode_record(data, "the file"), ops)


def test_every_damage_is_noticed() -> None:
    def same(found: CommitRecord) -> bool:
        assert_same_operations(found, ops)
        return (found.seq, found.note) == (7, "commit 7")

    ops = [every_operation()[i] for i in (1, 2, 4, 7)]
    assert_notices(record(7, ops=ops), lambda data: decode_record(data, "the file"), same)


def test_a_new_collection_gets_its_id_late() -> None:
    ops: list[operations.Operation] = [
        CreateCollection(msgspec.structs.replace(NUMBERS, id=-1)),
        UpsertRows(-1, RowBatch(pa.array([1]), np.ones((1, 1), np.float32))),
        UpsertRows(1, word_batch()),
        DropSnapshot("s"),
    ]
    encoded = encode_payloads(ops, {1: WORDS})
    with pytest.raises(ValueError, match="provisional"):
        finish(encoded)
    found = decode_record(finish(encoded.renumbered({-1: 8})))
    assert isinstance(found.ops[0], CreateCollection)
    assert found.ops[0].schema == msgspec.structs.replace(NUMBERS, id=8)
    assert [getattr(op, "collection", None) for op in found.ops] == [None, 8, 1, None]
    assert encoded.size == encoded.renumbered({-1: 8}).size > 0


def finish(encoded: EncodedBody, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "shard": 0,
        "seq": 2,
        "time_us": 5,
        "write_id": bytes(16),
        "durable_seq": 1,
        "salt": SALT,
        **changes,
    }
    return finish_record(encoded, **fields)


def test_a_column_added_in_the_same_commit_can_be_written() -> None:
    batch = word_batch()
    wide = RowBatch(batch.ids, batch.vectors, {**batch.columns, 5: pa.array([True, None])})
    ops = [operations.AddColumn(1, Column(id=5, name="lang", type="bool")), UpsertRows(1, wide)]
    assert_same_operations(decode_record(record(7, ops=ops)), ops)
    gone = [operations.DropColumn(1, 1), UpsertRows(1, batch)]
    back = decode_record(record(7, ops=gone)).ops[1]
    assert isinstance(back, UpsertRows)
    assert set(back.batch.columns) == {2, 4}


@pytest.mark.parametrize(
    "ops",
    [
        [UpsertRows(9, word_batch())],
        [DeleteRows(9, pa.array([1]))],
        [DeleteRows(1, pa.array([1]))],
        [DropCollection(1), UpsertRows(1, word_batch())],
        [operations.AddColumn(9, Column(id=5, name="lang", type="bool"))],
    ],
)
def test_rows_that_fit_no_collection_are_refused(ops: list[operations.Operation]) -> None:
    with pytest.raises(SchemaError, match="cannot"):
        encode_payloads(ops, {1: WORDS})


@pytest.mark.parametrize("changes", [{"durable_seq": 2}, {"write_id": b"short"}])
def test_headers_that_contradict_themselves_are_not_written(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="record 2"):
        finish(encode_payloads([], {}), **changes)


def parts(data: bytes | bytearray) -> tuple[RecordHeader, memoryview]:
    header = wal_header.read_record_header(memoryview(data), 0)
    assert header is not None
    return header, memoryview(data)[RECORD_HEADER_LENGTH:]


def test_peek_reads_no_rows() -> None:
    header, body = parts(record(7, ops=every_operation()))
    meta = peek(body, header, "the file")
    assert [op.operation for op in meta.ops][:3] == ["upsert", "create collection", "upsert"]
    assert meta.note == "commit 7"
    with pytest.raises(CorruptionError, match="record 7 of the file"):
        peek(bytes(len(body)), header, "the file")


def test_the_result_does_not_depend_on_the_buffer() -> None:
    data = bytearray(record(7))
    header, body = parts(data)
    found = decode_body(body, header, "the file")
    body[:] = bytes(len(body))
    assert_same_operations(found, [UpsertRows(1, word_batch())])


@pytest.mark.parametrize(("kind", "flags"), [(2, 0), (3, 0), (9, 0), (1, 1)])
def test_an_unknown_kind_is_newer(kind: int, flags: int) -> None:
    header, body = parts(record(7))
    fields = {**msgspec.structs.asdict(header), "kind": kind, "flags": flags}
    with pytest.raises(NewerFormatError, match="record 7 of the file"):
        decode_record(RecordHeader(**fields).encode() + bytes(body), "the file")


def forged(meta: bytes, payloads: bytes = b"") -> bytes:
    body = meta + payloads
    header = RecordHeader(len(body), 1, 0, 0, 7, 1, bytes(16), 6, SALT, wal_header.crc32c.crc32c(body))
    return header.encode() + body


def body_of(*ops: object, counts: object = ()) -> bytes:
    raw = msgspec.msgpack.encode({"ops": ops, "counts": counts})
    return len(raw).to_bytes(8, "little") + raw + bytes(-len(raw) % 8)


UPSERT = {"op": "upsert_rows", "collection": 1, "rows": 2, "verb": "upsert", "payload": {"offset": 0, "length": 8}}


@pytest.mark.parametrize(
    "data",
    [
        forged(b""),
        forged((2**63).to_bytes(8, "little")),
        forged((16).to_bytes(8, "little") + bytes(8)),
        forged(body_of({"op": "unheard_of"})),
        forged(body_of({"op": "drop_collection", "collection": 0})),
        forged(body_of({"op": "drop_collection", "collection": 1}), bytes(8)),
        forged(body_of(UPSERT)),
        forged(body_of(UPSERT), bytes(8)),
        forged(body_of({**UPSERT, "payload": {"offset": 8, "length": 8}}), bytes(16)),
        forged(body_of({**UPSERT, "payload": {"offset": 0, "length": -8}})),
        forged(body_of({"op": "create_collection", "schema": msgspec.structs.replace(WORDS, dim=0)})),
        forged(body_of(counts=[{"collection": 1, "upserted": -1, "deleted": 0, "live": 0}])),
        forged(body_of(counts=[{"collection": 1}])),
    ],
)
def test_nonsense_with_a_right_checksum_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        decode_record(data, "the file")


def test_a_payload_of_other_rows_is_refused() -> None:
    for op in (UpsertRows(1, word_batch()), DeleteRows(1, pa.array(["a"]))):
        encoded = encode_payloads([op], {1: WORDS})
        more = msgspec.structs.replace(encoded.ops[0], rows=3)
        meta = encode_meta(CommitBody(ops=(more,)))
        with pytest.raises(CorruptionError, match="3 rows has a payload of"):
            decode_record(forged(meta, b"".join(encoded.payloads)), "the file")


def test_the_chain_is_the_documented_hash() -> None:
    data = record(7)
    expected = hashlib.sha256(CHAIN_START + hashlib.sha256(data).digest()).digest()
    assert chain_next(CHAIN_START, data) == chain_next(CHAIN_START, memoryview(data)) == expected


def test_snapshot_names_travel() -> None:
    found = decode_record(record(8, ops=[operations.CreateSnapshot(SNAPSHOT)]))
    assert found.ops == (operations.CreateSnapshot(SNAPSHOT),)
