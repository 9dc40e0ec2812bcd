from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from tests.segment.vector_data import (
    METRICS,
    Made,
    clustered,
    duplicates,
    gaussian,
    lognormal_norms,
    make_hot,
    recall,
    schema_for,
)
from tiervdb.errors import CorruptionError
from tiervdb.segment.distance import nearest
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import open_segment
from tiervdb.types import Column, Metric, Vectors

COLUMNS = (Column(id=1, name="rank", type="int64"), Column(id=2, name="text", type="string", stored=True))


def with_columns(folder: Path, rows: int = 3000, sketch: bool = True) -> Made:
    values = {1: pa.array(np.arange(rows) * 2), 2: pa.array([f"text {n}" for n in range(rows)])}
    return make_hot(folder, clustered(rows, 16), sketch=sketch, columns=COLUMNS, values=values)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return with_columns(tmp_path_factory.mktemp("hot"))


def test_the_entry_lists_every_file(made: Made) -> None:
    assert set(made.entry.files) == {"vectors", "ids", "columns", "sketch"}
    assert made.codebook is not None
    assert (made.entry.rows, made.entry.tier, made.entry.codebook) == (3000, "hot", made.codebook.id)
    assert made.entry.columns == (1, 2)
    assert [(s.column, s.low, s.high) for s in made.entry.stats] == [(1, 0, 5998)]
    for file in made.entry.files.values():
        assert made.local.size(file.name) == file.size
    made.segment.verify()


def test_rows_keep_their_ids_vectors_and_columns(made: Made) -> None:
    segment = made.reopened()
    ids = segment.ids().to_numpy()
    assert sorted(ids.tolist()) == list(range(3000))
    rows = np.array([0, 2999, 17, 17], np.int64)
    assert segment.vectors(rows).tobytes() == made.vectors[ids[rows]].tobytes()
    assert segment.ids(rows).to_pylist() == ids[rows].tolist()
    found = segment.columns([1, 2, 7], rows)
    assert found[1].to_pylist() == (ids[rows] * 2).tolist()
    assert found[2].to_pylist() == [f"text {n}" for n in ids[rows]]
    assert 7 not in found
    assert ids[segment.lookup(pa.array([5, 2998]))].tolist() == [5, 2998]
    assert segment.lookup(pa.array([3000])).tolist() == [-1]


def test_the_filter_table_has_the_present_names_of_all_usable_columns(made: Made) -> None:
    renamed = msgspec.structs.replace(
        made.schema,
        columns=(Column(id=1, name="place", type="int64"), COLUMNS[1], Column(id=5, name="late", type="string")),
    )
    table = made.segment.filter_table(renamed)
    assert table.column_names == ["id", "place", "late"]
    assert table.column("place").to_pylist() == [2 * i for i in table.column("id").to_pylist()]
    assert table.column("late").null_count == 3000


