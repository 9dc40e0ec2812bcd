"""What a sketch or graph was measured to reach, and the choice of the cheapest parameters that reach a recall.

Every table is made with rows of the segment itself as queries. Nothing here touches an index.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt

from tiervdb.types import Distances

TARGET_RECALL = 0.98
CALIBRATED_K = 10  # recall@10 is what tables hold


class SketchRung(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Lists probed, candidates whose true distance is computed, the recall and the time of one query with these."""

    nprobe: int
    rerank: int
    recall: float
    microseconds: float


class FilteredRung(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How many of the lists that hold a match must be probed when a filter leaves ``share`` of the rows."""

    share: float
    nprobe: int


class SketchCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The measurements of one sketch. ``filtered`` is ordered by falling share. ``exact_microseconds``: the time of one
    query that compares all rows; 0: not measured."""

    queries: int
    rungs: tuple[SketchRung, ...]
    filtered: tuple[FilteredRung, ...] = ()
    exact_microseconds: float = 0.0

    @property
    def best_recall(self) -> float:
        return max((r.recall for r in self.rungs), default=0.0)

    def choose(self, recall: float = TARGET_RECALL) -> SketchRung | None:
        """The cheapest rung that reaches the recall, or None."""
        enough = [r for r in self.rungs if r.recall >= recall]
        return min(enough, key=lambda r: (r.microseconds, r.nprobe, r.rerank), default=None)

    def choose_remote(self, recall: float, fetch_microseconds: float) -> SketchRung | None:
        """As ``choose``, where each candidate that is compared must be fetched first."""
        enough = [r for r in self.rungs if r.recall >= recall]
        return min(enough, key=lambda r: (r.microseconds + r.rerank * fetch_microseconds, r.nprobe), default=None)

    def last(self) -> SketchRung:
        """The rung with the best recall, cheapest first."""
        return min(self.rungs, key=lambda r: (-r.recall, r.microseconds, r.nprobe, r.rerank))

    def filtered_nprobe(self, share: float) -> int | None:
        """Lists to probe among those with a match when ``share`` of the rows match; None: all of them."""
        return next((r.nprobe for r in self.filtered if r.share <= share), None)


class GraphRung(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The size of the candidate list, the recall and the time of one query with it."""

    ef: int
    recall: float
    microseconds: float


class GraphCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The measurements of one graph."""

    queries: int
    rungs: tuple[GraphRung, ...]

    def choose(self, recall: float = TARGET_RECALL) -> GraphRung | None:
        """The cheapest rung that reaches the recall, or None."""
        enough = [r for r in self.rungs if r.recall >= recall]
        return min(enough, key=lambda r: r.ef, default=None)

    def last(self) -> GraphRung:
        """The rung with the best recall."""
        return min(self.rungs, key=lambda r: (-r.recall, r.ef))


def scaled_for_k(rung: SketchRung, k: int, nlist: int) -> tuple[int, int]:
    """(nprobe, rerank) for k neighbours from a rung that was measured for 10."""
    if k <= CALIBRATED_K:
        return rung.nprobe, rung.rerank
    ratio = k / CALIBRATED_K
    return min(nlist, math.ceil(rung.nprobe * min(3.0, ratio**0.2))), math.ceil(rung.rerank * ratio)


def hits(found: Distances, truth: Distances) -> npt.NDArray[np.float64]:
    """Recall of each query. ``found``, ``truth``: true distances ``(queries, k)``; ties at the k-th distance count."""
    worst = truth.max(axis=1, keepdims=True).astype(np.float64)
    limit = worst + 1e-6 * np.abs(worst) + 1e-7
    shares: npt.NDArray[np.float64] = (found[:, : truth.shape[1]] <= limit).sum(axis=1) / truth.shape[1]
    return shares


def ladder(nlist: int) -> list[int]:
    """The numbers of lists that are tried, rising to all."""
    shares = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.4, 0.65, 1.0)
    return sorted({min(nlist, max(1, round(nlist * share))) for share in shares} | {min(nlist, 2), min(nlist, 4)})


def steps_between(below: int | None, above: int | None) -> list[int]:
    """A few numbers between two, evenly spaced by ratio."""
    if below is None or above is None or above <= below:
        return []
    steps = {round(below * (above / below) ** (part / 4)) for part in (1, 2, 3)}
    return sorted(steps - {below, above})


RERANKS = (10, 20, 30, 40, 60, 120, 250)
EFS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
