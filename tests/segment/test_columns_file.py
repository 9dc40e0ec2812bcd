from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.format.damage import assert_notices
from tests.segment.cold_values import COLUMNS, batch, block_file, reader, source
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format.block_file import BLOCK_BYTES, BlockWriter
from tiervdb.segment import columns_file
from tiervdb.segment.columns_file import ColumnsFile, write_columns
from tiervdb.segment.source import BatchSource
from tiervdb.types import Column, RowBatch


def written(rows: BatchSource, columns: tuple[Column, ...] = COLUMNS) -> bytes:
    out: list[bytes] = []
    writer = BlockWriter(lambda data: out.append(bytes(data)))
    write_columns(writer, rows, columns)
    writer.finish()
    return b"".join(out)


@pytest.mark.parametrize("rows", [0, 1, 100, 1000])
def test_all_types_come_back(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_file, "BATCH_ROWS", 300)
    file = ColumnsFile(reader(written(source(rows))))
    assert file.rows == rows
    assert file.column_ids == tuple(c.id for c in COLUMNS)
    expected = batch(rows).columns
    everything = file.take(None, [c.id for c in COLUMNS])
    for column in COLUMNS:
        values = expected.get(column.id)
        assert everything[column.id].to_pylist() == ([None] * rows if values is None else values.to_pylist())
        assert file.column(column.id).to_pylist() == everything[column.id].to_pylist()


def test_rows_in_any_order_and_columns_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_file, "BATCH_ROWS", 7)
    file = ColumnsFile(reader(written(source(50))))
    found = file.take(np.array([49, 3, 3, 0]), [4, 1, 3])
    expected = batch(50).columns
    assert set(found) == {4, 1}
    assert found[1].to_pylist() == expected[1].take(pa.array([49, 3, 3, 0])).to_pylist()
    assert found[4].to_pylist() == expected[4].take(pa.array([49, 3, 3, 0])).to_pylist()
    assert file.take(np.array([], np.int64), [1])[1].to_pylist() == []


def test_no_columns_at_all() -> None:
    file = ColumnsFile(reader(written(source(3), ())))
    assert (file.rows, file.column_ids, file.take(None, [1])) == (3, (), {})


def test_a_damaged_column_leaves_the_others_readable() -> None:
    long = RowBatch(pa.array(range(20_000)), np.zeros((20_000, 1), np.float32), {1: pa.array(range(20_000))})
    columns = (Column(id=1, name="a", type="int64"), Column(id=2, name="b", type="int64"))
    data = bytearray(written(BatchSource(RowBatch(long.ids, long.vectors, {1: long.ids, 2: long.ids})), columns))
    data[BLOCK_BYTES // 2] ^= 1
    file = ColumnsFile(reader(bytes(data)))
    assert file.take(np.array([19_999]), [2])[2].to_pylist() == [19_999]
    with pytest.raises(CorruptionError, match="the file"):
        file.column(1)


def test_damage_is_noticed() -> None:
    rows = BatchSource(RowBatch(pa.array([1, 2]), np.zeros((2, 1), np.float32), {1: pa.array(["a", None])}))
    data = written(rows, (Column(id=1, name="a", type="string"),))

    def read(form: bytes) -> object:
        return ColumnsFile(reader(form)).take(None, [1])[1].to_pylist()

    assert_notices(data, read, lambda value: value == ["a", None])


def test_a_newer_file_is_told_from_a_damaged_one() -> None:
    whole = reader(written(source(10)))
    data = bytes(whole.view(0, whole.length))
    before, version, magic = data[:-8], data[-8:-6], data[-6:]
    assert (version, magic) == (b"\1\0", b"TVCOL\0")
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        ColumnsFile(reader(block_file(before + b"\2\0" + magic)))
    with pytest.raises(CorruptionError, match="the file"):
        ColumnsFile(reader(block_file(before + version + b"TVCOL!")))
