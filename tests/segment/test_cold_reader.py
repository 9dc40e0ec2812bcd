from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.segment.cold_values import COLUMNS, batch, schema, source
from tiervdb.errors import CorruptionError, InvalidInputError, ObjectNotFoundError
from tiervdb.format.manifest_entries import FileRef, RowGroup
from tiervdb.segment import cold_columns, cold_reader, cold_writer
from tiervdb.segment.cold_columns import ColdColumns
from tiervdb.segment.cold_reader import ColdVectors, read_columns, stream_rows
from tiervdb.segment.cold_writer import row_sums, write_parquet
from tiervdb.storage.coalesce import coalesce
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.open import open_store
from tiervdb.types import Column

KEY = "a/1/s.parquet"
DIM = 4


class Cold:
    """A cold segment in a directory store, with small row groups."""

    def __init__(self, folder: Path, rows: int) -> None:
        path = folder / "s.parquet"
        self.groups: list[RowGroup] = write_parquet(path, source(rows, DIM), schema(DIM))
        self.store = CountingStore(open_store(folder / "store"))
        self.data = path.read_bytes()
        self.put(self.data)
        self.batch = batch(rows, DIM)

    def put(self, data: bytes) -> None:
        self.store.put(KEY, data)

    @property
    def file(self) -> FileRef:
        return FileRef(name=KEY, size=len(self.data), sha256="0" * 64)

    def vectors(self) -> ColdVectors:
        return ColdVectors(self.store, KEY, DIM, self.groups, row_sums(self.batch.vectors))

    def columns(self) -> ColdColumns:
        return ColdColumns(self.store, self.file)


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cold:
    monkeypatch.setattr(cold_writer, "GROUP_ROWS", 100)
    return Cold(tmp_path, 450)


@pytest.mark.parametrize(
    "rows", [[0], [449], [99, 100], [5, 5, 3, 449, 0, 100], list(range(450)), list(range(449, -1, -7)), []]
)
def test_vectors_come_back_bit_for_bit(cold: Cold, rows: list[int]) -> None:
    found = cold.vectors().fetch(np.array(rows, np.int64))
    assert found.dtype == np.float32
    assert found.tobytes() == cold.batch.vectors[np.array(rows, np.int64)].tobytes()


