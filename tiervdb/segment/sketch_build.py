"""Builds sketches: rows are put in the order of their lists, coded, measured. And chooses codebooks by measurement."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from tiervdb.clock import Clock
from tiervdb.segment.calibration import SketchCalibration
from tiervdb.segment.codebook import Codebook, Codec
from tiervdb.segment.measure import FetchVectors, calibrate, chunks, reachable
from tiervdb.segment.measure_filtered import calibrate_filtered
from tiervdb.segment.sketch import Coder, Codes, ListNumbers, Lists, sample_rows, train
from tiervdb.segment.sketch_file import Offsets, SketchData, SketchHeader
from tiervdb.types import Metric, Rows, Vectors

PQ_LEAST_DIMS = 16  # below, the few bits of PQ cannot tell rows of a list apart (dim 2: recall 0.5)
PQ_MOST_DIMS = 1024  # from here on training PQ takes longer than it saves (41 s at dim 4,096)
_TRIAL_ROWS = 10_000
_TRIAL_RERANK = 60  # candidates; more would hide that the codes tell little
_SHORT = 0.98


class VectorRows(Protocol):
    """What building a sketch needs of its rows."""

    @property
    def rows(self) -> int: ...
    def vectors(self, rows: Rows) -> Vectors: ...


@runtime_checkable
class CodedRows(Protocol):
    """Rows that may be coded already."""

    def coded(self, codebook: str) -> tuple[ListNumbers, Codes] | None:
        """List and code of every row under a codebook, if all have one."""
        ...


def build(codebook: Codebook, source: VectorRows, clock: Clock) -> tuple[Rows, SketchData]:
    """The order that sorts the rows by list (new row -> row of ``source``), and the sketch of the rows so ordered."""
    order, offsets, codes = coded(codebook, source)
    return order, measured(codebook, offsets, codes, lambda rows: source.vectors(order[rows]), clock)


def measured(codebook: Codebook, offsets: Offsets, codes: Codes, fetch: FetchVectors, clock: Clock) -> SketchData:
    """The sketch of coded rows. ``fetch``: their full vectors, which are read a few times from beginning to end."""
    return _data(codebook, offsets, codes, _calibrate(Lists(codebook, codes, offsets), fetch, clock))


def coded(codebook: Codebook, source: VectorRows) -> tuple[Rows, Offsets, Codes]:
    """The order by list, and offsets and codes of the rows so ordered. Reads no vector that is coded already."""
    lists, codes = _code_all(Coder(codebook), source)
    order = np.argsort(lists, kind="stable").astype(np.int64)
    offsets = np.zeros(codebook.nlist + 1, np.int64)
    np.cumsum(np.bincount(lists, minlength=codebook.nlist), out=offsets[1:])
    return order, offsets, codes[order]


def _calibrate(lists: Lists, fetch: FetchVectors, clock: Clock) -> SketchCalibration:
    measured = calibrate(lists, fetch, clock)
    return msgspec.structs.replace(measured, filtered=tuple(calibrate_filtered(lists, fetch)))


def _data(codebook: Codebook, offsets: Offsets, codes: Codes, calibration: SketchCalibration) -> SketchData:
    header = SketchHeader(
        codebook=codebook.id,
        codec=codebook.codec,
        dim=codebook.dim,
        rows=len(codes),
        nlist=codebook.nlist,
        code_size=codes.shape[1],
        calibration=calibration,
    )
    return SketchData(header, offsets, codes)


def _code_all(coder: Coder, source: VectorRows) -> tuple[ListNumbers, Codes]:
    if isinstance(source, CodedRows):
        known = source.coded(coder.codebook.id)
        if known is not None:
            return known
    lists = np.empty(source.rows, np.int64)
    codes = np.empty((source.rows, coder.code_size), np.uint8)
    for part in chunks(source.rows, coder.codebook.dim):
        lists[part[0] : part[-1] + 1], codes[part[0] : part[-1] + 1] = coder.encode(source.vectors(part))
    return lists, codes


def train_codebook(codebook_id: str, collection: int, metric: Metric, source: VectorRows, clock: Clock) -> Codebook:
    """Trains on a sample of the rows, with the codec that the data needs. ``clock`` times nothing but measurements.

    PQ is several times faster to scan; where it falls short of the target recall on a trial and RaBitQ is better,
    RaBitQ is taken. So it is for inner products, whose queries may be unlike the rows that a trial asks with.
    """
    dim = source.vectors(np.zeros(1, np.int64)).shape[1]
    sample = source.vectors(sample_rows(source.rows, dim))

    def trained(codec: Codec) -> Codebook:
        return train(codebook_id, collection, metric, codec, sample, source.rows)

    if metric == "ip" or not PQ_LEAST_DIMS <= dim < PQ_MOST_DIMS:
        return trained("rabitq4")
    quick = trained("pq4fs")
    reached = _trial(quick, sample, clock)
    if reached >= _SHORT:
        return quick
    thorough = trained("rabitq4")
    return thorough if _trial(thorough, sample, clock) > reached else quick


def _trial(codebook: Codebook, sample: Vectors, clock: Clock) -> float:
    """The recall of a sketch of some of the sample when all lists are scanned."""
    rows = _Trial(sample[:: max(1, len(sample) // _TRIAL_ROWS)])
    order, offsets, codes = coded(codebook, rows)
    return reachable(Lists(codebook, codes, offsets), lambda some: rows.vectors(order[some]), _TRIAL_RERANK, clock)


class _Trial:
    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self.rows = len(vectors)

    def vectors(self, rows: Rows) -> Vectors:
        return self._vectors[rows]