def test_rows_are_in_the_order_of_their_lists(made: Made) -> None:
    numbers, codes = made.segment.coded() or (np.zeros(0), np.zeros(0))
    assert len(numbers) == len(codes) == 3000
    assert (np.diff(numbers) >= 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sketch", [False, True])
def test_search_finds_a_row_by_its_own_vector(tmp_path: Path, metric: Metric, sketch: bool) -> None:
    vectors = clustered(3000, 16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = make_hot(tmp_path, vectors, metric, sketch=sketch)
    found = made.search(made.vectors[:50])
    ids = made.segment.ids().to_numpy()
    assert ids[found.rows[:, 0]].tolist() == list(range(50))
    assert (np.diff(found.distances, axis=1) >= 0).all()
    if metric != "ip":
        assert abs(found.distances[:, 0]).max() < 1e-6


def test_exact_search_is_exact_whatever_indexes_there_are(made: Made) -> None:
    queries = gaussian(5, 16, seed=8)
    vectors = made.segment.vectors(np.arange(3000))
    for k in (1, 10, 3000, 5000):
        found = made.search(queries, k, request=SearchRequest(exact=True))
        distances, rows = nearest("cosine", queries, vectors, k)
        assert found.rows.tolist() == rows.tolist()
        assert found.distances.tobytes() == distances.tobytes()


def test_distances_are_those_of_the_full_vectors_except_without_rerank(made: Made) -> None:
    queries = made.vectors[:5]
    rough = made.search(queries, request=SearchRequest(rerank=0))
    exact = made.search(queries, request=SearchRequest(exact=True))
    default = made.search(queries)
    assert np.isin(default.distances, exact.distances).mean() > 0.9
    assert not np.isin(rough.distances, exact.distances).any()
    assert np.allclose(rough.distances[:, 0], 0, atol=0.1)
    assert (np.diff(rough.distances, axis=1) >= 0).all()


@pytest.mark.parametrize("share", [0.0007, 0.01, 0.3, 0.95])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_there_are_always_k_rows_if_k_are_live(made: Made, share: float, k: int) -> None:
    live = np.random.default_rng(3).random(3000) < share
    queries = gaussian(6, 16, seed=4)
    for request in (
        SearchRequest(),
        SearchRequest(filtered=True),
        SearchRequest(nprobe=1, filtered=True),
        SearchRequest(exact=True),
        SearchRequest(rerank=0),
    ):
        found = made.search(queries, k, live, request)
        assert found.rows.shape == (6, min(k, int(live.sum())))
        assert live[found.rows].all()
        for line in found.rows:
            assert len(set(line.tolist())) == len(line)


def test_nothing_live_and_no_queries_give_empty_answers(made: Made) -> None:
    assert made.search(gaussian(3, 16), 10, np.zeros(3000, np.bool_)).rows.shape == (3, 0)
    assert made.search(gaussian(0, 16), 10).rows.shape == (0, 10)


def test_the_tally_says_what_was_done(made: Made) -> None:
    tally = SearchTally()
    made.segment.search(made.vectors[:2], 10, None, SearchRequest(nprobe=20), tally)
    made.segment.search(made.vectors[:2], 10, None, SearchRequest(exact=True), tally)
    assert "sketch, nprobe=20" in tally.strategies[0]
    assert "exact over 3000 rows, asked for" in tally.strategies[1]
    assert tally.rows_scanned > 2 * 3000
    assert tally.gets == 0


@pytest.mark.parametrize(
    ("vectors", "metric"),
    [
        (gaussian(10_000, 100), "cosine"),
        (gaussian(10_000, 100), "l2"),
        (clustered(10_000, 100), "l2"),
        (lognormal_norms(10_000, 100), "l2"),
        (lognormal_norms(10_000, 100), "ip"),
        (duplicates(20, 500, 100), "cosine"),
        (duplicates(20, 500, 100), "l2"),
        (gaussian(250, 4096), "l2"),
        (gaussian(60_000, 2), "cosine"),
        (gaussian(60_000, 2), "l2"),
    ],
)
def test_defaults_reach_the_recall_on_data_that_nobody_tuned_for(
    tmp_path: Path, vectors: Vectors, metric: Metric
) -> None:
    made = make_hot(tmp_path, vectors, metric)
    noise = np.random.default_rng(5).standard_normal((40, vectors.shape[1])).astype(np.float32)
    queries = vectors[:: len(vectors) // 40][:40] + noise * np.float32(0.05)
    assert recall(made.segment, made.search(queries), queries) >= 0.96


def test_filters_that_follow_position_are_answered_as_well_as_random_ones(tmp_path: Path) -> None:
    made = make_hot(tmp_path, clustered(20_000, 64), "cosine")
    vectors = made.segment.vectors(np.arange(20_000))
    queries = made.vectors[:30]
    rng = np.random.default_rng(1)
    for share in (0.001, 0.01, 0.1, 0.5):
        near = vectors @ made.vectors[500]
        for live in (
            rng.random(20_000) < share,
            near >= np.quantile(near, 1 - share),
            np.arange(20_000) < share * 20_000,
        ):
            found = made.search(queries, 10, live, SearchRequest(filtered=True))
            assert found.rows.shape == (30, min(10, int(live.sum())))
            assert recall(made.segment, found, queries, live) >= 0.95


def test_writing_the_same_rows_again_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = with_columns(tmp_path / "a"), with_columns(tmp_path / "b")
    assert one.entry == other.entry


def test_columns_that_came_later_are_absent(tmp_path: Path) -> None:
    made = with_columns(tmp_path)
    assert made.segment.columns([9]) == {}


@pytest.mark.parametrize("role", ["vectors", "ids", "columns", "sketch"])
def test_a_flipped_byte_is_found_and_names_the_file(tmp_path: Path, role: str) -> None:
    made = with_columns(tmp_path, rows=2000)
    name = made.entry.files[role].name
    data = bytearray(made.local.read(name))
    data[len(data) // 3] ^= 4
    made.local.write_atomic(name, bytes(data))
    segment = made.reopened()
    with pytest.raises(CorruptionError, match=role):
        segment.verify()
    if role in {"vectors", "sketch"}:
        with pytest.raises(CorruptionError, match=role):
            segment.search(made.vectors[:300], 10, None, SearchRequest(nprobe=99, rerank=500), SearchTally())


def test_files_of_another_segment_are_refused(tmp_path: Path) -> None:
    made, other = with_columns(tmp_path / "a"), with_columns(tmp_path / "b", rows=2000)
    mixed = {**made.entry.files, "vectors": other.entry.files["vectors"]}
    made.local.write_atomic(made.entry.files["vectors"].name, other.local.read(other.entry.files["vectors"].name))
    segment = open_segment(
        made.local, msgspec.structs.replace(made.entry, files=mixed), schema_for(16), made.codebook, None
    )
    with pytest.raises(CorruptionError, match="vectors"):
        segment.vectors(np.array([0]))
    no_sketch = msgspec.structs.replace(made.entry, files={**made.entry.files, "sketch": other.entry.files["sketch"]})
    made.local.write_atomic(made.entry.files["sketch"].name, other.local.read(other.entry.files["sketch"].name))
    segment = open_segment(made.local, no_sketch, schema_for(16), made.codebook, None)
    with pytest.raises(CorruptionError, match="does not belong"):
        segment.search(made.vectors[:1], 10, None, SearchRequest(), SearchTally())