def test_neighbours_share_a_range(cold: Cold, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = cold.store.get_ranges

    def counted(key: str, ranges: list[object]) -> list[bytes]:
        asked.append(len(ranges))
        return original(key, ranges)  # type: ignore[arg-type]

    monkeypatch.setattr(cold.store, "get_ranges", counted)
    vectors = cold.vectors()
    vectors.fetch(np.array([0, 50, 99]))
    vectors.fetch(np.array([0, 50, 150]))
    monkeypatch.setattr(cold_reader, "GAP_BYTES", 10 * 4 * DIM)
    vectors.fetch(np.array([0, 11, 23, 24]))
    monkeypatch.setattr(cold_reader, "MAX_RANGE_BYTES", 10 * 4 * DIM)
    vectors.fetch(np.arange(25))
    assert asked == [1, 2, 2, 3]


def test_rows_outside_are_refused(cold: Cold) -> None:
    for row in (-1, 450):
        with pytest.raises(InvalidInputError, match="450"):
            cold.vectors().fetch(np.array([0, row]))


def test_each_flipped_byte_of_a_vector_is_noticed(cold: Cold) -> None:
    row = 123
    start = cold.groups[1].vectors_end - (100 - 23) * 4 * DIM
    for at in range(start, start + 4 * DIM):
        data = bytearray(cold.data)
        data[at] ^= 1 << at % 8
        cold.put(bytes(data))
        with pytest.raises(CorruptionError, match=f"{KEY}.*row {row}"):
            cold.vectors().fetch(np.array([row, 122]))
        assert len(cold.vectors().fetch(np.array([122, 124])))  # the damaged one is in the gap


def test_a_short_or_missing_object_is_an_error(cold: Cold) -> None:
    cold.put(cold.data[: len(cold.data) // 2])
    with pytest.raises(CorruptionError, match=KEY):
        cold.vectors().fetch(np.array([449]))
    with pytest.raises(CorruptionError, match=KEY):
        cold.columns().read(np.array([1]), COLUMNS)
    cold.store.delete(KEY)
    with pytest.raises(ObjectNotFoundError):
        cold.vectors().fetch(np.array([0]))


def test_checksums_must_fit_the_rows(cold: Cold) -> None:
    with pytest.raises(CorruptionError, match="449 row checksums for 450 rows"):
        ColdVectors(cold.store, KEY, DIM, cold.groups, row_sums(cold.batch.vectors[1:]))


@pytest.mark.parametrize("rows", [[0], [449, 0, 200, 200], list(range(450)), None])
def test_columns_come_back(cold: Cold, rows: list[int] | None) -> None:
    at = None if rows is None else np.array(rows)
    missing = Column(id=19, name="added later", type="string")
    found = read_columns(cold.store, cold.file, at, [*COLUMNS, missing])
    assert set(found) == {c.id for c in COLUMNS}
    wanted = pa.array(range(450) if rows is None else rows)
    for column in COLUMNS:
        values = cold.batch.columns.get(column.id)
        expected = [None] * len(wanted) if values is None else values.take(wanted).to_pylist()
        assert found[column.id].to_pylist() == expected


def test_columns_are_found_by_id_whatever_their_name_is_now(cold: Cold) -> None:
    renamed = Column(id=2, name="rank", type="string")
    other = Column(id=15, name="rank", type="int64")
    found = cold.columns().read(np.array([1, 2]), [renamed, other])
    assert {c: v.to_pylist() for c, v in found.items()} == {2: ["VERB", ""]}


def test_a_column_of_another_type_is_damage(cold: Cold) -> None:
    with pytest.raises(CorruptionError, match="type int64"):
        cold.columns().read(np.array([1]), [Column(id=1, name="rank", type="string")])


def test_columns_take_a_read_for_the_footer_and_one_wave(cold: Cold, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    original = cold.store.get_ranges

    def counted(key: str, ranges: list[object]) -> list[bytes]:
        asked.append(len(ranges))
        return original(key, ranges)  # type: ignore[arg-type]

    monkeypatch.setattr(cold.store, "get_ranges", counted)
    columns = cold.columns()
    columns.read(np.array([449, 0, 1]), COLUMNS[:2])
    monkeypatch.setattr("tiervdb.storage.wave.coalesce", partial(coalesce, gap=0))
    columns.read(np.array([449, 0, 1]), COLUMNS[:2])
    columns.read(np.array([449, 0]), [COLUMNS[0], COLUMNS[2]])
    assert asked == [1, 1, 2, 4]
    monkeypatch.setattr(cold_columns, "FOOTER_BYTES", 400)
    cold.columns().read(np.array([200]), COLUMNS[2:3])
    assert asked == [1, 1, 2, 4, 1, 1, 1]


def test_flipped_bytes_in_columns_are_noticed(cold: Cold) -> None:
    """Every byte of the object, in steps: the same values, or CorruptionError that names the object."""
    columns = [c for c in COLUMNS if c.id != 7]
    expected = {c: v.to_pylist() for c, v in cold.columns().read(None, columns).items()}
    noticed = 0
    for at in [*range(0, len(cold.data), 997), *range(len(cold.data) - 60, len(cold.data))]:
        data = bytearray(cold.data)
        data[at] ^= 1 << at % 8
        cold.put(bytes(data))
        try:
            found = {c: v.to_pylist() for c, v in cold.columns().read(None, columns).items()}
        except CorruptionError as error:
            assert KEY in str(error)  # noqa: PT017
            noticed += 1
        else:
            assert found == expected, at
    assert noticed > 50


def test_all_rows_stream_in_order(cold: Cold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_reader, "STREAM_BYTES", 30 * 4 * DIM)
    batches = list(stream_rows(cold.vectors(), cold.columns(), COLUMNS))
    assert max(len(b) for b in batches) == 30
    assert np.concatenate([b.vectors for b in batches]).tobytes() == cold.batch.vectors.tobytes()
    assert pa.concat_arrays([b.ids for b in batches]).to_pylist() == cold.batch.ids.to_pylist()
    for column, values in cold.batch.columns.items():
        assert pa.concat_arrays([b.columns[column] for b in batches]).to_pylist() == values.to_pylist()
