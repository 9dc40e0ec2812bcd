"""Loading large sources in many commits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import tiervdb
from tests.database.conftest import OPTIONS
from tiervdb.database import ingest as ingesting
from tiervdb.database.sources import resized
from tiervdb.errors import InvalidInputError, SchemaError

ROWS = 1000
X = np.random.default_rng(3).normal(size=(ROWS, 4)).astype(np.float32)
TABLE = pa.table(
    {
        "word": [f"w{i}" for i in range(ROWS)],
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), 4),
        "rank": np.arange(ROWS),
    }
)
NAMES = {"id": "word", "vector": "embedding"}


@pytest.fixture(autouse=True)
def _small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingesting, "COMMIT_ROWS", 150)


@pytest.fixture
def target(db: tiervdb.Database) -> tiervdb.Collection:
    return db.create_collection("words", dim=4, columns={"rank": "int64"})


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "words.parquet", row_group_size=330)
    return tmp_path / "words.parquet"


def assert_loaded(target: tiervdb.Collection) -> None:
    got = target.scan(vectors=True).read_all().sort_by("rank")
    assert got["id"].to_pylist() == TABLE["word"].to_pylist()
    vectors = got["vector"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    np.testing.assert_array_equal(vectors.view(np.uint32), X.view(np.uint32))


def batches() -> Iterator[pa.RecordBatch]:
    yield from TABLE.to_batches(max_chunksize=70)


@pytest.mark.parametrize(
    "source",
    [
        lambda: TABLE,
        lambda: TABLE.to_reader(max_chunksize=7),
        lambda: pa.RecordBatchReader.from_batches(TABLE.schema, batches()),
        batches,
        lambda: (pa.Table.from_batches([b]).to_pandas() for b in batches()),
        TABLE.to_pandas,
        lambda: pl.from_arrow(TABLE),
        TABLE.to_pylist,
    ],
    ids=["table", "reader", "generator", "iterator", "frames", "pandas", "polars", "dicts"],
)
def test_streams_are_loaded_in_many_commits(target: tiervdb.Collection, source: Any) -> None:
    result = target.ingest(source(), **NAMES)
    assert (result.rows, result.skipped, result.commits) == (1000, 0, 7)
    assert_loaded(target)


@pytest.mark.parametrize("as_text", [False, True])
def test_parquet_files(target: tiervdb.Collection, parquet: Path, as_text: bool) -> None:
    done: list[tuple[int, int | None]] = []
    result = target.ingest(str(parquet) if as_text else parquet, **NAMES, progress=lambda n, of: done.append((n, of)))
    assert (result.rows, result.seq) == (1000, 8)
    assert done[0] == (150, 1000)
    assert done[-1] == (1000, 1000)
    assert_loaded(target)


@pytest.mark.parametrize("suffix", ["arrow", "feather", "ipc"])
def test_arrow_files(target: tiervdb.Collection, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"words.{suffix}"
    pyarrow.feather.write_feather(TABLE, file, chunksize=90, compression="uncompressed")
    assert target.ingest(file, **NAMES).rows == 1000
    assert_loaded(target)


def test_numpy_arrays_and_memory_maps(db: tiervdb.Database, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    numbers = db.create_collection("numbers", dim=4, id_type="int64")
    for source in (X, np.load(tmp_path / "x.npy", mmap_mode="r"), tmp_path / "x.npy", np.asfortranarray(X)):
        numbers.delete(where="true")
        assert numbers.ingest(source).rows == 1000
        assert numbers.get([999], vectors=True)["vector"].to_pylist() == [X[999].tolist()]
    numbers.ingest(X[:3], id=np.array([7, 8, 9]) * 1000)
    assert numbers.get([8000], vectors=True)["vector"].to_pylist() == [X[1].tolist()]


def test_some_of_the_columns(db: tiervdb.Database, parquet: Path) -> None:
    bare = db.create_collection("bare", dim=4)
    with pytest.raises(SchemaError, match="no column 'rank'"):
        bare.ingest(parquet, **NAMES)
    assert bare.ingest(parquet, **NAMES, columns=[]).rows == 1000
    ranked = db.create_collection("ranked", dim=4, columns={"rank": "int64", "more": "string"})
    ranked.ingest(parquet, **NAMES, columns=["rank"])
    assert ranked.get("w7").to_pylist() == [{"id": "w7", "rank": 7, "more": None}]
    with pytest.raises(InvalidInputError, match="no column 'more'"):
        ranked.ingest(parquet, **NAMES, columns=["more"])


def test_a_load_goes_on_where_it_stopped(path: Path, parquet: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _total: int | None) -> None:
        if done >= 450:
            raise Stop

    with tiervdb.open(path, options=OPTIONS) as db:
        words = db.create_collection("words", dim=4, columns={"rank": "int64"})
        with pytest.raises(Stop):
            words.ingest(parquet, **NAMES, resume="words-1", progress=stop)
        assert len(words) == 450
        words.update(columns={"rank": -1}, ids=["w5"])
    with tiervdb.open(path, options=OPTIONS) as db:
        words = db["words"]
        done: list[int] = []
        result = words.ingest(parquet, **NAMES, resume="words-1", progress=lambda n, _: done.append(n))
        assert (result.rows, result.skipped, done[0]) == (550, 450, 600)
        assert words.get("w5")["rank"].to_pylist() == [-1]  # what was loaded is not loaded again
        words.update(columns={"rank": 5}, ids=["w5"])
        assert_loaded(words)
        db.flush()
        db.maintain()
        again = words.ingest(parquet, **NAMES, resume="words-1")
        assert (again.rows, again.skipped, again.commits, again.seq) == (0, 1000, 0, db.seq)
        assert words.ingest(TABLE.to_reader(), **NAMES, resume="words-2").skipped == 0
        assert len(words) == 1000


LOADER = """
import sys, tiervdb
from tiervdb.database import ingest
ingest.COMMIT_ROWS = 20
with tiervdb.open(sys.argv[1]) as db:
    words = db.create_collection("words", dim=4, columns={"rank": "int64"})
    words.ingest(sys.argv[2], id="word", vector="embedding", resume="load", progress=lambda n, _: print(n, flush=True))
