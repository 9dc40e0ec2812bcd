from __future__ import annotations

import numpy as np
import pytest

from tests.segment.vector_data import CODEBOOK_ID, gaussian
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format.envelope import seal
from tiervdb.segment.calibration import SketchCalibration, SketchRung
from tiervdb.segment.codebook import Codebook, Codec, decode, encode, needs_retrain, nlist_for
from tiervdb.segment.sketch import sample_rows, train


def trained(codec: Codec = "pq4fs", rows: int = 600) -> Codebook:
    return train(CODEBOOK_ID, 3, "cosine", codec, gaussian(rows, 12), rows)


@pytest.mark.parametrize("codec", ["pq4fs", "rabitq4"])
def test_a_codebook_comes_back_from_its_bytes(codec: Codec) -> None:
    book = trained(codec)
    back = decode(encode(book), "x.codebook")
    assert (back.id, back.collection, back.metric, back.codec) == (CODEBOOK_ID, 3, "cosine", codec)
    assert (back.trained_rows, back.dim, back.nlist) == (600, 12, nlist_for(600))
    for name in ("centroids", "tables", "spread"):
        assert getattr(back, name).tobytes() == getattr(book, name).tobytes()
    assert encode(back) == encode(book)


def test_damage_is_found_and_names_the_file() -> None:
    data = encode(trained())
    for at in (3, 40, 200, len(data) - 1):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(CorruptionError, match=r"x\.codebook"):
            decode(bytes(broken), "x.codebook")
    for size in (0, 10, len(data) - 1):
        with pytest.raises(CorruptionError, match=r"x\.codebook"):
            decode(data[:size], "x.codebook")


def test_an_intact_file_with_impossible_content_is_refused() -> None:
    good = encode(trained())
    payload = good[20:]
    with pytest.raises(CorruptionError, match="header"):
        decode(seal(b"TVCBK\0", 1, b"\x04\0\0\0junk"), "x.codebook")
    with pytest.raises(CorruptionError, match="centroids"):
        decode(seal(b"TVCBK\0", 1, payload[:-4]), "x.codebook")
    with pytest.raises(CorruptionError, match="not finite"):
        decode(seal(b"TVCBK\0", 1, payload[:-4] + np.array([np.nan], "<f4").tobytes()), "x.codebook")
    with pytest.raises(NewerFormatError, match="newer"):
        decode(seal(b"TVCBK\0", 2, payload), "x.codebook")


def test_training_is_deterministic() -> None:
    assert encode(trained()) == encode(trained())


def test_there_are_about_square_root_many_lists() -> None:
    assert [nlist_for(n) for n in (1, 5, 16, 244, 10_000, 341_479)] == [1, 5, 16, 16, 100, 584]
    assert nlist_for(10**9) == 4096


def test_a_sample_is_bounded_and_always_the_same() -> None:
    rows = sample_rows(341_479, 100)
    assert len(rows) == 64 * 584
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert rows.tobytes() == sample_rows(341_479, 100).tobytes()
    assert len(sample_rows(1_000_000, 4096)) == 16 * 1000
    assert sample_rows(5, 4096).tolist() == [0, 1, 2, 3, 4]


def test_a_codebook_is_retrained_when_rows_quadruple_or_calibration_falls() -> None:
    book = trained(rows=600)
    good = SketchCalibration(64, (SketchRung(4, 20, 0.97, 1.0),))
    bad = SketchCalibration(64, (SketchRung(4, 20, 0.9, 1.0),))
    assert needs_retrain(None, 10, None)
    assert not needs_retrain(book, 2399, None)
    assert needs_retrain(book, 2400, None)
    assert not needs_retrain(book, 600, good)
    assert needs_retrain(book, 600, bad)
