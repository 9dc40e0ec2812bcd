"""Reading ahead: in order, within a bound, and with the failures of what was read."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.backup.conftest import World, put
from tests.backup.test_merging import grow
from tiervdb.backup import archive_reader, read_ahead
from tiervdb.backup.read_ahead import ReadAhead
from tiervdb.backup.vault import Vault
from tiervdb.database.database import Database
from tiervdb.errors import CorruptionError
from tiervdb.format.repository_documents import PartHeader


def reads(count: int, begun: list[int] | None = None) -> dict[str, Callable[[], bytes]]:
    def read(number: int) -> bytes:
        if begun is not None:
            begun.append(number)
        return bytes([number])

    return {str(number): (lambda number=number: read(number)) for number in range(count)}  # type: ignore[misc]


def test_each_comes_as_it_is() -> None:
    wanted = reads(100)
    with ReadAhead.of(wanted, dict.fromkeys(wanted, 1)) as ahead:
        assert [ahead.take(key) for key in wanted] == [bytes([number]) for number in range(100)]
        assert ahead.take("7") is None


def test_what_is_skipped_is_given_up() -> None:
    wanted = reads(100)
    with ReadAhead.of(wanted, dict.fromkeys(wanted, 1)) as ahead:
        assert ahead.take("20") == bytes([20])
        assert ahead.take("3") is None
        assert ahead.take("21") == bytes([21])


def test_no_more_than_the_bound_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 50)
    begun: list[int] = []
    wanted = reads(100, begun)
    with ReadAhead.of(wanted, dict.fromkeys(wanted, 10)) as ahead:
        assert ahead.take("0") == b"\x00"
    assert max(begun) <= 5


def test_one_that_is_larger_than_the_bound_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 50)
    wanted = reads(3)
    with ReadAhead.of(wanted, dict.fromkeys(wanted, 1000)) as ahead:
        assert [ahead.take(key) for key in wanted] == [b"\x00", b"\x01", b"\x02"]


def test_a_failure_comes_where_it_belongs() -> None:
    def broken() -> bytes:
        raise CorruptionError("it is damaged")

    wanted = reads(5) | {"2": broken}
    with ReadAhead.of(wanted, dict.fromkeys(wanted, 1)) as ahead:
        assert (ahead.take("0"), ahead.take("1")) == (b"\x00", b"\x01")
        with pytest.raises(CorruptionError, match="damaged"):
            ahead.take("2")
        assert ahead.take("3") == b"\x03"


def test_parts_of_a_restore_are_read_side_by_side(world: World, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that fit are on their way before the first has come."""
    grow(world, db, 10)
    put(db, 5000)
    db.archive()
    read, together = archive_reader.body, threading.Barrier(8)

    def body(vault: Vault, part: PartHeader) -> bytes:
        if part.n <= 8:
            together.wait(timeout=30)  # of eight readers, or none goes on
        return read(vault, part)

    monkeypatch.setattr(archive_reader, "body", body)
    restored = world.repository().restore(world.folder / "restored")
    assert restored.seq == db.seq
