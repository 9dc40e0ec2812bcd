"""The lease by which one agent at a time looks after a repository: taken if absent or over, by conditional writes."""

from __future__ import annotations

import hashlib

import msgspec

from tiervdb.backup.opened import OpenRepository
from tiervdb.engine.identity import this_process
from tiervdb.errors import CorruptionError, ObjectExistsError, ObjectNotFoundError, PreconditionFailedError
from tiervdb.format import documents as local_documents
from tiervdb.format import repository_documents as documents
from tiervdb.format import repository_paths as paths
from tiervdb.format.repository_documents import Lease

AGENT_LEASE_SECONDS = 120


class AgentLease:
    """Not thread-safe. Raises StorageError where the store is away."""

    def __init__(self, opened: OpenRepository) -> None:
        self._vault = opened.vault
        id = hashlib.sha256(f"agent of {opened.id}".encode()).hexdigest()[:32]
        self._lease = Lease(id=id, kind="agent", created_us=0, expires_us=0, owner=this_process())
        self._key = paths.LeaseKey(id).key
        self._held = False

    def hold(self, now_us: int) -> Lease | None:
        """Takes the lease, or puts its end off; None then, else the lease of who holds it."""
        if self._held and self._lease.expires_us - now_us > AGENT_LEASE_SECONDS * 1_000_000 // 2:
            return None
        try:
            found, etag = self._found()
        except ObjectNotFoundError:
            return self._create(now_us)
        if found is not None and found.expires_us > now_us and not self._is_ours(found):
            self._held = False
            return found
        return self._replace(now_us, etag)

    def release(self) -> None:
        """Gives it back, if it is ours still."""
        if not self._held:
            return
        self._held = False
        try:
            found, _ = self._found()
        except ObjectNotFoundError:
            return
        if found is not None and self._is_ours(found):
            self._vault.store.delete(self._key)

    def _found(self) -> tuple[Lease | None, str]:
        etag = self._vault.store.stat(self._key).etag
        try:
            return self._vault.read(self._key, documents.decode_lease), etag
        except CorruptionError:
            return None, etag  # nobody's

    def _create(self, now_us: int) -> Lease | None:
        lease = self._renewed(now_us)
        try:
            self._vault.create(self._key, lease)
        except ObjectExistsError:
            return self._lost(now_us)
        self._lease, self._held = lease, True
        return None

    def _replace(self, now_us: int, etag: str) -> Lease | None:
        lease = self._renewed(now_us)
        data = self._vault.seal(self._key, local_documents.encode(lease))
        if not self._vault.store.conditional:
            self._vault.store.put(self._key, data)
            self._lease, self._held = lease, True
            return None
        try:
            self._vault.store.put_if_match(self._key, data, etag)
        except (PreconditionFailedError, ObjectNotFoundError):
            return self._lost(now_us)
        self._lease, self._held = lease, True
        return None

    def _renewed(self, now_us: int) -> Lease:
        started = self._lease.created_us or now_us
        return msgspec.structs.replace(
            self._lease, created_us=started, expires_us=now_us + AGENT_LEASE_SECONDS * 1_000_000
        )

    def _lost(self, now_us: int) -> Lease:
        """Somebody was faster; who, is looked up once."""
        self._held = False
        try:
            found, _ = self._found()
        except ObjectNotFoundError:
            found = None
        return found or msgspec.structs.replace(self._lease, expires_us=now_us)

    def _is_ours(self, found: Lease) -> bool:
        return (found.owner, found.created_us) == (self._lease.owner, self._lease.created_us)
