"""Everything done with faiss: training codebooks, coding vectors, and scanning the lists of a sketch.

A sketch is an IVF index: rows in lists by their nearest centroid, each row's residual in about half a byte (PQ) or
0.7 bytes (RaBitQ) a dimension. PQ with one 4-bit level per dimension is scanned by FastScan (Andre et al., "Cache
locality is not enough", VLDB 2015); RaBitQ is Gao and Long, SIGMOD 2024. Shared faiss objects are never changed after
they are built, so searches need no lock. They release the GIL.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from tiervdb.segment.codebook import PQ_LEVELS, Codebook, Codec, nlist_for
from tiervdb.segment.distance import normalised
from tiervdb.types import Distances, Mask, Metric, Rows, Vectors

faiss: Any = _faiss  # its Python side takes arguments that its types do not know

Codes = npt.NDArray[np.uint8]
ListNumbers = npt.NDArray[np.int64]

TRAIN_ROWS_PER_LIST = 64
TRAIN_FLOATS = 40_000_000  # at most, beyond 16 rows a list
_ENCODED_FLOATS = 100_000  # at once: they stay in the processor's cache
_BLOCK = 32  # rows that FastScan scans at once
_RABITQ_BITS = 4
_QUERY_BITS = 8  # of the query in a RaBitQ scan; 0 would be exact and ten times slower
_STRETCH = 4.0  # times the longest centroid
_SEED = 20250
_INTERLEAVED = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])  # AVX2 shuffles put rows in this order
_LEAST_LENGTH = 1e-12  # of vectors whose squares are surely within float32
_PTR = faiss.swig_ptr


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """OpenMP threads of the faiss calls of this thread: the setting is one of each calling thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def prepared(metric: Metric, vectors: Vectors) -> Vectors:
    """The vectors as the sketch sees them: at length 1 for cosine."""
    return normalised(vectors) if metric == "cosine" else np.ascontiguousarray(vectors)


