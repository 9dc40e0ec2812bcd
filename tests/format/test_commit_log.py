from __future__ import annotations

import pytest

from tests.format.damage import assert_notices
from tests.format.values import SALT, WORDS, an_id, commits, every_operation
from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format import commit_log
from tiervdb.format.commit_log import LoggedOperation
from tiervdb.format.envelope import seal
from tiervdb.format.wal_body import CommitBody
from tiervdb.format.wal_record import CollectionCounts, RecordHeader, encode_payloads


def test_logs_read_back_and_every_damage_is_noticed() -> None:
    data = commit_log.encode(an_id(2), 0, commits())
    expected = commit_log.CommitLog(timeline=an_id(2), shard=0, commits=tuple(commits()))
    assert_notices(data, lambda form: commit_log.decode(form, "the file"), lambda log: log == expected)


def test_an_empty_log_reads_back() -> None:
    assert commit_log.decode(commit_log.encode(an_id(2), 0, []), "the file").commits == ()


def test_a_gap_is_damage() -> None:
    with pytest.raises(CorruptionError, match="not consecutive"):
        commit_log.decode(commit_log.encode(an_id(2), 0, commits()[::-1]), "the file")


def test_a_timeline_is_an_id() -> None:
    with pytest.raises(CorruptionError, match="not an id"):
        commit_log.decode(commit_log.encode("x", 0, commits()), "the file")


def test_a_summary_names_collections_as_they_were() -> None:
    body = CommitBody(
        ops=encode_payloads(every_operation(), {1: WORDS}).ops, counts=(CollectionCounts(1, 2, 1, 1),), note="n"
    )
    header = RecordHeader(0, 1, 0, 0, 7, 70, bytes(16), 6, SALT, 0)
    logged = commit_log.summarize(header, body, {1: "words"})
    assert (logged.seq, logged.time_us, logged.note, logged.counts) == (7, 70, "n", body.counts)
    assert logged.operations == (
        LoggedOperation("upsert", 1, "words"),
        LoggedOperation("create collection", 2, "numbers"),
        LoggedOperation("update", 2, "numbers"),
        LoggedOperation("delete", 1, "words"),
        LoggedOperation("delete", 2, "numbers"),
        LoggedOperation("add column", 1, "words"),
        LoggedOperation("drop column", 1, "words"),
        LoggedOperation("create snapshot", None, None),
        LoggedOperation("drop snapshot", None, None),
        LoggedOperation("drop collection", 2, "numbers"),
    )


def test_a_newer_log_is_told_from_a_damaged_one() -> None:
    newer = seal(b"TVCLOG", 2, b"as only a later version understands it")
    with pytest.raises(NewerFormatError, match="the file: it has format version 2"):
        commit_log.decode(newer, "the file")
    with pytest.raises(CorruptionError, match="checksum"):
        commit_log.decode(newer[:-1] + b"!", "the file")
