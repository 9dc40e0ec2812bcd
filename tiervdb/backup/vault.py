"""The repository's store and secret: documents and objects go in and come out, sealed where it is encrypted."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from tiervdb.backup import ciphers
from tiervdb.backup.ciphers import FrameCipher
from tiervdb.backup.framed import FramedObject, encoded
from tiervdb.backup.side_by_side import each
from tiervdb.clock import Clock
from tiervdb.errors import CorruptionError, ObjectNotFoundError
from tiervdb.format import documents, frames, paths
from tiervdb.format.frames import FRAME_BYTES, Checksum, Closing, FrameReader, FrameWriter
from tiervdb.format.repository_documents import Codec, Layout, StoredObject
from tiervdb.format.repository_paths import DataKey
from tiervdb.storage.object_store import ByteRange, ObjectStore
from tiervdb.storage.os_errors import os_errors

_T = TypeVar("_T")
Decode = Callable[[bytes, str], _T]
Damaged = Callable[[str, CorruptionError], None]  # the key of what is damaged, and what is wrong with it

_IN_MEMORY = 64 << 20  # a larger framed object goes through a temporary file
_WORTH = 0.9  # a sample that shrinks to less is compressed
_READERS = 16
_TABLES = 1000  # 4 bytes each a MiB of the object


class Vault:
    """Thread-safe. Raises StorageError and CorruptionError; ``read`` ObjectNotFoundError, ``create`` ObjectExistsError.

    ``encrypted``: everything but repository.json and the key slots is sealed, each document and object by itself and
    bound to its key, so that one cannot stand in for another.
    """

    def __init__(self, store: ObjectStore, secret: bytes | None, clock: Clock, rng: random.Random) -> None:
        self.store = store
        self.clock = clock
        self.rng = rng
        self._secret = secret
        self._tables = _Tables()

    @property
    def encrypted(self) -> bool:
        return self._secret is not None

    @property
    def url(self) -> str:
        return self.store.url

    # -- documents

    def create(self, key: str, document: msgspec.Struct) -> None:
        """Writes a document whose key is not taken."""
        self.store.put_if_absent(key, self.seal(key, documents.encode(document)))

    def replace(self, key: str, document: msgspec.Struct) -> None:
        """Writes a document, over what is there."""
        self.store.put(key, self.seal(key, documents.encode(document)))

    def read(self, key: str, decode: Decode[_T]) -> _T:
        return decode(self.unseal(key, self.store.get(key)), f"{self.url}/{key}")

    def find(self, key: str, decode: Decode[_T]) -> _T | None:
        """A document that may be missing."""
        try:
            return self.read(key, decode)
        except ObjectNotFoundError:
            return None

    def read_all(self, prefix: str, decode: Decode[_T], damaged: Damaged | None = None) -> list[_T]:
        """All documents below a prefix, in the order of their keys; those that are deleted meanwhile are left out.

        ``damaged``: told of those that cannot be read, which are left out as well; None: the first one is an error.
        """

        def one(key: str) -> _T | CorruptionError | None:
            try:
                return self.find(key, decode)
            except CorruptionError as error:
                return error

        keys = sorted(found.key for found in self.store.list(prefix))
        found = list(zip(keys, each(one, keys, _READERS, "tiervdb-repository"), strict=True))
        for key, document in found:
            if isinstance(document, CorruptionError):
                if damaged is None:
                    raise document
                damaged(key, document)
        return [d for _, d in found if d is not None and not isinstance(d, CorruptionError)]

    def seal(self, key: str, data: bytes) -> bytes:
        """Small bytes, bound to a key."""
        return data if self._secret is None else ciphers.seal(self._secret, key, data)

    def unseal(self, key: str, data: bytes) -> bytes:
        if self._secret is None:
            return data
        try:
            return ciphers.unseal(self._secret, key, data)
        except ValueError as error:
            raise CorruptionError(
                f"{key} in {self.url} is damaged or was put there by somebody else: {error}. Run `tiervdb verify`"
            ) from error

    # -- objects

    def put_file(self, uploader: str, path: Path, size: int, *, compress: bool) -> StoredObject:
        """Stores the ``size`` bytes of a file. ``compress``: if a sample of it shrinks.

        CorruptionError if the file has another size.
        """
        key = self._new_key(uploader)
        with os_errors("opening", path), path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise CorruptionError(f"{path} has {found} bytes instead of {size}: it was not stored")
            codec = _codec(file.read(FRAME_BYTES)) if compress else "none"
            if codec == "none" and not self.encrypted:
                self.store.put_file(key, path)
                return self._stored(key, size, size, "none", framed=False)
            file.seek(0)
            pieces = encoded(FrameWriter(size, codec, self._closing(key)), file, path)
            return self._stored(key, size, self._put_pieces(key, size, pieces), codec)

    def _put_pieces(self, key: str, size: int, pieces: Iterator[bytes]) -> int:
        """Stores what has about this size; its size."""
        if size <= _IN_MEMORY:
            data = b"".join(pieces)
            self.store.put(key, data)
            return len(data)
        folder = tempfile.gettempdir()
        with os_errors("writing to", folder), tempfile.NamedTemporaryFile(prefix="tiervdb-", dir=folder) as staged:
            stored_size = sum(staged.write(piece) for piece in pieces)
            staged.flush()
            self.store.put_file(key, Path(staged.name))
        return stored_size

    def put_bytes(self, uploader: str, data: bytes, *, compress: bool = True) -> StoredObject:
        """Stores bytes."""
        key = self._new_key(uploader)
        codec = _codec(data[:FRAME_BYTES]) if compress else "none"
        if codec == "none" and not self.encrypted:
            self.store.put(key, data)
            return self._stored(key, len(data), len(data), "none", framed=False)
        framed = frames.encode(data, codec, self._closing(key))
        self.store.put(key, framed)
        return self._stored(key, len(data), len(framed), codec)

    def get_bytes(self, stored: StoredObject) -> bytes:
        """The plain bytes of an object. Whoever knows their checksum checks it."""
        data = self.store.get(stored.key)
        if stored.layout == "plain":
            return self._of_size(stored, data)
        return b"".join(self._reader(stored).decode_all(data))

    def get_file(self, stored: StoredObject, path: Path) -> None:
        """The plain bytes of an object, into a file, over what is there. Not synced; partial after an error."""
        if stored.layout == "plain":
            self.store.get_file(stored.key, path)
            self._of_size(stored, path)
            return
        with os_errors("writing", path), path.open("wb") as out:
            for chunk in self._framed(stored).chunks():
                out.write(chunk)

    def get_ranges(self, stored: StoredObject, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Ranges of the plain bytes; only the frames that hold them are read. CorruptionError beyond the end."""
        if stored.layout == "plain":
            return self.store.get_ranges(stored.key, ranges)
        found = self._framed(stored, self._tables.get(stored.key))
        pieces = found.ranges(ranges)
        if found.table is not None:
            self._tables.put(stored.key, found.table)
        return pieces

    def check(self, stored: StoredObject) -> None:
        """CorruptionError unless the object is there with its size."""
        try:
            size = self.store.stat(stored.key).size
        except ObjectNotFoundError as error:
            raise CorruptionError(self._missing(stored, "is missing")) from error
        if size != stored.stored_size:
            raise CorruptionError(self._missing(stored, f"has {size} bytes instead of {stored.stored_size}"))

    def _missing(self, stored: StoredObject, what: str) -> str:
        return f"{stored.key} in {self.url} {what}; run `tiervdb verify`, and use another backup or an off-site copy"

    def _new_key(self, uploader: str) -> str:
        return DataKey(uploader, paths.random_id(self.rng)).key

    def _closing(self, key: str) -> Closing:
        return Checksum() if self._secret is None else FrameCipher(self._secret, key)

    def _framed(self, stored: StoredObject, table: bytes | None = None) -> FramedObject:
        return FramedObject(self.store, stored.key, self._reader(stored), table)

    def _reader(self, stored: StoredObject) -> FrameReader:
        closing = self._closing(stored.key)
        return FrameReader(stored.size, stored.stored_size, stored.codec, closing, f"{self.url}/{stored.key}")

    @staticmethod
    def _stored(key: str, size: int, stored_size: int, codec: Codec, *, framed: bool = True) -> StoredObject:
        layout: Layout = "framed" if framed else "plain"
        return StoredObject(key=key, size=size, stored_size=stored_size, layout=layout, codec=codec)

    def _of_size(self, stored: StoredObject, data: bytes | Path) -> bytes:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        if size != stored.size:
            raise CorruptionError(self._missing(stored, f"has {size} bytes instead of {stored.size}"))
        return data if isinstance(data, bytes) else b""


def _codec(sample: bytes) -> Codec:
    return "zstd" if sample and len(frames.compress(sample)) < _WORTH * len(sample) else "none"


class _Tables:
    """The tables of frames that were read last: reading a range twice asks the store once for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        with self._lock:
            return self._tables.get(key)

    def put(self, key: str, table: bytes) -> None:
        with self._lock:
            self._tables.pop(key, None)
            self._tables[key] = table
            if len(self._tables) > _TABLES:
                self._tables.pop(next(iter(self._tables)))
