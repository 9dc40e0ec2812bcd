"""Opening: create or recognise the directory, lock it, recover, and put a shard together."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from tiervdb.clock import Clock
from tiervdb.config import Durability, Options
from tiervdb.engine import borrowing, recovery, snapshots, wal
from tiervdb.engine import identity as identities
from tiervdb.engine.cold_store import ColdStore
from tiervdb.engine.copies import adopt_copy, finish_borrowing
from tiervdb.engine.core import ShardCore, Surroundings, manifest_objects
from tiervdb.engine.manifest_store import ManifestStore
from tiervdb.engine.opener import SegmentOpener
from tiervdb.engine.reader import Reader, ReaderSurroundings
from tiervdb.engine.shard import Shard
from tiervdb.engine.tier_access import AccessCounts
from tiervdb.engine.unions import Unions
from tiervdb.engine.view import Tools
from tiervdb.errors import DatabaseLockedError, NotADatabaseError, ObjectNotFoundError, SettingsMismatchError
from tiervdb.format import manifest as manifests
from tiervdb.format import paths
from tiervdb.format.documents import Identity
from tiervdb.format.manifest import Manifest
from tiervdb.format.wal_record import CHAIN_START, WalFileHeader
from tiervdb.segment.cold_means import ColdMeans, cold_means
from tiervdb.segment.filter import FilterEngine
from tiervdb.storage import place
from tiervdb.storage.cache import CachedStore, RangeCache
from tiervdb.storage.counting import CountingStore
from tiervdb.storage.directory_store import DirectoryStore
from tiervdb.storage.local_dir import FileLock, LocalDir
from tiervdb.storage.object_store import ObjectStore
from tiervdb.storage.open import Store, open_store

SHARD = 0
WRITER_INFO = "writer.json"
Copied = Literal["take_over", "clone"]


@dataclass(frozen=True)
class Setting:
    """How a database is to be opened. ``cold``: None means as before, or the subdirectory for a new one.

    ``repository_url``: where it archives, remembered. ``before_recovery``: called with the directory locked, and may
    add to its log what was archived and is not here any more.
    """

    cold: Store | None = None
    durability: Durability = "fsync"
    copied: Copied | None = None
    create: bool = True
    options: Options = field(default_factory=Options)
    repository_url: str | None = None
    before_recovery: Callable[[LocalDir, Identity], None] | None = None


def open_shard(local: LocalDir, setting: Setting, clock: Clock, rng: random.Random) -> tuple[Shard, Identity]:
    """Opens for writing, and recovers what a crash left.

    Raises an OpenError, CorruptionError or SettingsMismatchError.
    """
    fresh = not local.exists(paths.IDENTITY)
    if fresh:
        _check_may_create(local, setting)
    lock = _lock(local)
    try:
        if fresh and not local.exists(paths.IDENTITY):  # nobody was faster
            _create(local, setting, clock, rng)
        return _open_locked(local, setting, clock, rng, lock)
    except BaseException:
        lock.release()
        raise


def open_reader(local: LocalDir, setting: Setting, clock: Clock, rng: random.Random) -> tuple[Reader, Identity]:
    """Opens for reading, beside a writer or alone. Changes nothing but for a pin."""
    identity = identities.read(local)
    store = _cold_store(local, identity, setting)
    opener = SegmentOpener(local, _cold_means(local, store, setting.options))
    tools = make_tools(setting.options)
    reader = Reader.newest(reader_surroundings(local, identity, opener, tools, clock, rng))
    _prepare(opener, identity, reader.manifest())
    identities.read(local)  # again: who drops a database takes this away before looking for readers
    return reader, identity


def reader_surroundings(
    local: LocalDir, identity: Identity, opener: SegmentOpener, tools: Tools, clock: Clock, rng: random.Random
) -> ReaderSurroundings:
    """What readers of this directory need. Readers of one process share ``opener``, with its cache, and ``tools``."""
    return ReaderSurroundings(
        local=local,
        shard=SHARD,
        clock=clock,
        rng=rng,
        manifests=ManifestStore(local, SHARD),
        opener=opener,
        tools=tools,
        owner=identities.this_process(),
        timeline=identity.timeline.id,
    )


def make_tools(options: Options, clock: Clock | None = None) -> Tools:
    """The filter engine and the search threads of one open database.

    ``clock``: that of a writer, whose searches are counted if its policy moves segments by them.
    """
    pool = ThreadPoolExecutor(max_workers=options.search_threads, thread_name_prefix="tiervdb-search")
    policy = options.tiering
    accesses = None if clock is None or policy is None else AccessCounts(clock, policy.half_life)
    return Tools(FilterEngine(options.filter_bytes), pool, Unions(), accesses)


def _open_locked(
    local: LocalDir, setting: Setting, clock: Clock, rng: random.Random, lock: FileLock
) -> tuple[Shard, Identity]:
    identity = identities.read(local)
    manifests = ManifestStore(local, SHARD)
    store = _cold_store(local, identity, setting)
    if identities.was_copied(local, identity):
        identity = adopt_copy(local, manifests, identity, setting.copied, store, clock, rng)
        if setting.copied == "take_over" and identity.cold_url is not None:
            # From now on the original is shut out.
            ColdStore(store, identity, identities.this_process(), clock, rng).epoch()
            borrowing.require_whole(store, manifest_objects(manifests.current()))  # and what it was deleting, it says
    identity = finish_borrowing(local, manifests, identity, store, clock, rng)
    if setting.repository_url is not None and identity.repository_url != setting.repository_url:
        identity = msgspec.structs.replace(identity, repository_url=setting.repository_url)
        identities.write(local, identity)
    _sweep_staged(local)
    if setting.before_recovery is not None:
        setting.before_recovery(local, identity)
    core = _recover(local, identity, manifests, store, setting, clock, rng)
    snapshots.release_orphans(core)
    snapshots.forget_lost(core)
    return Shard(core, lock), identity


def _recover(
    local: LocalDir,
    identity: Identity,
    manifests: ManifestStore,
    store: ObjectStore,
    setting: Setting,
    clock: Clock,
    rng: random.Random,
) -> ShardCore:
    manifest = manifests.current()
    opener = SegmentOpener(local, _cold_means(local, store, setting.options))
    tools = make_tools(setting.options, clock)
    _prepare(opener, identity, manifest)
    state = recovery.load(manifest, opener, tools)
    published = local.shared_words(paths.PublishedName(SHARD).name, 2)
    files = wal.read_after(local, SHARD, manifest.flushed_seq, int(published[wal.FSYNCED]))
    end = recovery.replay(state, files)
    _mend_tail(local, files)
    header = WalFileHeader(
        SHARD, identity.database_id, identity.timeline.id, first_seq=0, salt=rng.getrandbits(64), chain=CHAIN_START
    )
    owner = identities.this_process()
    cold = ColdStore(store, identity, owner, clock, rng)
    cold.warn_if_single_writer()
    env = Surroundings(local, SHARD, clock, rng, setting.options, manifests, opener, cold, tools)
    return ShardCore(env, state, wal.Wal(local, header, end, setting.options.wal_file_bytes), setting.durability)


def _prepare(opener: SegmentOpener, identity: Identity, manifest: Manifest) -> None:
    """Connecting to a store elsewhere goes on while the database opens, where searches will need it."""
    if identity.cold_url is not None and any(segment.objects for segment in manifest.segments):
        opener.cold.prepare()


def _mend_tail(local: LocalDir, files: list[wal.WalFile]) -> None:
    """Cuts off what a crash left of an append that nobody was told is durable, and syncs the records before it."""
    if not files:
        return
    last = files[-1]
    if last.scan.records:
        local.reopen_append(last.name, last.scan.end).close()
    else:
        local.delete(last.name, durable=True)


def _cold_store(local: LocalDir, identity: Identity, setting: Setting) -> ObjectStore:
    """The database's cold store, its requests counted. The URL is remembered; credentials are given each time."""
    wanted = None if setting.cold is None else open_store(setting.cold, create=False)  # if missing, it is not mounted
    if wanted is not None and wanted.url != identity.cold_url:
        raise SettingsMismatchError(
            f"{local.root} keeps its cold segments in {identity.cold_url or 'its own subdirectory'}, not in "
            f"{wanted.url}: "
            "leave cold= out, or give that URL"
        )
    return CountingStore(wanted or _remembered_store(local, identity))


