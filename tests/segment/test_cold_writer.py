from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.segment.cold_values import COLUMNS, batch, schema, source
from tiervdb.errors import CorruptionError, InvalidInputError
from tiervdb.segment import cold_writer
from tiervdb.segment.cold_writer import GROUP_ROWS, group_rows, row_starts, row_sums, write_parquet
from tiervdb.segment.cold_written import WrittenVectors
from tiervdb.types import IdType


def vector_at(data: bytes, groups: list[cold_writer.RowGroup], row: int, dim: int) -> bytes:
    """The address rule as the format states it."""
    for group in groups:
        if row < group.rows:
            start = group.vectors_end - (group.rows - row) * 4 * dim
            return data[start : start + 4 * dim]
        row -= group.rows
    raise AssertionError(row)


@pytest.mark.parametrize(
    ("rows", "dim"),
    [(1, 2), (2, 3), (GROUP_ROWS, 2), (GROUP_ROWS + 1, 5), (2 * GROUP_ROWS + 77, 3), (300, 384), (40, 4096)],
)
def test_every_row_is_addressable(tmp_path: Path, rows: int, dim: int) -> None:
    path = tmp_path / "s.parquet"
    groups = write_parquet(path, source(rows, dim), schema(dim))
    data, vectors = path.read_bytes(), batch(rows, dim).vectors
    assert [g.rows for g in groups] == [GROUP_ROWS] * (rows // GROUP_ROWS) + (
        [rows % GROUP_ROWS] if rows % GROUP_ROWS else []
    )
    assert row_starts(groups)[-1] == rows
    for row in range(rows):
        assert vector_at(data, groups, row, dim) == vectors[row].tobytes()


def test_vectors_are_read_back_from_the_written_file(tmp_path: Path) -> None:
    path, rows = tmp_path / "s.parquet", GROUP_ROWS + 77
    groups = write_parquet(path, source(rows, 3), schema(3))
    wanted = np.array([rows - 1, 5, 5, GROUP_ROWS, GROUP_ROWS - 1, 0])
    found = WrittenVectors(path, groups, 3)
    np.testing.assert_array_equal(found.vectors(wanted), batch(rows, 3).vectors[wanted])
    np.testing.assert_array_equal(found.vectors(np.arange(rows)), batch(rows, 3).vectors)
    across = np.arange(GROUP_ROWS - 3, GROUP_ROWS + 5)
    np.testing.assert_array_equal(found.vectors(across), batch(rows, 3).vectors[across])
    falling = across[::-1]
    np.testing.assert_array_equal(found.vectors(falling), batch(rows, 3).vectors[falling])
    assert found.vectors(np.empty(0, np.int64)).shape == (0, 3)


@pytest.mark.parametrize("id_type", ["string", "int64"])
def test_duckdb_and_pandas_read_it(tmp_path: Path, id_type: IdType) -> None:
    path = tmp_path / "s.parquet"
    rows = GROUP_ROWS + 500
    write_parquet(path, source(rows, 3, id_type), schema(3, id_type))
    expected = batch(rows, 3, id_type)
    found = duckdb.sql(f"SELECT * FROM '{path}'").to_arrow_table()
    assert found.column_names == ["id", "vector", *(c.name for c in COLUMNS)]
    typeof = 'typeof(vector), typeof(tags), typeof("at"), typeof(big)'
    kinds = duckdb.execute(f"SELECT {typeof} FROM '{path}' LIMIT 1").fetchall()
    assert kinds[0] == ("FLOAT[]", "VARCHAR[]", "TIMESTAMP WITH TIME ZONE", "UBIGINT")
    assert found.column("id").to_pylist() == expected.ids.to_pylist()
    assert np.array(found.column("vector").to_pylist(), np.float32).tobytes() == expected.vectors.tobytes()
    for column in COLUMNS:
        values = expected.columns.get(column.id)
        assert found.column(column.name).to_pylist() == ([None] * rows if values is None else values.to_pylist())

    frame = pd.read_parquet(path)
    assert frame["id"].tolist() == expected.ids.to_pylist()
    assert np.stack(frame["vector"]).astype(np.float32).tobytes() == expected.vectors.tobytes()
    assert frame["pos"].isna().sum() == expected.columns[2].null_count


def test_field_ids_are_column_ids(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_parquet(path, source(10), schema())
    arrow = pq.read_schema(path)
    numbers = {n: int(arrow.field(n).metadata[b"PARQUET:field_id"]) for n in arrow.names}
    assert numbers == {"id": 0, "vector": 2**31 - 1, **{c.name: c.id for c in COLUMNS}}
    assert arrow.metadata[b"tiervdb.format"] == b"1"


def test_vectors_are_plain_and_all_else_is_compressed(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    write_parquet(path, source(10), schema())
    group = pq.read_metadata(path).row_group(0)
    for number in range(group.num_columns):
        chunk = group.column(number)
        assert chunk.compression == ("UNCOMPRESSED" if number == 1 else "ZSTD")
    assert not group.column(1).has_dictionary_page


def test_the_file_is_refused_where_addresses_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def many_pages(file: object, arrow: pa.Schema, _schema: object, _step: int) -> pq.ParquetWriter:
        return pq.ParquetWriter(file, arrow, compression="none", use_dictionary=False, data_page_size=64)

    monkeypatch.setattr(cold_writer, "_writer", many_pages)
    with pytest.raises(CorruptionError, match="not where row addresses say"):
        write_parquet(tmp_path / "s.parquet", source(3000), schema())


def test_the_default_of_pyarrow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_writer, "_writer", lambda file, arrow, _s, _n: pq.ParquetWriter(file, arrow))
    with pytest.raises(CorruptionError, match="not where row addresses say"):
        write_parquet(tmp_path / "s.parquet", source(1000), schema())


def test_row_groups_of_wide_vectors_are_smaller() -> None:
    assert group_rows(2) == group_rows(4096) == group_rows(8192) == GROUP_ROWS
    assert group_rows(65_535) * 65_535 * 4 <= 512 << 20


def test_no_rows_and_wrong_dimension_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="without rows"):
        write_parquet(tmp_path / "s.parquet", source(0), schema())
    with pytest.raises(InvalidInputError, match="dimension 5"):
        write_parquet(tmp_path / "s.parquet", source(3, 4), schema(5))


def test_row_sums_are_crc32c_of_each_vector() -> None:
    assert row_sums(np.frombuffer(b"12345678", np.float32).reshape(1, 2)).tolist() == [0x6087809A]
    vectors = batch(100, 7).vectors
    assert (row_sums(vectors[::3]) == row_sums(vectors)[::3]).all()
    assert row_sums(np.empty((0, 3), np.float32)).tolist() == []
