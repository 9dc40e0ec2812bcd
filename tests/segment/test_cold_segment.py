from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from tests.segment.vector_data import METRICS, clustered, gaussian, make_codebook, recall, schema_for, source_of
from tiervdb.clock import ManualClock
from tiervdb.errors import CorruptionError, StorageError
from tiervdb.format.manifest_entries import FileRef, SegmentEntry
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.cold_local import ColdFiles, write_cold
from tiervdb.segment.cold_means import cold_means
from tiervdb.segment.concat import LiveRows
from tiervdb.segment.hot import write_hot
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import Segment, open_segment
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import Column, Metric, Vectors

KEY = "objects/one.parquet"
KEYS = {"parquet": KEY, "sketch": "objects/one.sketch"}
COLUMNS = (Column(id=1, name="rank", type="int64"), Column(id=2, name="text", type="string", stored=True))


class Cold:
    """A cold segment whose object lies in a directory."""

    def __init__(self, folder: Path, vectors: Vectors, metric: Metric = "cosine", keep: bool = True) -> None:
        self.vectors = vectors
        self.local = OsDir(folder / "local", sync=False)
        self.bucket = OsDir(folder / "bucket", sync=False)
        self.store = CountingStore(DirectoryStore(self.bucket))
        self.schema = schema_for(vectors.shape[1], metric, COLUMNS)
        rows = len(vectors)
        values = {1: pa.array(np.arange(rows)), 2: pa.array([f"text {n}" for n in range(rows)])}
        self.source = source_of(vectors, values)
        self.codebook = make_codebook(self.schema, self.source)
        self.means = cold_means(self.local, self.store)
        with self.write() as written:
            objects = {}
            for file in written.files:
                objects[file.role] = FileRef(name=KEYS[file.role], size=file.size, sha256=file.sha256)
                self.store.put_file(KEYS[file.role], file.path)
            self.entry = msgspec.structs.replace(written.entry, objects=objects)
            if keep:
                self.means.copies.keep(written.sketch.staged, written.sketch.size)
        self.segment = self.opened()

    def write(self) -> ColdFiles:
        return write_cold(
            self.local,
            "c1" * 16,
            self.schema,
            self.source,
            shard=0,
            codebook=self.codebook,
            low_seq=1,
            high_seq=5,
            clock=ManualClock(),
        )

    def opened(self, entry: SegmentEntry | None = None, codebook: Codebook | None = None) -> Segment:
        return open_segment(self.local, entry or self.entry, self.schema, codebook or self.codebook, self.means)


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Cold:
    return Cold(tmp_path_factory.mktemp("cold"), clustered(8000, 32))


def test_only_small_files_stay_local(cold: Cold) -> None:
    assert set(cold.entry.files) == {"ids", "columns", "rowsums"}
    assert cold.entry.tier == "cold"
    assert sum(g.rows for g in cold.entry.row_groups) == cold.entry.rows == 8000
    assert [s.column for s in cold.entry.stats] == [1]
    assert sum(f.size for f in cold.entry.files.values()) < cold.vectors.nbytes
    cold.segment.verify()


def test_the_parquet_file_is_gone_after_its_upload(cold: Cold) -> None:
    with cold.write() as written:
        assert [f.path.stat().st_size for f in written.files] == [f.size for f in written.files]
    assert not any(f.path.exists() for f in written.files)


def test_rows_are_read_back_bit_for_bit(cold: Cold) -> None:
    ids = cold.segment.ids().to_numpy()
    assert sorted(ids.tolist()) == list(range(8000))
    rows = np.array([7999, 0, 4000, 0])
    assert cold.segment.vectors(rows).tobytes() == cold.vectors[ids[rows]].tobytes()
    found = cold.segment.columns([1, 2], rows)
    assert found[1].to_pylist() == ids[rows].tolist()
    assert found[2].to_pylist() == [f"text {n}" for n in ids[rows]]
    assert cold.segment.filter_table(cold.schema).column_names == ["id", "rank"]


def test_ids_and_filter_columns_never_ask_the_store(cold: Cold) -> None:
    before = cold.store.snapshot()
    segment = cold.opened()
    segment.lookup(pa.array([1, 2, 3]))
    segment.filter_table(cold.schema)
    segment.columns([1])
    assert (cold.store.snapshot() - before).gets == 0


@pytest.mark.parametrize("metric", METRICS)
def test_search_reranks_by_one_wave_of_range_reads(tmp_path: Path, metric: Metric) -> None:
    cold = Cold(tmp_path, clustered(4000, 16), metric)
    queries = cold.vectors[:20] + gaussian(20, 16, seed=6) * np.float32(0.1)
    tally = SearchTally()
    found = cold.segment.search(queries, 10, None, SearchRequest(), tally)
    assert recall(cold.segment, found, queries) >= 0.95
    assert tally.waves == 1
    assert tally.gets > 0
    assert tally.bytes >= 4 * 16 * len(np.unique(found.rows))
    assert "cold segment" in tally.strategies[0]