"""


def test_a_load_goes_on_after_kill_9(path: Path, parquet: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LOADER, path, parquet], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(5)]
        child.kill()
    with tiervdb.open(path, options=OPTIONS) as db:
        before = len(db["words"])
        assert before >= acknowledged[-1] == 100
        assert before % 20 == 0
        result = db["words"].ingest(parquet, **NAMES, resume="load")
        assert (result.skipped, result.rows) == (before, 1000 - before)
        assert_loaded(db["words"])


def test_a_load_into_a_new_collection_of_that_name_starts_anew(db: tiervdb.Database, target: Any) -> None:
    target.ingest(TABLE, **NAMES, resume="load")
    db.drop_collection("words")
    again = db.create_collection("words", dim=4, columns={"rank": "int64"})
    assert again.ingest(TABLE, **NAMES, resume="load").skipped == 0


def chunks(vectors: np.ndarray = X, size: int = 70) -> Iterator[tuple[Any, ...]]:
    for i in range(0, ROWS, size):
        part = slice(i, i + size)
        yield [f"w{n}" for n in range(ROWS)[part]], vectors[part].astype(np.float64), {"rank": np.arange(ROWS)[part]}


def test_an_iterator_of_ids_and_vectors(target: tiervdb.Collection, db: tiervdb.Database) -> None:
    assert target.ingest(chunks()).commits == 7
    assert_loaded(target)
    numbers = db.create_collection("numbers", dim=4, id_type="int64", columns={"more": "string"})
    assert numbers.ingest((np.arange(i, i + 10), X[i : i + 10]) for i in range(0, 100, 10)).rows == 100
    assert numbers.get(99, vectors=True).to_pylist() == [{"id": 99, "more": None, "vector": X[99].tolist()}]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (lambda: iter([]), "the iterator is empty; give one that yields Arrow tables"),
        (lambda: iter([(["a"], X[:1]), TABLE]), "chunk 1 is Table; give .* all of one kind"),
        (lambda: iter([TABLE, (["a"], X[:1])]), "chunk 1 is tuple"),
        (lambda: iter([(["a"],)]), "chunk 0 is tuple"),
        (lambda: iter([(["a"], X[:1, :3])]), "chunk 0: vectors: .*3"),
        (lambda: iter([(["a", "b"], X[:1])]), "chunk 0: 2 ids and 1 vectors"),
        (lambda: iter(["text"]), "chunk 0 is str"),
        (lambda: iter([5]), "chunk 0: rows of type int"),
        (lambda: iter([TABLE, TABLE.drop_columns(["rank"])]), "chunk 1 has the columns word, embedding, and the first"),
    ],
)
def test_iterators_of_something_else(target: tiervdb.Collection, source: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        target.ingest(source(), **(NAMES if "chunk 1" in said and "Table" not in said else {}))


def test_names_of_columns_for_an_iterator_of_arrays(target: tiervdb.Collection) -> None:
    with pytest.raises(InvalidInputError, match="name columns, and the iterator yields arrays"):
        target.ingest(chunks(), vector="embedding")
    with pytest.raises(InvalidInputError, match="name columns, and the iterator yields arrays"):
        target.ingest(chunks(), id=np.arange(ROWS))


SOURCES: dict[str, Callable[[Path], Any]] = {
    "parquet": lambda folder: folder / "x.parquet",
    "arrow": lambda folder: folder / "x.arrow",
    "npy": lambda folder: folder / "x.npy",
    "memory map": lambda folder: np.load(folder / "x.npy", mmap_mode="r"),
    "array": lambda _: X.copy(),
    "table": lambda _: NUMBERED,
    "reader": lambda _: NUMBERED.to_reader(max_chunksize=64),
    "iterator": lambda _: iter(NUMBERED.to_batches(max_chunksize=64)),
    "chunks": lambda _: ((np.arange(i, i + 50), X[i : i + 50]) for i in range(0, ROWS, 50)),
}
NUMBERED = pa.table({"id": np.arange(ROWS), "vector": TABLE["embedding"]})


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("stop_after", [150, 300, 900, 1000])
def test_every_kind_of_source_goes_on(db: tiervdb.Database, tmp_path: Path, kind: str, stop_after: int) -> None:
    """No row is left out, none is written twice."""
    pq.write_table(NUMBERED, tmp_path / "x.parquet", row_group_size=300)
    pyarrow.feather.write_feather(NUMBERED, tmp_path / "x.arrow", chunksize=90)
    np.save(tmp_path / "x.npy", X)
    rows = db.create_collection("rows", dim=4, id_type="int64")

    def stop(done: int, _total: int | None) -> None:
        if done >= stop_after:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        rows.ingest(SOURCES[kind](tmp_path), resume="load", progress=stop)
    result = rows.ingest(SOURCES[kind](tmp_path), resume="load")
    assert (result.skipped, result.rows) == (stop_after, ROWS - stop_after)
    assert sum(db.log(collection="rows")["upserted"].to_pylist()) == ROWS
    got = rows.scan(vectors=True).read_all().sort_by("id")
    assert got["id"].to_pylist() == list(range(ROWS))
    np.testing.assert_array_equal(got["vector"].combine_chunks().flatten().to_numpy().reshape(-1, 4), X)


def test_another_source_under_the_same_name_is_noticed(target: tiervdb.Collection, parquet: Path) -> None:
    target.ingest(TABLE, **NAMES, resume="load")
    with pytest.raises(InvalidInputError, match="1000 rows were loaded as 'load', but this source has 10"):
        target.ingest(TABLE[:10], **NAMES, resume="load")
    changed = TABLE.set_column(0, "word", pa.array([*TABLE["word"].to_pylist()[:-1], "other"]))
    with pytest.raises(InvalidInputError, match=r"has another row 1000; give the same source, or another name"):
        target.ingest(changed, **NAMES, resume="load")
    with pytest.raises(InvalidInputError, match="differs in its kind, columns or number of rows"):
        target.ingest(TABLE.append_column("pos", TABLE["word"]), **NAMES, columns=[], resume="load")
    target.ingest(parquet, **NAMES, resume="file")
    stat = parquet.stat()
    os.utime(parquet, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(InvalidInputError, match="differs in its size or the time of its last change"):
        target.ingest(parquet, **NAMES, resume="file")
    target.ingest(batches(), **NAMES, resume="stream")
    with pytest.raises(InvalidInputError, match="has fewer than 1000 rows"):
        target.ingest(iter([TABLE[:999]]), **NAMES, resume="stream")


def test_another_array_under_the_same_name_is_noticed(db: tiervdb.Database) -> None:
    rows = db.create_collection("rows", dim=4, id_type="int64")
    rows.ingest(X[:500], resume="load")
    with pytest.raises(InvalidInputError, match="differs in its shape or type"):
        rows.ingest(X, resume="load")
    with pytest.raises(InvalidInputError, match="has another row 500"):
        rows.ingest(X[500:], resume="load")


def test_a_flaw_stops_the_load_and_says_how_far_it_came(target: tiervdb.Collection) -> None:
    vectors = X.copy()
    vectors[400] = np.nan
    data = pd.DataFrame({"id": TABLE["word"], "vector": list(vectors), "rank": TABLE["rank"]})
    with pytest.raises(
        InvalidInputError, match=r"after row 300: vectors: row 100 has a missing.*300 rows before were.*resume='l'"
    ):
        target.ingest(data, resume="l")
    assert len(target) == 300
    with pytest.raises(InvalidInputError, match=r"row 0 .*Nothing was written$"):
        target.ingest(X * np.nan, id=[str(i) for i in range(ROWS)])


def test_a_source_that_fails_while_it_is_read(target: tiervdb.Collection) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches(max_chunksize=200)[:2]
        raise pa.ArrowInvalid("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(TABLE.schema, broken())
    with pytest.raises(InvalidInputError, match="cannot be read: the disk is gone"):
        target.ingest(reader, **NAMES)
    assert len(target) == 300


def test_sources_without_rows(target: tiervdb.Collection, tmp_path: Path) -> None:
    pq.write_table(TABLE[:0], tmp_path / "none.parquet")
    for source in (TABLE[:0], tmp_path / "none.parquet"):
        result = target.ingest(source, **NAMES)
        assert (result.rows, result.commits) == (0, 0)


@pytest.mark.parametrize(
    ("source", "options", "error", "text"),
    [
        (TABLE, {}, SchemaError, "no column 'id'"),
        (TABLE, {"id": "word", "vector": "vec"}, SchemaError, "no column 'vec'"),
        (TABLE, {"id": [1]}, InvalidInputError, "id= must name"),
        (TABLE, {**NAMES, "tier": "warm"}, InvalidInputError, "tier='warm'"),
        (TABLE, {**NAMES, "resume": "a b"}, InvalidInputError, "resume='a b'"),
        (TABLE, {**NAMES, "resume": 5}, InvalidInputError, "resume=5"),
        (X, {}, InvalidInputError, "string ids"),
        (X, {"id": "word"}, InvalidInputError, "array with an id for each"),
        (X, {"id": ["a"]}, InvalidInputError, "array with an id for each"),
        (X[0], {"id": ["a"]}, InvalidInputError, "shape"),
        (X, {"id": TABLE["word"], "columns": ["rank"]}, InvalidInputError, "this is an array"),
        ("nothing.parquet", {}, InvalidInputError, "no such file"),
        (7, {}, InvalidInputError, "rows of type int"),
    ],
)
def test_what_cannot_be_ingested(target: tiervdb.Collection, source: Any, options: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        target.ingest(source, **options)
    assert len(target) == 0


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.npy", "x.csv"])
def test_files_that_are_something_else(target: tiervdb.Collection, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not what it says" * 10)
    with pytest.raises(InvalidInputError, match=f"ingest .*{name}"):
        target.ingest(tmp_path / name)


@pytest.mark.parametrize("skip", [0, 1, 69, 70, 71, 999, 1000, 2000])
@pytest.mark.parametrize("rows", [1, 70, 333, 5000])
def test_pieces_are_of_the_size_asked(skip: int, rows: int) -> None:
    pieces = list(resized(batches(), skip, rows))
    assert all(len(piece) == rows for piece in pieces[:-1])
    joined = pa.concat_tables(pieces) if pieces else TABLE[:0]
    assert joined["rank"].to_pylist() == list(range(min(skip, 1000), 1000))
