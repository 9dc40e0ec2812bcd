from __future__ import annotations

from pathlib import Path

import numpy as np

import tiervdb
from tests.cli.conftest import Ask, Run


def ids(document: dict) -> list:
    return [row["id"] for row in document["hits"]]


def test_near_a_row_leaves_the_row_itself_out(path: Path, ask: Ask) -> None:
    assert set(ids(ask("search", path, "points", "--like", "p50", "-k", 2))) == {"p49", "p51"}


def test_near_a_vector_in_order(path: Path, ask: Ask) -> None:
    document = ask("search", path, "points", "--vector", "1,0", "-k", 3, "--columns", "number")
    assert ids(document) == ["p0", "p1", "p2"]
    assert [row["number"] for row in document["hits"]] == [0, 1, 2]
    assert document["hits"][0]["distance"] < 1e-6
    assert document["stats"]["tiers"] == ["memory"]


def test_a_vector_from_a_file(path: Path, tmp_path: Path, ask: Ask) -> None:
    np.save(tmp_path / "query.npy", np.array([0, 1]))
    assert ids(ask("search", path, "points", "--vector", tmp_path / "query.npy", "-k", 1)) == ["p90"]


def test_a_filter_with_parameters(path: Path, ask: Ask) -> None:
    where = ("--where", "number >= ? and colour = ?", "--param", "10", "--param", "green")
    assert ids(ask("search", path, "points", "--vector", "1,0", "-k", 2, *where)) == ["p11", "p13"]


def test_as_of_a_snapshot(path: Path, run: Run, ask: Ask) -> None:
    run("snapshot", "create", path, "before")
    with tiervdb.open(path) as db:
        db["points"].delete(ids=["p0"])
    assert ids(ask("search", path, "points", "--vector", "1,0", "-k", 1)) == ["p1"]
    assert ids(ask("search", path, "points", "--vector", "1,0", "-k", 1, "--at", "before")) == ["p0"]


def test_for_people(path: Path, run: Run) -> None:
    shown = run("search", path, "points", "--like", "p50", "-k", 2, "--columns", "*", "--explain").stdout
    header, first, second, *rest = shown.splitlines()
    assert header.split() == ["id", "distance", "number", "colour"]
    assert {first.split()[0], second.split()[0]} == {"p49", "p51"}
    assert "rows scanned, memory" in "".join(rest)


def test_nothing_matches(path: Path, run: Run) -> None:
    assert "no rows match" in run("search", path, "points", "--like", "p50", "--where", "number > 1000").stdout


def test_beside_a_writer(path: Path, ask: Ask) -> None:
    with tiervdb.open(path) as db:
        db["points"].delete(ids=["p49"])
        assert ids(ask("search", path, "points", "--like", "p50", "-k", 1)) == ["p51"]


def test_cold_rows_say_what_they_cost(path: Path, run: Run, ask: Ask) -> None:
    run("tier", "demote", path, "points")
    document = ask("search", path, "points", "--like", "p50", "-k", 2)
    assert set(ids(document)) == {"p49", "p51"}
    assert document["stats"]["gets"] + document["stats"]["cache_hits"] > 0
    assert "GET" in run("search", path, "points", "--like", "p7").stdout


def test_a_cold_store_that_is_away(path: Path, tmp_path: Path, run: Run, ask: Ask) -> None:
    with tiervdb.open(path) as db, tiervdb.open(tmp_path / "db2", cold=tmp_path / "bucket") as other:
        rows = db["points"].scan(vectors=True).read_all()
        other.create_collection("points", data=rows)
        other.demote("points")
    (tmp_path / "bucket").rename(tmp_path / "gone")
    question = ("search", tmp_path / "db2", "points", "--vector", "1,0")
    assert str(tmp_path / "bucket") in run(*question, exit_code=8).stderr
    document = ask(*question, "--skip-unavailable")
    assert (document["hits"], len(document["stats"]["skipped"])) == ([], 1)


def test_bad_questions(path: Path, run: Run) -> None:
    for arguments, complaint in (
        ([], "give either --like ID or --vector"),
        (["--like", "p1", "--vector", "1,0"], "give either --like ID or --vector"),
        (["--like", "nobody"], "no row of 'points' has the id 'nobody'"),
        (["--vector", "1,two"], "is not a list of numbers"),
        (["--vector", "/nowhere/q.npy"], "not a readable .npy file"),
        (["--vector", "1,2,3"], "dim=2"),
        (["--like", "p1", "--where", "numbr = 1"], "number"),
        (["--like", "p1", "-k", "0"], "k"),
    ):
        result = run("search", path, "points", *arguments, exit_code=2)
        assert complaint in result.stderr
        assert result.stdout == ""


def test_columns_with_commas_or_repeated(path: Path, ask: Ask) -> None:
    for options in (("--columns", "number,colour"), ("--columns", "number", "--columns", "colour")):
        [hit] = ask("search", path, "points", "--like", "p1", "-k", 1, *options)["hits"]
        assert {"number", "colour"} <= set(hit)
