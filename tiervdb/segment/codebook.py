"""Codebooks: what the sketches of a collection share. See docs/formats/codebook.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from tiervdb.format.envelope import damaged, seal, unseal
from tiervdb.segment.calibration import SketchCalibration
from tiervdb.types import Metric, Vectors

Codec = Literal["pq4fs", "rabitq4"]

CODEBOOK_VERSION = 1
_MAGIC = b"TVCBK\0"
_GROWTH = 4  # rows over trained rows from which lists are too long
_FALLEN = 0.95  # a sketch that cannot reach this says that the data has moved away from its codebook
PQ_LEVELS = 16  # 4 bits for each dimension


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centroids and quantizer tables, immutable.

    ``centroids``: float32 ``(nlist, dim)``, in an order in which neighbours follow each other; at length 1 for cosine.
    ``tables``: float32 ``(dim, 16)``, the levels of each dimension's residual, for pq4fs; empty for rabitq4.
    ``spread``: float32 ``(nlist,)``, the RMS residual of each list divided by sqrt(dim).
    """

    id: str
    collection: int
    metric: Metric
    codec: Codec
    trained_rows: int
    centroids: Vectors
    tables: Vectors
    spread: npt.NDArray[np.float32]

    @property
    def dim(self) -> int:
        return int(self.centroids.shape[1])

    @property
    def nlist(self) -> int:
        return len(self.centroids)


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    collection: int
    metric: Metric
    codec: Codec
    trained_rows: int
    dim: int
    nlist: int


def encode(codebook: Codebook) -> bytes:
    """The bytes of a codebook file."""
    header = msgspec.msgpack.encode(
        _Header(
            id=codebook.id,
            collection=codebook.collection,
            metric=codebook.metric,
            codec=codebook.codec,
            trained_rows=codebook.trained_rows,
            dim=codebook.dim,
            nlist=codebook.nlist,
        )
    )
    arrays = [a.astype("<f4").tobytes() for a in (codebook.centroids, codebook.spread, codebook.tables)]
    return seal(_MAGIC, CODEBOOK_VERSION, b"".join((len(header).to_bytes(4, "little"), header, *arrays)))


def decode(data: bytes | memoryview, name: str) -> Codebook:
    """A codebook from its file. Raises CorruptionError or NewerFormatError naming ``name``."""
    payload = unseal(data, _MAGIC, CODEBOOK_VERSION, name)
    end = 4 + int.from_bytes(payload[:4], "little")
    try:
        header = msgspec.msgpack.decode(payload[4:end], type=_Header)
    except msgspec.MsgspecError as error:
        raise damaged(name, f"its header does not decode ({error})") from error
    tables = header.dim * PQ_LEVELS if header.codec == "pq4fs" else 0
    sizes = (header.nlist * header.dim, header.nlist, tables)
    if header.nlist < 1 or header.dim < 1 or end + 4 * sum(sizes) != len(payload):
        raise damaged(name, f"{len(payload)} bytes do not hold {header.nlist} centroids of dim {header.dim}")
    arrays = np.frombuffer(payload[end:], "<f4").astype(np.float32)
    if not np.isfinite(arrays).all():
        raise damaged(name, "it holds numbers that are not finite")
    centroids, spread, levels = np.split(arrays, np.cumsum(sizes)[:2])
    return Codebook(
        id=header.id,
        collection=header.collection,
        metric=header.metric,
        codec=header.codec,
        trained_rows=header.trained_rows,
        centroids=centroids.reshape(header.nlist, header.dim),
        tables=levels.reshape(-1, PQ_LEVELS),
        spread=spread,
    )


def nlist_for(rows: int) -> int:
    """The number of lists for that many rows: their square root keeps coarse search and scan in balance."""
    return int(min(max(16, math.isqrt(rows)), 4096, max(1, rows)))


def needs_retrain(codebook: Codebook | None, rows: int, calibration: SketchCalibration | None) -> bool:
    """Whether a new codebook should be trained before ``rows`` rows are encoded.

    ``rows``: rows of the collection, or of the segment that is being written, whichever is more.
    ``calibration``: of the collection's newest sketch under this codebook, if there is one.
    """
    if codebook is None or rows >= _GROWTH * codebook.trained_rows:
        return True
    return calibration is not None and calibration.best_recall < _FALLEN
