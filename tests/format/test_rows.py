from __future__ import annotations

import io
import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.format.values import NUMBERS, WORDS, word_batch
from tiervdb.errors import CorruptionError, SchemaError
from tiervdb.format.columns import COLUMN_TYPES, vector_type
from tiervdb.format.rows import decode_ids, decode_rows, encode_ids, encode_rows
from tiervdb.types import CollectionSchema, Column, RowBatch

ALL_TYPES = CollectionSchema(
    id=1,
    name="all",
    dim=2,
    metric="l2",
    id_type="int64",
    columns=tuple(Column(id=i, name=f"n{i}", type=t) for i, t in enumerate(COLUMN_TYPES, 1)),
    next_column_id=99,
)
INTEGERS = {
    f"{u}int{b}": (0 if u else -(2 ** (b - 1)), 2 ** (b if u else b - 1) - 1)
    for u in ("", "u")
    for b in (8, 16, 32, 64)
}
VALUES: dict[str, st.SearchStrategy[object]] = {
    "bool": st.booleans(),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
    "string": st.text(),
    "timestamp[us]": st.integers(-(2**50), 2**50),
    "timestamp[us, UTC]": st.integers(-(2**50), 2**50),
    "list<string>": st.lists(st.none() | st.text(), max_size=3),
    **{name: st.integers(*ends) for name, ends in INTEGERS.items()},
}


def joined(parts: list[bytes | memoryview]) -> bytes:
    return b"".join(parts)


def assert_same(a: RowBatch, b: RowBatch) -> None:
    assert a.ids.equals(b.ids)
    assert a.vectors.tobytes() == b.vectors.tobytes()
    assert a.vectors.shape == b.vectors.shape
    assert set(a.columns) == set(b.columns)
    assert all(a.columns[c].equals(b.columns[c]) for c in a.columns)


@st.composite
def batches(draw: st.DrawFn) -> RowBatch:
    rows = draw(st.integers(0, 4))
    present = draw(st.sets(st.sampled_from(ALL_TYPES.columns)))
    columns = {
        c.id: pa.array(
            draw(st.lists(st.none() | VALUES[c.type], min_size=rows, max_size=rows)), type=COLUMN_TYPES[c.type]
        )
        for c in present
    }
    return RowBatch(pa.array(range(rows), pa.int64()), np.full((rows, 2), math.pi, np.float32), columns)


@settings(deadline=None)
@given(batches())
def test_rows_of_every_type_read_back(batch: RowBatch) -> None:
    assert_same(decode_rows(joined(encode_rows(batch, ALL_TYPES)), "the file"), batch)


def test_slices_and_times_read_back() -> None:
    times = pa.array([None, datetime(2026, 1, 2, 3, tzinfo=UTC), None], pa.timestamp("us", tz="UTC"))
    at = next(c.id for c in ALL_TYPES.columns if c.type == "timestamp[us, UTC]")
    batch = RowBatch(pa.array([7, 8, 9])[1:], np.ones((3, 2), np.float32)[1:], {at: times[1:]})
    back = decode_rows(joined(encode_rows(batch, ALL_TYPES)), "the file")
    assert_same(back, batch)
    assert back.columns[at].to_pylist() == times[1:].to_pylist()


