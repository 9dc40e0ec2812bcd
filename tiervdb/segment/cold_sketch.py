"""The sketch of a cold segment: its head and its lists, from a local copy or from the store, loaded when needed."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import crc32c
import numpy as np

from tiervdb.errors import TiervdbError
from tiervdb.format.block_file import BlockReader
from tiervdb.format.envelope import damaged
from tiervdb.format.manifest_entries import FileRef, SegmentEntry
from tiervdb.segment.codebook import Codebook
from tiervdb.segment.residents import Residents
from tiervdb.segment.sketch import Codes, ListNumbers, Lists
from tiervdb.segment.sketch_copies import SketchCopies
from tiervdb.segment.sketch_file import SketchData, SketchHead, head_bytes, open_head, open_sketch
from tiervdb.storage.cache import forget
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.wave import Read

HEAD_BYTES = 64 << 10  # read at first; a head of 4,096 lists takes 49 KiB


class ColdSketch:
    """Safe for threads. What it lacks it names as a ``Read``; the caller fetches that and hands it in.

    ``copies``: the local copies, which may lack this one. ``residents``: bounds the memory of all such sketches.
    """

    def __init__(
        self,
        store: ObjectStore,
        entry: SegmentEntry,
        reference: FileRef,
        codebook: Codebook,
        copies: SketchCopies,
        residents: Residents,
    ) -> None:
        self._store = store
        self._entry = entry
        self._reference = reference
        self._codebook = codebook
        self._copies = copies
        self._residents = residents
        self._lock = threading.Lock()
        self._head: SketchHead | None = None
        self._copy: BlockReader | None = None
        self._looked = False
        self._lists: Lists | None = None

    @property
    def reference(self) -> FileRef:
        return self._reference

    @property
    def local(self) -> bool:
        """Whether there is a local copy."""
        self._look()
        return self._copy is not None

    def head(self) -> SketchHead | None:
        """The head, None as long as neither the local copy nor a read has brought it."""
        self._look()
        return self._head

    def missing_head(self) -> Read | None:
        """What to read before anything else; None if the head is known."""
        if self.head() is not None:
            return None
        return Read(self._reference.name, [ByteRange(0, min(HEAD_BYTES, self._reference.size))])

    def take_head(self, data: bytes) -> None:
        """Takes what was read for ``missing_head``."""
        key = self._reference.name
        try:
            length = head_bytes(data, key)
            if len(data) < length <= self._reference.size:  # never seen: it would need more than 4,096 lists
                (data,) = self._store.get_ranges(key, [ByteRange(0, length)])
            head = self._checked(open_head(data, key))
        except TiervdbError:
            if not forget(self._store, key):
                raise
            data = self._store.get_ranges(key, [ByteRange(0, min(HEAD_BYTES, self._reference.size))])[0]
            head = self._checked(open_head(data, key))
        with self._lock:
            self._head = self._head or head

    def lists(self) -> Lists:
        """The lists as far as they are loaded; ``there`` tells which. The head must be known."""
        with self._lock:
            if self._head is None:
                raise ValueError(f"the head of {self._reference.name} was not read")
            if self._lists is None:
                self._lists = Lists(self._codebook, None, self._head.offsets)
            lists = self._lists
        self._residents.used(self)
        return lists

    def missing_lists(self, lists: Lists, numbers: ListNumbers) -> tuple[ListNumbers, Read | None]:
        """Which of these lists must be read, and how. Those that the local copy has are loaded at once."""
        absent = numbers[~lists.there[numbers]]
        if not len(absent):
            return absent, None
        if self._copy is not None and self._head is not None:
            try:
                self._load(lists, absent, [self._copy.view(*self._head.place(n)) for n in absent.tolist()])
            except TiervdbError:  # damaged: the store has another
                self.drop_copy()
            else:
                return absent[:0], None
        places = [self._place(n) for n in absent.tolist()]
        return absent, Read(self._reference.name, [ByteRange(*place) for place in places])

    def take_lists(self, lists: Lists, numbers: ListNumbers, pieces: Sequence[bytes]) -> None:
        """Takes what was read for ``missing_lists``."""
        try:
            self._load(lists, numbers, pieces)
        except TiervdbError:
            if not forget(self._store, self._reference.name):
                raise
            ranges = [ByteRange(*self._place(n)) for n in numbers.tolist()]
            self._load(lists, numbers, self._store.get_ranges(self._reference.name, ranges))

    def whole(self) -> SketchData:
        """All of it, for coding other segments; read from the store where there is no copy."""
        self._look()
        if self._copy is not None:
            try:
                return open_sketch(self._copy).data()
            except TiervdbError:
                self.drop_copy()
        data = self._store.get_ranges(self._reference.name, [ByteRange(0, self._reference.size)])[0]
        opened = open_sketch(BlockReader(memoryview(data), self._reference.name))
        return opened.data()

    def release(self) -> None:
        """Gives the memory of the lists back. Searches that go on keep theirs."""
        with self._lock:
            self._lists = None

    def drop_copy(self) -> None:
        """Forgets a local copy that turned out damaged."""
        with self._lock:
            self._copy = None
        self._copies.drop(self._entry.id)

    def look_again(self) -> None:
        """A local copy was put there."""
        with self._lock:
            self._looked = False

    def _look(self) -> None:
        if self._looked:
            return
        found = self._copies.open(self._entry.id, self._reference)
        head = None
        if found is not None:
            try:
                opened = open_sketch(found)
                head = self._checked(SketchHead(opened.header, opened.offsets, opened.sums, opened.start))
            except TiervdbError:
                found = None
                self._copies.drop(self._entry.id)
        with self._lock:
            self._copy = found
            self._head = self._head or head
            self._looked = True

    def _checked(self, head: SketchHead) -> SketchHead:
        header, book = head.header, self._codebook
        expected = (book.id, self._entry.rows, book.dim, book.nlist)
        if (header.codebook, header.rows, header.dim, header.nlist) != expected:
            raise damaged(self._reference.name, "it does not belong to this segment and its codebook")
        return head

    def _place(self, number: int) -> tuple[int, int]:
        if self._head is None:
            raise ValueError(f"the head of {self._reference.name} was not read")
        return self._head.place(number)

    def _load(self, lists: Lists, numbers: ListNumbers, pieces: Sequence[bytes | memoryview]) -> None:
        if self._head is None:
            raise ValueError(f"the head of {self._reference.name} was not read")
        size = self._head.header.code_size
        for number, piece in zip(numbers.tolist(), pieces, strict=True):
            if crc32c.crc32c(piece) != int(self._head.sums[number]):
                raise damaged(
                    f"{self._reference.name} in {self._store.url}", f"the checksum of its list {number} does not match"
                )
            codes: Codes = np.frombuffer(piece, np.uint8).reshape(-1, size)
            lists.put(number, codes)
        self._residents.grew(self, lists.bytes)
