"""An object store on any fsspec file system."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from tiervdb.errors import (
    DiskFullError,
    FeatureUnavailableError,
    InvalidInputError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    StoreRefusedError,
    StoreUnavailableError,
    TiervdbError,
)
from tiervdb.storage.names import check_name, check_prefix
from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore, check_length
from tiervdb.storage.os_errors import storage_error

_HASHED_BYTES = 1 << 16  # small objects of a file system without etags are compared by content
_ETAGS = ("ETag", "etag", "generation", "md5Hash", "content_md5", "version_id")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
_AWAY_STATUS = frozenset({408, 429})


class FsspecStore:
    """See ``ObjectStore``. Without conditional writes: ``put_if_absent`` looks first, so there may be one writer only.

    Whether an object appears whole is up to the file system.
    """

    conditional = False

    def __init__(self, url: str, storage_options: Mapping[str, object] | None = None) -> None:
        self.url = url
        try:
            # Instances and listings that fsspec keeps would answer for what other processes have changed since.
            self._fs, base = fsspec.core.url_to_fs(
                url, skip_instance_cache=True, use_listings_cache=False, **(storage_options or {})
            )
        except ImportError as error:
            raise FeatureUnavailableError(f"opening {url} needs another package: {error}") from error
        except (ValueError, TypeError) as error:
            kind = type(error).__name__
            raise InvalidInputError(f"{url} cannot be used ({kind}): check protocol and storage_options") from error
        self._base: str = base.rstrip("/")

    def prepare(self) -> None:
        """Nothing to make ready."""

    def get(self, key: str) -> bytes:
        with self._translated("reading", key):
            data: bytes = self._fs.cat_file(self._at(key))
            return data

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        path = self._at(key)
        if not ranges:
            return []
        with self._translated("reading", key):
            starts, ends = [r.start for r in ranges], [r.end for r in ranges]
            parts = self._fs.cat_ranges([path] * len(ranges), starts, ends, on_error="raise")
        return [check_length(bytes(part), wanted, key, self.url) for part, wanted in zip(parts, ranges, strict=True)]

    def get_file(self, key: str, path: Path) -> None:
        with self._translated("reading", key):
            self._fs.get_file(self._at(key), str(path))

    def put(self, key: str, data: bytes) -> None:
        with self._translated("writing", key):
            self._with_folder(key, lambda: self._fs.pipe_file(self._at(key), data))

    def put_file(self, key: str, path: Path) -> None:
        if not path.is_file():
            raise ObjectNotFoundError(f"writing {key} to {self.url}: there is no file {path}")
        with self._translated("writing", key):
            self._with_folder(key, lambda: self._fs.put_file(str(path), self._at(key)))

    def put_if_absent(self, key: str, data: bytes) -> None:
        try:
            self.stat(key)
        except ObjectNotFoundError:
            self.put(key, data)
            return
        raise ObjectExistsError(f"creating {key} in {self.url}: the key is taken")

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        try:
            found = self.stat(key).etag
        except ObjectNotFoundError:
            found = None
        if found != etag:
            what = "it is missing" if found is None else "it was changed meanwhile"
            raise PreconditionFailedError(f"replacing {key} in {self.url}: {what}; read it again")
        self.put(key, data)
        return self.stat(key).etag

    def stat(self, key: str) -> ObjectStat:
        with self._translated("looking at", key):
            self._fs.invalidate_cache()
            info = self._fs.info(self._at(key))
            if info["type"] != "file":
                raise FileNotFoundError(key)
            return self._stat(key, info)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        folder, _, _ = check_prefix(prefix).rpartition("/")
        with self._translated("listing", prefix):
            self._fs.invalidate_cache()
            found = self._fs.find(f"{self._base}/{folder}".rstrip("/"), detail=True)
        for path, info in found.items():
            key = path[len(self._base) :].lstrip("/")
            if key.startswith(prefix):
                with self._translated("listing", key):
                    yield self._stat(key, info)

    def delete(self, key: str) -> None:
        with self._translated("deleting", key):
            try:
                self._fs.rm_file(self._at(key))
            except FileNotFoundError:
                return

    def copy(self, source: str, target: str) -> None:
        with self._translated("copying", source):
            self._with_folder(target, lambda: self._fs.cp_file(self._at(source), self._at(target)))

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        raise FeatureUnavailableError(
            f"{self.url} cannot copy from {source.url}: {key} must come here as {target} by itself"
        )

    def close(self) -> None:
        """The file system closes its connections by itself."""

    def _at(self, key: str) -> str:
        return f"{self._base}/{check_name(key)}"

    def _with_folder(self, key: str, write: Any) -> None:
        """Runs ``write``; makes the folder only if that fails, for in a bucket nobody needs it."""
        try:
            write()
        except FileNotFoundError:
            self._fs.makedirs(self._at(key).rpartition("/")[0], exist_ok=True)
            write()

    def _stat(self, key: str, info: Mapping[str, Any]) -> ObjectStat:
        size = int(info["size"])
        time = _microseconds(next((info[name] for name in _TIMES if info.get(name)), 0))
        etag = next((str(info[name]) for name in _ETAGS if info.get(name)), None)
        if etag is None and size <= _HASHED_BYTES:
            etag = hashlib.sha256(self._fs.cat_file(self._at(key))).hexdigest()[:32]
        return ObjectStat(key, size, etag or f"{time:x}-{size:x}", time)

    @contextmanager
    def _translated(self, doing: str, key: str) -> Iterator[None]:
        try:
            yield
        except TiervdbError:
            raise
        except Exception as error:
            raise fsspec_error(error, f"{doing} {key} in {self.url}") from error


def fsspec_error(error: Exception, doing: str) -> StorageError:
    """The error to raise in place of what a file system raised. Says its kind, not its text, which may hold secrets."""
    status = getattr(error, "code", None) or getattr(error, "status", None) or getattr(error, "status_code", None)
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError) or status == 404:
        return ObjectNotFoundError(f"{doing}: there is no such object")
    if isinstance(error, PermissionError) or status in {401, 403}:
        return StoreRefusedError(f"{doing}: the store refused; check credentials and permissions")
    if isinstance(error, TimeoutError | ConnectionError) or status in _AWAY_STATUS or (status or 0) in range(500, 600):
        return StoreUnavailableError(f"{doing}: the store is away ({type(error).__name__}); try again later")
    if isinstance(error, OSError) and isinstance(full := storage_error(error, doing, ""), DiskFullError):
        return full
    return StorageError(f"{doing}: the store failed ({type(error).__name__}); try again later")


def _microseconds(time: object) -> int:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return round(time * 1e6) if isinstance(time, int | float) else 0
