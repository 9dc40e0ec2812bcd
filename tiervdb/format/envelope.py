"""The envelope of small checksummed files: magic, version, length, CRC32C, payload.

These fields stand at the same place in every version of every file that uses it, so a newer file is told from a
damaged one. See docs/formats/envelope.md.
"""

from __future__ import annotations

import struct
import zlib

import crc32c

from tiervdb.errors import CorruptionError, NewerFormatError

MAGIC_LENGTH = 6
_HEADER = struct.Struct("<6sHQ")
_CRC = struct.Struct("<I")
_RAW_LENGTH = struct.Struct("<Q")
_RAW_LIMIT = 1 << 30
_MOST_COMPRESSION = 1100  # DEFLATE cannot do better than 1032 to 1
ENVELOPE_LENGTH = _HEADER.size + _CRC.size


def damaged(name: str, what: str) -> CorruptionError:
    """The error for a file or object whose bytes cannot be right."""
    return CorruptionError(
        f"cannot read {name}: {what}. The bytes are damaged or incomplete; run `tiervdb check` on the database, "
        "and bring the file back from a clone or a backup"
    )


def newer(name: str, version: int, known: int) -> NewerFormatError:
    """The error for a file of a version that this code does not know."""
    return NewerFormatError(
        f"cannot read {name}: it has format version {version} and this tiervdb knows up to {known}; "
        "open it with a newer tiervdb"
    )


def seal(magic: bytes, version: int, payload: bytes) -> bytes:
    """The payload in an envelope. ``magic``: 6 bytes."""
    header = _HEADER.pack(magic, version, len(payload))
    crc = crc32c.crc32c(payload, crc32c.crc32c(header))
    return b"".join((header, _CRC.pack(crc), payload))


def unseal(data: bytes | memoryview, magic: bytes, version: int, name: str) -> memoryview:
    """The payload of an envelope that ``seal`` wrote.

    Raises CorruptionError naming ``name``, or NewerFormatError if it is intact and of a later version than ``version``.
    """
    view = memoryview(data)
    if len(view) < ENVELOPE_LENGTH:
        raise damaged(name, f"it has {len(view)} bytes, fewer than its header")
    found, its_version, length = _HEADER.unpack_from(view)
    (crc,) = _CRC.unpack_from(view, _HEADER.size)
    payload = view[ENVELOPE_LENGTH:]
    if found != magic:
        raise damaged(name, f"it starts with {found!r} instead of {magic!r}")
    if length != len(payload):
        raise damaged(name, f"it holds {len(payload)} bytes after its header instead of {length}")
    if crc32c.crc32c(payload, crc32c.crc32c(view[: _HEADER.size])) != crc:
        raise damaged(name, "its checksum does not match")
    if its_version > version:
        raise newer(name, its_version, version)
    if its_version < 1:
        raise damaged(name, "its version is 0")
    return payload


def deflate(raw: bytes) -> bytes:
    """Compressed content for an envelope: its length, then a zlib stream."""
    return _RAW_LENGTH.pack(len(raw)) + zlib.compress(raw, 1)


def inflate(payload: memoryview, name: str) -> bytes:
    """What ``deflate`` compressed. Never makes more than the length it claims. Raises CorruptionError."""
    if len(payload) < _RAW_LENGTH.size:
        raise damaged(name, "it is too short")
    (length,) = _RAW_LENGTH.unpack_from(payload)
    if length > min(_RAW_LIMIT, len(payload) * _MOST_COMPRESSION):
        raise damaged(name, f"it claims {length} bytes of content")
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(payload[_RAW_LENGTH.size :], length + 1)
    except zlib.error as error:
        raise damaged(name, f"it does not decompress ({error})") from error
    if len(raw) != length or not inflater.eof or inflater.unused_data:
        raise damaged(name, f"its content does not have the {length} bytes it claims")
    return raw
