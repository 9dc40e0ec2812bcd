"""Leases and pins: what a running backup, restore, verification or copy needs is not deleted under it.

Whoever reads takes a lease first and then looks whether what it names is still listed; whoever deletes unlists first
and then looks for leases and pins. So one of the two always sees the other. Leases end by themselves; pins do not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec

from tiervdb.backup.vault import Vault
from tiervdb.engine.identity import this_process
from tiervdb.errors import PinNotFoundError, StoreRefusedError, TiervdbError
from tiervdb.format import paths as local_paths
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import Lease, LeaseKind, RepositoryPin

LEASE_SECONDS = 3600
_log = logging.getLogger("tiervdb")


class HeldLease:
    """A lease that its holder renews while it works and releases at the end: a context manager."""

    def __init__(self, vault: Vault, lease: Lease, written: bool) -> None:
        self._vault = vault
        self.lease = lease
        self.written = written
        self._lock = threading.Lock()
        self._ended = threading.Event()
        if written:
            threading.Thread(target=self._keep, name="tiervdb-lease", daemon=True).start()

    def renew(self) -> None:
        """Puts the end off, if half of the time is over. Called often."""
        now_us = self._vault.clock.now_us()
        if self.written and self.lease.expires_us - now_us < LEASE_SECONDS * 1_000_000 // 2:
            self.name()

    def _keep(self) -> None:
        """Renews it also while one large object takes long."""
        while not self._ended.wait(LEASE_SECONDS / 10):
            try:
                self.renew()
            except TiervdbError as error:  # the work itself will meet it, or the lease is renewed next time
                _log.warning("a lease in %s could not be renewed: %s", self._vault.url, error)

    def name(self, backups: Iterable[str] = (), timelines: Iterable[str] = ()) -> None:
        """Names more of what must stay, and puts the end off."""
        with self._lock:
            if self._ended.is_set():
                return
            self.lease = msgspec.structs.replace(
                self.lease,
                backups=tuple(dict.fromkeys((*self.lease.backups, *backups))),
                timelines=tuple(dict.fromkeys((*self.lease.timelines, *timelines))),
                expires_us=self._vault.clock.now_us() + LEASE_SECONDS * 1_000_000,
            )
            if self.written:
                self._vault.replace(paths.LeaseKey(self.lease.id).key, self.lease)

    @property
    def is_over(self) -> bool:
        """Whether others may disregard it by now."""
        return self._vault.clock.now_us() >= self.lease.expires_us

    def leave(self) -> None:
        """Stops renewing it, and leaves it there until it expires."""
        self._ended.set()

    def release(self) -> None:
        """Gives it back; what it named may go."""
        self._ended.set()
        with self._lock:  # a renewal that is under way comes before
            pass
        if self.written:
            self._vault.store.delete(paths.LeaseKey(self.lease.id).key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def take(
    vault: Vault,
    kind: LeaseKind,
    *,
    backups: Iterable[str] = (),
    timelines: Iterable[str] = (),
    id: str | None = None,
    may_read_only: bool = True,
) -> HeldLease:
    """Writes a lease. Where the store refuses writing, goes on without one and says so, unless that is no option."""
    now_us = vault.clock.now_us()
    lease = Lease(
        id=id or local_paths.random_id(vault.rng),
        kind=kind,
        created_us=now_us,
        expires_us=now_us + LEASE_SECONDS * 1_000_000,
        owner=this_process(),
        backups=tuple(backups),
        timelines=tuple(timelines),
    )
    try:
        vault.replace(paths.LeaseKey(lease.id).key, lease)
    except StoreRefusedError as error:
        if not may_read_only:
            raise
        _log.warning(
            "%s cannot be written with these credentials, so this %s has no lease there: if a backup that it reads is "
            "expired meanwhile, it fails and must be repeated (%s)",
            vault.url,
            kind,
            error,
        )
        return HeldLease(vault, lease, written=False)
    return HeldLease(vault, lease, written=True)


def take_over(vault: Vault, id: str) -> HeldLease | None:
    """The lease of an earlier run of one's own, with a new end; None if it was released or swept."""
    found = vault.find(paths.LeaseKey(id).key, documents.decode_lease)
    if found is None:
        return None
    held = HeldLease(vault, found, written=True)
    held.name()
    return held


def running(vault: Vault) -> list[Lease]:
    """The leases that have not ended."""
    now_us = vault.clock.now_us()
    return [lease for lease in vault.read_all(paths.LEASES, documents.decode_lease) if lease.expires_us > now_us]


def pinned(vault: Vault) -> list[RepositoryPin]:
    """The pins of restores that still fetch."""
    return vault.read_all(paths.PINS, documents.decode_pin)


def pin(
    vault: Vault, holder: str, path: str, backups: Iterable[str], timelines: Iterable[str], id: str | None = None
) -> RepositoryPin:
    """Writes a pin for a lazy restore of the database ``holder`` in the directory ``path``.

    Where the store refuses writing, goes on without and says so.
    """
    document = RepositoryPin(
        id=id or local_paths.random_id(vault.rng),
        created_us=vault.clock.now_us(),
        owner=this_process(),
        holder=holder,
        path=path,
        backups=tuple(backups),
        timelines=tuple(timelines),
    )
    try:
        vault.replace(paths.RepositoryPinKey(document.id).key, document)
    except StoreRefusedError as error:
        _log.warning(
            "%s cannot be written with these credentials, so nothing there keeps what %s has still to fetch: fetch it "
            "soon, by db.hydrate() (%s)",
            vault.url,
            path,
            error,
        )
    return document


def unpin(vault: Vault, pin_id: str) -> None:
    """Releases a pin; one that is gone, or never was for want of permission, is fine."""
    with suppress(StoreRefusedError):
        vault.store.delete(paths.RepositoryPinKey(pin_id).key)


def release_pin(vault: Vault, name: str) -> None:
    """Removes the pin of an id, or of its beginning. PinNotFoundError."""
    fitting = [found for found in pinned(vault) if found.id == name or (len(name) >= 4 and found.id.startswith(name))]
    if len(fitting) != 1:
        known = ", ".join(found.id[:12] for found in pinned(vault)) or "none"
        raise PinNotFoundError(f"{name!r} is no pin of {vault.url}, or of more than one; there are: {known}")
    vault.store.delete(paths.RepositoryPinKey(fitting[0].id).key)


Renew = Callable[[], None]
