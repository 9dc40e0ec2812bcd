from __future__ import annotations

from dataclasses import replace

import pytest

from tests.engine.values import an_id
from tests.format.values import SALT, record
from tests.support.crash_dir import CrashDir
from tiervdb.engine import wal
from tiervdb.engine.wal import FSYNCED, VISIBLE, Wal, WalFile, WalPosition
from tiervdb.errors import CorruptionError, ObjectExistsError, StorageError
from tiervdb.format import paths
from tiervdb.format.wal_record import CHAIN_START, FILE_HEADER_LENGTH, WalFileHeader, chain_next
from tiervdb.storage.local_dir import LocalDir
from tiervdb.storage.os_dir import OsDir

HEADER = WalFileHeader(0, an_id(1), an_id(2), first_seq=0, salt=SALT, chain=CHAIN_START)
START = WalPosition(0, 0, CHAIN_START)
SIZE = FILE_HEADER_LENGTH + len(record(1))


def opened(local: LocalDir, end: WalPosition = START, file_bytes: int = 10**9) -> Wal:
    return Wal(local, HEADER, end, file_bytes)


def add(log: Wal, *seqs: int, sync: bool = True) -> None:
    log.append([(seq, 1_700_000_000_000_000 + seq, record(seq)) for seq in seqs])
    if sync:
        log.sync()


def chain_of(*seqs: int) -> bytes:
    chain = CHAIN_START
    for seq in seqs:
        chain = chain_next(chain, record(seq))
    return chain


def notes(files: list[WalFile], after: int = 0, until: int = 99) -> list[str | None]:
    return [commit.note for file in files for commit in file.commits(after, until)]


def names(local: LocalDir) -> list[str]:
    return [name[-8:] for name in wal.file_names(local, 0)]


def test_what_was_appended_is_read_back(os_dir: OsDir) -> None:
    log = opened(os_dir)
    assert wal.file_names(os_dir, 0) == []  # an idle session leaves no file
    add(log, 1, 2)
    add(log, 3)
    files = wal.read_after(os_dir, 0, 0, 3)
    assert notes(files) == ["commit 1", "commit 2", "commit 3"]
    assert notes(files, 1, 2) == ["commit 2"]
    assert log.end == WalPosition(3, 1_700_000_000_000_003, chain_of(1, 2, 3))
    assert [files[0].chain_at(seq) for seq in range(4)] == [chain_of(*range(1, n + 1)) for n in range(4)]


def test_full_files_are_sealed_and_follow_each_other(os_dir: OsDir) -> None:
    log = opened(os_dir, file_bytes=SIZE + 1)
    for seq in range(1, 7):
        add(log, seq)
    assert names(os_dir) == ["0001.wal", "0003.wal", "0005.wal"]
    assert notes(wal.read_after(os_dir, 0, 0, 6)) == [f"commit {n}" for n in range(1, 7)]
    assert [f.first_seq for f in wal.read_after(os_dir, 0, 3, 6)] == [3, 5]
    assert [f.first_seq for f in wal.read_after(os_dir, 0, 4, 6)] == [5]
    assert [f.first_seq for f in wal.read_after(os_dir, 0, 6, 6)] == [5]


def test_a_session_goes_on_in_a_new_file(os_dir: OsDir) -> None:
    first = opened(os_dir)
    add(first, 1, 2)
    first.seal()
    second = opened(os_dir, first.end)
    add(second, 3)
    files = wal.read_after(os_dir, 0, 0, 3)
    assert names(os_dir) == ["0001.wal", "0003.wal"]
    assert files[1].scan.header == replace(HEADER, first_seq=3, chain=chain_of(1, 2))
    assert notes(files) == ["commit 1", "commit 2", "commit 3"]


def test_the_words_tell_what_is_synced_and_visible(os_dir: OsDir) -> None:
    log = opened(os_dir, replace(START, seq=7))
    words = os_dir.shared_words(paths.PublishedName(0).name, 2)
    assert (words[FSYNCED], words[VISIBLE]) == (7, 7)
    add(log, 8, sync=False)
    assert words[FSYNCED] == 7
    log.sync()
    log.publish(VISIBLE, 8)
    assert (words[FSYNCED], words[VISIBLE]) == (8, 8)


def test_the_running_hash_of_each_seq_is_known_until_forgotten(os_dir: OsDir) -> None:
    log = opened(os_dir)
    add(log, 1, 2, 3)
    assert [log.chain_at(seq) for seq in range(4)] == [chain_of(*range(1, n + 1)) for n in range(4)]
    log.forget_chains(2)
    log.forget_chains(1)
    add(log, 4)
    assert [log.chain_at(seq) for seq in (2, 3, 4)] == [chain_of(*range(1, n + 1)) for n in (2, 3, 4)]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_missing_file_is_noticed(os_dir: OsDir, lost: int) -> None:
    log = opened(os_dir, file_bytes=1)
    for seq in (1, 2, 3):
        add(log, seq)
    os_dir.delete(wal.file_names(os_dir, 0)[lost])
    with pytest.raises(CorruptionError, match="a log file is missing"):
        wal.read_after(os_dir, 0, 0, 3)


def test_a_missing_last_file_is_noticed_by_what_was_published(os_dir: OsDir) -> None:
    log = opened(os_dir, file_bytes=1)
    for seq in (1, 2):
        add(log, seq)
    os_dir.delete(wal.file_names(os_dir, 0)[-1])
    with pytest.raises(CorruptionError, match=r"0001\.wal"):
        wal.read_after(os_dir, 0, 0, 2)


def test_damage_in_a_sealed_file_is_damage_even_if_nothing_was_published(os_dir: OsDir) -> None:
    log = opened(os_dir, file_bytes=1)
    for seq in (1, 2):
        add(log, seq)
    name = wal.file_names(os_dir, 0)[0]
    data = bytearray(os_dir.read(name))
    data[-40] ^= 1
    os_dir.write_atomic(name, data)
    with pytest.raises(CorruptionError, match=r"0001\.wal"):
        wal.read_after(os_dir, 0, 0, 0)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_power_loss_takes_only_what_was_not_synced(crash_dir: CrashDir, seed: int | None) -> None:
    log = opened(crash_dir)
    add(log, 1, 2)
    add(log, 3, sync=False)
    crash_dir.drop_unsynced(seed)
    after = OsDir(crash_dir.root, sync=False)
    published = int(after.shared_words(paths.PublishedName(0).name, 2)[FSYNCED])
    assert notes(wal.read_after(after, 0, 0, published))[:2] == ["commit 1", "commit 2"]


def test_a_file_of_that_name_is_never_written_over(os_dir: OsDir) -> None:
    add(opened(os_dir), 1)
    with pytest.raises(ObjectExistsError):
        add(opened(os_dir), 1)
    assert notes(wal.read_after(os_dir, 0, 0, 1)) == ["commit 1"]


def test_an_empty_file_is_what_a_session_left_that_died(os_dir: OsDir) -> None:
    os_dir.append_file(paths.WalName(0, 1).name).close()
    (file,) = wal.read_after(os_dir, 0, 0, 0)
    assert (file.last_seq, notes([file])) == (0, [])


def test_after_a_failed_append_nothing_more_is_written(os_dir: OsDir) -> None:
    log = opened(os_dir)
    add(log, 1)
    log._file.close()
    with pytest.raises(StorageError):
        add(log, 2)
    assert log.end.seq == 1
    assert notes(wal.read_after(os_dir, 0, 0, 1)) == ["commit 1"]
