"""Names of files below a directory and keys of objects below a prefix: the one check both go through."""

from __future__ import annotations

from tiervdb.errors import InvalidInputError

_FORBIDDEN_PARTS = frozenset({"", ".", ".."})


def check_name(name: str) -> str:
    """The name itself, if it is relative, in POSIX form, and cannot lead out of its directory or prefix.

    Raises InvalidInputError for empty names and parts, ``.``, ``..``, absolute names, backslashes, control characters.
    """
    if not _FORBIDDEN_PARTS.isdisjoint(name.split("/")) or "\\" in name or not name.isprintable():
        msg = f"{name!r} cannot name a file or object: use a relative name with '/' between its parts, without '..'"
        raise InvalidInputError(msg)
    return name


def check_prefix(prefix: str) -> str:
    """Like ``check_name``, but the empty prefix and one that ends in ``/`` are fine too."""
    if prefix:
        check_name(prefix.removesuffix("/"))
    return prefix
