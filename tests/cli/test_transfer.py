from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tiervdb
from tests.cli.conftest import Ask, Run
from tiervdb.cli.exported import KEY


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
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize("wrong", ["nan", "no vectors", "no ids", "no rows", "no such column", "npy"])
def test_what_cannot_be_loaded_makes_nothing(
    path: Path, tmp_path: Path, rows: pa.Table, run: Run, ask: Ask, wrong: str
) -> None:
    rows = rows.rename_columns(["id", "size", "vector"])
    if wrong == "nan":
        rows = rows.set_column(2, "vector", pa.array([[1.0, 2.0]] * 49 + [[float("nan"), 1.0]]))
    if wrong.startswith("no "):
        left_out = {"no vectors": "vector", "no ids": "id"}.get(wrong)
        rows = rows.drop_columns([left_out]) if left_out else rows.slice(0, 0 if wrong == "no rows" else 50)
    file = tmp_path / ("rows.npy" if wrong == "npy" else "rows.parquet")
    pq.write_table(rows, file) if wrong != "npy" else np.save(file, np.full((3, 4), np.nan, np.float32))
    columns = ("--columns", "other") if wrong == "no such column" else ()
    run("import", tmp_path / "new", "things", file, *columns, exit_code=2)
    assert not (tmp_path / "new").exists()
    before = ask("log", path)
    run("import", path, "things", file, *columns, exit_code=2)
    assert ask("log", path) == before


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """A database whose collections differ from the default in everything, one of them empty."""
    with tiervdb.open(tmp_path / "things") as db:
        columns = {"size": "int32", "seen": "timestamp[us, UTC]", "text": "string", "tags": "list<string>"}
        given = {"dim": 2, "metric": "ip", "id_type": "int64", "columns": columns, "stored": ["text"]}
        db.create_collection("full", **given).upsert(ids=[1, 2], vectors=[[1, 2], [0, 0]], columns={"size": [5, None]})
        db.create_collection("empty", **given)
    return tmp_path / "things"


def definition(schema: tiervdb.CollectionSchema) -> Any:
    return schema.dim, schema.metric, schema.id_type, [(c.name, c.type, c.stored) for c in schema.columns]


@pytest.mark.parametrize("name", ["full", "empty"])
def test_there_and_back(things: Path, tmp_path: Path, run: Run, name: str) -> None:
    run("export", things, name, tmp_path / "x.parquet")
    run("import", tmp_path / "other", name, tmp_path / "x.parquet")
    with tiervdb.open(things) as one, tiervdb.open(tmp_path / "other") as other:
        assert definition(one[name].schema) == definition(other[name].schema)
        assert one[name].get([1, 2], vectors=True).equals(other[name].get([1, 2], vectors=True))


def test_options_go_before_what_was_exported(things: Path, tmp_path: Path, run: Run) -> None:
    run("export", things, "full", tmp_path / "x.parquet")
    run("import", things, "other", tmp_path / "x.parquet", "--metric", "l2", "--stored", "", "--columns", "text")
    with tiervdb.open(things) as db:
        assert definition(db["other"].schema) == (2, "l2", "int64", [("text", "string", False)])


def test_files_that_other_tools_changed_since(things: Path, tmp_path: Path, run: Run) -> None:
    run("export", things, "full", tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet").drop_columns(["seen"]).append_column("more", pa.array([1.5, 2.5]))
    pq.write_table(table, tmp_path / "x.parquet")
    run("import", things, "other", tmp_path / "x.parquet")
    with tiervdb.open(things) as db:
        assert {c.name: c.type for c in db["other"].schema.columns} == {
            "size": "int32",
            "text": "string",
            "tags": "list<string>",
            "more": "float64",
        }
        assert db["other"].schema.metric == "ip"
    for wrong, said in ((b"{}", "cannot be read"), (b'{"version":2}', "cannot be read")):
        pq.write_table(table.replace_schema_metadata({KEY: wrong}), tmp_path / "x.parquet")
        assert said in run("import", things, "wrong", tmp_path / "x.parquet", exit_code=2).stderr


def test_contradictions_are_errors(things: Path, path: Path, tmp_path: Path, run: Run) -> None:
    with tiervdb.open(things) as db:
        db.create_collection("plain", dim=2, id_type="int64")
    run("export", things, "full", tmp_path / "x.parquet", "--columns", "")
    load = ("import", things, "plain", tmp_path / "x.parquet")
    assert "exported from one with metric ip; say --metric cosine" in run(*load, exit_code=2).stderr
    assert "--metric l2 was asked for" in run(*load, "--metric", "l2", exit_code=2).stderr
    assert "stored columns are none" in run(*load, "--stored", "text", exit_code=2).stderr
    assert "all zeros" in run(*load, "--metric", "cosine", exit_code=2).stderr
    table = pq.read_table(tmp_path / "x.parquet")
    wider = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(6, np.float32)), 3)
    pq.write_table(table.set_column(1, "vector", wider), tmp_path / "x.parquet")
    assert "says 2 dimensions and its vectors have 3" in run(*load[:2], "new", load[3], exit_code=2).stderr


def test_an_import_commits_whole_batches(tmp_path: Path, rows: pa.Table, run: Run) -> None:
    pq.write_table(rows.rename_columns(["id", "size", "vector"]), tmp_path / "rows.parquet")
    run("import", tmp_path / "db", "things", tmp_path / "rows.parquet")
    with tiervdb.open(tmp_path / "db") as db:
        assert db.log()["upserted"].to_pylist() == [0, 50]


def test_an_import_that_loads_nothing_leaves_no_collection(tmp_path: Path, run: Run) -> None:
    table = pa.table({"id": ["a"], "vector": [[0.0, 0.0]]})
    pq.write_table(table, tmp_path / "zero.parquet")
    run("import", tmp_path / "db", "things", tmp_path / "zero.parquet", exit_code=2)
    with tiervdb.open(tmp_path / "db") as db:
        assert db.collections() == []


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


def test_export_writes_parquet_only(path: Path, tmp_path: Path, run: Run) -> None:
    assert "ends in .parquet" in run("export", path, "points", tmp_path / "points.csv", exit_code=2).stderr
    assert not (tmp_path / "points.csv").exists()


def test_export_to_nowhere_leaves_nothing(path: Path, tmp_path: Path, run: Run) -> None:
    assert "cannot be written" in run("export", path, "points", tmp_path / "no" / "x.parquet", exit_code=2).stderr
