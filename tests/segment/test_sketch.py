from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from tests.segment.vector_data import CODEBOOK_ID, METRICS, clustered, gaussian, lognormal_norms
from tiervdb.segment.codebook import Codebook, Codec
from tiervdb.segment.distance import nearest
from tiervdb.segment.sketch import Coder, Lists, code_size, empty_index, faiss, pack_mask, prepared, train
from tiervdb.types import Metric, Rows, Vectors

CODECS: tuple[Codec, ...] = ("pq4fs", "rabitq4")


def built(metric: Metric, codec: Codec, vectors: Vectors) -> tuple[Codebook, Lists, Vectors]:
    book = train(CODEBOOK_ID, 1, metric, codec, vectors, len(vectors))
    numbers, codes = Coder(book).encode(vectors)
    order = np.argsort(numbers, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=book.nlist))]).astype(np.int64)
    return book, Lists(book, codes[order], offsets), vectors[order]


def scan_all(lists: Lists, metric: Metric, queries: Vectors, count: int) -> Rows:
    ready = prepared(metric, queries)
    probed, coarse = lists.probes(ready, len(lists.sizes))
    return lists.scan(ready, probed, coarse, count)[0]


def share_found(rows: Rows, truth: Rows) -> float:
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(rows, truth, strict=True)]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dim", [16, 33])
def test_scanning_all_lists_finds_the_nearest(metric: Metric, codec: Codec, dim: int) -> None:
    _, lists, vectors = built(metric, codec, clustered(3000, dim))
    queries = vectors[::100] + gaussian(30, dim, seed=9) * np.float32(0.1)
    truth = nearest(metric, queries, vectors, 10)[1]
    assert share_found(scan_all(lists, metric, queries, 60), truth) > 0.95


@pytest.mark.parametrize("metric", METRICS)
def test_rabitq_holds_where_norms_spread(metric: Metric) -> None:
    _, lists, vectors = built(metric, "rabitq4", lognormal_norms(3000, 32))
    truth = nearest(metric, vectors[:30], vectors, 10)[1]
    assert share_found(scan_all(lists, metric, vectors[:30], 60), truth) > 0.97


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", CODECS)
def test_one_query_and_a_batch_find_the_same(metric: Metric, codec: Codec) -> None:
    _, lists, vectors = built(metric, codec, clustered(2000, 16))
    ready = prepared(metric, vectors[:20])
    probed, coarse = lists.probes(ready, 12)
    rows, near = lists.scan(ready, probed, coarse, 15, threads=2)
    for at in range(20):
        one = lists.scan(ready[at : at + 1], *lists.probes(ready[at : at + 1], 12), 15)
        assert sorted(one[0][0].tolist()) == sorted(rows[at].tolist()) or np.allclose(
            np.sort(one[1][0]), np.sort(near[at]), rtol=0.02, atol=0.02
        )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", CODECS)
def test_only_live_rows_are_found_and_all_of_them_where_they_are_few(metric: Metric, codec: Codec) -> None:
    _, lists, vectors = built(metric, codec, clustered(2000, 16))
    live = np.zeros(2000, np.bool_)
    live[[3, 77, 1500, 1501, 1999]] = True
    ready = prepared(metric, vectors[:4])
    usable = lists.matches(live) > 0
    assert lists.matches(live).sum() == 5
    probed, coarse = lists.probes(ready, int(usable.sum()), usable)
    assert usable[probed].all()
    rows = lists.scan(ready, probed, coarse, 20, pack_mask(live))[0]
    for line in rows:
        assert sorted(line[line >= 0].tolist()) == [3, 77, 1500, 1501, 1999]


def test_ranks_are_the_order_of_probing() -> None:
    for metric in METRICS:
        _, lists, vectors = built(metric, "pq4fs", clustered(1000, 16))
        ready = prepared(metric, vectors[:5])
        ranks = lists.ranks(ready)
        probed, _ = lists.probes(ready, 7)
        for at in range(5):
            assert sorted(ranks[at][probed[at]].tolist()) == list(range(7))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dim", [2, 3, 16, 101])
def test_codes_have_the_size_that_is_announced(codec: Codec, dim: int) -> None:
    vectors = gaussian(200, dim)
    coder = Coder(train(CODEBOOK_ID, 1, "l2", codec, vectors, 200))
    numbers, codes = coder.encode(vectors)
    assert codes.shape == (200, code_size(codec, dim)) == (200, coder.code_size)
    assert numbers.min() >= 0
    assert numbers.max() < coder.codebook.nlist


def test_neighbouring_lists_have_near_centroids() -> None:
    book = train(CODEBOOK_ID, 1, "l2", "rabitq4", clustered(4000, 8), 4000)
    steps = np.linalg.norm(np.diff(book.centroids, axis=0), axis=1)
    mixed = book.centroids[np.random.default_rng(0).permutation(book.nlist)]
    assert steps.mean() < 0.7 * np.linalg.norm(np.diff(mixed, axis=0), axis=1).mean()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codec", CODECS)
def test_equal_vectors_and_tiny_samples_are_fine(metric: Metric, codec: Codec) -> None:
    for vectors in (np.ones((300, 16), np.float32), gaussian(1, 16), gaussian(3, 16)):
        _, lists, sorted_vectors = built(metric, codec, vectors)
        rows = scan_all(lists, metric, sorted_vectors[:1], 5)[0]
        found = rows[rows >= 0]  # FastScan may leave the farthest out: a search then looks at them exactly
        assert len(set(found.tolist())) == len(found) <= len(vectors)
        assert (found < len(vectors)).all()


def test_threads_share_lists() -> None:
    _, lists, vectors = built("cosine", "pq4fs", clustered(3000, 16))
    ready = prepared("cosine", vectors[:50])
    live = np.random.default_rng(0).random(3000) < 0.5
    bits = pack_mask(live)
    expected = [lists.scan(ready[a : a + 1], *lists.probes(ready[a : a + 1], 9 + a % 3), 10)[0] for a in range(50)]
    wrong: list[int] = []

    def work() -> None:
        for at in range(50):
            probed, coarse = lists.probes(ready[at : at + 1], 9 + at % 3)
            lists.scan(ready[at : at + 1], probed, coarse, 10, bits)
            if lists.scan(ready[at : at + 1], probed, coarse, 10)[0].tolist() != expected[at].tolist():
                wrong.append(at)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("dim", [16, 33])
@pytest.mark.parametrize("shuffled", [False, True])
def test_codes_are_those_of_faiss(dim: int, shuffled: bool) -> None:
    """Codebooks of earlier versions have their levels in any order."""
    vectors = np.concatenate([clustered(5_000, dim), np.zeros((3, dim), np.float32)])
    trained = train(CODEBOOK_ID, 1, "l2", "pq4fs", vectors, len(vectors))
    assert (np.diff(trained.tables, axis=1) >= 0).all()
    if shuffled:
        trained = replace(trained, tables=np.random.default_rng(1).permuted(trained.tables, axis=1))
    lists, codes = Coder(trained).encode(vectors)
    theirs = np.empty_like(codes)
    pointer = faiss.swig_ptr
    empty_index(trained).encode_vectors(len(vectors), pointer(vectors), pointer(lists), pointer(theirs), False)
    assert (codes != theirs).mean() < 1e-4, "but for values in the middle between two levels"
