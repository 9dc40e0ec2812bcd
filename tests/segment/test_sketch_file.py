from __future__ import annotations

import numpy as np
import pytest

from tests.segment.golden_sketches import CODECS, FOLDER, ROWS, GoldenRows, block_file, golden_graph
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import seal
from tiervdb.segment import codebook as codebooks
from tiervdb.segment import graph_file, sketch_file
from tiervdb.segment.codebook import Codec
from tiervdb.segment.distance import nearest
from tiervdb.segment.sketch import Lists
from tiervdb.segment.sketch_file import SketchFile, open_sketch


def golden(codec: Codec) -> SketchFile:
    return open_sketch(BlockReader(memoryview((FOLDER / f"{codec}_v1.sketch").read_bytes()), "x.sketch"))


@pytest.mark.parametrize("codec", CODECS)
def test_golden_bytes_are_read_and_written_alike(codec: Codec) -> None:
    opened = golden(codec)
    assert block_file(list(sketch_file.encode(opened.data()))) == (FOLDER / f"{codec}_v1.sketch").read_bytes()
    data = (FOLDER / f"{codec}_v1.codebook").read_bytes()
    assert codebooks.encode(codebooks.decode(data, "x.codebook")) == data


@pytest.mark.parametrize("codec", CODECS)
def test_golden_codes_still_mean_the_same_to_faiss(codec: Codec) -> None:
    opened = golden(codec)
    book = codebooks.decode((FOLDER / f"{codec}_v1.codebook").read_bytes(), "x.codebook")
    order = np.frombuffer((FOLDER / f"{codec}_v1.order").read_bytes(), "<i8")
    vectors = GoldenRows().vectors(order)
    lists = Lists(book, opened.codes(), opened.offsets)
    queries = vectors[::10] + np.float32(0.25)
    probed, coarse = lists.probes(queries, book.nlist)
    rows, near = lists.scan(queries, probed, coarse, 30)
    truth = nearest("l2", queries, vectors, 10)
    found = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(rows, truth[1], strict=True)])
    assert found > 0.97
    assert np.median(near[:, 9]) == pytest.approx(np.median(truth[0][:, 9]), rel=0.3)


def test_golden_graph_rows_are_read_and_written_alike() -> None:
    data = (FOLDER / "graph_v1.graphrows").read_bytes()
    opened = graph_file.open_graph_file(BlockReader(memoryview(data), "x.graphrows"), 3)
    expected = golden_graph()
    assert opened.labels is not None
    assert expected.labels is not None
    assert opened.labels.tolist() == expected.labels.tolist()
    assert (opened.size, opened.gone, opened.calibration) == (4, 1, expected.calibration)
    assert block_file(list(graph_file.encode(opened))) == data


def reader(*parts: bytes) -> BlockReader:
    return BlockReader(memoryview(block_file(list(parts))), "x.sketch")


def test_what_cannot_be_right_is_refused_by_name() -> None:
    opened = golden("pq4fs")
    whole = bytes(opened.reader.view(0, opened.reader.length))
    head_length = int.from_bytes(whole[:8], "little")
    head, codes = whole[8 : 8 + head_length], whole[8 + head_length :]
    payload = head[20:]

    def refused(match: str, *parts: bytes) -> None:
        with pytest.raises(CorruptionError, match=match) as caught:
            open_sketch(reader(*parts))
        assert "x.sketch" in str(caught.value)

    def with_head(changed: bytes, version: int = 1) -> tuple[bytes, bytes, bytes]:
        sealed = seal(b"TVSKT\0", version, changed)
        return len(sealed).to_bytes(8, "little"), sealed, codes

    assert open_sketch(reader(*with_head(payload))).header == opened.header
    refused("fewer", b"short")
    refused("more than the file", (1 << 40).to_bytes(8, "little"), head)
    refused("header", *with_head(b"\x04\0\0\0junk"))
    refused("tables", *with_head(payload[:-4]))
    refused("codes", whole[:-1])
    broken = bytearray(payload)
    first = 4 + int.from_bytes(payload[:4], "little")
    broken[first + 8] = 255
    refused("do not rise", *with_head(bytes(broken)))
    with pytest.raises(NewerFormatError, match=r"x\.sketch"):
        open_sketch(reader(*with_head(payload, version=2)))


def test_each_list_has_its_checksum() -> None:
    import crc32c

    opened = golden("rabitq4")
    codes = opened.codes()
    assert len(codes) == ROWS
    for number, expected in enumerate(opened.sums.tolist()):
        part = codes[opened.offsets[number] : opened.offsets[number + 1]]
        assert crc32c.crc32c(np.ascontiguousarray(part).data) == expected


def test_graph_rows_that_cannot_be_right_are_refused() -> None:
    data = list(graph_file.encode(golden_graph()))
    for rows in (2, 4):
        with pytest.raises(CorruptionError, match="not the segment's"):
            graph_file.open_graph_file(reader(*data), rows)
    payload = data[0][20:]
    for changed in (payload[:-8], b"\x04\0\0\0junk"):
        with pytest.raises(CorruptionError, match=r"x\.sketch"):
            graph_file.open_graph_file(reader(seal(b"TVGRF\0", 1, changed)), 3)


def test_newer_graph_rows_are_told_from_damaged_ones() -> None:
    newer = seal(b"TVGRF\0", 2, b"as only a later version understands it")
    with pytest.raises(NewerFormatError, match=r"x\.sketch: it has format version 2"):
        graph_file.open_graph_file(reader(newer), 3)
    with pytest.raises(CorruptionError, match="checksum"):
        graph_file.open_graph_file(reader(newer[:-1] + b"!"), 3)
