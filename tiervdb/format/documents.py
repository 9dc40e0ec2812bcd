"""The JSON documents: a database's identity, pins, intents, epochs, and what is known of a store.

Each is one JSON object with ``format_version`` and a ``crc32c`` over its other members, so that a damaged document is
told from a valid one. See docs/formats/documents.md. ``encode`` writes any of them; each has a decoder of its own.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import crc32c
import msgspec

from tiervdb.format.envelope import damaged, newer
from tiervdb.format.paths import is_id

DOCUMENT_VERSION = 1
_CHECK = "crc32c"

PinKind = Literal["snapshot", "clone", "reader", "hydrate", "backup"]
PinState = Literal["making", "held"]


class DocumentBase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every document has."""

    format_version: int = DOCUMENT_VERSION


class TimelineRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A timeline and where it forked from its parent.

    ``fork_seqs``: per shard, the last seq that it shares with its parent. ``fork_time_us``: commit time of that point.
    """

    id: str
    created_us: int
    parent: str | None = None
    parent_database: str | None = None
    fork_seqs: tuple[int, ...] = ()
    fork_time_us: int | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the directory lies: a copy has another inode or machine."""

    inode: int
    machine: str


class BorrowedPin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pin that this database holds on another database's cold objects, to be released when it is dropped."""

    database_id: str
    pin: str


class Identity(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tiervdb.json``: what makes a directory a database. URLs hold no secrets.

    ``timeline``: the current one; ``ancestors``: those it descends from, nearest first.
    """

    database_id: str
    shards: int
    timeline: TimelineRecord
    ancestors: tuple[TimelineRecord, ...] = ()
    created_us: int
    place: Place
    cold_url: str | None = None
    repository_url: str | None = None
    borrowed: tuple[BorrowedPin, ...] = ()


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process that wrote a document, whose ``user`` it was, and the version of tiervdb; empty where not known."""

    pid: int
    host: str
    user: str = ""
    version: str = ""


class Pin(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps what it names from being deleted: a manifest with all its files, and the WAL after it up to ``seq``.

    ``consistency``: whether the commits up to ``seq`` were fsynced or only written when it was taken. ``keys``: cold
    objects that it keeps by name (a clone's pin in its owner's store). ``holder``: database id of the holder, if
    another one; ``path``: its directory on ``owner.host`` when it was made. ``state``: "making" until the holder is
    complete, so that what a crash left of one is known again.
    """

    id: str
    kind: PinKind
    timeline: str
    shard: int
    manifest_version: int
    seq: int
    time_us: int
    created_us: int
    expires_us: int | None = None
    owner: Owner | None = None
    name: str | None = None
    consistency: Literal["fsync", "os"] = "fsync"
    holder: str | None = None
    path: str | None = None
    state: PinState = "held"
    keys: tuple[str, ...] = ()


class Intent(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Written and fsynced before the keys and files that it names are: finds what a crash left behind.

    In a cold store: written before its keys are deleted, so that whoever pins one of them meanwhile sees it.
    """

    id: str
    kind: str
    shard: int
    epoch: int
    created_us: int
    keys: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class EpochDocument(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A writer's tenure in a store. ``writer``: a random id, by which a writer knows its own document again."""

    database_id: str
    epoch: int
    timeline: str
    writer: str
    created_us: int
    owner: Owner


class TimeFloor(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Later commits have later times than this: it was said elsewhere that none is missing up to then."""

    time_us: int


class StoreRecord(DocumentBase, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a probe found out about a store. None: it was not asked.

    ``conditional``: whether of several who create an object one wins; without it there may be one writer only.
    ``skew_us``: the store's clock minus that of who probed.
    """

    probed_us: int
    by: Literal["first write", "doctor"]
    conditional: bool
    replaces_if_unchanged: bool | None = None
    lists_after_writing: bool | None = None
    range_reads: bool | None = None
    copies: bool | None = None
    skew_us: int | None = None


_D = TypeVar("_D", bound=msgspec.Struct)


def encode(document: msgspec.Struct) -> bytes:
    """A document as indented JSON with its checksum."""
    fields = msgspec.to_builtins(document)
    fields[_CHECK] = _checksum(fields)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def decode_identity(data: bytes, name: str) -> Identity:
    """Raises CorruptionError or NewerFormatError naming ``name``, like the other decoders."""
    identity = decode_as(data, name, Identity)
    lines = (identity.timeline, *identity.ancestors)
    ids = [identity.database_id, *(line.id for line in lines), *(line.parent for line in lines if line.parent)]
    borrowed = [part for pin in identity.borrowed for part in (pin.database_id, pin.pin)]
    require_ids(name, *ids, *borrowed)
    if not 1 <= identity.shards <= 9999:
        raise damaged(name, f"it names {identity.shards} shards")
    return identity


def decode_pin(data: bytes, name: str) -> Pin:
    """A pin from its file or object."""
    pin = decode_as(data, name, Pin)
    require_ids(name, pin.id, pin.timeline, *([pin.holder] if pin.holder else []))
    return pin


def decode_intent(data: bytes, name: str) -> Intent:
    """An intent from its file."""
    intent = decode_as(data, name, Intent)
    require_ids(name, intent.id)
    return intent


def decode_epoch(data: bytes, name: str) -> EpochDocument:
    """An epoch document from its object."""
    document = decode_as(data, name, EpochDocument)
    require_ids(name, document.database_id, document.timeline, document.writer)
    return document


def decode_floor(data: bytes, name: str) -> TimeFloor:
    """A time floor from its file."""
    return decode_as(data, name, TimeFloor)


def decode_store(data: bytes, name: str) -> StoreRecord:
    """A store's record from its object."""
    return decode_as(data, name, StoreRecord)


def _checksum(fields: dict[str, Any]) -> str:
    return f"{crc32c.crc32c(msgspec.json.encode(fields, order='deterministic')):08x}"


def decode_as(data: bytes, name: str, kind: type[_D]) -> _D:
    """A document of a kind. CorruptionError or NewerFormatError naming ``name``; ids are the caller's to check."""
    try:
        fields = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(name, f"it is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise damaged(name, "it is not a JSON object")
    check = fields.pop(_CHECK, None)
    if check != _checksum(fields):
        raise damaged(name, "its checksum does not match (was it edited by hand?)")
    version = fields.get("format_version")
    if isinstance(version, int) and version > DOCUMENT_VERSION:
        raise newer(name, version, DOCUMENT_VERSION)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise damaged(name, f"it is not a valid {getattr(kind, '__name__', 'document').lower()} ({error})") from error


def require_ids(name: str, *ids: str) -> None:
    """CorruptionError unless all of these are ids."""
    for text in ids:
        if not is_id(text):
            raise damaged(name, f"{text!r} is not an id")
