"""A database's part of its cold store: whose turn it is to write there, new keys, and the pins of others."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence

from tiervdb.clock import Clock
from tiervdb.engine import store_record
from tiervdb.errors import (
    FencedError,
    ObjectExistsError,
    ObjectNotFoundError,
    PinNotFoundError,
    SingleWriterWarning,
)
from tiervdb.format import documents, paths
from tiervdb.format.documents import EpochDocument, Identity, Intent, Owner, Pin
from tiervdb.storage.object_store import ObjectStore


class ColdStore:
    """Keys are ``<database id>/<epoch>/<uuid>``, never reused. Thread-safe.

    ``is_private``: whether the store is the database's own subdirectory, so that all in it is its own.
    An epoch is taken, by creating its document, before the first write; a newer one shuts this writer out. Where the
    store cannot create conditionally (``single_writer``; None: not known yet), the document is looked at each time.
    """

    def __init__(
        self,
        store: ObjectStore,
        identity: Identity,
        owner: Owner,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.store = store
        self._identity = identity
        self._database_id = identity.database_id
        self._timeline = identity.timeline.id
        self._owner = owner
        self._clock = clock
        self._rng = rng
        self.is_private = identity.cold_url is None
        self._lock = threading.Lock()
        self._epoch: int | None = None
        self._document: EpochDocument | None = None
        self._warned = False
        self.single_writer: bool | None = False if self.is_private else None
        if not store.conditional:
            self.single_writer = True
        self._deleting = threading.Lock()

    def epoch(self) -> int:
        """The epoch of this writer, taken at the first call. FencedError if a newer one was taken since."""
        with self._lock:
            if self._epoch is None:
                self._epoch = self._take()
            elif self._exists(self._epoch + 1):
                raise _fenced(self.store, self._database_id, self._epoch + 1)
            elif self.single_writer and not self._is_ours(self._epoch):
                raise _fenced(self.store, self._database_id, self._epoch)
            return self._epoch

    def new_key(self, role: str) -> str:
        """A key that was never used, in the current epoch."""
        return paths.ObjectKey(self._database_id, self.epoch(), paths.random_id(self._rng), role).key

    def owns(self, key: str) -> bool:
        """Whether the object is this database's own: only these may it ever delete."""
        parsed = paths.parse_key(key)
        return isinstance(parsed, paths.ObjectKey) and (self.is_private or parsed.database_id == self._database_id)

    def pins(self) -> Iterator[Pin]:
        """The pins that clones and restores hold on this database's objects."""
        for found in self.store.list(paths.cold_pin_prefix(self._database_id)):
            try:
                data = self.store.get(found.key)
            except ObjectNotFoundError:
                continue  # released meanwhile
            yield documents.decode_pin(data, f"{self.store.url}/{found.key}")

    def release(self, pin_id: str) -> None:
        """Deletes a pin that another database holds here. PinNotFoundError; FencedError, as for all that deletes."""
        key = paths.ColdPinKey(self._database_id, pin_id).key
        self.epoch()
        try:
            self.store.stat(key)
        except ObjectNotFoundError:
            raise PinNotFoundError(f"there is no pin {pin_id!r} in {self.store.url}; pins() lists them") from None
        self.store.delete(key)

    def delete(self, keys: Sequence[str]) -> set[str]:
        """Deletes those of these keys that are the database's own and that no pin names. Returns them.

        They are written down in the store before the last look for pins, so that whoever pins one and then looks there
        is seen, or sees. FencedError if a newer writer took over, which would need to be asked.
        """
        with self._deleting:
            self.epoch()  # deleting is writing: a newer writer shuts this one out
            wanted = self._not_pinned(key for key in dict.fromkeys(keys) if self.owns(key))
            if wanted and not self.is_private:
                self._announce(wanted)
                wanted = self._not_pinned(wanted)
            for key in wanted:
                self.store.delete(key)
            if wanted and not self.is_private:
                self.forget_deletions()
        return set(wanted)

    def forget_deletions(self) -> None:
        """Nothing is being deleted any more, also not by an earlier writer of this database."""
        for found in list(self.store.list(paths.deletion_prefix(self._database_id))):
            self.store.delete(found.key)

    def _not_pinned(self, keys: Iterable[str]) -> list[str]:
        kept = {key for pin in self.pins() for key in pin.keys}
        return [key for key in keys if key not in kept]

    def _announce(self, keys: Sequence[str]) -> None:
        epoch = self.epoch()
        deletion = Intent(
            id=paths.random_id(self._rng),
            kind="delete",
            shard=0,
            epoch=epoch,
            created_us=self._clock.now_us(),
            keys=tuple(keys),
        )
        self.store.put(paths.DeletionKey(self._database_id, epoch).key, documents.encode(deletion))
        self.epoch()  # again: who took over before this was written does not look for it

    def warn_if_single_writer(self) -> None:
        """Says, once, that nothing but care keeps a second writer away."""
        if self.single_writer and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.store.url} has no conditional writes: never open this database for writing from two machines "
                "or copies at once (`tiervdb doctor` says more)",
                SingleWriterWarning,
                stacklevel=2,
            )

    def _take(self) -> int:
        epoch = last_epoch(self.store, self._identity) + 1
        if not self.is_private:
            holds = store_record.conditional(self.store, self._database_id, self._clock, self._rng)
            self.single_writer = not holds
        self.warn_if_single_writer()
        while not self._took(epoch):  # somebody was faster: on our timeline, or one that shuts us out
            _check_epoch(self.store, self._identity, epoch)  # even where the list does not show it yet
            epoch = max(epoch, last_epoch(self.store, self._identity)) + 1
        return epoch

    def _took(self, epoch: int) -> bool:
        document = EpochDocument(
            database_id=self._database_id,
            epoch=epoch,
            timeline=self._timeline,
            writer=paths.random_id(self._rng),
            created_us=self._clock.now_us(),
            owner=self._owner,
        )
        if self.single_writer and self._exists(epoch):
            return False
        try:
            self.store.put_if_absent(paths.EpochKey(self._database_id, epoch).key, documents.encode(document))
        except ObjectExistsError:
            return False
        self._document = document
        return not self.single_writer or self._is_ours(epoch)

    def _is_ours(self, epoch: int) -> bool:
        """Whether the epoch's document is the one that this writer wrote: without conditions it may be overwritten."""
        key = paths.EpochKey(self._database_id, epoch).key
        return documents.decode_epoch(self.store.get(key), f"{self.store.url}/{key}") == self._document

    def _exists(self, epoch: int) -> bool:
        try:
            self.store.stat(paths.EpochKey(self._database_id, epoch).key)
        except ObjectNotFoundError:
            return False
        return True


def last_epoch(store: ObjectStore, identity: Identity) -> int:
    """The newest epoch of a database in its store, 0 if none was taken.

    FencedError if it was taken on a timeline that is neither the database's own nor one that it descends from.
    """
    parsed = (paths.parse_key(found.key) for found in store.list(paths.epoch_prefix(identity.database_id)))
    epoch = max((p.epoch for p in parsed if isinstance(p, paths.EpochKey)), default=0)
    if epoch:
        _check_epoch(store, identity, epoch)
    return epoch


def _check_epoch(store: ObjectStore, identity: Identity, epoch: int) -> None:
    key = paths.EpochKey(identity.database_id, epoch).key
    document = documents.decode_epoch(store.get(key), f"{store.url}/{key}")
    if document.timeline not in {identity.timeline.id, *(line.id for line in identity.ancestors)}:
        raise _fenced(store, identity.database_id, epoch)


def _fenced(store: ObjectStore, database_id: str, epoch: int) -> FencedError:
    return FencedError(
        f"another writer has taken over database {database_id} in {store.url} (epoch {epoch}); this one must stop. "
        'To go on from here as a database of its own, copy the directory and open the copy with copied="clone"'
    )
