"""The fixed-size parts of a WAL file: its header, a record's header, and the running hash. See docs/formats/wal.md."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import crc32c
import msgspec

from tiervdb.errors import CorruptionError, NewerFormatError
from tiervdb.format.envelope import damaged, newer
from tiervdb.format.paths import is_id

WAL_VERSION = 1
KIND_COMMIT = 1
CHAIN_START = bytes(32)
RECORD_MAGIC = b"TVR\xf1"
ALIGNMENT = 8

_FILE_MAGIC = b"TVWAL\0"
_FILE = struct.Struct("<6sHH2x16s16sQQ32s")
_RECORD = struct.Struct("<4sQBBHQq16sQQI")
_CRC = struct.Struct("<I")
FILE_HEADER_LENGTH = _FILE.size + _CRC.size
RECORD_HEADER_LENGTH = _RECORD.size + _CRC.size


@dataclass(frozen=True)
class WalFileHeader:
    """The start of a WAL file.

    ``salt``: random for each file, and repeated in its records. ``chain``: the running hash over all records of the
    shard before this file (``CHAIN_START`` if there is none).
    """

    shard: int
    database_id: str
    timeline: str
    first_seq: int
    salt: int
    chain: bytes

    def encode(self) -> bytes:
        """The header's ``FILE_HEADER_LENGTH`` bytes."""
        if len(self.chain) != len(CHAIN_START) or not (is_id(self.database_id) and is_id(self.timeline)):
            raise ValueError(f"{self} has a malformed chain or id")
        database, timeline = bytes.fromhex(self.database_id), bytes.fromhex(self.timeline)
        head = _FILE.pack(
            _FILE_MAGIC, WAL_VERSION, self.shard, database, timeline, self.first_seq, self.salt, self.chain
        )
        return head + _CRC.pack(crc32c.crc32c(head))

    @classmethod
    def decode(cls, data: bytes | memoryview, name: str) -> WalFileHeader:
        """The header at the start of ``data``. Raises CorruptionError or NewerFormatError naming ``name``."""
        view = memoryview(data)[:FILE_HEADER_LENGTH]
        if len(view) < FILE_HEADER_LENGTH:
            raise damaged(name, f"it ends after {len(view)} bytes, within its header")
        if view[: len(_FILE_MAGIC)] != _FILE_MAGIC:
            raise damaged(name, "it does not start like a WAL file")
        if crc32c.crc32c(view[: _FILE.size]) != _CRC.unpack_from(view, _FILE.size)[0]:
            raise damaged(name, "the checksum of its header does not match")
        _, version, shard, database, timeline, first_seq, salt, chain = _FILE.unpack_from(view)
        if version > WAL_VERSION:
            raise newer(name, version, WAL_VERSION)
        if version < 1:
            raise damaged(name, "its version is 0")
        return cls(shard, database.hex(), timeline.hex(), first_seq, salt, chain)


class RecordHeader(msgspec.Struct, frozen=True):
    """The header of one record.

    ``length``: bytes of the body. ``time_us``: commit time. ``write_id``: 16 bytes, by which a writer knows its own
    record again. ``durable_seq``: the highest seq known to be fsynced when this was written, always below ``seq``.
    """

    length: int
    kind: int
    flags: int
    shard: int
    seq: int
    time_us: int
    write_id: bytes
    durable_seq: int
    salt: int
    body_crc: int

    def encode(self) -> bytes:
        """The header's ``RECORD_HEADER_LENGTH`` bytes."""
        if len(self.write_id) != 16 or not 0 <= self.durable_seq < self.seq:
            raise ValueError(f"record {self.seq} has durable seq {self.durable_seq} and write id {self.write_id!r}")
        head = _RECORD.pack(
            RECORD_MAGIC,
            self.length,
            self.kind,
            self.flags,
            self.shard,
            self.seq,
            self.time_us,
            self.write_id,
            self.durable_seq,
            self.salt,
            self.body_crc,
        )
        return head + _CRC.pack(crc32c.crc32c(head))


def read_record_header(view: memoryview, offset: int) -> RecordHeader | None:
    """The header at an offset; None if none with a right checksum is there."""
    if len(view) - offset < RECORD_HEADER_LENGTH or view[offset : offset + 4] != RECORD_MAGIC:
        return None
    head = view[offset : offset + _RECORD.size]
    if crc32c.crc32c(head) != _CRC.unpack_from(view, offset + _RECORD.size)[0]:
        return None
    return RecordHeader(*_RECORD.unpack(head)[1:])


def require_known(header: RecordHeader, name: str) -> None:
    """Raises NewerFormatError for a kind of record that this code does not know, CorruptionError for nonsense."""
    if header.kind != KIND_COMMIT or header.flags:
        raise NewerFormatError(
            f"cannot read record {header.seq} of {name}: its kind {header.kind} with flags {header.flags} is unknown; "
            "open it with a newer tiervdb"
        )
    if not header.durable_seq < header.seq or header.length % ALIGNMENT:
        raise damaged(name, f"the header of record {header.seq} contradicts itself")


def chain_next(chain: bytes, record: bytes | memoryview) -> bytes:
    """The running hash after one more record: ``sha256(chain + sha256(record))``."""
    return hashlib.sha256(chain + hashlib.sha256(record).digest()).digest()


def check_body(body: bytes | memoryview, header: RecordHeader, name: str) -> None:
    """Raises CorruptionError unless ``body`` is what the header was written for."""
    problem = body_problem(body, header)
    if problem is not None:
        raise _record_damaged(header, name, problem)


def body_problem(body: bytes | memoryview, header: RecordHeader) -> str | None:
    """What is wrong with a body's length or checksum."""
    if len(body) != header.length:
        return f"its body has {len(body)} bytes instead of {header.length}"
    if crc32c.crc32c(body) != header.body_crc:
        return "the checksum of its body does not match"
    return None


def _record_damaged(header: RecordHeader, name: str, what: str) -> CorruptionError:
    return damaged(f"record {header.seq} of {name}", what)
