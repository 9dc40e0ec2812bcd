from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tiervdb.errors import ObjectNotFoundError
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.open import open_store
from tiervdb.storage.wave import Read, read_wave
from tiervdb.storage.wrapped_store import WrappedStore


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    made = CountingStore(open_store(tmp_path))
    for key in "abc":
        made.put(key, key.encode() * 1000)
    return made


def test_several_objects_are_one_wave(store: ObjectStore, pool: ThreadPoolExecutor) -> None:
    far = ByteRange(0, 2), ByteRange(990, 3)
    wave = read_wave(store, [Read("a", far), Read("b", far[:1]), Read("c", [])], pool)
    assert wave.pieces == [[b"aa", b"aaa"], [b"bb"], []]
    assert (wave.cost.waves, wave.cost.gets) == (1, 2)


def test_nothing_to_read_is_no_wave(store: ObjectStore, pool: ThreadPoolExecutor) -> None:
    assert read_wave(store, [], pool).cost.waves == 0


def test_objects_are_read_side_by_side(store: ObjectStore, pool: ThreadPoolExecutor) -> None:
    meet = threading.Barrier(3)

    class Meeting(WrappedStore):
        def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
            meet.wait(20)
            return super().get_ranges(key, ranges)

    wave = read_wave(Meeting(store), [Read(key, [ByteRange(0, 1)]) for key in "abc"], pool)
    assert wave.pieces == [[b"a"], [b"b"], [b"c"]]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_error_is_raised_once_all_have_ended(store: ObjectStore, pool: ThreadPoolExecutor, missing: int) -> None:
    keys = list("abc")
    keys[missing] = "none"
    with pytest.raises(ObjectNotFoundError, match="none"):
        read_wave(store, [Read(key, [ByteRange(0, 1)]) for key in keys], pool)
