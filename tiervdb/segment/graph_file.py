"""What stands beside a graph: its size, its calibration, and which row each of its numbers is.

hnswlib's own file has no room for it. See docs/formats/hot_segment.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import damaged, seal, unseal
from tiervdb.segment.calibration import GraphCalibration
from tiervdb.types import Rows

GRAPH_VERSION = 1
_MAGIC = b"TVGRF\0"


@dataclass(frozen=True)
class GraphFile:
    """``size``: vectors in the graph, rows that are gone included. ``labels``: the row of each of the graph's numbers,
    -1 for those that are gone; None: number n is row n."""

    size: int
    labels: Rows | None
    calibration: GraphCalibration

    @property
    def gone(self) -> int:
        return 0 if self.labels is None else int((self.labels < 0).sum())


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    mapped: bool
    calibration: GraphCalibration


def encode(file: GraphFile) -> Iterator[bytes]:
    """The data of a ``graphrows`` file."""
    header = msgspec.msgpack.encode(_Header(file.size, file.labels is not None, file.calibration))
    labels = b"" if file.labels is None else file.labels.astype("<i8").tobytes()
    yield seal(_MAGIC, GRAPH_VERSION, b"".join((len(header).to_bytes(4, "little"), header, labels)))


def open_graph_file(reader: BlockReader, rows: int) -> GraphFile:
    """Reads a ``graphrows`` file of a segment with so many rows. Raises CorruptionError naming it."""
    payload = unseal(reader.view(0, reader.length), _MAGIC, GRAPH_VERSION, reader.name)
    end = 4 + int.from_bytes(payload[:4], "little")
    try:
        header = msgspec.msgpack.decode(payload[4:end], type=_Header)
    except msgspec.MsgspecError as error:
        raise damaged(reader.name, f"its header does not decode ({error})") from error
    if len(payload) != end + (8 * header.size if header.mapped else 0):
        raise damaged(reader.name, f"its labels do not fit a graph of {header.size} vectors")
    labels = np.frombuffer(payload[end:], "<i8").astype(np.int64) if header.mapped else None
    if labels is None:
        fits = header.size == rows
    else:
        held = np.sort(labels[labels >= 0])
        fits = len(held) == rows and bool((held == np.arange(rows)).all())
    if not fits:
        raise damaged(reader.name, f"the graph's rows are not the segment's {rows}")
    return GraphFile(header.size, labels, header.calibration)
