"""Golden sketches: written once by ``python -m tests.segment.golden_sketches``, compared forever."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.segment.vector_data import CODEBOOK_ID, clustered
from tiervdb.clock import ManualClock
from tiervdb.format.block_file import BlockWriter
from tiervdb.segment import codebook as codebooks
from tiervdb.segment import graph_file, sketch_file
from tiervdb.segment.calibration import GraphCalibration, GraphRung
from tiervdb.segment.codebook import Codec
from tiervdb.segment.graph_file import GraphFile
from tiervdb.segment.sketch import train
from tiervdb.segment.sketch_build import build
from tiervdb.types import Vectors

FOLDER = Path(__file__).parent / "golden"
CODECS: tuple[Codec, ...] = ("pq4fs", "rabitq4")
ROWS, DIM = 300, 17


class GoldenRows:
    """The vectors that golden sketches are of: small whole numbers, so any machine makes the same."""

    rows = ROWS

    def vectors(self, rows: np.ndarray) -> Vectors:
        return np.round(clustered(ROWS, DIM, clusters=12) * 4)[rows]


def block_file(parts: list[bytes | memoryview]) -> bytes:
    out = bytearray()
    writer = BlockWriter(out.extend)
    for part in parts:
        writer.write(part)
    writer.finish()
    return bytes(out)


def golden_graph() -> GraphFile:
    labels = np.array([2, -1, 0, 1], np.int64)
    return GraphFile(4, labels, GraphCalibration(9, (GraphRung(16, 0.5, 1.5), GraphRung(32, 1.0, 2.25))))


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    source = GoldenRows()
    for codec in CODECS:
        book = train(CODEBOOK_ID, 7, "l2", codec, source.vectors(np.arange(ROWS)), ROWS)
        order, data = build(book, source, ManualClock())
        (FOLDER / f"{codec}_v1.codebook").write_bytes(codebooks.encode(book))
        parts = list(sketch_file.encode(data))
        (FOLDER / f"{codec}_v1.sketch").write_bytes(block_file(parts))
        (FOLDER / f"{codec}_v1.order").write_bytes(order.astype("<i8").tobytes())
    (FOLDER / "graph_v1.graphrows").write_bytes(block_file(list(graph_file.encode(golden_graph()))))


if __name__ == "__main__":
    write()
