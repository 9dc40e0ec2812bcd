"""Several cold segments searched together: waves, what is kept, what is damaged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from tests.segment.vector_data import METRICS, clustered, make_codebook, schema_for, source_of
from tiervdb.clock import ManualClock
from tiervdb.errors import CorruptionError
from tiervdb.format.manifest_entries import FileRef
from tiervdb.segment import cold_search
from tiervdb.segment.cold_local import write_cold
from tiervdb.segment.cold_means import ColdMeans, cold_means
from tiervdb.segment.distance import nearest
from tiervdb.segment.request import SearchRequest, SearchTally
from tiervdb.segment.segment import Segment, open_segment
from tiervdb.storage.cache import CachedStore, RangeCache
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.os_dir import OsDir
from tiervdb.types import Column, Mask, Metric, Vectors

DIM = 24
TEXT = Column(id=1, name="text", type="string", stored=True)


class Bucket:
    """A few cold segments under one codebook. ``fresh()`` is what a process sees that has just opened them."""

    def __init__(self, folder: Path, sizes: tuple[int, ...], metric: Metric = "cosine", copies: bool = False) -> None:
        self.vectors = clustered(sum(sizes), DIM)
        self.local = OsDir(folder / "local", sync=False)
        self.objects = OsDir(folder / "bucket", sync=False)
        self.store = CountingStore(DirectoryStore(self.objects))
        self.schema = schema_for(DIM, metric, (TEXT,))
        self.codebook = make_codebook(self.schema, source_of(self.vectors))
        self.entries = []
        first = 0
        for number, rows in enumerate(sizes):
            self._add(f"{number:032x}", first, rows, copies)
            first += rows

    def _add(self, segment_id: str, first: int, rows: int, copies: bool) -> None:
        text = {1: pa.array([f"text {n}" for n in range(first, first + rows)])}
        source = source_of(self.vectors[first : first + rows], text, first_id=first)
        written = write_cold(
            self.local, segment_id, self.schema, source, shard=0, codebook=self.codebook, low_seq=1, high_seq=1,
            clock=ManualClock(),
        )  # fmt: skip
        with written:
            objects = {}
            for file in written.files:
                objects[file.role] = FileRef(name=f"o/{segment_id}.{file.role}", size=file.size, sha256=file.sha256)
                self.store.put_file(objects[file.role].name, file.path)
            if copies:
                written.sketch.staged.commit()
        self.entries.append(msgspec.structs.replace(written.entry, objects=objects))

    def fresh(self, means: ColdMeans | None = None) -> list[Segment]:
        means = means or self.means()
        return [open_segment(self.local, e, self.schema, self.codebook, means) for e in self.entries]

    def means(self, cache: bool = True, **budgets: int) -> ColdMeans:
        cached = CachedStore(self.store, RangeCache(self.local)) if cache else self.store
        return cold_means(self.local, cached, **budgets)

    def ids(self, segments: list[Segment], places: np.ndarray, rows: np.ndarray) -> np.ndarray:
        every = [segment.ids().to_numpy() for segment in segments]
        return np.array([[every[p][r] for p, r in zip(*line, strict=True)] for line in zip(places, rows, strict=True)])


def ask(
    segments: list[Segment],
    queries: Vectors,
    k: int = 10,
    masks: list[Mask | None] | None = None,
    request: SearchRequest | None = None,
    columns: tuple[Column, ...] = (),
) -> tuple[np.ndarray, np.ndarray, np.ndarray, SearchTally]:
    tally = SearchTally()
    found = cold_search.search(
        segments, masks or [None] * len(segments), queries, k, request or SearchRequest(), tally, columns
    )
    assert found is not None
    return *found, tally


@pytest.mark.parametrize("metric", METRICS)
def test_the_answer_is_that_of_all_rows(tmp_path: Path, metric: Metric) -> None:
    bucket = Bucket(tmp_path, (3000, 1500, 7), metric, copies=True)
    queries = bucket.vectors[::150] + np.float32(0.05)
    segments = bucket.fresh()
    places, rows, distances, _ = ask(segments, queries)
    truth, expected = nearest(metric, queries, bucket.vectors, 10)
    found = bucket.ids(segments, places, rows)
    assert np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, expected, strict=True)]) >= 0.95
    assert (np.diff(distances, axis=1) >= 0).all()
    assert distances[:, 0] == pytest.approx(truth[:, 0], rel=1e-5, abs=1e-6)


def test_one_wave_when_the_sketches_are_local(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000, 2000), copies=True)
    *_, tally = ask(bucket.fresh(), bucket.vectors[:1])
    assert tally.waves == 1
    assert 0 < tally.gets <= 40


def test_three_waves_when_nothing_is_local_then_one_then_none(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000, 2000))
    segments = bucket.fresh()
    *first, tally = ask(segments, bucket.vectors[:1])
    assert tally.waves == 3  # heads, lists, vectors
    assert sum(int(s.lists().there.sum()) for s in segments) < sum(len(s.lists().sizes) for s in segments)
    *again, tally = ask(segments, bucket.vectors[:1])
    assert tally.waves == 0
    assert tally.cache_hits > 0
    assert [a.tolist() for a in again] == [a.tolist() for a in first]
    *_, tally = ask(bucket.fresh(), bucket.vectors[:1])
    assert tally.waves == 0, "another process finds all of it in the cache"


def test_the_codes_of_lists_that_are_not_probed_are_not_read(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (6000,))
    segments = bucket.fresh()
    ask(segments, bucket.vectors[:1], request=SearchRequest(nprobe=2))
    lists = segments[0].lists()
    assert int((lists.there & lists.filled).sum()) == 2


def test_queries_share_reads(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (3000, 3000), copies=True)
    alone = sum(ask(bucket.fresh(bucket.means(cache=False)), bucket.vectors[n : n + 1])[3].gets for n in range(20))
    *_, together = ask(bucket.fresh(bucket.means(cache=False)), bucket.vectors[:20])
    assert together.waves == 1
    assert together.gets < alone / 2


def test_a_filter_reads_no_list_without_a_match(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (6000,))
    segments = bucket.fresh()
    live = np.zeros(6000, np.bool_)
    live[2000:2600] = True  # rows are sorted by list: these lie in a few
    _, rows, _, _ = ask(segments, bucket.vectors[:1], masks=[live], request=SearchRequest(filtered=True))
    assert live[rows].all()
    assert rows.shape == (1, 10)
    lists = segments[0].lists()
    loaded = np.flatnonzero(lists.there & lists.filled)
    assert (lists.matches(live)[loaded] > 0).all()


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("positional", [False, True])
def test_filters_keep_recall_and_always_give_k_rows(tmp_path: Path, share: float, positional: bool) -> None:
    bucket = Bucket(tmp_path, (9000, 3000), copies=True)
    segments = bucket.fresh()
    rng = np.random.default_rng(7)
    masks: list[Mask | None] = []
    for segment in segments:
        rows = segment.rows
        chosen = np.arange(rows) < max(6, int(rows * share)) if positional else rng.random(rows) < share
        masks.append(chosen)
    queries = bucket.vectors[::400]
    k = min(10, sum(int(m.sum()) for m in masks if m is not None))
    places, rows, _, _ = ask(segments, queries, k, masks, SearchRequest(filtered=True))
    alive = np.concatenate([s.ids().to_numpy()[m] for s, m in zip(segments, masks, strict=True)])
    expected = alive[nearest("cosine", queries, bucket.vectors[alive], k)[1]]
    found = bucket.ids(segments, places, rows)
    assert np.isin(found, alive).all()
    assert np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(found, expected, strict=True)]) >= 0.95


def test_few_matches_are_fetched_and_nothing_else(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (4000, 4000))
    bare = bucket.fresh()
    ask(bare, bucket.vectors[:1])  # the heads are known from here on
    masks: list[Mask | None] = [np.zeros(4000, np.bool_), np.zeros(4000, np.bool_)]
    for mask, row in zip(masks, (17, 3999), strict=True):
        assert mask is not None
        mask[row] = True
    places, rows, _, tally = ask(bare, bucket.vectors[:1], 5, masks, SearchRequest(filtered=True))
    assert sorted(zip(places[0], rows[0], strict=True)) == [(0, 17), (1, 3999)]
    assert tally.waves <= 1


def test_stored_columns_come_in_one_wave_more_at_most(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000), copies=True)
    segments = bucket.fresh()
    places, rows, _, tally = ask(segments, bucket.vectors[:1], columns=(TEXT,))
    assert tally.waves <= 2
    before = bucket.store.snapshot()
    for place, row in zip(places[0], rows[0], strict=True):
        [text] = segments[place].columns([1], np.array([row]))[1].to_pylist()
        assert text == f"text {segments[place].ids()[row]}"
    assert (bucket.store.snapshot() - before).gets == 0


def test_nothing_is_read_for_approximate_answers_from_local_sketches(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (3000,), copies=True)
    *_, distances, tally = ask(bucket.fresh(), bucket.vectors[:3], request=SearchRequest(rerank=0))
    assert tally.gets == 0
    assert distances.shape == (3, 10)


def test_a_damaged_copy_is_dropped_and_the_store_asked(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (3000,), copies=True)
    expected = ask(bucket.fresh(), bucket.vectors[:5])[1]
    name = bucket.local.list("sketches")[0]
    data = bytearray(bucket.local.read(name))
    data[len(data) // 2] ^= 1
    bucket.local.write_atomic(name, bytes(data))
    segments = bucket.fresh()
    every = ask(segments, bucket.vectors[:5], request=SearchRequest(nprobe=10**6, rerank=40))[1]
    assert every.shape == expected.shape
    assert bucket.local.list("sketches") == []
    assert ask(bucket.fresh(), bucket.vectors[:5])[1].tolist() == expected.tolist()


@pytest.mark.parametrize("at", [10, -2000])
def test_a_damaged_sketch_object_is_named(tmp_path: Path, at: int) -> None:
    bucket = Bucket(tmp_path, (3000,))
    key = bucket.entries[0].objects["sketch"].name
    data = bytearray(bucket.objects.read(key))
    data[at] ^= 1
    bucket.objects.write_atomic(key, bytes(data))
    with pytest.raises(CorruptionError, match=key):
        ask(bucket.fresh(), bucket.vectors[:1], request=SearchRequest(nprobe=10**6))


def test_damage_that_only_the_cache_has_heals(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (3000,))
    expected = ask(bucket.fresh(), bucket.vectors[:1])[1]
    keys = [reference.name for reference in bucket.entries[0].objects.values()]
    kept = {key: bucket.objects.read(key) for key in keys}
    for name in bucket.local.list("cache"):
        bucket.local.delete(name)
    segments = bucket.fresh()
    for key in keys:
        bucket.objects.write_atomic(key, bytes(len(kept[key])))
    with pytest.raises(CorruptionError):
        ask(segments, bucket.vectors[:1])
    for key, data in kept.items():
        bucket.objects.write_atomic(key, data)
    assert ask(segments, bucket.vectors[:1])[1].tolist() == expected.tolist()


def test_warm_brings_everything_but_vectors(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000))
    segments = bucket.fresh()
    cold_search.warm(segments)
    assert len(bucket.local.list("sketches")) == 2
    assert all(segment.lists().there.all() for segment in segments)
    *_, tally = ask(segments, bucket.vectors[:1])
    assert tally.waves == 1


def test_warm_brings_copies_back_that_were_deleted_meanwhile(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000), copies=True)
    segments = bucket.fresh()
    cold_search.warm(segments)
    for name in bucket.local.list("sketches"):
        bucket.local.delete(name)
    cold_search.warm(segments)
    assert len(bucket.local.list("sketches")) == 2


def test_without_room_for_copies_warm_loads_into_memory(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000))
    segments = bucket.fresh(bucket.means(sketch_bytes=1000))
    cold_search.warm(segments)
    assert bucket.local.list("sketches") == []
    assert all(segment.lists().there.all() for segment in segments)


def test_memory_is_bounded_and_answers_stay(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (2000, 2000, 2000), copies=True)
    expected = ask(bucket.fresh(), bucket.vectors[:3])[1]
    means = bucket.means(resident_bytes=30_000)
    segments = bucket.fresh(means)
    for _ in range(3):
        assert ask(segments, bucket.vectors[:3])[1].tolist() == expected.tolist()
    assert means.residents.bytes <= max(s.lists().bytes for s in segments) + 30_000


def test_no_queries_and_no_live_rows(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path, (300,), copies=True)
    segments = bucket.fresh()
    assert ask(segments, np.empty((0, DIM), np.float32))[0].shape == (0, 10)
    assert ask(segments, bucket.vectors[:2], masks=[np.zeros(300, np.bool_)])[0].shape == (2, 0)
