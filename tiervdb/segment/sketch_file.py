"""The sketch container: calibration, list offsets, a checksum a list, then all codes. See docs/formats/sketch.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import crc32c
import msgspec
import numpy as np
import numpy.typing as npt

from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import damaged, seal, unseal
from tiervdb.segment.calibration import SketchCalibration
from tiervdb.segment.codebook import Codec

SKETCH_VERSION = 1
_MAGIC = b"TVSKT\0"
_LENGTH = 8

Codes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


class SketchHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sketch says of itself. ``codebook``: the id of the one that its codes belong to."""

    codebook: str
    codec: Codec
    dim: int
    rows: int
    nlist: int
    code_size: int
    calibration: SketchCalibration


@dataclass(frozen=True)
class SketchData:
    """A sketch as values. ``codes``: uint8 ``(rows, code_size)``; ``offsets``: int64 ``(nlist + 1,)``, from 0 up."""

    header: SketchHeader
    offsets: Offsets
    codes: Codes


def encode(data: SketchData) -> Iterator[bytes | memoryview]:
    """The bytes of the container, in parts."""
    header = msgspec.msgpack.encode(data.header)
    bounds = data.offsets.tolist()
    sums = [crc32c.crc32c(data.codes[a:b].data) for a, b in pairwise(bounds)]
    head = seal(
        _MAGIC,
        SKETCH_VERSION,
        b"".join(
            (
                len(header).to_bytes(4, "little"),
                header,
                data.offsets.astype("<i8").tobytes(),
                np.array(sums, "<u4").tobytes(),
            )
        ),
    )
    yield len(head).to_bytes(_LENGTH, "little")
    yield head
    yield data.codes.reshape(-1).data


@dataclass(frozen=True)
class SketchFile:
    """An open container: the head is read and checked, the codes are not yet."""

    header: SketchHeader
    offsets: Offsets
    sums: npt.NDArray[np.uint32]
    start: int  # of the codes
    reader: BlockReader

    def codes(self) -> Codes:
        """All codes, checked, without a copy."""
        size = self.header.rows * self.header.code_size
        codes = np.frombuffer(self.reader.view(self.start, size), np.uint8)
        return codes.reshape(self.header.rows, self.header.code_size)

    def pieces(self, numbers: npt.NDArray[np.int64]) -> list[Codes]:
        """The codes of some lists, fetched together where they are elsewhere."""
        head = SketchHead(self.header, self.offsets, self.sums, self.start)
        places = [head.place(number) for number in numbers.tolist()]
        self.reader.bring(places)
        size = self.header.code_size
        return [np.frombuffer(self.reader.view(*place), np.uint8).reshape(-1, size) for place in places]

    def data(self) -> SketchData:
        return SketchData(self.header, self.offsets, self.codes())


@dataclass(frozen=True)
class SketchHead:
    """What stands before the codes. ``start``: where they begin in the data."""

    header: SketchHeader
    offsets: Offsets
    sums: npt.NDArray[np.uint32]
    start: int

    def place(self, number: int) -> tuple[int, int]:
        """Offset and length of the codes of a list."""
        first, end = int(self.offsets[number]), int(self.offsets[number + 1])
        return self.start + first * self.header.code_size, (end - first) * self.header.code_size


def head_bytes(data: bytes | memoryview, name: str) -> int:
    """How many bytes the head takes, its length included, from the first bytes of a container."""
    if len(data) < _LENGTH:
        raise damaged(name, f"it has {len(data)} bytes of data, fewer than a sketch's header")
    return _LENGTH + int.from_bytes(data[:_LENGTH], "little")


def open_head(data: bytes | memoryview, name: str) -> SketchHead:
    """The head out of the first bytes of a container, at least ``head_bytes``. Raises CorruptionError."""
    end = head_bytes(data, name)
    if end > len(data):
        raise damaged(name, f"its head is said to have {end} bytes, more than the {len(data)} that are there")
    payload = unseal(data[_LENGTH:end], _MAGIC, SKETCH_VERSION, name)
    split = 4 + int.from_bytes(payload[:4], "little")
    try:
        header = msgspec.msgpack.decode(payload[4:split], type=SketchHeader)
    except msgspec.MsgspecError as error:
        raise damaged(name, f"its header does not decode ({error})") from error
    tables = payload[split:]
    if header.nlist < 1 or header.rows < 0 or len(tables) != 12 * header.nlist + 8:
        raise damaged(name, f"its tables do not fit {header.nlist} lists")
    offsets = np.frombuffer(tables[: 8 * header.nlist + 8], "<i8").astype(np.int64)
    sums = np.frombuffer(tables[8 * header.nlist + 8 :], "<u4").astype(np.uint32)
    if offsets[0] != 0 or offsets[-1] != header.rows or (np.diff(offsets) < 0).any():
        raise damaged(name, "its list offsets do not rise from 0 to the number of rows")
    return SketchHead(header, offsets, sums, end)


def open_sketch(reader: BlockReader) -> SketchFile:
    """Opens a container. Raises CorruptionError or NewerFormatError naming the file."""
    length = head_bytes(reader.view(0, min(reader.length, _LENGTH)), reader.name)
    if length > reader.length:
        raise damaged(reader.name, f"its head is said to have {length} bytes, more than the file")
    head = open_head(reader.view(0, length), reader.name)
    if reader.length != length + head.header.rows * head.header.code_size:
        raise damaged(reader.name, f"its codes do not fit {head.header.rows} rows of {head.header.code_size} bytes")
    return SketchFile(head.header, head.offsets, head.sums, head.start, reader)
