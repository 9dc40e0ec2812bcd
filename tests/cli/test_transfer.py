from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tiervdb
from tests.cli.conftest import Ask, Run


@pytest.fixture
def rows() -> pa.Table:
    vectors = np.random.default_rng(0).random((50, 4), dtype=np.float32)
    return pa.table(
        {
            "name": [f"row {i}" for i in range(50)],
            "size": pa.array([*range(49), None], pa.int32()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4),
        }
    )


def test_a_parquet_file_makes_its_collection(tmp_path: Path, rows: pa.Table, ask: Ask) -> None:
    pq.write_table(rows, tmp_path / "rows.parquet")
    named = ("--id", "name", "--vector", "embedding", "--metric", "l2")
    document = ask("import", tmp_path / "db", "things", tmp_path / "rows.parquet", *named)
    assert document["result"]["rows"] == 50
    with tiervdb.open(tmp_path / "db", create=False) as db:
        things = db["things"]
        assert (len(things), things.schema.metric, things.schema.id_type) == (50, "l2", "string")
        got = things.get(["row 0", "row 49"], vectors=True)
        assert got["size"].to_pylist() == [0, None]
        assert got["vector"].to_pylist() == rows["embedding"].take([0, 49]).to_pylist()


def test_an_arrow_file_and_chosen_columns(tmp_path: Path, rows: pa.Table, run: Run) -> None:
    renamed = rows.rename_columns(["id", "size", "vector"])
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as sink, pa.ipc.new_file(sink, renamed.schema) as writer:
        writer.write_table(renamed)
    run("import", tmp_path / "db", "all", tmp_path / "rows.arrow")
    run("import", tmp_path / "db", "none", tmp_path / "rows.arrow", "--columns", "")
    with tiervdb.open(tmp_path / "db") as db:
        assert [column.name for column in db["all"].schema.columns] == ["size"]
        assert (len(db["none"]), db["none"].schema.columns) == (50, ())


def test_a_matrix(tmp_path: Path, run: Run) -> None:
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).random((30, 8), dtype=np.float32))
    shown = run("import", tmp_path / "db", "vectors", tmp_path / "vectors.npy").stdout
    assert shown.startswith("imported 30 rows into 'vectors' in ")
    with tiervdb.open(tmp_path / "db") as db:
        assert db["vectors"].get([29])["id"].to_pylist() == [29]


def test_into_a_collection_that_exists(path: Path, tmp_path: Path, run: Run) -> None:
    extra = pa.table({"id": ["p0", "new"], "vector": [[0.5, 0.5], [1.0, 1.0]], "number": [1000, 1001]})
    pq.write_table(extra, tmp_path / "extra.parquet")
    run("import", path, "points", tmp_path / "extra.parquet")
    with tiervdb.open(path) as db:
        got = db["points"].get(["p0", "new"])
        assert got["number"].to_pylist() == [1000, 1001]
        assert len(db["points"]) == 101


def test_a_load_with_a_name_goes_on(tmp_path: Path, rows: pa.Table, run: Run, ask: Ask) -> None:
    pq.write_table(rows.rename_columns(["id", "size", "vector"]), tmp_path / "rows.parquet")
    load = ("import", tmp_path / "db", "things", tmp_path / "rows.parquet", "--resume", "monday")
    run(*load)
    again = ask(*load)["result"]
    assert (again["rows"], again["skipped"]) == (0, 50)


@pytest.mark.parametrize("name", ["missing.parquet", "damaged.parquet", "damaged.arrow", "damaged.npy", "rows.csv"])
def test_files_that_cannot_be_read(tmp_path: Path, run: Run, name: str) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"this is none of these")
    assert name in run("import", tmp_path / "db", "things", tmp_path / name, exit_code=2).stderr


def test_there_and_back(path: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    document = ask("export", path, "points", tmp_path / "points.parquet")
    assert document["rows"] == 100
    run("import", tmp_path / "other", "points", tmp_path / "points.parquet")
    with tiervdb.open(path) as one, tiervdb.open(tmp_path / "other") as other:
        every = [f"p{i}" for i in range(100)]
        assert one["points"].get(every, vectors=True).equals(other["points"].get(every, vectors=True))


def test_export_of_some(path: Path, tmp_path: Path, run: Run) -> None:
    run("snapshot", "create", path, "before")
    with tiervdb.open(path) as db:
        db["points"].delete(where="number > 1")
    target = tmp_path / "some.parquet"
    run(
        "export", path, "points", target, "--where", "number < ?", "--param", 5, "--columns", "number", "--at", "before"
    )
    table = pq.read_table(target)
    assert table.column_names == ["id", "number", "vector"]
    assert sorted(table["number"].to_pylist()) == [0, 1, 2, 3, 4]


def test_export_replaces_nothing_unasked(path: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "mine.parquet").write_text("precious")
    assert "--force" in run("export", path, "points", tmp_path / "mine.parquet", exit_code=3).stderr
    assert (tmp_path / "mine.parquet").read_text() == "precious"
    run("export", path, "points", tmp_path / "mine.parquet", "--force")
    assert len(pq.read_table(tmp_path / "mine.parquet")) == 100


def test_export_to_nowhere_leaves_nothing(path: Path, tmp_path: Path, run: Run) -> None:
    assert "cannot be written" in run("export", path, "points", tmp_path / "no" / "x.parquet", exit_code=2).stderr
