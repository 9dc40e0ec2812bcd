"""Probes of an object store: what it really does, whatever it says it is.

All happens below a random prefix, which is emptied in the end, also after an error or an interrupt.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tiervdb.clock import Clock
from tiervdb.errors import (
    CorruptionError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    StoreRefusedError,
    StoreUnavailableError,
    TiervdbError,
)
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.doctor_report import Result, StoreFinding, StoreReport, finding
from tiervdb.storage.first_look import is_refused
from tiervdb.storage.object_store import ByteRange, ObjectStore

WRITERS = 8
GETS = 20
_BODY_BYTES = 100_000
_PARTS_BYTES = (8 << 20) + 1  # S3 clients send this in parts
_SKEW_US = 60_000_000
_SLOW_SECONDS = 0.5
_RANGES = (ByteRange(0, 1), ByteRange(1, 4095), ByteRange(50_000, 17), ByteRange(_BODY_BYTES - 3, 3))

Answer = tuple[bool, str]


def examine(store: ObjectStore, clock: Clock, rng: random.Random, timer: Callable[[], float]) -> StoreReport:
    """Everything about a store, in some seconds and about 20 MB. ``timer``: seconds that never step back."""
    visit = _Visit(store, clock, rng, timer)
    try:
        visit.run()
    finally:
        left = visit.clean()
    if visit.keys:
        visit.findings.append(finding("cleaned up", "no" if left else "yes", ", ".join(left) or "all deleted"))
    return StoreReport(store.url, tuple(visit.findings), visit.read_only, visit.skew_us)


class _Visit:
    """One examination: what was asked so far, what was written."""

    def __init__(self, store: ObjectStore, clock: Clock, rng: random.Random, timer: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock
        self.rng = rng
        self.timer = timer
        self.prefix = f"doctor-{rng.getrandbits(128):032x}"
        self.keys: dict[str, None] = {}
        self.findings: list[StoreFinding] = []
        self.read_only = False
        self.skew_us: int | None = None
        self.body = rng.randbytes(_BODY_BYTES)

    def run(self) -> None:
        if not self._ask("reachable", self._reachable):
            return
        if not self._ask("writable", self._writable):
            self._ask_if_read_only()
            return
        if not self._ask("true to what was written", self._true):
            return
        for question, probe in self._questions():
            self._ask(question, probe)

    def clean(self) -> list[str]:
        """Deletes what was written; returns the keys that may still be there."""
        left = []
        for key in self.keys:
            try:
                self.store.delete(key)
            except TiervdbError:
                left.append(key)
        if isinstance(self.store, DirectoryStore):
            with suppress(OSError):
                self.store.local.path(self.prefix).rmdir()
        return left

    def _questions(self) -> Iterator[tuple[str, Callable[[], Answer]]]:
        yield "range reads", self._ranges
        yield "replaces objects", self._replaces
        yield "creates if absent", self._creates
        yield "one winner of a race", self._race
        yield "replaces if unchanged", self._if_match
        yield "lists after writing", self._lists
        yield "copies", self._copies
        yield "deletes", self._deletes
        yield "clock agrees", self._skew
        yield "answers quickly", self._latency

    def _ask(self, question: str, probe: Callable[[], Answer]) -> bool:
        result: Result
        try:
            good, measured = probe()
            result = "yes" if good else "no"
        except InvalidInputError:
            raise
        except TiervdbError as error:
            result, measured = "failed", str(error)
        self.findings.append(finding(question, result, measured))
        return result == "yes"

    def _key(self, name: str) -> str:
        key = f"{self.prefix}/{name}"
        self.keys[key] = None
        return key

    def _reachable(self) -> Answer:
        try:
            self.store.stat(f"{self.prefix}/missing")
        except ObjectNotFoundError:
            return True, "a missing object is said to be missing"
        except StoreRefusedError:  # Amazon says so of a missing object to who may not list
            next(iter(self.store.list("")), None)
            return True, "it can be listed"
        return False, "an object that nobody wrote is said to exist"

    def _writable(self) -> Answer:
        key = self._key("body")
        try:
            self.store.put(key, self.body)
        except StoreUnavailableError as error:
            if self._holds(key, self.body):
                return False, f"the object was written and its reply lost, again and again ({error})"
            raise
        return True, f"an object of {_BODY_BYTES:,} bytes"

    def _ask_if_read_only(self) -> None:
        if isinstance(self._write_error(), StoreRefusedError):
            with suppress(TiervdbError):
                found = next(iter(self.store.list("")), None)
                if found is not None and found.size:
                    self.store.get_ranges(found.key, [ByteRange(0, 1)])
                self.read_only = True

    def _write_error(self) -> TiervdbError | None:
        try:
            self.store.put(self._key("body"), self.body)
        except TiervdbError as error:
            return error
        return None

    def _true(self) -> Answer:
        key = self._key("body")
        if self.store.get(key) != self.body:
            return False, "an object came back with other bytes than were written"
        size = self.store.stat(key).size
        return size == _BODY_BYTES, f"checksum and size agree, {size:,} bytes"

    def _ranges(self) -> Answer:
        key = self._key("body")
        if self.store.get_ranges(key, _RANGES) != [self.body[r.start : r.end] for r in _RANGES]:
            return False, "a range came back with other bytes than lie there"
        beyond = ByteRange(_BODY_BYTES - 10, 20)
        try:
            self.store.get_ranges(key, [beyond])
        except CorruptionError:
            return True, f"{len(_RANGES)} ranges exact; one beyond the end is noticed"
        return False, "a range beyond the end came back as if it were whole"

    def _replaces(self) -> Answer:
        key = self._key("replaced")
        for version in range(5):
            data = b"version %d" % version
            self.store.put(key, data)
            if self.store.get(key) != data:
                return False, "the old bytes were read after new ones were written"
        return True, "5 versions, each read at once"

    def _creates(self) -> Answer:
        if not self.store.conditional:
            return False, "this kind of store has no conditional writes"
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "parts"
            source.write_bytes(bytes(_PARTS_BYTES))
            parts = self._key("parts")
            self.store.put_file(parts, source)
        for name, size in (("empty", 0), ("small", 100)):
            key, data = self._key(name), self.rng.randbytes(size)
            self.store.put_if_absent(key, data)
            if not self._keeps(key, data):
                return False, f"an {name} object was overwritten although it was there"
        if not is_refused(lambda: self.store.put_if_absent(parts, b"other")):
            return False, "an object in parts was overwritten although it was there"
        return self.store.stat(parts).size == _PARTS_BYTES, "empty, small and in parts: a second creation is refused"

    def _keeps(self, key: str, data: bytes) -> bool:
        refused = is_refused(lambda: self.store.put_if_absent(key, self.rng.randbytes(50)))
        return refused and self.store.get(key) == data

    def _race(self) -> Answer:
        if not self.store.conditional:
            return False, "this kind of store has no conditional writes"
        key = self._key("race")
        won: list[bytes] = []
        failed: list[TiervdbError] = []
        together = threading.Barrier(WRITERS)

        def create(mine: bytes) -> None:
            together.wait()
            try:
                self.store.put_if_absent(key, mine)
            except ObjectExistsError:
                return
            except TiervdbError as error:
                failed.append(error)
            else:
                won.append(mine)

        _in_threads(create, [self.rng.randbytes(32) for _ in range(WRITERS)])
        if failed and not won:
            raise failed[0]
        return won == [self.store.get(key)], f"{len(won)} of {WRITERS} writers won"

    def _if_match(self) -> Answer:
        if not self.store.conditional:
            return False, "this kind of store has no conditional writes"
        key = self._key("matched")
        self.store.put(key, b"one")
        old = self.store.stat(key).etag
        new = self.store.put_if_match(key, b"two", old)
        if not is_refused(lambda: self.store.put_if_match(key, b"three", old)) or self.store.get(key) != b"two":
            return False, "a version that was not the expected one was replaced"
        if not is_refused(lambda: self.store.put_if_match(self._key("nothing"), b"", new)):
            return False, "a missing object was 'replaced'"
        return True, "a stale and a missing version are refused"

    def _lists(self) -> Answer:
        wanted = {self._key(f"listed-{number}"): number for number in range(10)}
        for key, size in wanted.items():
            self.store.put(key, bytes(size))
        found = {stat.key: stat.size for stat in self.store.list(f"{self.prefix}/listed-")}
        return found == wanted, f"{len(found)} of {len(wanted)} new objects listed at once"

    def _copies(self) -> Answer:
        target = self._key("copy")
        self.store.copy(self._key("body"), target)
        return self.store.get(target) == self.body, "a copy has the bytes of its source"

    def _deletes(self) -> Answer:
        key = self._key("deleted")
        self.store.put(key, b"data")
        self.store.delete(key)
        try:
            self.store.stat(key)
        except ObjectNotFoundError:
            listed = any(stat.key == key for stat in self.store.list(key))
            return not listed, "still listed after it was deleted" if listed else "gone at once"
        return False, "still there after it was deleted"

    def _skew(self) -> Answer:
        key = self._key("clock")
        before = self.clock.now_us()
        self.store.put(key, b"")
        middle = (before + self.clock.now_us()) // 2
        self.skew_us = self.store.stat(key).modified_us - middle
        return abs(self.skew_us) <= _SKEW_US, f"its clock is {self.skew_us / 1e6:+.1f} s from ours (to about a second)"

    def _latency(self) -> Answer:
        key = self._key("small-get")
        self.store.put(key, b"x" * 100)
        times = []
        for _ in range(GETS):
            start = self.timer()
            self.store.get(key)
            times.append(self.timer() - start)
        median, p95 = statistics.median(times), sorted(times)[int(GETS * 0.95) - 1]
        return p95 < _SLOW_SECONDS, f"median {median * 1e3:.1f} ms, p95 {p95 * 1e3:.1f} ms of {GETS} small GETs"

    def _holds(self, key: str, data: bytes) -> bool:
        with suppress(TiervdbError):
            return self.store.get(key) == data
        return False


def _in_threads(work: Callable[[bytes], None], arguments: list[bytes]) -> None:
    threads = [threading.Thread(target=work, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
