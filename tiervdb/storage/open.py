"""From a URL to an object store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from tiervdb.errors import InvalidInputError
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.limits import StoreLimits
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.os_dir import OsDir

_log = logging.getLogger("tiervdb.storage")


@dataclass(frozen=True, repr=False)
class Store:
    """Where objects live and how to get in.

    ``url``: a directory, ``file://``, ``s3://bucket/prefix``, or any other fsspec URL. ``storage_options``: credentials
    and settings in s3fs names (key, secret, token, endpoint_url, profile, anon, client_kwargs, config_kwargs), or those
    of another fsspec file system; never stored, never shown. Without them the AWS chain applies.
    """

    url: str | Path
    storage_options: Mapping[str, object] = field(default_factory=dict)
    limits: StoreLimits = field(default_factory=StoreLimits)

    def __repr__(self) -> str:
        hidden = f", storage_options=<{len(self.storage_options)} hidden>" if self.storage_options else ""
        return f"Store({str(self.url)!r}{hidden})"


def open_store(url: str | Path | Store, *, create: bool = True) -> ObjectStore:
    """The store at a URL. Nothing is asked of it yet, so one that is away opens too.

    ``create``: make a local directory that is missing; without it, such a store is away (StoreUnavailableError).
    Raises InvalidInputError for a URL that cannot be used or holds a password, FeatureUnavailableError if the package
    for its protocol is missing.
    """
    store = url if isinstance(url, Store) else Store(url)
    text = str(store.url)
    if isinstance(store.url, Path) or "://" not in text:
        return _directory(Path(text), store, create)
    parts = urlsplit(text)
    _check_url(text, parts)
    if parts.scheme in {"file", "local"}:
        if parts.netloc not in {"", "localhost"}:
            raise InvalidInputError(f"{text!r} names another machine: write file:///path with three slashes")
        return _directory(Path(unquote(parts.path)), store, create)
    if parts.scheme in {"s3", "s3a"}:
        from tiervdb.storage.s3_store import S3Store  # slow to import, and not every database needs it

        return S3Store(parts.netloc, parts.path.strip("/"), store.storage_options, store.limits)
    from tiervdb.storage.fsspec_store import FsspecStore

    _log.warning("%s has no conditional writes: only one writer may use it, and nothing checks that", text)
    return FsspecStore(text, store.storage_options)


def _directory(path: Path, store: Store, create: bool) -> DirectoryStore:
    if store.storage_options:
        raise InvalidInputError(f"storage_options do not apply to the directory {path}: leave them out")
    return DirectoryStore(OsDir(path), create=create)


def _check_url(text: str, parts: SplitResult) -> None:
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # what is left out may be secret
    if parts.password is not None or parts.query or parts.fragment or (parts.scheme == "s3" and parts.username):
        raise InvalidInputError(f"the URL of {where} holds credentials or parameters: put them into storage_options")
    if "::" in text or not parts.scheme or not (parts.netloc or parts.path):
        raise InvalidInputError(f"{where} cannot be used as a store: give one URL such as s3://bucket/prefix")
