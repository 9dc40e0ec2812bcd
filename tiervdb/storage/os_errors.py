"""The one place where OSError becomes an error of tiervdb."""

from __future__ import annotations

import errno
from pathlib import Path

from tiervdb.errors import DiskFullError, ObjectExistsError, ObjectNotFoundError, StorageError

# A name below a file, or a folder's own name, is no file: the same answer as an object store gives.
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def storage_error(error: OSError, doing: str, path: Path | str) -> StorageError:
    """The error to raise in place of ``error``: what was being done, to which file, what to do next."""
    what = f"{doing} {path}"
    if error.errno in _MISSING:
        return ObjectNotFoundError(f"{what}: there is no such file")
    if error.errno == errno.EEXIST:
        return ObjectExistsError(f"{what}: the name is taken")
    if error.errno in _FULL:
        return DiskFullError(f"{what}: no space is left; free some and try again")
    if error.errno in _REFUSED:
        return StorageError(f"{what}: {error.strerror}; check owner and permissions")
    return StorageError(f"{what}: {error.strerror or type(error).__name__}; check the disk, then try again")


class os_errors:  # noqa: N801
    """Translates every OSError of its block, but those of the network. A class: commits come through here."""

    __slots__ = ("_doing", "_path")

    def __init__(self, doing: str, path: Path | str) -> None:
        self._doing, self._path = doing, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
            raise storage_error(error, self._doing, self._path) from error
