"""A part of the archived log: a head that can be read alone, and the records as the local log holds them.

Magic, version, length of the head, head, body. See docs/formats/wal-archive.md.
"""

from __future__ import annotations

import struct

from tiervdb.format.envelope import damaged, newer

PART_VERSION = 1
HEAD_BYTES = 4096  # what is read to see a head; a longer one is read again
_MAGIC = b"TVPART"
_START = struct.Struct("<6sHI")


def join(head: bytes, body: bytes) -> bytes:
    """The bytes of a part."""
    return b"".join((_START.pack(_MAGIC, PART_VERSION, len(head)), head, body))


def head_end(data: bytes | memoryview, name: str) -> int:
    """Where the head ends, from the first bytes of a part. CorruptionError or NewerFormatError naming ``name``."""
    if len(data) < _START.size:
        raise damaged(name, f"it has {len(data)} bytes, fewer than its start")
    magic, version, length = _START.unpack_from(data)
    if magic != _MAGIC:
        raise damaged(name, f"it starts with {bytes(magic)!r} instead of {_MAGIC!r}")
    if version > PART_VERSION:
        raise newer(name, version, PART_VERSION)
    return _START.size + int(length)


def split(data: bytes | memoryview, name: str) -> tuple[bytes, memoryview]:
    """Head and body of a part."""
    end = head_end(data, name)
    if end > len(data):
        raise damaged(name, f"it ends after {len(data)} bytes, within its head")
    view = memoryview(data)
    return bytes(view[_START.size : end]), view[end:]