@pytest.mark.parametrize("dim", [1, 2, 3, 100, 101])
@pytest.mark.parametrize("rows", [0, 1, 2, 7, 1000])
def test_integer_ids_and_vectors_are_written_as_arrow_writes_them(rows: int, dim: int) -> None:
    schema = CollectionSchema(id=1, name="plain", dim=dim, metric="l2", id_type="int64")
    vectors = np.random.default_rng(rows).standard_normal((rows, dim), np.float32)
    batch = RowBatch(pa.array(range(-3, rows - 3), pa.int64()), vectors)
    arrow = pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("vector", vector_type(dim), nullable=False),
        ]
    )
    flat = pa.array(vectors.ravel(), pa.float32())
    lists = pa.FixedSizeListArray.from_arrays(flat, type=vector_type(dim))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, arrow) as stream_writer:
        stream_writer.write_batch(pa.record_batch([batch.ids, lists], schema=arrow))
    written = joined(encode_rows(batch, schema))
    assert written == sink.getvalue()
    assert_same(decode_rows(written, "it"), batch)
    part = RowBatch(batch.ids.slice(rows // 2), vectors[rows // 2 :])
    assert_same(decode_rows(joined(encode_rows(part, schema)), "it"), part)


def test_a_payload_is_a_plain_arrow_stream() -> None:
    data = joined(encode_rows(word_batch(), WORDS))
    table = pa.ipc.open_stream(data).read_all()
    assert table.column_names == ["id", "vector", "c1", "c2", "c4"]
    assert table["vector"].to_pylist() == [[1, 2, 3], [4, 5, -6]]
    assert len(data) % 8 == 0
    again = pa.BufferOutputStream()
    with pa.ipc.new_stream(again, table.schema) as writer:
        writer.write_table(table)
    assert_same(decode_rows(again.getvalue().to_pybytes(), "the file"), word_batch())


@given(st.lists(st.text(), max_size=5))
def test_ids_read_back(ids: list[str]) -> None:
    array = pa.array(ids, pa.string())
    assert decode_ids(joined(encode_ids(array, "string")), "the file").equals(array)


@pytest.mark.parametrize(
    "batch",
    [
        RowBatch(pa.array([1]), np.zeros((1, 1), np.float64), {1: pa.array([1])}),
        RowBatch(pa.array(["1"]), np.zeros((1, 1), np.float32)),
        RowBatch(pa.array([1, None]), np.zeros((2, 1), np.float32)),
        RowBatch(pa.array([1]), np.zeros((1, 2), np.float32)),
        RowBatch(pa.array([1, 2]), np.zeros((1, 1), np.float32)),
    ],
)
def test_rows_that_do_not_fit_are_refused(batch: RowBatch) -> None:
    schema = CollectionSchema(
        id=1,
        name="n",
        dim=1,
        metric="l2",
        id_type="int64",
        columns=(Column(id=1, name="a", type="string"),),
        next_column_id=2,
    )
    with pytest.raises(SchemaError, match="collection 'n'"):
        encode_rows(batch, schema)


def stream(*arrays: tuple[str, pa.Array], batches: int = 1) -> bytes:
    batch = pa.RecordBatch.from_arrays([a for _, a in arrays], names=[n for n, _ in arrays])
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return out.getvalue().to_pybytes()


ID = ("id", pa.array([1]))
VECTOR = ("vector", pa.FixedSizeListArray.from_arrays(pa.array([1.0], pa.float32()), 1))
GOOD = joined(encode_rows(RowBatch(pa.array([1]), np.ones((1, 1), np.float32)), NUMBERS))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        GOOD[:-8],
        GOOD[:-16],
        GOOD + bytes(8),
        GOOD[: GOOD.index(b"\xff\xff\xff\xff", 4)],
        stream(ID),
        stream(VECTOR, ID),
        stream(("id", pa.array([1.5])), VECTOR),
        stream(ID, ("vector", pa.array([[1.0]]))),
        stream(ID, VECTOR),
        joined(encode_ids(pa.array([1]), "int64")),
    ],
)
def test_streams_of_another_shape_are_damage(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        decode_rows(data, "the file")


def test_rows_are_not_ids() -> None:
    with pytest.raises(CorruptionError, match="its ids have the fields"):
        decode_ids(GOOD, "the file")


@pytest.mark.parametrize(
    "data",
    [stream(("id", pa.array([1, None]))), stream(ID, batches=2), stream(ID, batches=0), stream(("ids", pa.array([1])))],
)
def test_ids_of_another_shape_are_damage(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="the file"):
        decode_ids(data, "the file")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_byte_may_be_wrong(data: st.DataObject) -> None:
    """Payloads lie under a checksum; even without it no other error and no crash comes of them."""
    form = bytearray(joined(encode_rows(word_batch(), WORDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        form[data.draw(st.integers(0, len(form) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = decode_rows(bytes(form), "the file")
    except CorruptionError:
        return
    assert batch.vectors.shape[0] == len(batch.ids)
    assert len(batch.ids.to_pylist()) == len(batch)
