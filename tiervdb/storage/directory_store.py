"""An object store in a local directory: each object is a file, each key its name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tiervdb.errors import (
    FeatureUnavailableError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreUnavailableError,
)
from tiervdb.storage.local_dir import STAGING_FOLDER, LocalDir
from tiervdb.storage.names import check_prefix
from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore, check_length
from tiervdb.storage.os_errors import os_errors
from tiervdb.storage.wrapped_store import unwrapped

_COPY_BYTES = 1 << 20
_HASHED_BYTES = 1 << 16  # smaller objects' etag is their content's: two versions within a clock tick still differ
_REPLACE_LOCK = f"{STAGING_FOLDER}/replace.lock"
_REPLACE_PAUSE = 0.005  # seconds
_REPLACE_ATTEMPTS = 2000


class DirectoryStore:
    """See ``ObjectStore``. Every write is durable. A directory that is gone is StoreUnavailableError.

    A key cannot lie below another key (``a`` and ``a/b``), nor in ``tmp/``, where files are staged. ``put`` does not
    wait for a ``put_if_match`` of the same key. ``create``: make the directory now; without it, a missing one is away.
    """

    conditional = True

    def __init__(self, local: LocalDir, *, create: bool = True) -> None:
        self.local = local
        self.url = local.root.as_uri()
        if create:
            local.make()

    def prepare(self) -> None:
        """Nothing to make ready."""

    def get(self, key: str) -> bytes:
        with self._present(key):
            return self.local.read(key)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        with self._present(key):
            parts = self.local.read_ranges(key, [(r.start, r.length) for r in ranges])
        return [check_length(part, wanted, key, self.url) for part, wanted in zip(parts, ranges, strict=True)]

    def get_file(self, key: str, path: Path) -> None:
        with self._present(key):
            source = self.local.map(key)
            with os_errors("writing", path), path.open("wb") as file:
                file.write(source)

    def put(self, key: str, data: bytes) -> None:
        with self._writable(key):
            self.local.write_atomic(key, data)

    def put_file(self, key: str, path: Path) -> None:
        with self._writable(key):
            self._copy_in(path, key)

    def put_if_absent(self, key: str, data: bytes) -> None:
        with self._writable(key):
            self.local.create_exclusive(key, data)

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        with self._writable(key), self._replacing():
            try:
                found = self.stat(key).etag
            except ObjectNotFoundError:
                found = None
            if found != etag:
                what = "it is missing" if found is None else "it was changed meanwhile"
                raise PreconditionFailedError(f"replacing {key} in {self.url}: {what}; read it again")
            self.local.write_atomic(key, data)
            return self.stat(key).etag

    def stat(self, key: str) -> ObjectStat:
        path = self.local.complete(key)
        with self._present(key), os_errors("looking at", path):
            found = path.stat()
            if not path.is_file():
                raise ObjectNotFoundError(f"looking at {path}: there is no such file")
            if found.st_size <= _HASHED_BYTES:
                etag = hashlib.sha256(self.local.read(key)).hexdigest()[:32]
            else:
                etag = f"{found.st_mtime_ns:x}-{found.st_ino:x}-{found.st_size:x}"
        return ObjectStat(key, found.st_size, etag, found.st_mtime_ns // 1000)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        check_prefix(prefix)
        self._check_there(prefix)
        folder, _, _ = prefix.rpartition("/")
        for name in self.local.walk(folder):
            if name.startswith(prefix) and not name.startswith(f"{STAGING_FOLDER}/"):
                try:
                    yield self.stat(name)
                except ObjectNotFoundError:
                    continue  # deleted since

    def delete(self, key: str) -> None:
        with self._writable(key):
            self.local.delete(key, durable=True)

    def copy(self, source: str, target: str) -> None:
        with self._present(source), self._writable(target):
            origin = self.local.complete(source)
            if source == target:
                return
            try:
                self.local.link(origin, target)  # safe: a file is replaced, never changed
            except ObjectExistsError:
                self._copy_in(origin, target)

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        """A copy of the bytes, never a link: what damages the one must not damage the other."""
        other = unwrapped(source)
        if not isinstance(other, DirectoryStore):
            raise FeatureUnavailableError(f"{self.url} cannot copy from {source.url}: it is no directory")
        with other._present(key), self._writable(target):
            self._copy_in(other.local.complete(key), target)

    def close(self) -> None:
        """Nothing is open."""

    def _copy_in(self, source: Path, key: str) -> None:
        with os_errors("reading", source), source.open("rb") as file, self.local.stage(key) as staged:
            for block in iter(partial(file.read, _COPY_BYTES), b""):
                staged.write(block)
            staged.commit()

    @contextmanager
    def _present(self, key: str) -> Iterator[None]:
        """Around reading a key: tells a missing object from a missing store."""
        try:
            yield
        except ObjectNotFoundError:
            self._check_there(key)
            raise

    @contextmanager
    def _writable(self, key: str) -> Iterator[None]:
        """Around writing a key: never builds a new directory in the place of one that is not mounted."""
        if key.startswith(f"{STAGING_FOLDER}/"):
            raise InvalidInputError(f"{key!r} cannot be a key: {STAGING_FOLDER}/ is for files being written")
        self._check_there(key)
        yield

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        for _ in range(_REPLACE_ATTEMPTS):
            if (lock := self.local.lock(_REPLACE_LOCK)) is not None:
                break
            time.sleep(_REPLACE_PAUSE)
        else:
            raise StoreUnavailableError(f"replacing an object in {self.url}: another process keeps the lock; try again")
        try:
            yield
        finally:
            lock.release()

    def _check_there(self, key: str) -> None:
        if not self.local.root.is_dir():
            raise StoreUnavailableError(f"reaching {key} in {self.url}: the directory is missing; mount or restore it")