def sample_rows(rows: int, dim: int) -> Rows:
    """The rows to train on, rising: always the same for the same numbers."""
    nlist = nlist_for(rows)
    wanted = min(rows, TRAIN_ROWS_PER_LIST * nlist, max(16 * nlist, TRAIN_FLOATS // dim))
    chosen = np.random.default_rng(_SEED).choice(rows, wanted, replace=False)
    return np.sort(chosen).astype(np.int64)


def train(codebook_id: str, collection: int, metric: Metric, codec: Codec, sample: Vectors, rows: int) -> Codebook:
    """Trains a codebook on a sample of ``rows`` rows. Deterministic: the same sample gives the same bytes."""
    vectors = prepared(metric, sample)
    nlist = min(nlist_for(rows), len(vectors))
    with _threads(1):
        centroids = _tour(_cluster(vectors, nlist, spherical=metric == "cosine"))
        lists = _nearest_lists(metric, centroids, vectors)
        residuals = vectors - centroids[lists]
        tables = _train_levels(residuals) if codec == "pq4fs" else np.zeros((0, PQ_LEVELS), np.float32)
    squares = np.bincount(lists, np.einsum("ij,ij->i", residuals, residuals), minlength=nlist)
    counts = np.bincount(lists, minlength=nlist)
    mean = squares.sum() / len(vectors)  # stands in for lists without a row
    spread = np.sqrt(np.where(counts > 0, squares / np.maximum(counts, 1), mean) / vectors.shape[1])
    return Codebook(codebook_id, collection, metric, codec, rows, centroids, tables, spread.astype(np.float32))


def _cluster(vectors: Vectors, nlist: int, *, spherical: bool) -> Vectors:
    dim = vectors.shape[1]
    clustering = faiss.Clustering(dim, nlist)
    clustering.niter = 10
    clustering.seed = _SEED
    clustering.spherical = spherical
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = 1 << 20
    clustering.train(vectors, faiss.IndexFlatIP(dim) if spherical else faiss.IndexFlatL2(dim))
    centroids: Vectors = faiss.vector_to_array(clustering.centroids).reshape(nlist, dim)
    return centroids


def _tour(centroids: Vectors) -> Vectors:
    """Reorders centroids so that each is followed by its nearest of those left: lists probed together lie together."""
    left = np.ones(len(centroids), np.bool_)
    norms = np.einsum("ij,ij->i", centroids, centroids)
    at = int(norms.argmax())
    order = [at]
    left[at] = False
    for _ in range(len(centroids) - 1):
        gaps = norms - 2.0 * np.einsum("ij,j->i", centroids, centroids[at])
        gaps[~left] = np.inf
        at = int(gaps.argmin())
        order.append(at)
        left[at] = False
    return np.ascontiguousarray(centroids[order])


def _train_levels(residuals: Vectors) -> Vectors:
    """16 levels for each dimension: product quantization with one dimension a part."""
    dim = residuals.shape[1]
    quantizer = faiss.ProductQuantizer(dim, dim, 4)
    quantizer.cp.niter = 10
    quantizer.cp.seed = _SEED
    quantizer.cp.min_points_per_centroid = 1
    some = np.random.default_rng(_SEED).permutation(len(residuals))[: 256 * PQ_LEVELS]
    rows = residuals[some] if len(some) >= PQ_LEVELS else np.resize(residuals, (PQ_LEVELS, dim))
    quantizer.train(np.ascontiguousarray(rows))
    levels: Vectors = faiss.vector_to_array(quantizer.centroids).reshape(dim, PQ_LEVELS)
    return np.sort(levels, axis=1)


def _nearest_lists(metric: Metric, centroids: Vectors, vectors: Vectors) -> ListNumbers:
    flat = faiss.IndexFlatIP(centroids.shape[1]) if metric == "cosine" else faiss.IndexFlatL2(centroids.shape[1])
    flat.add(centroids)
    numbers: ListNumbers = flat.search(vectors, 1)[1][:, 0]
    return np.maximum(numbers, 0)  # faiss answers -1 where a distance overflows


class Coder:
    """Codes vectors under a codebook."""

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook
        self._index = empty_index(codebook)
        self.code_size = int(self._index.code_size)

    def encode(self, vectors: Vectors, threads: int = 1) -> tuple[ListNumbers, Codes]:
        """The list of each vector and its code, uint8 ``(rows, code_size)``."""
        ready = prepared(self.codebook.metric, vectors)
        with _threads(threads):
            lists = _nearest_lists(self.codebook.metric, self.codebook.centroids, ready)
            if self.codebook.codec == "pq4fs":
                return lists, level_codes(self.codebook.tables, ready, self.codebook.centroids, lists)
            codes = np.empty((len(ready), self.code_size), np.uint8)
            self._index.encode_vectors(len(ready), _PTR(ready), _PTR(lists), _PTR(codes), False)
        return lists, codes


def level_codes(tables: Vectors, vectors: Vectors, centroids: Vectors, lists: ListNumbers) -> Codes:
    """The nearest level of each residual, dimension by dimension, two to a byte, uint8 ``(rows, (dim + 1) // 2)``.

    What faiss's encode_vectors does, five times faster: a level's number is how many boundaries lie below the value.
    """
    order = np.argsort(tables, axis=1, kind="stable")
    levels = np.take_along_axis(tables, order, axis=1)
    boundaries = np.ascontiguousarray(((levels[:, 1:].astype(np.float64) + levels[:, :-1]) / 2).T.astype(np.float32))
    is_sorted = bool((order == np.arange(PQ_LEVELS)).all())
    rows, dim = vectors.shape
    codes = np.zeros((rows, (dim + 1) // 2 * 2), np.uint8)
    step = max(1, _ENCODED_FLOATS // dim)
    for start in range(0, rows, step):
        residuals = vectors[start : start + step] - centroids[lists[start : start + step]]
        numbers, above = np.zeros(residuals.shape, np.uint8), np.empty(residuals.shape, np.bool_)
        for boundary in boundaries:
            np.greater(residuals, boundary, out=above)
            np.add(numbers, above.view(np.uint8), out=numbers)
        codes[start : start + step, :dim] = numbers if is_sorted else order[np.arange(dim), numbers]
    packed: Codes = codes[:, ::2] | codes[:, 1::2] << 4
    return packed


def code_size(codec: Codec, dim: int) -> int:
    """Bytes of a row's code."""
    if codec == "pq4fs":
        return (dim + 1) // 2
    return int(faiss.RaBitQuantizer(dim, faiss.METRIC_L2, _RABITQ_BITS).code_size)


def empty_index(codebook: Codebook) -> Any:
    """A faiss index with the codebook's tables and no rows."""
    metric = faiss.METRIC_L2 if codebook.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    dim, nlist = codebook.dim, codebook.nlist
    flat = faiss.IndexFlat(dim, metric)
    flat.add(codebook.centroids)
    if codebook.codec == "rabitq4":
        index = faiss.IndexIVFRaBitQ(flat, dim, nlist, metric, True, _RABITQ_BITS)
        index.is_trained = True
        return index
    index = faiss.IndexIVFPQFastScan(flat, dim, nlist, dim, 4, metric, _BLOCK)
    index.by_residual = True
    faiss.copy_array_to_vector(np.ascontiguousarray(codebook.tables).ravel(), index.pq.centroids)
    index.is_trained = True
    if metric == faiss.METRIC_L2:
        index.precompute_table()
    return index


class Lists:
    """The lists of a sketch in memory, ready to scan. Immutable and safe for threads.

    ``codes``: uint8 ``(rows, code_size)``; None: each list is ``put`` later, before it is scanned. ``offsets``: int64
    ``(nlist + 1,)``: list n is the codes from ``offsets[n]`` to ``offsets[n + 1]``. ``rows``: the row of each code;
    None: their places.
    """

    def __init__(
        self, codebook: Codebook, codes: Codes | None, offsets: npt.NDArray[np.int64], rows: Rows | None = None
    ) -> None:
        self.codebook = codebook
        self.rows = int(offsets[-1])
        self.code_size = code_size(codebook.codec, codebook.dim)
        self.sizes = np.diff(offsets)
        self._starts = offsets[:-1]
        self._index = empty_index(codebook)
        self._offsets = offsets
        self._invlists = faiss.downcast_InvertedLists(self._index.invlists)
        self._lock = threading.Lock()
        self.there: Mask = self.sizes == 0  # the lists that can be scanned
        self.whole = bool(self.there.all())  # all can
        if codes is not None:
            self._fill(codes, offsets, np.arange(self.rows, dtype=np.int64) if rows is None else rows)
        self._index.ntotal = self.rows
        self._squares = np.einsum("ij,ij->i", codebook.centroids, codebook.centroids)
        self._all = np.arange(codebook.nlist, dtype=np.int64)
        self.filled: Mask = self.sizes > 0
        self._parameters: dict[int, Any] = {}

    def _fill(self, codes: Codes, offsets: npt.NDArray[np.int64], rows: Rows) -> None:
        blocks = self.codebook.codec == "pq4fs"
        for number in np.flatnonzero(self.sizes).tolist():
            start, end = int(offsets[number]), int(offsets[number + 1])
            part = _packed(codes[start:end]) if blocks else np.ascontiguousarray(codes[start:end])
            self._invlists.add_entries(number, end - start, _PTR(rows[start:end]), _PTR(part))
        self.there[:] = self.whole = True

    def put(self, number: int, codes: Codes) -> None:
        """Adds the codes of a list that is not there yet. Others may be scanned meanwhile."""
        with self._lock:
            if self.there[number]:
                return
            start = int(self._offsets[number])
            rows = np.arange(start, start + len(codes), dtype=np.int64)
            part = _packed(codes) if self.codebook.codec == "pq4fs" else np.ascontiguousarray(codes)
            self._invlists.add_entries(number, len(codes), _PTR(rows), _PTR(part))
            self.there[number] = True
            self.whole = bool(self.there.all())

    @property
    def bytes(self) -> int:
        """Memory of the lists that are there."""
        return int(self.sizes[self.there].sum()) * (self.code_size + 8)

    def probes(self, queries: Vectors, nprobe: int, usable: Mask | None = None) -> tuple[ListNumbers, Distances]:
        """The most promising lists of each prepared query, in no certain order, and what faiss wants to know of them.

        Both are ``(queries, nprobe)``. ``usable``: the lists to choose from, at least ``nprobe``; None: all. Inner
        products are probed by the best that a list is likely to hold: <q,c> + 3 |q| s, s its spread.
        """
        priority, coarse = self._priorities(queries)
        if usable is not None:
            priority = np.where(usable, priority, np.float32(-np.inf))
        nlist = priority.shape[1]
        if len(queries) == 1:  # the plain form is the faster one
            lists = np.argpartition(priority[0], nlist - nprobe)[nlist - nprobe :] if nprobe < nlist else self._all
            return lists[None], coarse[0][lists][None]
        if nprobe < nlist:
            lists = np.ascontiguousarray(np.argpartition(priority, nlist - nprobe, axis=1)[:, nlist - nprobe :])
        else:
            lists = np.broadcast_to(self._all, priority.shape).copy()
        return lists, np.ascontiguousarray(np.take_along_axis(coarse, lists, 1))

    def ranks(self, queries: Vectors) -> npt.NDArray[np.int64]:
        """The place of each list in each prepared query's order of probing, ``(queries, nlist)``."""
        order = np.argsort(-self._priorities(queries)[0], axis=1, kind="stable")
        return np.argsort(order, axis=1)

    def _priorities(self, queries: Vectors) -> tuple[Distances, Distances]:
        centroids = self.codebook.centroids
        if len(queries) == 1:  # BLAS would start threads, and wait long for them on a busy machine
            products: Distances = np.empty((1, len(centroids)), np.float32)
            faiss.fvec_inner_products_ny(_PTR(products), _PTR(queries), _PTR(centroids), *centroids.shape[::-1])
        else:
            products = queries @ centroids.T
        if self.codebook.metric == "cosine":
            return products, products
        if self.codebook.metric == "ip":
            lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries))
            return products + np.float32(3.0) * lengths[:, None] * self.codebook.spread, products
        squares: Distances = self._squares - np.float32(2.0) * products
        return -squares, squares + np.einsum("ij,ij->i", queries, queries)[:, None]

    def scan(
        self,
        queries: Vectors,
        lists: ListNumbers,
        coarse: Distances,
        count: int,
        live: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> tuple[Rows, Distances]:
        """The nearest ``count`` rows by their codes, in the given lists of each prepared query.

        ``live``: bits of the rows that count (``pack_mask``). Rows int64 and approximate distances, smaller is nearer,
        ``(queries, count)``; places without a row hold -1.
        """
        found = np.empty((len(queries), count), np.float32)
        rows = np.empty((len(queries), count), np.int64)
        stretch = self._stretch(queries)
        if stretch is not None:
            queries, coarse = queries * stretch, coarse * stretch
        parameters = self._searching(lists.shape[1], live)
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(threads)
        try:
            self._index.search_preassigned_c(
                len(queries), _PTR(queries), count, _PTR(lists), _PTR(coarse), _PTR(found), _PTR(rows), False,
                parameters, None,
            )  # fmt: skip
        finally:
            faiss.omp_set_num_threads(before)
        if self.codebook.metric != "l2":
            np.negative(found, out=found)
        return rows, found if stretch is None else found / stretch

    def _stretch(self, queries: Vectors) -> Distances | None:
        """What each query is multiplied with before a scan by inner product, where length does not change the order.

        RaBitQ rounds the query's difference to a centroid; beside a long centroid, nothing would be left of a short
        query (recall 0.85 instead of 1.00 where norms spread).
        """
        if self.codebook.metric != "ip" or self.codebook.codec != "rabitq4":
            return None
        lengths = np.sqrt(np.vecdot(queries, queries))[:, None]
        wanted = np.float32(_STRETCH * max(float(self._squares.max()) ** 0.5, 1e-30))
        stretch: Distances = np.divide(wanted, lengths, out=np.ones_like(lengths), where=lengths > _LEAST_LENGTH)
        return stretch

    def _searching(self, nprobe: int, live: npt.NDArray[np.uint8] | None) -> Any:
        if live is None and (known := self._parameters.get(nprobe)) is not None:
            return known
        selector = None if live is None else faiss.IDSelectorBitmap(self.rows, _PTR(live))
        if self.codebook.codec == "rabitq4":
            made = faiss.IVFRaBitQSearchParameters(nprobe=nprobe, sel=selector, qb=_QUERY_BITS)
        else:
            made = faiss.IVFSearchParameters(nprobe=nprobe, sel=selector)
        if live is None:
            self._parameters[nprobe] = made
        return made

    def matches(self, live: Mask) -> npt.NDArray[np.int64]:
        """How many live rows each list holds, ``(nlist,)``."""
        counts = np.zeros(len(self.sizes), np.int64)
        counts[self.filled] = np.add.reduceat(live, self._starts[self.filled], dtype=np.int64)
        return counts


def falls_short(rows: Rows, k: int) -> bool:
    """Whether a scan found fewer than k rows for one of its queries: those that it found come first."""
    if len(rows) == 1:  # the plain form is the faster one
        return bool(rows[0, k - 1] < 0)
    return bool((rows[:, k - 1] < 0).any())


def pack_mask(mask: Mask) -> npt.NDArray[np.uint8]:
    """A mask as the bitmap that ``Lists.scan`` takes."""
    return np.packbits(mask, bitorder="little")


def _packed(codes: Codes) -> Codes:
    """4-bit codes in FastScan's layout: blocks of 32 rows; in a block, for each pair of dimensions, 16 bytes of the
    first and 16 of the second, each with row r in its low and row r + 16 in its high nibble, rows interleaved."""
    rows, pairs = codes.shape
    blocks = -(-rows // _BLOCK)
    padded = np.zeros((blocks * _BLOCK, pairs), np.uint8)
    padded[:rows] = codes
    columns = padded.reshape(blocks, 2, 16, pairs)[:, :, _INTERLEAVED].transpose(0, 3, 1, 2)  # block, pair, half, row
    packed = np.empty((blocks, pairs, 2, 16), np.uint8)
    packed[:, :, 0] = (columns[:, :, 0] & 15) | (columns[:, :, 1] << 4)
    packed[:, :, 1] = (columns[:, :, 0] >> 4) | (columns[:, :, 1] & 240)
    return packed
