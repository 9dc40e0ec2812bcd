"""An object store in an S3 bucket.

boto3 does what is one request, conditional or streamed; s3fs fetches many ranges at once. Range reads dominate a cold
search, and on one event loop they need no thread each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tiervdb.errors import (
    FeatureUnavailableError,
    ObjectExistsError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreRefusedError,
    StoreUnavailableError,
    TiervdbError,
)
from tiervdb.storage import s3_retention
from tiervdb.storage.limits import StoreLimits
from tiervdb.storage.names import check_name, check_prefix
from tiervdb.storage.object_store import ByteRange, ObjectStat, ObjectStore, check_length
from tiervdb.storage.os_errors import os_errors
from tiervdb.storage.retention import RetentionMode
from tiervdb.storage.s3_clients import S3Clients
from tiervdb.storage.s3_errors import is_passing, s3_error, was_retried
from tiervdb.storage.wrapped_store import unwrapped

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds


class S3Store:
    """See ``ObjectStore`` and ``RetainingStore``. The bucket must exist. ``put`` takes up to 5 GiB; ``put_file`` sends
    in parts."""

    conditional = True

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        storage_options: Mapping[str, object] | None = None,
        limits: StoreLimits | None = None,
    ) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._limits = limits or StoreLimits()
        self._clients = S3Clients(storage_options or {}, self._limits, self.url)
        self._bucket_seen = False

    def prepare(self) -> None:
        with suppress(Exception):  # what is wrong is told by the request that needs it
            self._clients.prepare(**self._at("none"))

    def get(self, key: str) -> bytes:
        def once() -> bytes:
            with self._clients.boto.get_object(**self._at(key))["Body"] as body:
                data: bytes = body.read()
            return data

        return self._patiently("reading", key, once)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange]) -> list[bytes]:
        asked = [r for r in ranges if r.length]
        parts: Sequence[bytes] = ()
        if asked:
            parts = self._fetch(key, asked)
            if any(len(part) != r.length for part, r in zip(parts, asked, strict=True)):
                parts = self._fetch(key, asked)  # cut short on its way, or is the object short?
        checked = (check_length(part, wanted, key, self.url) for part, wanted in zip(parts, asked, strict=True))
        return [next(checked) if r.length else b"" for r in ranges]

    def get_file(self, key: str, path: Path) -> None:
        def once() -> None:
            with os_errors("writing", path), path.open("wb") as file:
                self._clients.boto.download_fileobj(**self._at(key), Fileobj=file)

        self._patiently("reading", key, once)

    def put(self, key: str, data: bytes) -> None:
        self._patiently("writing", key, lambda: self._clients.boto.put_object(**self._at(key), Body=data))

    def put_file(self, key: str, path: Path) -> None:
        def once() -> None:
            with os_errors("reading", path), path.open("rb") as file:
                self._clients.boto.upload_fileobj(file, **self._at(key))

        self._patiently("writing", key, once)

    def put_if_absent(self, key: str, data: bytes) -> None:
        try:
            self._put_settled("creating", key, data, {"IfNoneMatch": "*"})
        except PreconditionFailedError as error:
            raise ObjectExistsError(f"creating {key} in {self.url}: the key is taken") from error

    def put_if_match(self, key: str, data: bytes, etag: str) -> str:
        try:
            return self._put_settled("replacing", key, data, {"IfMatch": f'"{etag}"'})
        except ObjectNotFoundError as error:  # some stores say 412, some 404
            raise PreconditionFailedError(f"replacing {key} in {self.url}: it is missing; read it again") from error

    def stat(self, key: str) -> ObjectStat:
        found = self._patiently("looking at", key, lambda: self._clients.boto.head_object(**self._at(key)))
        return _stat(key, found["ContentLength"], found)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        where = {"Bucket": self._bucket, "Prefix": self._prefix + check_prefix(prefix)}
        pages: Iterator[Any] | None = None
        while True:
            with self._translated("listing", prefix):
                pages = pages or iter(self._clients.boto.get_paginator("list_objects_v2").paginate(**where))
                page = next(pages, None)
            if page is None:
                return
            for found in page.get("Contents", ()):
                yield _stat(found["Key"].removeprefix(self._prefix), found["Size"], found)

    def delete(self, key: str) -> None:
        self._patiently("deleting", key, lambda: self._clients.boto.delete_object(**self._at(key)))

    def copy(self, source: str, target: str) -> None:
        if source == target:
            self.stat(source)
            return
        self._patiently("copying", source, lambda: self._clients.boto.copy(self._at(source), **self._at(target)))

    def copy_from(self, source: ObjectStore, key: str, target: str) -> None:
        """With the credentials of this store, which must be those of the other one."""
        other = unwrapped(source)
        if not isinstance(other, S3Store) or not self._clients.same_as(other._clients):
            raise FeatureUnavailableError(f"{self.url} cannot copy from {source.url}: it is another service or account")
        self._patiently("copying", key, lambda: self._clients.boto.copy(other._at(key), **self._at(target)))

    def retains(self) -> bool:
        def once() -> bool:
            return s3_retention.is_enabled(self._clients.boto, self._bucket)

        return self._patiently("looking for", "Object Lock", once)

    def retain(self, key: str, until_us: int, mode: RetentionMode = "GOVERNANCE") -> None:
        def once() -> None:
            s3_retention.retain(self._clients.boto, self._at(key), until_us, mode, f"retaining {key} in {self.url}")

        self._patiently("retaining", key, once)

    def retained_until(self, key: str) -> int | None:
        def once() -> int | None:
            return s3_retention.retained_until(self._clients.boto, self._at(key))

        return self._patiently("looking at", key, once)

    def close(self) -> None:
        self._clients.close()

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_name(key)}

    def _fetch(self, key: str, ranges: Sequence[ByteRange]) -> Sequence[bytes]:
        path = f"{self._bucket}/{self._at(key)['Key']}"

        def once() -> Sequence[bytes]:
            parts: Sequence[bytes] = self._clients.filesystem.cat_ranges(
                [path] * len(ranges),
                [r.start for r in ranges],
                [r.end for r in ranges],
                batch_size=self._limits.connections,
                on_error="raise",
            )
            return parts

        return self._patiently("reading", key, once)

    def _patiently(self, doing: str, key: str, once: Callable[[], T]) -> T:
        """Does what may be done twice, again and again while the store asks for patience, within ``retry_seconds``."""
        deadline = time.monotonic() + self._limits.retry_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                with self._translated(doing, key):
                    return once()
            except StoreUnavailableError as error:
                if not is_passing(error.__cause__) or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _put_settled(self, doing: str, key: str, data: bytes, condition: dict[str, str]) -> str:
        """A conditional PUT whose outcome is known in the end; returns the etag.

        Where an attempt's reply was lost, a later 412 may be about our own object: reading it back tells.
        """
        in_doubt = False
        for last in (False, True):
            try:
                with self._translated(doing, key):
                    answer = self._clients.boto.put_object(**self._at(key), Body=data, **condition)
                return _bare(answer["ETag"])
            except PreconditionFailedError as error:
                if (in_doubt or was_retried(error)) and (etag := self._etag_if_holds(key, data)):
                    return etag
                raise
            except StoreUnavailableError:
                if etag := self._etag_if_holds(key, data):
                    return etag
                if last:
                    raise
                in_doubt = True
        raise AssertionError("unreachable")

    def _etag_if_holds(self, key: str, data: bytes) -> str | None:
        """The etag of the object if it holds exactly this, else None."""
        try:
            with self._translated("reading back", key):
                found = self._clients.boto.get_object(**self._at(key))
                with found["Body"] as body:
                    same: bool = found["ContentLength"] == len(data) and body.read() == data
        except ObjectNotFoundError:
            return None
        return _bare(found["ETag"]) if same else None

    @contextmanager
    def _translated(self, doing: str, key: str) -> Iterator[None]:
        try:
            yield
        except TiervdbError:
            raise
        except Exception as error:
            what = f"{doing} {key} in {self.url}"
            ours = s3_error(error, what)
            if isinstance(ours, ObjectNotFoundError | PreconditionFailedError) and not self._bucket_seen:
                self._check_bucket(what)
            raise ours from error
        else:
            self._bucket_seen = True

    def _check_bucket(self, what: str) -> None:
        """A missing bucket may look like a missing object, and must not: nothing would be known of any object."""
        head: Callable[..., Any] = self._clients.boto.head_bucket
        try:
            head(Bucket=self._bucket)
        except Exception as error:
            ours = s3_error(error, what)
            if isinstance(ours, ObjectNotFoundError):
                ours = StoreRefusedError(f"{what}: the bucket does not exist; create it or correct the URL")
            raise ours from error
        self._bucket_seen = True


def _bare(etag: str) -> str:
    return etag.strip('"')


def _stat(key: str, size: int, found: Mapping[str, Any]) -> ObjectStat:
    seconds = int(found["LastModified"].timestamp())  # some stores know more digits when listing than in a HEAD
    return ObjectStat(key, size, _bare(found["ETag"]), seconds * 1_000_000)
