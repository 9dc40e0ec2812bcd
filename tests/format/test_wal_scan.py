from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.format.damage import assert_notices, damaged_forms
from tests.format.values import SALT, an_id, record, wal_file
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import wal_header
from tiervdb.format.wal_record import (
    CHAIN_START,
    FILE_HEADER_LENGTH,
    WalFileHeader,
    WalScan,
    decode_body,
    scan,
)

RECORDS = [record(seq) for seq in (5, 6, 7, 8)]
WHOLE = wal_file(RECORDS)
ENDS = [FILE_HEADER_LENGTH + sum(map(len, RECORDS[:n])) for n in range(5)]


def read(data: bytes, *, last_file: bool = True, published_seq: int = 0, next_seq: int = 5) -> WalScan:
    return scan(memoryview(data), "the file", last_file=last_file, published_seq=published_seq, next_seq=next_seq)


def seqs(found: WalScan) -> list[int]:
    return [span.header.seq for span in found.records]


def is_whole(found: WalScan) -> bool:
    return seqs(found) == [5, 6, 7, 8] and found.torn == 0


def test_a_file_reads_back() -> None:
    found = read(WHOLE, published_seq=8)
    assert found.header == WalFileHeader(0, an_id(1), an_id(2), 5, SALT, CHAIN_START)
    assert (found.end, found.torn) == (len(WHOLE), 0)
    buffer = memoryview(WHOLE)
    assert [bytes(span.record(buffer)) for span in found.records] == RECORDS
    assert [decode_body(s.body(buffer), s.header).note for s in found.records] == [f"commit {s}" for s in (5, 6, 7, 8)]


@pytest.mark.parametrize("name", ["published", "sealed"])
def test_every_damage_to_what_is_durable_is_noticed(name: str) -> None:
    """In the last file up to the published seq, and in earlier files anywhere (but for records cut off whole)."""
    small = wal_file([record(6), record(7, ops=[]), record(8)], 6)

    def found(data: bytes) -> list[bytes]:
        how = {"last_file": True, "published_seq": 8} if name == "published" else {"last_file": False}
        result = read(data, next_seq=6, **how)
        return [bytes(span.record(memoryview(data))) for span in result.records]

    expected = found(small)
    cuts = [expected[:n] for n in range(4)] if name == "sealed" else [expected]
    assert_notices(small, found, lambda records: records in cuts)


def test_damage_is_never_different_data() -> None:
    """Nothing published: a damaged last file yields the beginning of what was written, and no gap is dropped."""
    small = wal_file([record(6), record(7, ops=[]), record(8)], 6)
    whole = [bytes(s.record(memoryview(small))) for s in read(small, next_seq=6).records]
    for what, form in damaged_forms(small):
        try:
            result = read(form, next_seq=6)
        except (CorruptionError, NewerFormatError):
            continue
        records = [bytes(span.record(memoryview(form))) for span in result.records]
        assert records == whole[: len(records)], what
        assert result.end + result.torn == len(form)
        # Record 8 says that 7 was durable: only its own damage, or a cut, may be taken for a torn tail.
        assert len(records) >= 2 or len(form) < len(small), what


@settings(deadline=None)
@given(st.integers(0, len(WHOLE)), st.binary(max_size=40))
def test_a_torn_tail_is_dropped(cut: int, garbage: bytes) -> None:
    data = WHOLE[:cut] + garbage
    if data.startswith(WHOLE) or WHOLE.startswith(data):
        data = WHOLE[:cut]
    found = read(data)
    complete = sum(end <= cut for end in ENDS[1:])
    assert seqs(found) == [5, 6, 7, 8][:complete]
    assert (found.header is None) == (cut < FILE_HEADER_LENGTH)
    assert found.end == (0 if found.header is None else ENDS[complete])
    assert found.torn == len(data) - found.end


@pytest.mark.parametrize("kept", range(4))
def test_a_cut_before_the_published_seq_is_damage(kept: int) -> None:
    for cut in (ENDS[kept], ENDS[kept] + 3, ENDS[kept + 1] - 1):
        with pytest.raises(CorruptionError, match="the file"):
            read(WHOLE[:cut], published_seq=5 + kept)
        assert len(read(WHOLE[:cut], published_seq=4 + kept).records) == kept


def test_a_later_record_shows_what_was_durable() -> None:
    lazy = wal_file([record(5, 4), record(6, 4), record(7, 4)])
    middle = FILE_HEADER_LENGTH + len(record(5, 4)) + 100
    hurt = lazy[:middle] + b"\0" * 8 + lazy[middle + 8 :]
    assert seqs(read(hurt)) == [5]  # nobody was told that 6 is durable, so 7 goes with it
    for aware in (wal_file([record(5, 4), record(6, 4), record(7, 6)]), WHOLE):
        with pytest.raises(CorruptionError, match="record 6"):
            read(aware[:middle] + b"\0" * 8 + aware[middle + 8 :])


def test_a_record_of_another_file_is_no_evidence() -> None:
    header = wal_header.read_record_header(memoryview(record(6)), 0)
    assert header is not None
    foreign = msgspec.structs.replace(header, salt=SALT + 1).encode() + record(6)[wal_header.RECORD_HEADER_LENGTH :]
    found = read(wal_file([record(5), foreign]))
    assert (seqs(found), found.torn) == ([5], len(foreign))


def test_a_damaged_file_header_with_durable_records_is_damage() -> None:
    hurt = b"\0" * FILE_HEADER_LENGTH + WHOLE[FILE_HEADER_LENGTH:]
    with pytest.raises(CorruptionError, match="the file"):
        read(hurt)
    only = b"\0" * FILE_HEADER_LENGTH + record(5)
    assert read(only) == WalScan(None, [], 0, len(only))
    with pytest.raises(CorruptionError, match="the file"):
        read(only, published_seq=5)
    with pytest.raises(CorruptionError, match="the file"):
        read(b"", last_file=False)


@pytest.mark.parametrize("seq", [4, 6])
def test_a_gap_before_the_file_is_damage(seq: int) -> None:
    with pytest.raises(CorruptionError, match=f"starts with seq 5 instead of {seq}"):
        read(WHOLE, next_seq=seq)


@pytest.mark.parametrize(
    "records", [[record(5), record(7)], [record(5), record(5)], [record(6)], [record(8), record(5)]]
)
def test_records_out_of_order_are_damage(records: list[bytes]) -> None:
    with pytest.raises(CorruptionError, match="stands where"):
        read(wal_file(records))


def test_an_unknown_kind_is_newer_even_at_the_tail() -> None:
    header = wal_header.read_record_header(memoryview(record(6)), 0)
    assert header is not None
    prepare = msgspec.structs.replace(header, kind=2).encode() + record(6)[wal_header.RECORD_HEADER_LENGTH :]
    with pytest.raises(NewerFormatError, match="record 6 of the file"):
        read(wal_file([record(5), prepare]))


def test_a_newer_file_says_so() -> None:
    head = bytearray(WHOLE[: FILE_HEADER_LENGTH - 4])
    head[6] = 2
    newer = bytes(head) + wal_header.crc32c.crc32c(bytes(head)).to_bytes(4, "little")
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        read(newer)


@pytest.mark.parametrize("changes", [{"chain": b""}, {"database_id": "x"}, {"timeline": "A" * 32}])
def test_file_headers_that_make_no_sense_are_not_written(changes: dict[str, object]) -> None:
    good = vars(WalFileHeader(0, an_id(1), an_id(2), 5, SALT, CHAIN_START))
    with pytest.raises(ValueError, match="malformed"):
        WalFileHeader(**{**good, **changes}).encode()
