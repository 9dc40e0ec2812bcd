"""The repository's store and secret: documents and objects go in and come out, sealed where it is encrypted."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from tiervdb.backup import ciphers
from tiervdb.backup.ciphers import FrameCipher
from tiervdb.clock import Clock
from tiervdb.errors import CorruptionError, ObjectNotFoundError, StorageError
from tiervdb.format import documents, frames, paths
from tiervdb.format.frames import FRAME_BYTES, HEADER_BYTES, Checksum, Closing, Frame, FrameReader, FrameWriter
from tiervdb.format.repository_documents import Codec, Layout, StoredObject
from tiervdb.format.repository_paths import DataKey
from tiervdb.storage.object_store import ByteRange, ObjectStore

_T = TypeVar("_T")
Decode = Callable[[bytes, str], _T]

_IN_MEMORY = 64 << 20  # a larger framed object goes through a temporary file
_WORTH = 0.9  # a sample that shrinks to less is compressed
_READERS = 16


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

    def read_all(self, prefix: str, decode: Decode[_T]) -> list[_T]:
        """All documents below a prefix, in the order of their keys; those that are deleted meanwhile are left out."""
        keys = sorted(found.key for found in self.store.list(prefix))
        if len(keys) < 2:
            found = [self.find(key, decode) for key in keys]
        else:
            with ThreadPoolExecutor(min(_READERS, len(keys)), thread_name_prefix="tiervdb-repository") as pool:
                found = list(pool.map(lambda key: self.find(key, decode), keys))
        return [document for document in found if document is not None]

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
        """Stores ``size`` bytes of a file. ``compress``: if a sample of it shrinks."""
        key = self._new_key(uploader)
        with _opened(path) as file:
            codec = _codec(file.read(FRAME_BYTES)) if compress else "none"
            if codec == "none" and not self.encrypted:
                self.store.put_file(key, path)
                return self._stored(key, size, size, "none", framed=False)
            file.seek(0)
            writer = FrameWriter(size, codec, self._closing(key))
            if size <= _IN_MEMORY:
                data = b"".join(_framed(writer, file, path))
                self.store.put(key, data)
                return self._stored(key, size, len(data), codec)
            with tempfile.NamedTemporaryFile(prefix="tiervdb-object-") as staged:
                stored_size = sum(staged.write(piece) for piece in _framed(writer, file, path))
                staged.flush()
                self.store.put_file(key, Path(staged.name))
            return self._stored(key, size, stored_size, codec)

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
        with tempfile.NamedTemporaryFile(prefix="tiervdb-object-", dir=path.parent) as staged:
            self.store.get_file(stored.key, Path(staged.name))
            self._decode_file(stored, Path(staged.name), path)

    def get_ranges(self, stored: StoredObject, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Ranges of the plain bytes; only the frames that hold them are read."""
        if stored.layout == "plain":
            return self.store.get_ranges(stored.key, ranges)
        reader = self._reader(stored)
        start, length = reader.table_span
        table = self.store.get_ranges(stored.key, [ByteRange(start, length)])[0] if length else b""
        wanted = {frame.number: frame for r in ranges for frame in _touched(reader.frames(table), r)}
        spans = [ByteRange(frame.start, frame.length) for frame in wanted.values()]
        pieces = self.store.get_ranges(stored.key, spans) if spans else []
        plain = {f.number: reader.decode(f, piece) for f, piece in zip(wanted.values(), pieces, strict=True)}
        return [_cut(plain, r) for r in ranges]

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

    def _decode_file(self, stored: StoredObject, source: Path, target: Path) -> None:
        reader = self._reader(stored)
        if source.stat().st_size != stored.stored_size:
            raise reader.damaged(f"it has {source.stat().st_size} bytes instead of {stored.stored_size}")
        start, length = reader.table_span
        with _opened(source) as file, _opened(target, "wb") as out:
            reader.check_header(file.read(HEADER_BYTES))
            file.seek(start)
            found = reader.frames(file.read(length))
            for frame in found:
                file.seek(frame.start)
                out.write(reader.decode(frame, file.read(frame.length)))


def _framed(writer: FrameWriter, file: IO[bytes], path: Path) -> Iterator[bytes]:
    yield writer.header
    try:
        while chunk := file.read(FRAME_BYTES):
            yield writer.add(chunk)
        yield writer.trailer()
    except ValueError as error:
        raise CorruptionError(f"{path} is shorter than it should be, or longer: {error}") from error


def _touched(every: Sequence[Frame], wanted: ByteRange) -> Sequence[Frame]:
    return every[wanted.start // FRAME_BYTES : -(-wanted.end // FRAME_BYTES)] if wanted.length else []


def _cut(plain: dict[int, bytes], wanted: ByteRange) -> bytes:
    pieces = []
    for number in range(wanted.start // FRAME_BYTES, -(-wanted.end // FRAME_BYTES) if wanted.length else 0):
        start = number * FRAME_BYTES
        pieces.append(plain[number][max(wanted.start - start, 0) : wanted.end - start])
    return b"".join(pieces)


def _codec(sample: bytes) -> Codec:
    return "zstd" if sample and len(frames.compress(sample)) < _WORTH * len(sample) else "none"


def _opened(path: Path, mode: str = "rb") -> IO[bytes]:
    try:
        return path.open(mode)
    except OSError as error:
        raise StorageError(f"opening {path} failed: {error}") from error
