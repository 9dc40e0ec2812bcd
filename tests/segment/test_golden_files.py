from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.segment.cold_values import COLUMNS, batch, reader
from tests.segment.golden_files import FOLDER, GOLDEN, INTEGER_IDS, ROWS, STRING_IDS
from tiervdb.format.manifest_entries import FileRef
from tiervdb.segment.cold_columns import ColdColumns
from tiervdb.segment.cold_reader import ColdVectors, stream_rows
from tiervdb.segment.cold_writer import read_row_groups, row_sums
from tiervdb.segment.columns_file import ColumnsFile
from tiervdb.segment.id_index import IdIndex
from tiervdb.storage.open import open_store

EXPECTED = batch(ROWS)


@pytest.mark.parametrize("name", ["id_index_string_v1.ids", "id_index_int64_v1.ids"])
def test_id_index(name: str) -> None:
    """Written by us to the last byte; what Arrow and Parquet write may differ in a later version of them."""
    data = (FOLDER / name).read_bytes()
    assert GOLDEN[name]() == data
    ids = STRING_IDS if "string" in name else INTEGER_IDS
    index = IdIndex(reader(data))
    assert index.ids().equals(ids)
    assert index.lookup(ids).tolist() == [0, 1, 2, 3, 4]


def test_columns_file() -> None:
    file = ColumnsFile(reader((FOLDER / "columns_v1.columns").read_bytes()))
    found = file.take(None, [c.id for c in COLUMNS])
    assert {c: v.to_pylist() for c, v in found.items() if c != 9} == {
        c: v.to_pylist() for c, v in EXPECTED.columns.items()
    }
    assert found[9].null_count == ROWS


def test_parquet(tmp_path: Path) -> None:
    data = (FOLDER / "cold_v1.parquet").read_bytes()
    store = open_store(tmp_path)
    store.put("golden", data)
    groups = read_row_groups(FOLDER / "cold_v1.parquet")
    vectors = ColdVectors(store, "golden", 4, groups, row_sums(EXPECTED.vectors))
    assert vectors.fetch(np.arange(ROWS)[::-1]).tobytes() == EXPECTED.vectors[::-1].tobytes()
    columns = ColdColumns(store, FileRef(name="golden", size=len(data), sha256="0" * 64))
    (found,) = stream_rows(vectors, columns, COLUMNS)
    assert found.ids.equals(EXPECTED.ids)
    for column, values in EXPECTED.columns.items():
        assert found.columns[column].to_pylist() == values.to_pylist()