def _cold_means(local: LocalDir, store: ObjectStore, options: Options) -> ColdMeans:
    """Searches read through the disk cache; what moves data does not."""
    cached = CachedStore(store, RangeCache(local, budget_bytes=options.cache_bytes))
    return cold_means(local, cached, options.sketch_bytes, options.resident_bytes)


def _remembered_store(local: LocalDir, identity: Identity) -> ObjectStore:
    if identity.cold_url is None:
        return DirectoryStore(local.sub(paths.COLD_DIR))
    return open_store(identity.cold_url, create=False)


def _check_may_create(local: LocalDir, setting: Setting) -> None:
    if not setting.create:
        identities.read(local)  # raises
    leftovers = {
        *local.list(""),
        *local.list(paths.SEGMENT_DIR),
        *local.list(paths.WAL_DIR),
        *local.list(paths.MANIFEST_DIR),
    }
    begun = {paths.WRITER_LOCK, WRITER_INFO, paths.ManifestName(SHARD, 1).name}
    if not leftovers <= begun:
        raise NotADatabaseError(
            f"{local.root} has no {paths.IDENTITY} and is not empty ({sorted(leftovers - begun)[0]}): it is not a "
            "tiervdb database. "
            "Give the path of a database, or a new or empty directory"
        )


def _create(local: LocalDir, setting: Setting, clock: Clock, rng: random.Random) -> None:
    """The identity is written last: a directory without one was never a database."""
    cold_url = None if setting.cold is None else open_store(setting.cold).url
    identity = identities.new(local, clock, rng, cold_url)
    ManifestStore(local, SHARD).publish(
        manifests.first(identity.database_id, identity.timeline.id, SHARD, identity.created_us)
    )
    identities.write(local, identity)


def _lock(local: LocalDir) -> FileLock:
    lock = local.lock(paths.WRITER_LOCK)
    if lock is None:
        raise DatabaseLockedError(f"{local.root} is open for writing already {_writer(local)}")
    pid, host = place.owner()
    local.write_volatile(WRITER_INFO, msgspec.json.encode({"pid": pid, "host": host}))
    return lock


def _writer(local: LocalDir) -> str:
    try:
        info = msgspec.json.decode(local.read(WRITER_INFO), type=dict[str, int | str])
        by = f"pid {info['pid']} on {info['host']}"
        if (info["pid"], info["host"]) == place.owner():
            return (
                f"in this process ({by}), by an earlier tiervdb.open: use that Database, or close() it first. "
                "read_only=True opens it once more, for reading"
            )
    except (ObjectNotFoundError, msgspec.DecodeError, KeyError):
        by = "its pid is not known"
    return f"in another process ({by}). Close it there, or open it here with read_only=True"


def _sweep_staged(local: LocalDir) -> None:
    """Deletes what a crash left half written; readers stage their pins there too, but only for a moment."""
    for name in list(local.walk(paths.TMP_DIR)):
        local.delete(name)