def test_without_rerank_nothing_is_fetched(cold: Cold) -> None:
    tally = SearchTally()
    found = cold.segment.search(cold.vectors[:3], 10, None, SearchRequest(rerank=0), tally)
    assert found.rows.shape == (3, 10)
    assert (tally.gets, tally.waves) == (0, 0)


def test_a_filter_that_leaves_few_rows_fetches_just_these(cold: Cold) -> None:
    live = np.zeros(8000, np.bool_)
    live[[5, 4000, 7999]] = True
    tally = SearchTally()
    found = cold.segment.search(cold.vectors[:1], 10, live, SearchRequest(filtered=True), tally)
    assert sorted(found.rows[0].tolist()) == [5, 4000, 7999]
    assert "exact over 3 rows" in tally.strategies[0]
    assert tally.waves == 1


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_filters_keep_recall_and_always_give_k_rows(cold: Cold, share: float) -> None:
    live = np.random.default_rng(5).random(8000) < share
    found = cold.segment.search(cold.vectors[:20], 10, live, SearchRequest(filtered=True), SearchTally())
    assert found.rows.shape == (20, 10)
    assert live[found.rows].all()
    assert recall(cold.segment, found, cold.vectors[:20], live) >= 0.95


def test_exact_search_reads_every_live_row(cold: Cold) -> None:
    live = np.random.default_rng(5).random(8000) < 0.5
    found = cold.segment.search(cold.vectors[:5], 10, live, SearchRequest(exact=True), SearchTally())
    assert recall(cold.segment, found, cold.vectors[:5], live) == 1.0


def test_promotion_brings_the_same_rows_back(cold: Cold, tmp_path: Path) -> None:
    local = OsDir(tmp_path, sync=False)
    source = LiveRows([cold.segment], [np.arange(8000) % 3 > 0])
    assert source.coded(cold.codebook.id) is not None
    entry = write_hot(
        local,
        "d1" * 16,
        cold.schema,
        source,
        shard=0,
        codebook=cold.codebook,
        low_seq=1,
        high_seq=5,
        clock=ManualClock(),
    )
    hot = open_segment(local, entry, cold.schema, cold.codebook, None)
    ids = hot.ids().to_numpy()
    assert hot.vectors(np.arange(hot.rows)).tobytes() == cold.vectors[ids].tobytes()
    assert hot.columns([2])[2].to_pylist() == [f"text {n}" for n in ids]


def test_damaged_object_and_sums_are_found(tmp_path: Path) -> None:
    cold = Cold(tmp_path, clustered(2000, 16))
    data = bytearray(cold.bucket.read(KEY))
    row = 100
    at = cold.entry.row_groups[0].vectors_end - (2000 - row) * 16 * 4
    data[at] ^= 1
    cold.bucket.write_atomic(KEY, bytes(data))
    cold.segment.vectors(np.array([row - 1, row + 1]))
    with pytest.raises(CorruptionError, match=KEY):
        cold.segment.vectors(np.array([row]))
    name = cold.entry.files["rowsums"].name
    sums = bytearray(cold.local.read(name))
    sums[4] ^= 1
    cold.local.write_atomic(name, bytes(sums))
    with pytest.raises(CorruptionError, match="rowsums"):
        cold.opened().verify()
    with pytest.raises(CorruptionError, match="rowsums"):
        cold.opened().vectors(np.array([0]))


def test_a_missing_object_fails_only_what_needs_it(tmp_path: Path) -> None:
    cold = Cold(tmp_path, clustered(2000, 16))
    cold.bucket.delete(KEY)
    segment = cold.opened()
    assert segment.lookup(pa.array([7])).shape == (1,)
    assert segment.search(cold.vectors[:1], 5, None, SearchRequest(rerank=0), SearchTally()).rows.shape == (1, 5)
    with pytest.raises(CorruptionError, match=r"does not hold .*Bring the object back"):
        segment.search(cold.vectors[:1], 5, None, SearchRequest(), SearchTally())


def test_a_few_rows_can_be_cold_too(tmp_path: Path) -> None:
    for rows in (1, 3, 40):
        cold = Cold(tmp_path / str(rows), gaussian(rows, 16))
        found = cold.segment.search(cold.vectors[:1], 10, None, SearchRequest(), SearchTally())
        assert found.rows.shape == (1, min(10, rows))
        assert found.distances[0, 0] < 1e-6


def test_a_failed_write_leaves_no_parquet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = Cold(tmp_path, clustered(500, 16))

    def broken(*_: object) -> None:
        raise StorageError("no more room")

    monkeypatch.setattr("tiervdb.segment.cold_local.write_ids", broken)
    with pytest.raises(StorageError):
        cold.write()
    assert [name for name in cold.local.list("tmp") if name.endswith("parquet")] == []
